/** The unit that is looked at: what was decided, its footprint, its numbers, its neighbours. */

import { getPacked } from "./api.js";
import { button, el, onFrame, sharp, shown } from "./dom.js";
import { STATES } from "./palette.js";
import { ordered, title } from "./table.js";

const REMEMBERED = 128;

export class Detail {
  /**
   * @param {import("./state.js").State} state
   * @param {import("./field.js").Field} field
   * @param {import("./actions.js").Actions} actions
   * @param {(text: string) => void} failed
   */
  constructor(state, field, actions, failed) {
    this.state = state;
    this.field = field;
    this.actions = actions;
    this.failed = failed;
    this.known = new Map();
    this.draw = onFrame(() => this._draw());
    this.fill = onFrame(() => this._fill());
    this._build();
    state.on("selection", () => { this.fill(); void this._ask(); });
    state.on("units", () => { this.known.clear(); this.fill(); void this._ask(); });
    state.on("hover", () => this._hovered());
  }

  _build() {
    this.heading = el("h2", { id: "unit" });
    this.accept = button("Accept", () => this.actions.accept(), { class: "accept", title: "Accept (a)", "aria-keyshortcuts": "a" });
    this.reject = button("Reject", () => this.actions.reject(), { class: "reject", title: "Reject (r)", "aria-keyshortcuts": "r" });
    this.merge = button("Merge", () => this.actions.merge(), { title: "Merge the selected units (m)", "aria-keyshortcuts": "m" });
    this.split = button("Split", () => this.actions.split(), { title: "Take a merged unit apart (s)", "aria-keyshortcuts": "s" });
    this.types = el("select", { id: "type", "aria-label": "Type of the mask",
      on: { change: () => this.actions.setType(this.types.value || null) } },
    el("option", { value: "", text: "type" }),
    this.state.types.map((name, at) => el("option", { value: name, text: `${at + 1} ${name}` })));
    this.canvas = el("canvas", { id: "footprint", role: "img" });
    this.numbers = el("dl", { class: "numbers" });
    this.neighbours = el("tbody");
    this.told = el("p", { class: "muted small" });
    this.element = el("section", { class: "panel detail", "aria-label": "Unit" },
      el("div", { class: "tools" }, this.heading),
      el("div", { class: "tools acts" }, this.accept, this.reject, this.types, this.merge, this.split),
      el("div", { class: "look" }, el("div", { class: "stage small" }, this.canvas), this.numbers),
      el("h3", { text: "Neighbours" }),
      el("div", { class: "scroll" }, el("table", { class: "neighbours" },
        el("thead", {}, el("tr", {}, el("th", { text: "unit", scope: "col" }),
          el("th", { text: "overlap", scope: "col", title: "Cosine of the footprints" }),
          el("th", { text: "corr.", scope: "col", title: `Correlation of the denoised traces in steps of ${shown(this.state.facts.mean_step_s)} s` }),
          el("th", { text: "px", scope: "col", title: "Distance of the centres, px" }),
          el("th", {}, el("span", { class: "unseen", text: "Merge" })))),
        this.neighbours), this.told));
    new ResizeObserver(this.draw).observe(this.canvas);
  }

  async _ask() {
    const unit = this.state.selected;
    this.asked?.abort();
    if (unit === null || this.known.has(unit)) { this._list(); return; }
    this.asked = new AbortController();
    try {
      const found = await getPacked("unit", { task: this.state.task, unit }, this.asked.signal);
      this.known.set(unit, found);
      if (this.known.size > REMEMBERED) this.known.delete(this.known.keys().next().value);
      this._list();
      this.draw();
    } catch (error) {
      if (error.name !== "AbortError") this.failed(error.message);
    }
  }

  /** What is known may be more now. */
  refresh() { this.known.clear(); void this._ask(); }

