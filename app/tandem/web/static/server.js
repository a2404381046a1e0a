// The view of a server: its clients and who is on, invites, other servers, and its processes.

import { day, duration, each, el, figure, ms, percent, row, say, section, set, size, svg, table } from "./elements.js";
import { ask, report } from "./session.js";

const REFRESH = 5000; // milliseconds between two looks at the list of clients

export function serverView(mayChange) {
  const figures = { sessions: figure("Sessions"), clients: figure("Registered"), memory: figure("Memory for data"), listen: figure("Listens at") };
  const head = el("dl", { class: "figures wide card" }, ...Object.values(figures).map((one) => one.node));
  const clients = mayChange ? clientList() : null;
  const fleet = mayChange ? fleetTable() : null;
  const workers = workerTable();
  const login = mayChange ? null : el("p", { class: "faint" }, "Who has logged in sees the clients here.");
  const node = el("div", {}, ...[section("Server", head), clients?.node, login, fleet?.node, workers.node].filter(Boolean));

  function update(status) {
    const on = status.workers.length ? status.workers.reduce((sum, worker) => sum + worker.sessions, 0) : status.sessions.length;
    say(figures.sessions.value, mayChange || status.workers.length ? `${on} of ${status.max_sessions}` : `at most ${status.max_sessions}`);
    say(figures.clients.value, String(status.clients));
    say(figures.memory.value, `${size(status.memory_bytes)} of ${size(status.max_memory_bytes)}`);
    say(figures.listen.value, status.listen.join(", ") || "–");
    clients?.update(status);
    fleet?.update();
    workers.update(status);
    const summary = `${status.clients} registered clients`;
    return { summary, spoken: summary, problem: status.registry_problem, kind: "bad", since: "" };
  }
  return { node, update };
}

// --- clients ---

function clientList() {
  const titles = [["client", ""], ["state", ""], ["links", ""], ["used", "number"], ["quota", "number"], ["ends", ""], ["change", ""]];
  const shown = table("Who may use this server", titles);
  const said = el("output", { class: "small" });
  const invite = inviteForm(() => look());
  const node = section("Clients", shown.node, said, invite.node);
  let known = [];
  let sessions = [];
  let looked = -Infinity;
  let isElsewhere = false; // whether the registry is a service, where clients are listed and changed

  async function look() {
    looked = performance.now();
    try {
      known = (await ask("clients")).clients;
      isElsewhere = false;
    } catch (error) {
      isElsewhere = true;
      said.classList.add("failed");
      say(said, error.message);
    }
    invite.node.hidden = isElsewhere;
    draw();
  }

  function draw() {
    const on = isElsewhere ? [...new Set(sessions.map((session) => session.client))].sort().map((name) => ({ name })) : known;
    each(shown.body, on, (client) => client.name, (client) => clientRow(client.name, act), (line, client) => {
      line.update(client, sessions.filter((session) => session.client === client.name), isElsewhere);
    });
    shown.node.hidden = !on.length;
  }

  async function act(action, body, told) {
    await report(said, ask(action, body), () => told);
    await look();
  }

  function update(status) {
    sessions = status.sessions;
    if (performance.now() - looked > REFRESH) look();
    else draw();
  }
  return { node, update };
}

function clientRow(name, act) {
  const line = row(["target", "", "small", "number", "number", "", ""]);
  const quota = el("button", { type: "button", onclick: () => askQuota(name, act) }, "Quota…");
  const toggle = el("button", { type: "button" });
  const revoke = el("button", { type: "button", class: "risky", onclick: () => confirmRevoke(name, act) }, "Revoke…");
  set(quota, "aria-label", `Quota of ${name}`);
  set(revoke, "aria-label", `Revoke ${name}`);
  const buttons = el("div", { class: "row" }, quota, toggle, revoke);
  line.children[6].append(buttons);
  let isDisabled = false;
  toggle.addEventListener("click", () => act(isDisabled ? "clients/enable" : "clients/disable", { name }, `${name} is ${isDisabled ? "enabled" : "disabled"}.`));

  line.update = (client, sessions, isElsewhere) => {
    isDisabled = client.disabled;
    buttons.hidden = isElsewhere;
    const state = stateOf(client, sessions);
    const limit = client.quota_bytes == null ? "–" : `${size(client.quota_bytes)} a ${client.quota_period}`;
    const ends = client.expires == null ? "–" : day(client.expires);
    [name, state, sessions.map(linksOf).join("; "), client.used_bytes == null ? "–" : size(client.used_bytes), limit, ends].forEach((text, index) => say(line.children[index], text));
    set(line.children[1], "class", state === "on" ? "up" : "");
    say(toggle, isDisabled ? "Enable" : "Disable");
    set(toggle, "aria-label", `${isDisabled ? "Enable" : "Disable"} ${name}`);
  };
  return line;
}

function stateOf(client, sessions) {
  if (client.disabled) return "disabled";
  if (client.expires != null && client.expires * 1000 < Date.now()) return "its time has run out";
  if (client.quota_bytes != null && client.used_bytes >= client.quota_bytes) return `its data is used up until ${day(client.quota_ends)}`;
  if (sessions.length || client.connected) return "on";
  return client.last_seen == null ? "never seen" : `last seen ${day(client.last_seen)}`;
}

