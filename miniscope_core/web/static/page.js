/** The page of one processing: its parts put together, its keys, what is told above it. */

import { Actions } from "./actions.js";
import { get, getPacked, post } from "./api.js";
import { Detail } from "./detail.js";
import { showKeys, showSubmit, showVersions } from "./dialogs.js";
import { announce, button, el, notice } from "./dom.js";
import { Draft } from "./draft.js";
import { Field } from "./field.js";
import { listen } from "./keys.js";
import { State } from "./state.js";
import { Table } from "./table.js";
import { Traces } from "./traces.js";

const POLL_MS = 700;
const STATUS = { saved: "✓ saved", saving: "… saving", away: "⚠ server away" };

/**
 * @param {HTMLElement} content @param {HTMLElement} bar @param {string} task
 * @param {Promise<{ mask_types: string[] }>} session
 * @returns {Promise<() => void>} leaves the page
 */
export async function showPage(content, bar, task, session) {
  const begun = performance.now();
  // All at once: what takes longest, the outlines, is made while the rest is put together here.
  const contours = getPacked("contours", { task });
  contours.catch(() => {});
  const [facts, numbers, begunDraft, { mask_types: types }] = await Promise.all(
    [get("field", { task }), get("units", { task }), post("draft/open", { task }), session]);
  const state = new State(facts, types);
  const draft = new Draft(state);
  const failed = (text) => notice("failed", text);
  state.columns = numbers.columns;
  state.engineAccepted = numbers.engine_accepted;
  draft.take(begunDraft);
  const actions = new Actions(state, draft);
  const field = new Field(state);
  const traces = new Traces(state, failed);
  const table = new Table(state);
  const detail = new Detail(state, field, actions, failed);
  content.replaceChildren(el("div", { class: "curation" }, field.element, detail.element, table.element, traces.element));
  const page = new Page(state, draft, actions, { field, traces, table, detail }, bar);
  const outlines = contours.then(({ arrays }) => field.addOutlines(arrays));
  await Promise.all([field.show(field.name), outlines, page.learnMerged()]);
  if (state.selected === null && state.rows.length) state.select(state.rows[0]);
  table.grid.focus({ preventScroll: true });
  content.dataset.ready = String(Math.round(performance.now() - begun));
  void page.waitForTraces();
  return () => page.leave();
}

class Page {
  constructor(state, draft, actions, parts, bar) {
    Object.assign(this, { state, draft, actions, ...parts, bar });
    this.left = false;
    this._bar();
    state.on("units", () => { this._counts(); void this.learnMerged(); });
    state.on("draft", () => this._counts());
    state.on("status", () => this._counts());
    this.unlisten = listen(this._keys(), () => preference("singles") !== "off");
    this.warn = (event) => { if (draft.status !== "saved") event.preventDefault(); };
    window.addEventListener("beforeunload", this.warn);
    this._counts();
  }

  leave() {
    this.left = true;
    this.draft.closed = true;
    this.unlisten();
    window.removeEventListener("beforeunload", this.warn);
    for (const kind of ["refused", "away", "failed", "newer", "traces"]) notice(kind, null);
  }

  /** Fetch outline and numbers of merged units that are not known yet. */
  async learnMerged() {
    const { state } = this;
    const unknown = state.live.filter((id) => id >= state.facts.unit_count && !state.mergedNumbers.has(id));
    for (const unit of unknown) state.mergedNumbers.set(unit, {});
    await Promise.all(unknown.map(async (unit) => {
      try {
        const { meta, arrays } = await getPacked("merged", { task: state.task, unit });
        state.mergedNumbers.set(unit, meta.numbers);
        this.field.addOutlines(arrays);
        if (state.selected === unit) state.tell("selection");
        state.refresh();
      } catch (error) {
        state.mergedNumbers.delete(unit);
        notice("failed", error.message);
      }
    }));
  }

  /** The skewness and the correlations come when all traces were summed up. */
  async waitForTraces() {
    for (;;) {
      if (this.left) return;
      try {
        const { ready, done, total, failure } = await get("progress", { task: this.state.task });
        if (failure) { notice("traces", failure); return; }
        this.reading.value = ready ? "" : `summing up traces: ${done} of ${total}`;
        if (ready) break;
      } catch { /* told by whatever else is asked for */ }
      await new Promise((later) => setTimeout(later, POLL_MS));
    }
    const numbers = await get("units", { task: this.state.task });
    this.state.columns = numbers.columns;
    this.table.setColumns();
    this.state.refresh();
    this.state.tell("units");
    this.detail.refresh();
  }

