// The view of a client: its links, what the copies bought, its connections, and the buttons.

import { chart, spanOf } from "./charts.js";
import { clock, duration, each, el, figure, ms, percent, rate, row, say, section, set, size, table } from "./elements.js";
import { ask, report } from "./session.js";

const MODES = { adaptive: "Adaptive: speed of both links", duplicate: "Duplicate: everything twice, safest" };
const LOWEST_SCALE = 100_000; // bit/s
const FIGURES = {
  "Round trip": (link) => ms(link.rtt_ms.smoothed),
  "Lowest": (link) => ms(link.rtt_ms.min),
  "95 of 100 below": (link) => ms(link.rtt_ms.p95),
  "Waits in queue": (link) => ms(link.queue_ms),
  "Loss up": (link) => percent(link.loss_up),
  "Loss down": (link) => percent(link.loss_down),
  "Rate up": (link) => rate(link.rate_up_bps),
  "Rate down": (link) => rate(link.rate_down_bps),
  "Delivered first": (link) => percent(link.won),
  "Carried today": (link) => (link.day_bytes == null ? "–" : size(link.day_bytes)),
};

export function clientView(mayChange) {
  const links = el("div", { class: "cards" });
  const ledger = bought();
  const connections = connectionTable(mayChange);
  const mode = mayChange ? modeButtons() : null;
  const test = mayChange ? speedtest() : null;
  const events = el("ol", { class: "events" });
  const buttons = mayChange ? el("div", { class: "cards" }, mode.node, test.node) : null;
  const parts = [section("Links", links), ledger.node, buttons, connections.node, section("What happened", events)];
  const node = el("div", {}, ...parts.filter(Boolean));

  function update(status, past, marks, now) {
    const span = spanOf(past, now);
    const top = { rate: highestRate(past) };
    each(links, status.links, (link) => link.name, (link) => linkCard(link.name, mayChange),
      (card, link) => card.update(link, past, span, marks, top));
    ledger.update(status.session);
    mode?.update(status.mode);
    test?.update(status.speedtest);
    connections.update(status);
    each(events, marks.slice(-30).reverse(), (mark) => mark.at + mark.event + mark.link + mark.state, eventLine, () => {});
    return headline(status);
  }
  return { node, update };
}

function headline(status) {
  const session = status.session;
  const works = status.links.filter((link) => link.state === "usable" || link.state === "degraded").length;
  const past = status.streams.filter((stream) => stream.via !== "session").length;
  const open = `${session.streams_open + past} connections open, ${session.streams_total} in this session`;
  const age = session.age_s == null ? "" : ` for ${duration(session.age_s)}`;
  const summary = `Session ${session.state}${age} · ${works} of ${status.links.length} links work · mode ${status.mode} · ${open}`;
  const spoken = `Session ${session.state}, ${works} of ${status.links.length} links work, mode ${status.mode}`;
  const since = session.outage_s == null ? "" : `For ${duration(session.outage_s)}.`;
  if (session.state === "outage") return { summary, spoken, problem: "All links are down. Connections are held.", kind: "bad", since };
  if (session.state === "connecting") return { summary, spoken, problem: `No session yet${session.reason ? `: ${session.reason}` : ""}.`, kind: "wait", since };
  return { summary, spoken, problem: "", kind: "", since: "" };
}

/** All links share one scale of rates, so that their charts can be compared; packets of an idle link draw no mountains. */
function highestRate(past) {
  return Math.max(LOWEST_SCALE, ...Object.values(past.links).flatMap((columns) => [...columns.up_bps, ...columns.down_bps]));
}

// --- links ---

