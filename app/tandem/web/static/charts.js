// Charts of the last hour: one drawing of 720 by 100 units for each figure of a link, with events as marks.

import { each, el, say, set, svg } from "./elements.js";

const WIDTH = 720;
const HEIGHT = 100;
const SHORTEST = 300; // seconds that a chart shows at least

/** What of the history is shown: all of it, an hour at most, in seconds since 1970 by the program's clock. */
export function spanOf(history, end) {
  const known = end - (history.at[0] ?? end);
  return [end - Math.min(history.span_s, Math.max(SHORTEST, known)), end];
}

/** Whether something is worth a mark in the charts of a link: not each moment at which a link is a bit better or worse. */
function isMarked(event, link) {
  if (event.event === "link") return event.link === link && event.state === "down";
  return event.event === "drill" ? event.link === link : event.event !== "started";
}

/** A chart of one or two lines. `lines`: field of the history, name, class; `told`: says a value in words. */
export function chart(title, lines, told) {
  const paths = lines.map((line) => svg("path", { class: `line-${line.kind}` }));
  const marks = svg("g");
  const drawing = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  drawing.append(marks, ...paths);
  const scale = el("span");
  const keys = lines.length > 1 ? lines.map((line) => el("span", { class: `key-${line.kind}` }, `— ${line.name} `)) : [];
  const node = el("figure", {}, el("figcaption", {}, el("span", {}, `${title} `, ...keys), scale), drawing);

  /** Draws the samples of a link. `span`: begin and end in seconds since 1970; `top`: the top of the scale, or 0. */
  function draw(link, history, span, events, top = 0) {
    const known = lines.map((line) => history.links[link]?.[line.field] ?? []);
    const highest = Math.max(top, ...known.flat().filter((value) => value != null), 1e-9);
    known.forEach((values, index) => set(paths[index], "d", outline(values, history.at, span, highest, history.interval_s)));
    const seen = events.filter((event) => isMarked(event, link) && Date.parse(event.at) / 1000 > span[0]);
    each(marks, seen, (event) => event.at + event.event + event.state, newMark, (mark, event) => place(mark, event, span));
    say(scale, `0 to ${told(highest)}, last ${Math.round((span[1] - span[0]) / 60)} min`);
    set(drawing, "aria-label", `${title} of ${link}: ${lines.map((line, i) => summary(line, known[i], told)).join("; ")}`);
  }
  return { node, draw };
}

function outline(values, at, [begin, end], highest, interval) {
  let text = "";
  let before = null;
  values.forEach((value, index) => {
    if (value == null || at[index] < begin) { before = null; return; }
    const x = ((at[index] - begin) / (end - begin)) * WIDTH;
    const y = HEIGHT - 2 - (value / highest) * (HEIGHT - 6);
    const joins = before != null && at[index] - before < 3 * interval;
    text += `${joins ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}${joins ? "" : "h0.5"}`;
    before = at[index];
  });
  return text;
}

function newMark(event) {
  const cause = event.cause ? ` (${event.cause})` : "";
  const title = svg("title", {}, `${event.event} ${event.state ?? ""}${cause}`);
  return svg("path", { class: "mark" }, title);
}

function place(mark, event, [begin, end]) {
  const x = ((Date.parse(event.at) / 1000 - begin) / (end - begin)) * WIDTH;
  set(mark, "d", `M${x.toFixed(1)} 0V${HEIGHT}`);
}

function summary(line, values, told) {
  const known = values.filter((value) => value != null);
  if (!known.length) return `${line.name}: nothing yet`;
  return `${line.name}: now ${told(known[known.length - 1])}, lowest ${told(Math.min(...known))}, highest ${told(Math.max(...known))}`;
}
