/** What is known of one processing while it is looked at; whoever shows a part of it listens. */

import { parseFilter } from "./filter.js";

const TEXTS = { state: ["accepted", "rejected"], engine: ["accepted", "rejected"] };

/**
 * @typedef {{ id: number, accepted: boolean, type: string|null, mergedInto: number|null, members: number[] }} Unit
 */

export class State extends EventTarget {
  /** @param {any} facts @param {string[]} types */
  constructor(facts, types) {
    super();
    this.facts = facts;
    this.types = types;
    this.task = facts.task;
    /** @type {any} */ this.draft = null;
    /** @type {Map<number, Unit>} */ this.units = new Map();
    /** @type {Map<number, Unit>} */ this.parentUnits = new Map();
    /** @type {Record<string, (number|null)[]>} */ this.columns = {};
    /** @type {boolean[]} */ this.engineAccepted = [];
    /** @type {Map<number, Record<string, number|null>>} */ this.mergedNumbers = new Map();
    /** @type {number[]} */ this.live = [];
    /** @type {number[]} */ this.rows = [];
    /** @type {Set<number>} */ this.marked = new Set();
    /** @type {Set<number>} */ this.decided = new Set();
    /** @type {number|null} */ this.selected = null;
    /** @type {number|null} */ this.hovered = null;
    /** @type {number|null} */ this.anchor = null;
    this.filterText = "";
    this.filterError = null;
    this.sort = { name: "unit", descending: false };
    this._fits = () => true;
  }

  /** @param {string} what */
  tell(what) { this.dispatchEvent(new Event(what)); }
  /** @param {string} what @param {() => void} act */
  on(what, act) { this.addEventListener(what, act); }

  // -- numbers --------------------------------------------------------------------------------------------
  get numberNames() { return Object.keys(this.columns); }

  /** @param {number} id @param {string} name @returns {number} NaN where it was not measured */
  number(id, name) {
    if (name === "unit") return id;
    const value = id < this.facts.unit_count ? this.columns[name]?.[id] : this.mergedNumbers.get(id)?.[name];
    return value === null || value === undefined ? NaN : value;
  }

  // -- decisions ------------------------------------------------------------------------------------------
  /** Take over a draft as the server has it. @param {any} draft */
  adopt(draft) {
    this.draft = draft;
    this.units = asUnits(draft.units);
    if (draft.parent_units) this.parentUnits = asUnits(draft.parent_units);
    this.decided = new Set(draft.decided);
    this.changedUnits();
  }

  changedUnits() {
    this.live = [...this.units.values()].filter((unit) => unit.mergedInto === null).map((unit) => unit.id);
    const there = new Set(this.live);
    for (const id of [...this.marked]) if (!there.has(id)) this.marked.delete(id);
    if (this.selected !== null && !there.has(this.selected)) {
      // Merged away: its whole is what is looked at now; split: its first part.
      const whole = this.units.get(this.selected)?.mergedInto ?? null;
      this.selected = whole !== null && there.has(whole) ? whole : this._nearest(this.selected);
    }
    this._filter();
    this.tell("units");
    this.tell("selection");
  }

  _nearest(id) {
    return this.rows.find((row) => this.units.get(row)?.mergedInto === null && row >= id) ?? this.live[0] ?? null;
  }

  /** @param {number} id @returns {"accepted"|"rejected"|"merged-accepted"|"merged-rejected"} */
  look(id) {
    const unit = this.units.get(id);
    const word = unit?.accepted ? "accepted" : "rejected";
    return unit?.members.length ? `merged-${word}` : word;
  }

  /** Whether a unit is another one than in the version that the draft started from. @param {number} id */
  isChanged(id) {
    const now = this.units.get(id), then = this.parentUnits.get(id);
    return !then || !now || now.accepted !== then.accepted || now.type !== then.type ||
      now.mergedInto !== then.mergedInto;
  }

  counts() {
    let accepted = 0, merged = 0;
    for (const id of this.live) {
      const unit = this.units.get(id);
      if (unit.accepted) accepted += 1;
      if (unit.members.length) merged += 1;
    }
    const decided = this.live.filter((id) => this.decided.has(id)).length;
    return { all: this.live.length, accepted, rejected: this.live.length - accepted, merged, decided };
  }

  // -- rows of the table ----------------------------------------------------------------------------------
  /** @param {string} text */
  setFilter(text) {
    this.filterText = text;
    try {
      const texts = { ...TEXTS, type: [...this.types, "none"] };
      this._fits = parseFilter(text, { numbers: ["unit", ...this.numberNames], texts });
      this.filterError = null;
    } catch (error) {
      this.filterError = error;
    }
    this._filter();
  }