function linkCard(name, mayChange) {
  const state = el("span", { class: "state" });
  const cause = el("p", { class: "cause small faint" });
  const figures = Object.keys(FIGURES).map(figure);
  const charts = {
    rate: chart("Rate", [{ field: "down_bps", name: "down", kind: "down" }, { field: "up_bps", name: "up", kind: "up" }], rate),
    rtt: chart("Round trip", [{ field: "rtt_ms", name: "round trip", kind: "down" }], ms),
    loss: chart("Loss", [{ field: "loss_down", name: "down", kind: "down" }, { field: "loss_up", name: "up", kind: "up" }], percent),
  };
  const cap = el("div");
  const drill = mayChange ? drillButtons(name) : null;
  const card = el("article", { class: "card", "aria-label": `Link ${name}` }, el("header", {}, el("h3", {}, name), state), cause,
    el("dl", { class: "figures" }, ...figures.map((one) => one.node)), cap, ...Object.values(charts).map((one) => one.node));
  if (drill) card.append(drill.node);

  card.update = (link, past, span, marks, top) => {
    say(state, link.state);
    set(state, "class", `state ${link.state}`);
    say(cause, why(link));
    Object.values(FIGURES).forEach((told, index) => say(figures[index].value, told(link)));
    charts.rate.draw(name, past, span, marks, top.rate);
    charts.rtt.draw(name, past, span, marks);
    charts.loss.draw(name, past, span, marks, 0.1);
    showCaps(cap, link);
    drill?.update(link);
  };
  return card;
}

function why(link) {
  const use = link.use === "available" ? "" : link.use;
  const limit = link.limited_by === "queue" ? "its queue grows" : link.limited_by === "drops" ? "it drops the excess" : "";
  const way = link.transport === "tls" ? "by TLS" : "";
  const ends = link.remote ? `to ${link.remote}` : "";
  return [use, way, link.drill ? `drill: ${link.drill}` : link.reason, limit, ends].filter(Boolean).join(" · ");
}

function showCaps(node, link) {
  const caps = [["today", link.day_bytes, link.day_cap_bytes], ["this month", link.month_bytes, link.month_cap_bytes]].filter(([, , cap]) => cap);
  each(node, caps, ([period]) => period, () => el("label", {}, el("span"), el("meter", { min: "0", max: "1", high: "0.9" })), (label, [period, used, cap]) => {
    say(label.firstChild, `${size(used ?? 0)} of ${size(cap)} ${period}`);
    label.lastChild.value = Math.min(1, (used ?? 0) / cap);
  });
}

function drillButtons(link) {
  const said = el("output", { class: "small" });
  const begin = (drill) => report(said, ask("drill", { link, ...drill }), () => "");
  const buttons = el("div", { class: "row", role: "group", "aria-label": `Drill of ${link}` },
    el("button", { type: "button", onclick: () => begin({ is_down: true, duration: 20 }) }, "Drill: down for 20 s"),
    el("button", { type: "button", onclick: () => begin({ loss: 0.2, duration: 60 }) }, "Drill: lose 20 % for 60 s"));
  const end = el("button", { type: "button", hidden: true, onclick: () => begin({ is_on: false }) }, "End the drill");
  buttons.append(end);
  return { node: el("div", {}, buttons, said), update: (status) => { end.hidden = !status.drill; } };
}

// --- what the copies bought ---

function bought() {
  const rescued = figure("Losses rescued");
  const bridged = figure("Link outages bridged");
  const time = figure("Links were missing for");
  const paid = figure("Paid in copies");
  const text = "A rescued loss was never waited for: a copy on another link was on its way already. A bridged outage is a link that went away while another carried on.";
  const list = el("dl", { class: "figures wide" }, rescued.node, bridged.node, time.node, paid.node);
  const node = section("What the copies bought", el("div", { class: "card" }, list, el("p", { class: "small faint cause" }, text)));
  function update(session) {
    const carried = session.bytes_up + session.bytes_down;
    say(rescued.value, String(session.rescued));
    say(bridged.value, String(session.bridged));
    say(time.value, duration(session.bridged_s));
    say(paid.value, carried ? `${size(session.copy_bytes)} (${percent(session.copy_bytes / carried)} of ${size(carried)})` : "nothing yet");
  }
  return { node, update };
}

// --- buttons ---

