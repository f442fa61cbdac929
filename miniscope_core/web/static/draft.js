/** Edits on their way: shown at once, saved one after the other, kept while the server is away. */

import { ApiError, AwayError, post } from "./api.js";
import { announce, notice } from "./dom.js";

const RETRY_MS = 1000;

export class Draft {
  /** @param {import("./state.js").State} state */
  constructor(state) {
    this.state = state;
    /** @type {{ path: string, body: any, told: string }[]} */ this.waiting = [];
    this._running = false;
    this.status = "saved";
    this.closed = false;
  }

  /** Begin, or go on with, the draft on a processing. @param {{ parent?: string, anew?: boolean }} [how] */
  async open(how = {}) { this.take(await post("draft/open", { task: this.state.task, ...how })); }

  /** @param {any} opened a draft as the server has it */
  take(opened) {
    this.state.adopt(opened);
    this._setStatus("saved");
  }

  /** @param {any} edit @param {string} told */
  edit(edit, told) {
    this._showAtOnce(edit);
    this._push("draft/edit", { edit }, told);
  }

  undo() {
    if (!this.waiting.length && !this.state.draft.can_undo) { announce("Nothing to undo"); return; }
    this._push("draft/undo", {}, `Undone: ${this.waiting.length ? "the last edit" : this.state.draft.next_undo}`);
  }

  redo() {
    if (!this.waiting.length && !this.state.draft.can_redo) { announce("Nothing to redo"); return; }
    this._push("draft/redo", {}, `Done again: ${this.waiting.length ? "the last edit" : this.state.draft.next_redo}`);
  }

  /** Wait until everything is saved. @returns {Promise<boolean>} false where something could not be */
  async settled() {
    while (this._running) await new Promise((done) => this.addOnce(done));
    return this.status === "saved";
  }

  addOnce(act) { this.state.addEventListener("status", act, { once: true }); }

  _push(path, body, told) {
    this.waiting.push({ path, body, told });
    announce(told);
    if (!this._running) void this._run();
  }

  async _run() {
    this._running = true;
    this._setStatus("saving");
    while (this.waiting.length && !this.closed) {
      const { path, body } = this.waiting[0];
      const revision = this.state.draft.revision;
      try {
        const answer = await post(path, { task: this.state.task, revision, ...body });
        this.waiting.shift();
        this._take(answer);
      } catch (error) {
        if (error instanceof AwayError) await this._reconnect(revision);
        else await this._refused(error);
      }
    }
    this._running = false;
    this._setStatus("saved");
  }

  _take(answer) {
    notice("refused", null);
    // While more is on its way what is shown is ahead of what is saved.
    if (this.waiting.length) {
      this.state.draft = { ...this.state.draft, ...answer };
      this.state.decided = new Set(answer.decided);
    } else {
      this.state.adopt(answer);
    }
    this.state.tell("draft");
  }

  /** Ask until the server is back; then see whether the edit that was on its way had arrived. */
  async _reconnect(revision) {
    this._setStatus("away");
    notice("away", "The server is away. What you do is kept here and saved when it is back; leave this page open.");
    for (;;) {
      await new Promise((done) => setTimeout(done, RETRY_MS));
      if (this.closed) return;
      try {
        const draft = await post("draft/open", { task: this.state.task });
        notice("away", null);
        announce("The server is back.");
        this._setStatus("saving");
        if (draft.revision === revision + 1) this.waiting.shift();
        else if (draft.revision !== revision) this.waiting = this._dropped(draft);
        this._take(draft);
        return;
      } catch (error) {
        if (!(error instanceof AwayError)) { notice("away", null); await this._refused(error); return; }
      }
    }
  }

  _dropped(draft) {
    notice("refused", "The draft was changed elsewhere while the server was away: this is how it is now. " +
      "What you did since was not saved: look at it again and repeat it.");
    this.state.adopt(draft);
    return [];
  }

  /** Something else than absence: say so, and show what the database has. @param {unknown} error */
  async _refused(error) {
    this.waiting = [];
    const text = error instanceof Error ? error.message : String(error);
    notice("refused", text);
    try {
      this.state.adopt(await post("draft/open", { task: this.state.task }));
    } catch (again) {
      notice("refused", again instanceof ApiError ? again.message : text);
    }
    this.state.tell("draft");
  }

  _showAtOnce(edit) {
    const units = this.state.units;
    if (edit.kind === "merge" || edit.kind === "split") return;
    for (const id of edit.unit_ids) {
      const unit = units.get(id);
      if (!unit) continue;
      if (edit.kind === "set_type") unit.type = edit.mask_type;
      else { unit.accepted = edit.kind === "accept"; this.state.decided.add(id); }
    }
    this.state.changedUnits();
  }

  _setStatus(status) {
    this.status = status;
    this.state.tell("status");
  }
}
