// The page: follows the program's events, and hands each status to the view of a client or of a server.

import { clientView } from "./client.js";
import { say, duration } from "./elements.js";
import { serverView } from "./server.js";
import { account, isLoggedIn, logInByAddress } from "./session.js";

const VIEWS = { client: clientView, server: serverView };
const byId = (id) => document.getElementById(id);

let source = null;
let view = null;
let role = null;
let past = { at: [], links: {}, interval_s: 5, span_s: 3600 };
let marks = [];

/** Shows a sentence above everything else, or nothing. */
function announce(text, kind = "bad") {
  const banner = byId("banner");
  banner.hidden = !text;
  banner.dataset.kind = kind;
  say(banner, text);
}

function follow() {
  source?.close();
  view = role = null;
  byId("account").replaceChildren(account());
  byId("main").replaceChildren();
  source = new EventSource("/live");
  source.addEventListener("history", (event) => { past = JSON.parse(event.data); });
  source.addEventListener("marks", (event) => { marks = JSON.parse(event.data); });
  source.addEventListener("status", (event) => show(JSON.parse(event.data)));
  source.addEventListener("error", () => announce("The program does not answer. This page looks for it again by itself.", "wait"));
}

function show(status) {
  if (status.role !== role) {
    role = status.role;
    view = VIEWS[role](isLoggedIn());
    byId("main").replaceChildren(view.node);
  }
  remember(status);
  const { summary, problem, kind } = view.update(status, past, marks);
  say(byId("summary"), summary);
  announce(problem, kind);
  document.title = problem ? `! Tandem ${role}` : `Tandem ${role}`;
  say(byId("footer"), `tandem ${role} ${status.version}, running for ${duration(status.uptime_s)}`);
}

/** Adds a sample to the history, as often as the program does, and drops what is older than an hour. */
function remember(status) {
  const now = Date.now() / 1000;
  if (status.role !== "client" || now < (past.at.at(-1) ?? 0) + past.interval_s) return;
  const states = { down: 0, probing: 1, degraded: 2, usable: 3 };
  const length = past.at.push(now);
  for (const link of status.links) {
    const columns = (past.links[link.name] ??= { state: [], rtt_ms: [], loss_up: [], loss_down: [], up_bps: [], down_bps: [] });
    const sample = { state: states[link.state], rtt_ms: link.rtt_ms.smoothed, loss_up: link.loss_up, loss_down: link.loss_down, up_bps: link.rate_up_bps, down_bps: link.rate_down_bps };
    for (const [name, values] of Object.entries(columns)) {
      while (values.length < length - 1) values.push(null);
      values.push(sample[name]);
    }
  }
  while (past.at.length > past.span_s / past.interval_s) {
    past.at.shift();
    for (const columns of Object.values(past.links)) for (const values of Object.values(columns)) values.shift();
  }
}

addEventListener("login", follow);
try {
  await logInByAddress();
} catch (error) {
  announce(error.message);
}
follow();
