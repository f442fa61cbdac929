/** The table of units: sorted and filtered by any number, many selected at once; only rows in sight are elements. */

import { announce, button, el, onFrame, shown } from "./dom.js";
import { STATES } from "./palette.js";

const ROW_PX = 24;
const SPARE = 6;
const COLUMN_PX = 52;
const NAMES = {
  snr: ["SNR", "Peak signal-to-noise ratio"], r_value: ["r", "Correlation of the footprint with the movie at its events"],
  cnn_pred: ["CNN", "Classifier's probability of a cell"], npix: ["px", "Pixels with weight"],
  half_area: ["half px", "Pixels above half of the peak"], elongation: ["elong.", "Long over short axis"],
  skewness: ["skew", "Skewness of the fluorescence"], noise: ["noise", "Standard deviation of the noise"],
  decay_time_s: ["decay", "Decay of the indicator, s"], baseline: ["base", "Baseline"], y: ["y", "Centre, px"], x: ["x", "Centre, px"],
};
const FIRST = ["snr", "r_value", "cnn_pred", "npix", "skewness", "elongation", "noise", "decay_time_s", "half_area", "baseline", "y", "x"];

/** @param {string} name */
export function title(name) { return NAMES[name] ?? [name, name]; }
/** @param {string[]} names */
export function ordered(names) {
  return FIRST.filter((name) => names.includes(name)).concat(names.filter((name) => !FIRST.includes(name)));
}

export class Table {
  /** @param {import("./state.js").State} state */
  constructor(state) {
    this.state = state;
    this.pool = [];
    this.draw = onFrame(() => this._draw());
    this._build();
    this.setColumns();
    state.on("rows", () => { this._count(); this.draw(); });
    state.on("selection", () => { this._reveal(); this._count(); this.draw(); });
    state.on("hover", this.draw);
    state.on("units", this.draw);
  }

  _build() {
    this.filter = el("input", { type: "text", id: "filter", spellcheck: "false", autocomplete: "off",
      placeholder: "filter: snr > 3 and npix < 500", "aria-label": "Filter of the table, for example snr > 3 and npix < 500",
      "aria-describedby": "filter-told", on: { input: () => this._filtered(), keydown: (event) => this._filterKey(event) } });
    this.told = el("div", { id: "filter-told", class: "told", role: "status" });
    this.count = el("span", { class: "muted", id: "row-count" });
    this.head = el("div", { role: "row", class: "row head", "aria-rowindex": 1,
      on: { keydown: (event) => this._headKey(event) } });
    this.body = el("div", { class: "rows", role: "presentation" });
    this.grid = el("div", { role: "grid", class: "grid", id: "units", tabindex: 0, "aria-label": "Units",
      "aria-multiselectable": "true", on: { keydown: (event) => this._key(event), scroll: () => this.draw() } },
    el("div", { role: "rowgroup", class: "heads" }, this.head), el("div", { role: "rowgroup" }, this.body));
    this.element = el("section", { class: "panel table", "aria-label": "Table of units" },
      el("div", { class: "tools" }, this.filter, button("All", () => this.markAll(),
        { "aria-label": "Select all units of the table", title: "Select all units of the table (Ctrl+A)" }), this.count),
      this.told, this.grid);
    new ResizeObserver(this.draw).observe(this.grid);
    this.body.addEventListener("click", (event) => this._click(event));
    this.body.addEventListener("pointerover", (event) => this.state.hover(idOf(event)));
    this.body.addEventListener("pointerleave", () => this.state.hover(null));
  }

  /** Make the heads; again when there are more numbers. */
  setColumns() {
    this.names = ordered(this.state.numberNames);
    const columns = [["unit", "unit", "Number of the unit"], ["state", "state", "Whether it is taken for a cell"],
      ["type", "type", "What a person takes it for"], ...this.names.map((name) => [name, ...title(name)])];
    this.grid.style.setProperty("--columns",
      `46px 80px 66px repeat(${this.names.length}, minmax(${COLUMN_PX}px, 1fr))`);
    this.grid.style.setProperty("--least", `${202 + COLUMN_PX * this.names.length}px`);
    this.grid.setAttribute("aria-colcount", String(columns.length));
    this.heads = columns.map(([name, text, hint]) => el("div", { role: "columnheader", class: "cell" },
      button(text, () => { this.state.sortBy(name); announce(`Sorted by ${hint}`); }, { title: hint, tabindex: -1, "data-name": name })));
    // One tab stop for all heads; arrow keys go along them.
    this.heads[0].firstChild.tabIndex = 0;
    this.head.replaceChildren(...this.heads);
    this.pool = [];
    this.body.replaceChildren();
    this.draw();
  }

  _headKey(event) {
    const buttons = this.heads.map((head) => head.firstChild);
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    event.stopPropagation();
    if (at < 0 || to === undefined || !buttons[to]) return;
    event.preventDefault();
    buttons[at].tabIndex = -1;
    buttons[to].tabIndex = 0;
    buttons[to].focus();
  }