function modeButtons() {
  const said = el("output", { class: "small" });
  const buttons = Object.entries(MODES).map(([mode, text]) =>
    el("button", { type: "button", "aria-pressed": "false", onclick: () => report(said, ask("mode", { mode }), () => "") }, text));
  const node = section("Mode", el("div", { class: "row", role: "group", "aria-label": "Mode" }, ...buttons), said);
  return { node, update: (present) => Object.keys(MODES).forEach((mode, index) => set(buttons[index], "aria-pressed", mode === present)) };
}

function speedtest() {
  const said = el("output", { class: "small" });
  const bar = el("progress", { hidden: true, "aria-label": "Progress of the speed test", max: "1" });
  const results = table("Speed in Mbit/s", [["link", ""], ["down", "number"], ["up", "number"], ["note", ""]]);
  results.node.hidden = true;
  const start = el("button", { type: "button", onclick: run }, "Measure the speed");
  let isAsked = false;
  async function run() {
    isAsked = start.disabled = true;
    say(said, "Measuring: this takes ten seconds for each link, and slows down everything else.");
    await report(said, ask("speedtest"), ({ speeds }) => { show(speeds); return ""; });
    isAsked = false;
  }
  function show(speeds) {
    results.node.hidden = false;
    each(results.body, speeds, (speed) => speed.link, () => row(["", "number", "number", "faint"]), (line, speed) => {
      const mbit = (bps) => (bps == null ? "–" : (bps / 1e6).toFixed(1));
      [speed.link, mbit(speed.down_bps), mbit(speed.up_bps), speed.note].forEach((text, index) => say(line.children[index], text));
    });
  }
  let wasPresent = false;
  function update(present) {
    bar.hidden = !present;
    start.disabled = Boolean(present) || isAsked;
    if (wasPresent && !present && !isAsked) say(said, "");
    wasPresent = Boolean(present);
    if (!present) return;
    bar.value = present.done / present.steps;
    say(said, `Measuring ${present.step}: step ${present.done + 1} of ${present.steps}.`);
  }
  return { node: section("Speed", el("div", { class: "row" }, start), bar, said, results.node), update };
}

// --- connections and events ---

function connectionTable(mayChange) {
  const shown = table("The connections that have carried most", [["to", ""], ["way", ""], ["age", "number"], ["up", "number"], ["down", "number"], ["now", "number"]]);
  const note = el("p", { class: "small faint" });
  const before = new Map();
  const node = section("Connections", shown.node, note);

  function update(status) {
    const now = performance.now() / 1000;
    const items = status.streams.slice(0, 30);
    each(shown.body, items, (item) => item.id, () => row(["target", "", "number", "number", "number", "number"]), (line, item) => {
      const carried = item.bytes_up + item.bytes_down;
      const [at, then] = before.get(item.id) ?? [now, carried];
      const speed = now > at ? (Math.max(0, carried - then) * 8) / (now - at) : 0;
      [item.target, item.via, duration(item.age_s), size(item.bytes_up), size(item.bytes_down), rate(speed)].forEach((text, index) => say(line.children[index], text));
    });
    before.clear();
    items.forEach((item) => before.set(item.id, [now, item.bytes_up + item.bytes_down]));
    shown.node.hidden = !items.length;
    say(note, connectionNote(status, items.length, mayChange));
  }
  return { node, update };
}

function connectionNote(status, shown, mayChange) {
  if (!mayChange) return `${status.session.streams_open} connections are open. Who has logged in sees where they lead.`;
  const past = status.streams.filter((stream) => stream.via !== "session").length;
  const more = status.session.streams_open + past - shown;
  if (!shown) return "No connection is open.";
  return more > 0 ? `And ${more} more.` : "";
}

function eventLine(mark) {
  const what = mark.link ? `link ${mark.link}${mark.event === "drill" ? " drill" : ""}` : mark.event;
  const after = mark.duration_s == null ? "" : ` after ${duration(mark.duration_s)}`;
  const cause = mark.cause ? ` (${mark.cause})` : "";
  const text = `${what} ${mark.state ?? ""}${after}${cause}`;
  return el("li", {}, el("time", { datetime: mark.at }, clock(new Date(mark.at))), text);
}