  // -- the bar ----------------------------------------------------------------------------------------------
  _bar() {
    this.counts = el("output", { class: "counts", id: "counts" });
    this.saved = el("output", { class: "saved", id: "saved" });
    this.reading = el("output", { class: "muted small" });
    this.undoButton = button("Undo", () => this.draft.undo(), { "aria-keyshortcuts": "u Control+Z" });
    this.redoButton = button("Redo", () => this.draft.redo(), { "aria-keyshortcuts": "y Control+Y" });
    this.actions.advance = preference("advance") === "on";
    const advance = el("input", { type: "checkbox", checked: this.actions.advance, on: { change: () => {
      this.actions.advance = advance.checked;
      remember("advance", advance.checked ? "on" : "off");
    } } });
    this.bar.replaceChildren(
      el("a", { href: "#/", class: "home", text: "Curation", "aria-label": "All processings" }),
      el("h1", { class: "key", text: this.state.task }),
      this.counts, el("span", { class: "grow" }), this.reading, this.saved,
      el("label", { class: "switch", title: "Go to the next unit after a decision" }, advance, el("span", { text: "advance" })),
      this.undoButton, this.redoButton,
      button("Versions", () => void this.showVersions()),
      button("Keys ?", () => this.showKeys(), { "aria-label": "Keys", "aria-keyshortcuts": "?" }),
      button("Submit…", () => this.submit(), { class: "primary", "aria-keyshortcuts": "Control+Enter" }));
  }

  _counts() {
    const { all, accepted, rejected, merged, decided } = this.state.counts();
    const { draft } = this.state;
    this.counts.value = `● ${accepted} accepted  ○ ${rejected} rejected` + (merged ? `  ◆ ${merged} merged` : "") +
      `  ·  ${decided} of ${all} decided`;
    this.saved.value = STATUS[this.draft.status];
    this.saved.title = `Draft of ${draft.curator}, from ${draft.parent ? `version ${draft.parent.split("/").at(-1)}` : "the engine's own acceptance"}`;
    this.undoButton.disabled = !draft.can_undo && !this.draft.waiting.length;
    this.redoButton.disabled = !draft.can_redo;
    this.undoButton.title = draft.next_undo ? `Undo: ${draft.next_undo} (u)` : "Nothing to undo";
    this.redoButton.title = draft.next_redo ? `Redo: ${draft.next_redo} (y)` : "Nothing to redo";
    notice("newer", draft.newer.length ? `Since you began there came ${draft.newer.join(", ")}.` : null, { tone: "info" });
  }

  // -- windows ----------------------------------------------------------------------------------------------
  showKeys() {
    showKeys({ singles: preference("singles") !== "off", setSingles: (on) => remember("singles", on ? "on" : "off") });
  }

  showVersions() {
    return showVersions(this.state, async (parent) => {
      try {
        await this.draft.open({ parent, anew: true });
        announce(`The draft starts from ${parent} now.`);
      } catch (error) {
        notice("refused", error.message);
      }
    });
  }

  submit() {
    void showSubmit(this.state, this.draft, (answer) => this._submitted(answer));
  }

  _submitted(answer) {
    announce(answer.message);
    location.hash = "#/";
    const runs = answer.runs ? ` ${answer.runs} waiting flow ${answer.runs === 1 ? "run goes" : "runs go"} on.` : "";
    notice("submitted", `${answer.message}.${runs}`, { tone: "info" });
    if (answer.following.state === "running") void follow(answer.following.submission_id);
  }

  // -- keys -------------------------------------------------------------------------------------------------
  _keys() {
    const { state, actions, draft, traces, field } = this;
    const down = (event) => state.step(1, event.shiftKey), up = (event) => state.step(-1, event.shiftKey);
    const types = Object.fromEntries(state.types.map((type, at) => [String(at + 1), () => actions.setType(type)]));
    const image = (by) => announce(`Image: ${field.nextImage(by)}`);
    return {
      ...types, [String(state.types.length + 1)]: () => actions.setType(null),
      j: down, J: down, ArrowDown: down, k: up, K: up, ArrowUp: up,
      n: () => actions.undecided(1), N: () => actions.undecided(-1),
      a: () => actions.accept(), r: () => actions.reject(), m: () => actions.merge(), s: () => actions.split(),
      u: () => draft.undo(), "ctrl+z": () => draft.undo(),
      y: () => draft.redo(), "ctrl+y": () => draft.redo(), "ctrl+shift+z": () => draft.redo(),
      "/": () => { this.table.filter.focus(); this.table.filter.select(); },
      "ctrl+a": () => this.table.markAll(),
      Escape: () => { state.hover(null); state.select(state.selected); },
      i: () => image(1), I: () => image(-1),
      f: () => { if (field.touched) field.fit(); else field.zoomTo(state.selected); },
      "[": () => traces.zoom(1 / 1.6), "]": () => traces.zoom(1.6), ",": () => traces.move(-0.25), ".": () => traces.move(0.25),
      "ctrl+Enter": () => this.submit(), "?": () => this.showKeys(),
    };
  }
}

/** Tell how what follows a submission ended. @param {string} id */
async function follow(id) {
  notice("following", "Going on with the submission…", { tone: "info" });
  for (;;) {
    await new Promise((later) => setTimeout(later, POLL_MS));
    try {
      const { state, message } = await get("submission", { submission_id: id });
      if (state === "running") continue;
      if (state === "failed") notice("following", `The curation is kept, but what follows it failed: ${message}`);
      else notice("following", "What follows the submission is done.", { tone: "info" });
      window.dispatchEvent(new Event("followed"));
    } catch (error) {
      notice("following", `The curation is kept; what follows it is not known: ${error.message}`);
    }
    return;
  }
}

function preference(name) {
  try { return localStorage.getItem(`miniscope ${name}`); } catch { return null; }
}

function remember(name, value) {
  try { localStorage.setItem(`miniscope ${name}`, value); } catch { /* a browser may forbid it */ }
}