const linksOf = (session) =>
  session.links.map((link) => `${link.name} ${link.state}, ${ms(link.rtt_ms.smoothed)}, loss ${percent(link.loss_up)} up ${percent(link.loss_down)} down`).join("; ");

/** Shows a dialog; `done` gets the form's data where it was not cancelled. */
function dialog(title, content, action, done, kind = "main") {
  const form = el("form", { method: "dialog" }, el("h3", {}, title), ...content,
    el("div", { class: "row" }, el("button", { class: kind, value: "yes" }, action), el("button", { value: "no", formnovalidate: true }, "Cancel")));
  const node = el("dialog", { "aria-label": title }, form);
  node.addEventListener("close", () => { node.remove(); if (node.returnValue === "yes") done(new FormData(form)); });
  document.body.append(node);
  node.showModal();
}

function askQuota(name, act) {
  const input = el("input", { name: "quota", placeholder: "50GB/month", required: true });
  const text = "An amount for a day or a month, such as 50GB/month, or: none.";
  dialog(`Quota of ${name}`, [el("label", {}, text, input)], "Set", (form) => act("clients/set", { name, quota: form.get("quota") }, `${name} has another quota.`));
}

function confirmRevoke(name, act) {
  const text = `Its sessions end, and its invite stops working. ${name} then needs a new invite.`;
  dialog(`Revoke ${name}?`, [el("p", {}, text)], "Revoke", () => act("clients/revoke", { name }, `${name} is removed.`), "risky");
}

// --- invites ---

function inviteForm(onMade) {
  const name = el("input", { name: "name", required: true, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}", autocomplete: "off" });
  const endpoints = el("input", { name: "endpoints", autocomplete: "off", placeholder: "vpn.example.org:8120 vpn.example.org:8121", size: "40" });
  const said = el("output", { class: "small" });
  const made = el("div");
  async function submit(event) {
    event.preventDefault();
    const list = endpoints.value.split(/[\s,]+/).filter(Boolean);
    await report(said, ask("clients/invite", { name: name.value, endpoints: list }), (answer) => { show(answer); name.value = ""; return ""; });
    onMade();
  }
  function show(answer) {
    const text = el("textarea", { readonly: true, "aria-label": `Invite of ${answer.name}`, rows: "4" }, answer.invite);
    const copy = el("button", { type: "button", class: "main", onclick: () => { text.select(); document.execCommand("copy"); } }, "Copy");
    const hide = el("button", { type: "button", onclick: () => made.replaceChildren() }, "Hide");
    made.replaceChildren(el("p", {}, `The invite of ${answer.name} is a secret, and is shown only now:`), text, el("div", { class: "row" }, copy, hide), ...(answer.qr ? [code(answer)] : []));
  }
  const form = el("form", { class: "row", onsubmit: submit }, el("label", {}, "Name of the new client", name),
    el("label", {}, "Endpoints (empty: as configured)", endpoints), el("button", { class: "main" }, "Make an invite"));
  return { node: el("div", { class: "card" }, el("h3", {}, "New invite"), form, said, made) };
}

function code(answer) {
  const label = `QR code of the invite of ${answer.name}`;
  return svg("svg", { class: "qr", viewBox: `0 0 ${answer.qr.size} ${answer.qr.size}`, role: "img", "aria-label": label, "shape-rendering": "crispEdges" }, svg("path", { d: answer.qr.path }));
}

// --- the fleet, and the processes of this server ---

function fleetTable() {
  const shown = table("Servers that share the registry", [["server", ""], ["state", ""], ["sessions", "number"], ["endpoints", ""]]);
  const node = section("Fleet", shown.node);
  node.hidden = true;
  let looked = -Infinity;
  async function update() {
    if (performance.now() - looked < REFRESH) return;
    looked = performance.now();
    const { servers } = await ask("servers").catch(() => ({ servers: [] }));
    node.hidden = servers.length < 2;
    each(shown.body, servers, (server) => server.name, () => row(["", "state", "number", "target"]), (line, server) => {
      [server.name, server.state, `${server.sessions} of ${server.max_sessions}`, server.endpoints.join(", ")].forEach((text, index) => say(line.children[index], text));
      set(line.children[1], "class", `state ${server.state}`);
    });
  }
  return { node, update };
}

function workerTable() {
  const shown = table("Processes that serve", [["process", "number"], ["sessions", "number"], ["running for", "number"]]);
  const note = el("p", { class: "small faint" });
  const node = section("Workers", shown.node, note);
  function update(status) {
    node.hidden = !status.workers.length;
    each(shown.body, status.workers, (worker) => worker.pid, () => row(["number", "number", "number"]), (line, worker) => {
      [String(worker.pid), String(worker.sessions), duration(worker.uptime_s)].forEach((text, index) => say(line.children[index], text));
    });
    say(note, status.workers_replaced ? `${status.workers_replaced} have died, and were replaced.` : "");
  }
  return { node, update };
}
