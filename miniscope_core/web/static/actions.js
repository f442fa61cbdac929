/** What a person can do with units, whether by button, by mouse or by key. */

import { announce } from "./dom.js";

export class Actions {
  /** @param {import("./state.js").State} state @param {import("./draft.js").Draft} draft */
  constructor(state, draft) {
    this.state = state;
    this.draft = draft;
    /** Whether a decision on one unit goes on to the next. */
    this.advance = false;
  }

  accept() { this._decide("accept", "accepted"); }
  reject() { this._decide("reject", "rejected"); }

  _decide(kind, word) {
    const units = this.state.chosen;
    if (!units.length) { announce("No unit is selected"); return; }
    this.draft.edit({ kind, unit_ids: units }, `${named(units)} ${word}`);
    if (this.advance && units.length === 1) this.state.step(1);
  }

  /** @param {string|null} type */
  setType(type) {
    const units = this.state.chosen;
    if (!units.length) { announce("No unit is selected"); return; }
    this.draft.edit({ kind: "set_type", unit_ids: units, mask_type: type }, `${named(units)}: ${type ?? "type taken back"}`);
  }

  merge() {
    const units = this.state.chosen;
    if (units.length < 2) { announce("Select at least two units to merge"); return; }
    this._merge(units);
  }

  /** @param {number} other */
  mergeWith(other) {
    if (this.state.selected !== null) this._merge([this.state.selected, other]);
  }

  _merge(units) {
    // The number comes from the server: the same members have the same number everywhere.
    this.draft.edit({ kind: "merge", unit_ids: units, into: 0 }, `Merging ${units.join(" and ")}`);
    this.state.mark([]);
  }

  split() {
    const id = this.state.selected;
    if (id === null || !this.state.units.get(id)?.members.length) { announce("Only a merged unit can be split"); return; }
    this.draft.edit({ kind: "split", unit_id: id }, `Splitting unit ${id}`);
  }

  undecided(by) {
    if (!this.state.stepUndecided(by)) announce("Every unit of the table is decided on");
  }
}

function named(units) {
  return units.length === 1 ? `Unit ${units[0]}` : `${units.length} units`;
}
