// Small helpers: making elements, changing only what has changed, and saying figures in words.

const SVG = "http://www.w3.org/2000/svg";

/** Makes an element. `attributes`: "on…" are listeners, "class" is the class; children are nodes or text. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Makes an element of a drawing. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** Sets the text of an element; leaves it alone where it says this already, so that a selection stays. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets an attribute where it differs. */
export function set(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** Shows one child for each item, and keeps the children of items that stay: a button that has the focus keeps it. */
export function each(parent, items, keyOf, make, update) {
  const kept = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const times = new Map();
  items.forEach((item, index) => {
    const given = String(keyOf(item));
    times.set(given, (times.get(given) ?? 0) + 1);
    const key = `${given} ${times.get(given)}`; // two events of one second may look the same
    const child = kept.get(key) ?? make(item);
    kept.delete(key);
    child.dataset.key = key;
    update(child, item);
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
  for (const gone of kept.values()) gone.remove();
}

/** A row of a table that is made once, and filled again and again. */
export function row(classes) {
  return el("tr", {}, ...classes.map((name) => el("td", { class: name })));
}

export function table(caption, titles) {
  const body = el("tbody");
  const heads = titles.map(([title, name]) => el("th", { scope: "col", class: name }, title));
  const node = el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, ...heads)), body);
  return { node: el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, node), body };
}

export function section(title, ...children) {
  const id = `title-${title.toLowerCase().replace(/\W+/g, "-")}`;
  return el("section", { "aria-labelledby": id }, el("h2", { id }, title), ...children);
}

/** A term with its figure; returns the element to show, and the one to fill. */
export function figure(title) {
  const value = el("dd");
  return { node: el("div", {}, el("dt", {}, title), value), value };
}

// --- figures ---

const UNITS = ["", "k", "M", "G", "T"];

function scaled(value, unit) {
  let step = 0;
  while (value >= 999.5 && step < UNITS.length - 1) { value /= 1000; step += 1; }
  const digits = value < 10 && step > 0 ? 1 : 0;
  return `${value.toFixed(digits)} ${UNITS[step]}${unit}`;
}

export const rate = (bps) => scaled(bps, "bit/s");
export const size = (bytes) => scaled(bytes, "B");
export const ms = (value) => (value == null ? "–" : `${Math.round(value)} ms`);
export const percent = (share) => (share == null ? "–" : `${Math.round(share * 100)} %`);

export function duration(seconds) {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

export const clock = (date) => date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const day = (seconds) => new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
