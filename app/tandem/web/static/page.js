// The page: follows the program's events, and hands each status to the view of a client or of a server.

import { clientView } from "./client.js";
import { say, duration } from "./elements.js";
import { serverView } from "./server.js";
import { account, forget, isLoggedIn, logInByAddress } from "./session.js";

const VIEWS = { client: clientView, server: serverView };
const byId = (id) => document.getElementById(id);

let source = null;
let view = null;
let role = null;
let past = { at: [], links: {}, interval_s: 5, span_s: 3600 };
let marks = [];
let ahead = 0; // seconds by which the program's clock is ahead of the browser's

const RETRY = 5000; // milliseconds

/** Shows a sentence above everything else, or nothing. What changes each second is no part of what is read aloud. */
function announce(text, kind = "bad", since = "") {
  byId("banner").hidden = !text;
  byId("banner").dataset.kind = kind;
  say(byId("problem"), text);
  say(byId("since"), since);
}

/** Shows a sentence that stays until the reader has logged in. */
function notice(text) {
  byId("notice").hidden = !text;
  say(byId("notice"), text);
}

function follow() {
  source?.close();
  view = role = null;
  byId("account").replaceChildren(account());
  byId("main").replaceChildren();
  source = new EventSource("/live");
  source.addEventListener("history", (event) => { past = JSON.parse(event.data); });
  source.addEventListener("marks", (event) => { marks = JSON.parse(event.data); });
  source.addEventListener("reader", (event) => meet(JSON.parse(event.data)));
  source.addEventListener("status", (event) => show(JSON.parse(event.data)));
  source.addEventListener("error", lose);
}

/** The program says who it takes us for: after its restart, or at the end of a login, for a stranger. */
function meet({ now, is_public: isPublic }) {
  ahead = now - Date.now() / 1000;
  if (isPublic && isLoggedIn()) forget("The login is over: log in again.");
}

function lose() {
  announce("The program does not answer. This page looks for it again by itself.", "wait");
  if (source.readyState === EventSource.CLOSED) setTimeout(follow, RETRY);
}

function show(status) {
  if (status.role !== role) {
    role = status.role;
    view = VIEWS[role](isLoggedIn());
    byId("main").replaceChildren(view.node);
  }
  const now = Date.now() / 1000 + ahead;
  remember(status, now);
  const { summary, spoken, problem, kind, since } = view.update(status, past, marks, now);
  say(byId("summary"), summary);
  say(byId("spoken"), spoken);
  announce(problem, kind, since);
  document.title = problem ? `! Tandem ${role}` : `Tandem ${role}`;
  say(byId("footer"), `tandem ${role} ${status.version}, running for ${duration(status.uptime_s)}`);
}

/** Adds a sample to the history, as often as the program does, and drops what is older than an hour. */
function remember(status, now) {
  if (status.role !== "client" || now < (past.at.at(-1) ?? 0) + past.interval_s) return;
  const length = past.at.push(now);
  for (const link of status.links) {
    const sample = { rtt_ms: link.rtt_ms.smoothed, loss_up: link.loss_up, loss_down: link.loss_down, up_bps: link.rate_up_bps, down_bps: link.rate_down_bps };
    const columns = (past.links[link.name] ??= Object.fromEntries(Object.keys(sample).map((name) => [name, []])));
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

addEventListener("login", (event) => { notice(event.detail ?? ""); follow(); });
try {
  await logInByAddress();
} catch (error) {
  notice(error.message);
}
follow();