  /** @param {string} name */
  sortBy(name) {
    const same = this.sort.name === name;
    // Numbers of quality are looked at from the best, or the worst, first.
    this.sort = { name, descending: same ? !this.sort.descending : name !== "unit" };
    this._filter();
  }

  refresh() { this._filter(); }

  _filter() {
    const unit = { id: 0 };
    unit.number = (name) => this.number(unit.id, name);
    unit.text = (name) => this._text(unit.id, name);
    unit.is = (word) => this._is(unit.id, word);
    const fits = this._fits;
    this.rows = this.live.filter((id) => { unit.id = id; return fits(unit); });
    const { name, descending } = this.sort;
    if (name === "state" || name === "type") {
      const key = (id) => (name === "state" ? this.look(id) : this.units.get(id).type ?? "~");
      this.rows.sort((a, b) => key(a).localeCompare(key(b)) * (descending ? -1 : 1) || a - b);
    } else if (name !== "unit" || descending) {
      // What was not measured comes last, whichever way.
      const worst = descending ? -Infinity : Infinity;
      const key = (id) => { const value = this.number(id, name); return Number.isNaN(value) ? worst : value; };
      this.rows.sort((a, b) => (descending ? key(b) - key(a) : key(a) - key(b)) || a - b);
    }
    this.tell("rows");
  }

  _text(id, name) {
    if (name === "type") return this.units.get(id).type ?? "none";
    if (name === "engine") return this.engineAccepted[id] ? "accepted" : "rejected";
    return this.units.get(id).accepted ? "accepted" : "rejected";
  }

  _is(id, word) {
    const unit = this.units.get(id);
    switch (word) {
      case "accepted": return unit.accepted;
      case "rejected": return !unit.accepted;
      case "merged": return unit.members.length > 0;
      case "decided": return this.decided.has(id);
      case "undecided": return !this.decided.has(id);
      case "changed": return this.isChanged(id);
      default: return this.marked.has(id);
    }
  }

  // -- selection ------------------------------------------------------------------------------------------
  /** The units that a decision is about: the marked ones, else the one looked at. */
  get chosen() {
    if (this.marked.size) return [...this.marked].sort((a, b) => a - b);
    return this.selected === null ? [] : [this.selected];
  }

  /** Look at a unit. @param {number|null} id @param {{ keepMarks?: boolean }} [how] */
  select(id, { keepMarks = false } = {}) {
    if (id !== null && !(this.units.get(id)?.mergedInto === null)) return;
    this.selected = id;
    this.anchor = id;
    if (!keepMarks) this.marked.clear();
    this.tell("selection");
  }

  /** Mark or unmark one more. @param {number} id */
  toggle(id) {
    if (!this.marked.size && this.selected !== null && this.selected !== id) this.marked.add(this.selected);
    if (this.marked.has(id)) this.marked.delete(id);
    else this.marked.add(id);
    this.selected = id;
    this.anchor = id;
    this.tell("selection");
  }

  /** Mark all rows from the one looked at before to this one. @param {number} id */
  extend(id) {
    const from = this.rows.indexOf(this.anchor ?? id), to = this.rows.indexOf(id);
    if (to < 0) return;
    this.marked = new Set(this.rows.slice(Math.min(from < 0 ? to : from, to), Math.max(from, to) + 1));
    this.selected = id;
    this.tell("selection");
  }

  /** @param {number[]} ids */
  mark(ids) {
    this.marked = new Set(ids);
    if (ids.length && !ids.includes(this.selected)) this.selected = ids[0];
    this.tell("selection");
  }

  /** Go along the rows. @param {number} by @param {boolean} [extend] */
  step(by, extend = false) {
    if (!this.rows.length) return;
    const at = this.rows.indexOf(this.selected);
    const to = at < 0 ? (by > 0 ? 0 : this.rows.length - 1) : Math.min(this.rows.length - 1, Math.max(0, at + by));
    if (extend) this.extend(this.rows[to]);
    else this.select(this.rows[to]);
  }

  /** Go to the next row that nobody decided on yet; false where there is none. @param {number} by */
  stepUndecided(by) {
    const at = this.rows.indexOf(this.selected), n = this.rows.length;
    for (let k = 1; k <= n; k += 1) {
      const id = this.rows[(((at < 0 ? (by > 0 ? -1 : 0) : at) + by * k) % n + n) % n];
      if (!this.decided.has(id)) { this.select(id); return true; }
    }
    return false;
  }

  /** @param {number|null} id */
  hover(id) {
    if (id === this.hovered) return;
    this.hovered = id;
    this.tell("hover");
  }
}

/** @param {any[]} rows @returns {Map<number, Unit>} */
function asUnits(rows) {
  return new Map(rows.map(([id, accepted, type, mergedInto, members]) =>
    [id, { id, accepted: accepted === 1, type, mergedInto, members }]));
}
