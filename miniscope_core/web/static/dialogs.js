/** Windows above the page: keys, submitting, versions. A `dialog` keeps the focus in itself and gives it back. */

import { author, get, post, setAuthor } from "./api.js";
import { announce, button, el, notice, when } from "./dom.js";
import { KEYS } from "./keys.js";

/** @param {string} title @param {Node[]} content @param {Node[]} [acts] */
function open(title, content, acts = []) {
  const close = button(acts.length ? "Cancel" : "Close", () => dialog.close());
  const dialog = el("dialog", { "aria-label": title }, el("h2", { text: title }), ...content,
    el("div", { class: "tools end" }, ...acts, close));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** @param {{ singles: boolean, setSingles: (on: boolean) => void }} preferences */
export function showKeys({ singles, setSingles }) {
  const box = el("input", { type: "checkbox", checked: singles, on: { change: () => setSingles(box.checked) } });
  open("Keys", [
    el("dl", { class: "keys" }, KEYS.flatMap(([keys, what]) => [el("dt", {}, el("kbd", { text: keys })), el("dd", { text: what })])),
    el("label", { class: "switch" }, box, el("span", { text: "Single keys act (those with Ctrl always do)" })),
  ]);
}

/**
 * Ask who decides; each name has drafts of its own.
 * @param {string} current @param {() => void} done
 */
export function showAuthor(current, done) {
  const name = el("input", { id: "author", type: "text", value: current, maxlength: 255, "aria-label": "Your name" });
  const wrong = el("p", { class: "wrong", role: "alert" });
  const go = button("Use this name", async () => {
    const before = author();
    setAuthor(name.value.trim());
    try {
      await get("session");
      dialog.close();
      done();
    } catch (error) {
      setAuthor(before);
      wrong.textContent = error.message;
    }
  }, { class: "primary", id: "use-author" });
  const dialog = open("Who decides?", [
    el("p", { text: "Your name is kept with what you submit, and in this browser. Each name has drafts of its own." }), name, wrong,
  ], [go]);
  name.addEventListener("keydown", (event) => { if (event.key === "Enter") go.click(); });
  name.select();
}

/**
 * Ask for a note, and submit.
 * @param {import("./state.js").State} state @param {import("./draft.js").Draft} draft @param {(answer: any) => void} done
 */
export async function showSubmit(state, draft, done) {
  if (!(await draft.settled())) { announce("Not everything is saved yet"); return; }
  const { all, accepted, rejected, merged, decided } = state.counts();
  const note = el("textarea", { id: "note", rows: 4, maxlength: 20000, "aria-label": "Note" });
  const wrong = el("p", { class: "wrong", role: "alert" });
  const go = button("Submit", async () => {
    go.disabled = true;
    try {
      const answer = await post("draft/submit", { task: state.task, revision: state.draft.revision, note: note.value });
      dialog.close();
      done(answer);
    } catch (error) {
      go.disabled = false;
      wrong.textContent = error.message;
    }
  }, { class: "primary", id: "go" });
  const newer = state.draft.newer;
  const dialog = open("Submit", [
    el("p", { text: `${accepted} of ${all} units accepted, ${rejected} rejected, ${merged} merged; ` +
      `${decided} decided on by you, ${all - decided} as they were. The author will be ${state.draft.curator}.` }),
    ...(newer.length ? [el("p", { class: "wrong", text: `Since you began there came ${newer.join(", ")}. Both are kept.` })] : []),
    el("label", { for: "note", text: "Note" }), note, wrong,
  ], [go]);
  note.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) go.click(); });
  note.focus();
}

/**
 * The versions of a processing, how two differ, and starting from another one.
 * @param {import("./state.js").State} state @param {(parent: string) => void} startFrom
 */
export async function showVersions(state, startFrom) {
  let versions;
  try {
    versions = (await get("versions", { task: state.task })).versions;
  } catch (error) {
    notice("versions", error.message);
    return;
  }
  const options = () => [...versions.map(({ key, curation_id: id, curator }) =>
    el("option", { value: key, text: `version ${id} by ${curator}` })), el("option", { value: "engine", text: "the engine's own" })];
  const before = el("select", { "aria-label": "Version before", id: "before" }, options());
  const after = el("select", { "aria-label": "Version after", id: "after" }, options());
  before.value = state.draft.parent ?? "engine";
  after.value = versions[0]?.key ?? "engine";
  const changes = el("tbody");
  const told = el("p", { role: "status", class: "muted" });
  const compare = async () => {
    try {
      const found = (await get("diff", { task: state.task, before: before.value, after: after.value })).changes;
      told.textContent = found.length ? `${found.length} units differ` : "They do not differ";
      changes.replaceChildren(...found.map((one) => el("tr", {}, el("th", { scope: "row", text: one.unit_id }),
        el("td", { text: one.before }), el("td", { text: one.after }))));
    } catch (error) {
      told.textContent = error.message;
    }
  };
  before.addEventListener("change", compare);
  after.addEventListener("change", compare);
  const rows = versions.map((one) => el("tr", {},
    el("th", { scope: "row", text: one.curation_id }), el("td", { text: one.parent === null ? "engine" : one.parent }),
    el("td", { text: one.curator }), el("td", { text: when(one.when) }), el("td", { text: `${one.accepted_count} / ${one.unit_count}` }),
    el("td", { class: "note", text: one.note }),
    el("td", {}, one.key === state.draft.parent ? el("span", { class: "muted", text: "yours starts here" })
      : button("Start from it", () => {
        const lost = state.draft.edit_count;
        const ask = lost ? `The ${lost} edits of your draft are forgotten. Go on?` : "";
        confirmThen(ask, () => { dialog.close(); startFrom(one.key); });
      }, { "aria-label": `Start from version ${one.curation_id}` }))));
  const dialog = open("Versions", [
    el("div", { class: "scroll" }, el("table", { class: "list" }, el("thead", {}, el("tr", {},
      ["version", "from", "author", "when", "accepted", "note", ""].map((text) => el("th", { scope: "col", text })))), el("tbody", {}, rows))),
    el("h3", { text: "Differences" }),
    el("div", { class: "tools" }, before, el("span", { text: "→" }), after),
    told,
    el("div", { class: "scroll" }, el("table", { class: "list" }, el("thead", {}, el("tr", {},
      ["unit", "before", "after"].map((text) => el("th", { scope: "col", text })))), changes)),
  ]);
  dialog.classList.add("wide");
  await compare();
}

/** @param {string} text nothing is asked where it is empty @param {() => void} act */
export function confirmThen(text, act) {
  if (!text) { act(); return; }
  const go = button("Go on", () => { dialog.close(); act(); }, { class: "primary" });
  const dialog = open("Sure?", [el("p", { text })], [go]);
}
