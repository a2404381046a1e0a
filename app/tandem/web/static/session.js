// Who the reader is: logs in with a ticket of `tandem open` or with the token, and sends what buttons ask for.

import { el } from "./elements.js";

// The key is only good together with the cookie, and only pages of this very address and port can read it.
const KEY = "tandem-key";

export const isLoggedIn = () => localStorage.getItem(KEY) !== null;

/** Takes the ticket out of the address, so that it stands in no history, and logs in with it. */
export async function logInByAddress() {
  const ticket = location.hash.slice(1);
  if (!ticket) return;
  history.replaceState(null, "", location.pathname);
  if (!(await logIn(ticket)) && !isLoggedIn()) throw new Error("This link has been used, or is too old: `tandem open` makes another.");
}

async function logIn(secret) {
  const answer = await fetch("/login", { method: "POST", body: JSON.stringify({ secret }) });
  if (answer.ok) localStorage.setItem(KEY, (await answer.json()).key);
  return answer.ok;
}

/** Asks the program to do something; returns its answer. Throws an Error with what it says. */
export async function ask(action, body = {}) {
  const headers = { "X-Tandem-Key": localStorage.getItem(KEY) ?? "" };
  const answer = await fetch(`/${action}`, { method: "POST", headers, body: JSON.stringify(body) });
  const said = await answer.json().catch(() => ({ error: answer.statusText }));
  if (answer.status === 401) forget("The login is over: log in again.");
  if (!answer.ok) throw new Error(said.hint ? `${said.error} (${said.hint})` : said.error);
  return said;
}

/** Forgets the login; the page then shows what everybody may see, and says why. */
export function forget(why = "") {
  localStorage.removeItem(KEY);
  dispatchEvent(new CustomEvent("login", { detail: why }));
}

/** Shows in an output what an action answers, in words, or why it was refused. */
export async function report(output, promise, told = () => "") {
  try {
    const said = told(await promise);
    output.classList.remove("failed");
    output.textContent = said;
  } catch (error) {
    output.classList.add("failed");
    output.textContent = error.message;
  }
}

/** The part of the page where one logs in and out. */
export function account() {
  if (isLoggedIn()) return el("button", { type: "button", onclick: () => ask("logout").then(() => forget("You have logged out."), (error) => forget(error.message)) }, "Log out");
  const input = el("input", { type: "password", name: "token", autocomplete: "current-password", required: true });
  const said = el("output", { class: "failed small", role: "alert" });
  async function submit(event) {
    event.preventDefault();
    if (await logIn(input.value)) dispatchEvent(new CustomEvent("login"));
    else said.textContent = "This is not the token.";
    input.value = "";
  }
  return el("form", { onsubmit: submit, class: "row" },
    el("label", {}, "Token (or run: tandem open)", input), el("button", { class: "main" }, "Log in"), said);
}