  _fill() {
    const { state } = this;
    const id = state.selected, chosen = state.chosen;
    const unit = id === null ? null : state.units.get(id);
    const many = chosen.length > 1;
    if (!unit) {
      this.heading.textContent = "No unit selected";
      this.numbers.replaceChildren();
    } else {
      const look = state.look(id), style = STATES[look];
      const chip = el("span", { class: "chip", "data-look": look, text: `${style.sign} ${style.word}` });
      const more = [];
      if (unit.members.length) more.push(`of ${unit.members.join(", ")}`);
      if (state.isChanged(id)) more.push("changed");
      if (many) more.push(`${chosen.length} selected`);
      this.heading.replaceChildren(el("span", { text: `Unit ${id}` }), chip,
        ...(more.length ? [el("span", { class: "muted small", text: more.join(" · ") })] : []));
      this.numbers.replaceChildren(...ordered(state.numberNames).filter((name) => !["y", "x"].includes(name)).flatMap((name) => [
        el("dt", { text: title(name)[0], title: title(name)[1] }), el("dd", { text: shown(state.number(id, name)) })]));
    }
    for (const one of [this.accept, this.reject, this.types]) one.disabled = !chosen.length;
    this.accept.textContent = many ? `Accept ${chosen.length}` : "Accept";
    this.reject.textContent = many ? `Reject ${chosen.length}` : "Reject";
    this.merge.disabled = !many;
    this.split.disabled = many || !unit?.members.length;
    this.types.value = unit?.type ?? "";
    this.draw();
  }

  _list() {
    const found = this.known.get(this.state.selected);
    const rows = (found?.meta.neighbours ?? []).filter(({ unit_id: id }) => this.state.units.get(id)?.mergedInto === null);
    this.neighbours.replaceChildren(...rows.map(({ unit_id: id, cosine, r, distance_px: distance }) => {
      const look = this.state.look(id);
      return el("tr", { "data-unit": id, on: {
        pointerenter: () => this.state.hover(id), pointerleave: () => this.state.hover(null) } },
      el("th", { scope: "row" }, button(`${STATES[look].sign} ${id}`, () => this.state.select(id),
        { class: "link", "data-look": look, "aria-label": `Unit ${id}, ${STATES[look].word}` })),
      el("td", { text: shown(cosine, 2) }),
      el("td", { text: found.meta.correlated ? shown(r, 2) : "…" }),
      el("td", { text: shown(distance, 2) }),
      el("td", {}, button("merge", () => this.actions.mergeWith(id), { "aria-label": `Merge unit ${this.state.selected} with unit ${id}` })));
    }));
    this.told.textContent = !found ? "" : rows.length ? "" :
      found.meta.correlated ? "None overlaps or correlates." : "None overlaps; correlations are being computed.";
  }

  _hovered() {
    for (const row of this.neighbours.children) row.classList.toggle("hovered", Number(row.dataset.unit) === this.state.hovered);
  }

  _draw() {
    const { context, width, height, ratio } = sharp(this.canvas);
    context.fillStyle = "#0c0d10";
    context.fillRect(0, 0, width, height);
    const id = this.state.selected;
    const found = id === null ? null : this.known.get(id);
    this.canvas.setAttribute("aria-label", id === null ? "No footprint" : `Footprint of unit ${id} with the outlines of its neighbours`);
    if (!found) return;
    const [tall, wide] = found.shapes.footprint;
    if (!tall) return;
    const values = found.arrays.footprint;
    const top = values.reduce((most, value) => Math.max(most, value), 0) || 1;
    const picture = new ImageData(wide, tall);
    values.forEach((value, at) => {
      const share = Math.sqrt(value / top);
      picture.data.set([14 + 241 * share, 15 + 225 * share ** 1.2, 18 + 190 * share ** 2, 255], 4 * at);
    });
    const bitmap = el("canvas", { width: wide, height: tall });
    bitmap.getContext("2d").putImageData(picture, 0, 0);
    const scale = Math.min(width / wide, height / tall);
    const x = (width - wide * scale) / 2, y = (height - tall * scale) / 2;
    context.imageSmoothingEnabled = false;
    context.drawImage(bitmap, x, y, wide * scale, tall * scale);
    const { left, top: begin } = found.meta;
    context.save();
    context.beginPath();
    context.rect(x, y, wide * scale, tall * scale);
    context.clip();
    context.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * (x - left * scale), ratio * (y - begin * scale));
    this.field.strokeNear(context, [left, begin, left + wide, begin + tall], scale, id);
    context.restore();
  }
}