  // -- filter -----------------------------------------------------------------------------------------------
  _filtered() {
    this.state.setFilter(this.filter.value);
    const error = this.state.filterError;
    this.filter.setAttribute("aria-invalid", error ? "true" : "false");
    this.told.textContent = error ? error.message : "";
  }

  _filterKey(event) {
    if (event.key === "Enter" || event.key === "ArrowDown") {
      event.preventDefault();
      if (this.state.rows.length && !this.state.rows.includes(this.state.selected)) this.state.select(this.state.rows[0]);
      this.grid.focus();
    } else if (event.key === "Escape") {
      event.preventDefault();
      this.filter.value = "";
      this._filtered();
      this.grid.focus();
    }
  }

  markAll() {
    this.state.mark([...this.state.rows]);
    announce(`${this.state.rows.length} units selected`);
  }

  _count() {
    const { rows, live, marked } = this.state;
    const of = rows.length === live.length ? `${live.length} units` : `${rows.length} of ${live.length}`;
    this.count.textContent = marked.size ? `${of}, ${marked.size} selected` : of;
  }

  // -- rows -------------------------------------------------------------------------------------------------
  _reveal() {
    const at = this.state.rows.indexOf(this.state.selected);
    if (at < 0) return;
    const top = at * ROW_PX, room = this.grid.clientHeight - ROW_PX;
    if (top < this.grid.scrollTop) this.grid.scrollTop = top;
    else if (top + ROW_PX > this.grid.scrollTop + room) this.grid.scrollTop = top + ROW_PX - room;
  }

  _draw() {
    const { state } = this;
    const rows = state.rows;
    this.body.style.height = `${rows.length * ROW_PX}px`;
    this.grid.setAttribute("aria-rowcount", String(rows.length + 1));
    for (const head of this.heads) {
      const on = head.firstChild.dataset.name === state.sort.name;
      head.setAttribute("aria-sort", on ? (state.sort.descending ? "descending" : "ascending") : "none");
    }
    const first = Math.max(0, Math.floor(this.grid.scrollTop / ROW_PX) - SPARE);
    const last = Math.min(rows.length, Math.ceil((this.grid.scrollTop + this.grid.clientHeight) / ROW_PX) + SPARE);
    while (this.pool.length < last - first) this.pool.push(this._newRow());
    let active = null;
    this.pool.forEach((row, k) => {
      const at = first + k;
      row.element.hidden = at >= last;
      if (at >= last) { row.element.removeAttribute("id"); return; }
      this._fill(row, rows[at], at);
      if (rows[at] === state.selected) active = row.element.id;
    });
    if (active) this.grid.setAttribute("aria-activedescendant", active);
    else this.grid.removeAttribute("aria-activedescendant");
  }

  _newRow() {
    const cells = ["unit", "state", "type", ...this.names].map((name) =>
      el("div", { role: name === "unit" ? "rowheader" : "gridcell", class: `cell ${name}` }));
    const element = el("div", { role: "row", class: "row" }, cells);
    this.body.append(element);
    return { element, cells };
  }

  _fill({ element, cells }, id, at) {
    const { state } = this;
    const look = state.look(id), unit = state.units.get(id);
    element.id = `unit-${id}`;
    element.dataset.unit = String(id);
    element.dataset.look = look;
    element.style.transform = `translateY(${at * ROW_PX}px)`;
    element.setAttribute("aria-rowindex", String(at + 2));
    element.setAttribute("aria-selected", String(state.marked.size ? state.marked.has(id) : id === state.selected));
    element.classList.toggle("current", id === state.selected);
    element.classList.toggle("hovered", id === state.hovered);
    set(cells[0], String(id));
    const edited = state.isChanged(id) ? " *" : "";
    set(cells[1], `${STATES[look].sign} ${unit.accepted ? "accept" : "reject"}${edited}`);
    cells[1].title = `${STATES[look].word}${edited ? ", changed in this draft" : ""}`;
    set(cells[2], unit.type ?? "");
    this.names.forEach((name, k) => set(cells[k + 3], shown(state.number(id, name))));
  }

  // -- acting -----------------------------------------------------------------------------------------------
  _click(event) {
    const id = idOf(event);
    if (id === null) return;
    if (event.shiftKey) this.state.extend(id);
    else if (event.ctrlKey || event.metaKey) this.state.toggle(id);
    else this.state.select(id);
    this.grid.focus();
  }

  _key(event) {
    const page = Math.max(1, Math.floor(this.grid.clientHeight / ROW_PX) - 2);
    const control = event.ctrlKey || event.metaKey;
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -1e9, End: 1e9 };
    if (event.key in steps && !control && !event.altKey) this.state.step(steps[event.key], event.shiftKey);
    else if (event.key === "a" && control) this.markAll();
    else if (event.key === " " && this.state.selected !== null) this.state.toggle(this.state.selected);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

function idOf(event) {
  const row = event.target instanceof Element ? event.target.closest("[data-unit]") : null;
  return row ? Number(row.dataset.unit) : null;
}

function set(cell, text) {
  if (cell.textContent !== text) cell.textContent = text;
}
