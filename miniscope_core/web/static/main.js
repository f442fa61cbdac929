/** The beginning: who decides, and which page the address names. */

import { ApiError, AwayError, get } from "./api.js";
import { announce, button, el, notice } from "./dom.js";
import { showAuthor } from "./dialogs.js";
import { showList } from "./list.js";
import { showPage } from "./page.js";

const content = document.getElementById("content");
const bar = document.getElementById("bar");
let leave = () => {};
let shown = 0;

// The token did its work; it is not for the history, nor for whoever looks over a shoulder.
const address = new URL(location.href);
if (address.searchParams.has("token")) {
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
}

async function show() {
  const turn = (shown += 1);
  leave();
  leave = () => {};
  delete content.dataset.ready;
  const task = decodeURIComponent(location.hash.replace(/^#\/?/, ""));
  if (task) for (const kind of ["submitted", "following"]) notice(kind, null);
  document.title = task ? `${task} · Curation` : "Curation · miniscope";
  content.replaceChildren(el("p", { class: "loading", text: "Loading…" }));
  try {
    const session = get("session");
    session.catch(() => {});
    if (task) {
      const left = await showPage(content, bar, task, session);
      if (turn === shown) leave = left; else left();
    } else {
      const { curator } = await session;
      bar.replaceChildren(el("a", { href: "#/", class: "home", text: "Curation" }), el("span", { class: "grow" }),
        button(`You are ${curator}`, () => showAuthor(curator, () => void show()), { id: "who", title: "Give your name" }));
      await showList(content);
      if (turn === shown) content.dataset.ready = "list";
    }
  } catch (error) {
    if (turn !== shown) return;
    failed(error, task);
  }
}

function failed(error, task) {
  const text = error instanceof Error ? error.message : String(error);
  announce(text);
  const away = error instanceof ApiError && error.status === 401 ? [] : [button("Try again", () => void show())];
  content.replaceChildren(el("div", { class: "page" }, el("h1", { text: task || "Curation" }),
    el("p", { class: "wrong", role: "alert", text }), el("p", {}, ...away, " ", el("a", { href: "#/", text: "All processings" }))));
  if (!(error instanceof ApiError) && !(error instanceof AwayError)) console.error(error);
}

window.addEventListener("hashchange", () => void show());
window.addEventListener("followed", () => { if (content.dataset.ready === "list") void showList(content); });
void show();
