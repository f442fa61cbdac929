/** The field of view: an image, and every outline on it by its state. */

import { getPacked } from "./api.js";
import { button, el, onFrame, sharp, shown } from "./dom.js";
import { INK, MARKED, PART, SELECTED, STATES } from "./palette.js";

const TITLES = {
  average: "average", correlation: "correlation", pnr: "peak-to-noise", max: "maximum", template: "template",
};
const ORDER = ["pnr", "correlation", "average", "max", "template"];
const NEAR_PX = 7;

export class Field {
  /** @param {import("./state.js").State} state @param {(action: string, event: MouseEvent) => void} [open] */
  constructor(state) {
    this.state = state;
    const [height, width] = state.facts.shape;
    this.height = height;
    this.width = width;
    /** @type {Map<number, { path: Path2D, box: number[], area: number }>} */ this.outlines = new Map();
    this.images = new Map();
    this.view = null;
    this.draw = onFrame(() => this._draw());
    this.names = ORDER.filter((name) => state.facts.images.includes(name))
      .concat(state.facts.images.filter((name) => !ORDER.includes(name)));
    this.name = this.names[0];
    this.shownStates = new Set(["accepted", "rejected", "merged"]);
    this._build();
    for (const what of ["units", "rows"]) state.on(what, () => this.redraw());
    for (const what of ["selection", "hover"]) state.on(what, this.draw);
    state.on("selection", () => this._follow());
  }

  /** Draw all of it anew; a selection draws only what lies above the outlines of all. */
  redraw() {
    this._paths = null;
    this._stale = true;
    this.draw();
  }

  _build() {
    this.canvas = el("canvas", { tabindex: 0, id: "field", "aria-label":
      "Field of view with the outlines of all units. Arrow keys move it, plus and minus zoom, 0 shows all of it. " +
      "The table lists the same units.", role: "img" });
    this.pick = el("select", { id: "image", "aria-label": "Image", on: { change: () => void this.show(this.pick.value) } },
      this.names.map((name) => el("option", { value: name, text: TITLES[name] ?? name })));
    this.low = this._slider("Black point", "low");
    this.high = this._slider("White point", "high");
    this.readout = el("output", { class: "muted readout" });
    const switches = ["accepted", "rejected", "merged"].map((name) => {
      const sample = STATES[name === "merged" ? "merged-accepted" : name];
      const box = el("input", { type: "checkbox", checked: true, on: { change: () => {
        if (box.checked) this.shownStates.add(name); else this.shownStates.delete(name);
        this.redraw();
      } } });
      return el("label", { class: "switch" }, box, swatch(sample), el("span", { text: `${sample.sign} ${name}` }));
    });
    this.element = el("section", { class: "panel field", "aria-label": "Field of view" },
      el("div", { class: "tools" }, this.pick, el("span", { class: "sliders" }, this.low, this.high),
        el("span", { class: "grow" }),
        button("−", () => this.zoom(1 / 1.4), { "aria-label": "Zoom out" }),
        button("+", () => this.zoom(1.4), { "aria-label": "Zoom in" }),
        button("Fit", () => this.fit(), { "aria-label": "Show the whole field" })),
      el("div", { class: "stage" }, this.canvas),
      el("div", { class: "tools legend" }, switches, el("span", { class: "grow" }), this.readout));
    new ResizeObserver(() => { if (!this.touched) this.view = null; this.redraw(); }).observe(this.canvas);
    this._listen();
  }

  _slider(label, which) {
    return el("input", { type: "range", min: 0, max: 1000, step: 1, "aria-label": label, title: label,
      on: { input: () => this._contrast(which) } });
  }

  // -- what is shown ----------------------------------------------------------------------------------------
  /** @param {string} name */
  async show(name) {
    this.name = name;
    this.pick.value = name;
    if (!this.images.has(name)) {
      const { meta, arrays } = await getPacked("image", { task: this.state.task, name });
      this.images.set(name, { meta, values: arrays.values, from: meta.from, to: Math.max(meta.to, meta.from + 1) });
    }
    if (this.name !== name) return;
    this._setSliders();
    this._paint();
  }

  nextImage(by = 1) {
    const at = this.names.indexOf(this.name);
    const name = this.names[(at + by + this.names.length) % this.names.length];
    void this.show(name);
    return TITLES[name] ?? name;
  }

  // The sliders follow the square root: most of an image lies in its dark part.
  _setSliders() {
    const image = this.images.get(this.name);
    this.low.value = Math.round(Math.sqrt(image.from / 65535) * 1000);
    this.high.value = Math.round(Math.sqrt(image.to / 65535) * 1000);
  }

  _contrast(which) {
    const image = this.images.get(this.name);
    if (!image) return;
    image.from = (Number(this.low.value) / 1000) ** 2 * 65535;
    image.to = (Number(this.high.value) / 1000) ** 2 * 65535;
    if (image.to <= image.from) {
      if (which === "low") image.to = image.from + 1; else image.from = image.to - 1;
    }
    this._paint();
  }

  _paint() {
    const { values, from, to } = this.images.get(this.name);
    const table = new Uint8ClampedArray(65536);
    for (let level = 0; level < 65536; level += 1) table[level] = ((level - from) / (to - from)) * 255;
    const picture = new ImageData(this.width, this.height);
    for (let at = 0, out = 0; at < values.length; at += 1, out += 4) {
      const grey = table[values[at]];
      picture.data[out] = picture.data[out + 1] = picture.data[out + 2] = grey;
      picture.data[out + 3] = 255;
    }
    this.bitmap ??= el("canvas");
    this.bitmap.width = this.width;
    this.bitmap.height = this.height;
    this.bitmap.getContext("2d").putImageData(picture, 0, 0);
    this._stale = true;
    this.draw();
  }

  /** @param {{ unit: Int32Array, length: Int32Array, points: Float32Array }} packed */
  addOutlines({ unit, length, points }) {
    let at = 0;
    for (let line = 0; line < unit.length; line += 1) {
      const id = unit[line];
      const one = this.outlines.get(id) ?? { path: new Path2D(), box: [Infinity, Infinity, -Infinity, -Infinity], area: 0 };
      for (let k = 0; k < length[line]; k += 1, at += 2) {
        const x = points[at] + 0.5, y = points[at + 1] + 0.5;
        if (k === 0) one.path.moveTo(x, y); else one.path.lineTo(x, y);
        one.box = [Math.min(one.box[0], x), Math.min(one.box[1], y), Math.max(one.box[2], x), Math.max(one.box[3], y)];
      }
      one.path.closePath();
      one.area = (one.box[2] - one.box[0]) * (one.box[3] - one.box[1]);
      this.outlines.set(id, one);
    }
    this.redraw();
  }

  /** Draw into any canvas the outlines around a place. */
  strokeNear(context, box, scale, skip) {
    for (const id of this.state.live) {
      const one = this.outlines.get(id);
      if (!one || id === skip || one.box[2] < box[0] || one.box[0] > box[2] || one.box[3] < box[1] || one.box[1] > box[3]) continue;
      stroke(context, one.path, STATES[this.state.look(id)], scale);
    }
    const mine = this.outlines.get(skip);
    if (mine) stroke(context, mine.path, { colour: SELECTED, dash: [], width: 1.6 }, scale);
  }

  // -- drawing ----------------------------------------------------------------------------------------------
  _fitted() {
    const w = this.canvas.clientWidth, h = this.canvas.clientHeight;
    const scale = Math.max(0.05, Math.min(w / this.width, h / this.height));
    return { scale, x: (w - this.width * scale) / 2, y: (h - this.height * scale) / 2 };
  }

  _byState() {
    if (this._paths) return this._paths;
    const paths = Object.fromEntries(Object.keys(STATES).map((name) => [name, new Path2D()]));
    const there = new Set(this.state.rows);
    const faded = new Path2D();
    for (const id of this.state.live) {
      const one = this.outlines.get(id);
      const look = this.state.look(id);
      const group = look.startsWith("merged") ? "merged" : look;
      if (!one || !this.shownStates.has(group)) continue;
      (there.has(id) ? paths[look] : faded).addPath(one.path);
    }
    this._paths = { paths, faded };
    return this._paths;
  }

  _draw() {
    const { context, width, height, ratio } = sharp(this.canvas);
    if (!width) return;
    this.view ??= this._fitted();
    const { scale, x, y } = this.view;
    const seen = `${scale} ${x} ${y} ${width} ${height} ${ratio}`;
    if (this._stale || this._seen !== seen) {
      this._drawLayer(width, height, ratio);
      this._stale = false;
      this._seen = seen;
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(this.layer, 0, 0);
    context.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * x, ratio * y);
    this._drawChosen(context, scale);
    this._drawNumbers(context, ratio, [this.state.hovered, this.state.selected].filter((id) => id !== null), true);
  }

  /** The image and all outlines, kept until one of them, or the view, changes. */
  _drawLayer(width, height, ratio) {
    const { scale, x, y } = this.view;
    this.layer ??= el("canvas");
    [this.layer.width, this.layer.height] = [this.canvas.width, this.canvas.height];
    const context = this.layer.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = "#0c0d10";
    context.fillRect(0, 0, width, height);
    context.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * x, ratio * y);
    if (this.bitmap) {
      context.imageSmoothingEnabled = scale < 3;
      context.drawImage(this.bitmap, 0, 0);
    }
    const { paths, faded } = this._byState();
    stroke(context, faded, { colour: "#6B7280", dash: [1, 3], width: 0.8 }, scale);
    for (const [name, style] of Object.entries(STATES)) stroke(context, paths[name], style, scale);
    if (scale * 12 > 30) this._drawNumbers(context, ratio, this.state.rows, false);
  }

  _drawChosen(context, scale) {
    const { state } = this;
    for (const id of state.marked) {
      const one = this.outlines.get(id);
      if (one) stroke(context, one.path, { colour: MARKED, dash: [], width: 2.4 }, scale);
    }
    const members = state.selected === null ? [] : state.units.get(state.selected)?.members ?? [];
    for (const id of members) {
      const one = this.outlines.get(id);
      if (one) stroke(context, one.path, PART, scale);
    }
    for (const [id, width] of [[state.hovered, 1.6], [state.selected, 5]]) {
      const one = id === null ? null : this.outlines.get(id);
      if (!one) continue;
      stroke(context, one.path, { colour: "#000000", dash: [], width: width + 2.4 }, scale);
      stroke(context, one.path, { colour: SELECTED, dash: id === state.selected ? [] : [2, 2], width }, scale);
      // The state stays to be seen, between two white lines.
      if (id === state.selected) stroke(context, one.path, STATES[state.look(id)], scale);
    }
  }

  /** @param {number[]} ids @param {boolean} always also where there is no room */
  _drawNumbers(context, ratio, ids, always) {
    const { scale, x, y } = this.view;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.font = "600 11px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineWidth = 3;
    context.strokeStyle = "rgba(0, 0, 0, 0.75)";
    context.fillStyle = INK;
    for (const id of ids) {
      const one = this.outlines.get(id);
      if (!one) continue;
      const text = String(id), room = (one.box[2] - one.box[0]) * scale;
      if (!always && room < text.length * 7 + 10) continue;
      const px = ((one.box[0] + one.box[2]) / 2) * scale + x, py = ((one.box[1] + one.box[3]) / 2) * scale + y;
      if (px < -20 || py < -20 || px > this.canvas.clientWidth + 20 || py > this.canvas.clientHeight + 20) continue;
      context.strokeText(text, px, py);
      context.fillText(text, px, py);
    }
  }

  // -- moving -----------------------------------------------------------------------------------------------
  fit() { this.touched = false; this.view = null; this.draw(); }

  zoom(by, px = this.canvas.clientWidth / 2, py = this.canvas.clientHeight / 2) {
    this.view ??= this._fitted();
    const scale = Math.min(40, Math.max(this._fitted().scale * 0.5, this.view.scale * by));
    const ratio = scale / this.view.scale;
    this.view = { scale, x: px - (px - this.view.x) * ratio, y: py - (py - this.view.y) * ratio };
    this.touched = true;
    this.draw();
  }

  move(dx, dy) {
    this.view ??= this._fitted();
    this.view = { ...this.view, x: this.view.x + dx, y: this.view.y + dy };
    this.touched = true;
    this.draw();
  }

  /** Bring the unit that is looked at to the middle, where it is not in sight. */
  _follow() {
    const one = this.state.selected === null ? null : this.outlines.get(this.state.selected);
    if (!one || !this.view || !this.touched) return;
    const { scale, x, y } = this.view;
    const cx = ((one.box[0] + one.box[2]) / 2) * scale + x, cy = ((one.box[1] + one.box[3]) / 2) * scale + y;
    const w = this.canvas.clientWidth, h = this.canvas.clientHeight;
    if (cx < 0.05 * w || cx > 0.95 * w || cy < 0.05 * h || cy > 0.95 * h) this.move(w / 2 - cx, h / 2 - cy);
  }

  /** Show a unit large. @param {number|null} id */
  zoomTo(id) {
    const one = id === null ? null : this.outlines.get(id);
    if (!one) return;
    const w = this.canvas.clientWidth, h = this.canvas.clientHeight;
    const scale = Math.min(16, Math.max(w, h) / (6 * Math.max(one.box[2] - one.box[0], one.box[3] - one.box[1], 4)));
    this.view = { scale, x: w / 2 - ((one.box[0] + one.box[2]) / 2) * scale, y: h / 2 - ((one.box[1] + one.box[3]) / 2) * scale };
    this.touched = true;
    this.draw();
  }

  /** Where a unit's middle is on the canvas, px; for whoever points at it. @param {number} id */
  placeOf(id) {
    const one = this.outlines.get(id);
    if (!one) return null;
    this.view ??= this._fitted();
    const { scale, x, y } = this.view;
    return [((one.box[0] + one.box[2]) / 2) * scale + x, ((one.box[1] + one.box[3]) / 2) * scale + y];
  }

  // -- pointing ---------------------------------------------------------------------------------------------
  _at(event) {
    const { scale, x, y } = this.view ?? this._fitted();
    return [(event.offsetX - x) / scale, (event.offsetY - y) / scale];
  }

  /** The units under a point, the smallest first; else the nearest within a few pixels of the screen. */
  _under(event) {
    const [x, y] = this._at(event);
    const context = this.canvas.getContext("2d");
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    const near = NEAR_PX / (this.view ?? this._fitted()).scale;
    const inside = [], close = [];
    for (const id of this.state.live) {
      const one = this.outlines.get(id), look = this.state.look(id);
      if (!one || !this.shownStates.has(look.startsWith("merged") ? "merged" : look)) continue;
      const [x0, y0, x1, y1] = one.box;
      if (x < x0 - near || x > x1 + near || y < y0 - near || y > y1 + near) continue;
      if (context.isPointInPath(one.path, x, y)) inside.push(id);
      else close.push(id);
    }
    context.restore();
    const by = (a, b) => this.outlines.get(a).area - this.outlines.get(b).area;
    return inside.length ? inside.sort(by) : close.sort(by).slice(0, 1);
  }

  _listen() {
    const { canvas } = this;
    let from = null;
    canvas.addEventListener("pointerdown", (event) => {
      from = { x: event.clientX, y: event.clientY, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (from && event.buttons) {
        const dx = event.clientX - from.x, dy = event.clientY - from.y;
        if (from.moved || Math.hypot(dx, dy) > 4) {
          this.move(dx, dy);
          from = { x: event.clientX, y: event.clientY, moved: true };
        }
        return;
      }
      const found = this._under(event)[0] ?? null;
      this.state.hover(found);
      canvas.classList.toggle("pointing", found !== null);
      this._read(event);
    });
    canvas.addEventListener("pointerup", (event) => {
      const moved = from?.moved;
      from = null;
      if (!moved) this._click(event);
    });
    canvas.addEventListener("pointerleave", () => this.state.hover(null));
    canvas.addEventListener("dblclick", () => this.zoomTo(this.state.selected));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const step = 40;
      const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key in moves) this.move(...moves[event.key]);
      else if (event.key === "+" || event.key === "=") this.zoom(1.4);
      else if (event.key === "-") this.zoom(1 / 1.4);
      else if (event.key === "0") this.fit();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  _click(event) {
    const found = this._under(event);
    if (!found.length) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey) { this.state.toggle(found[0]); return; }
    // A second click at one place goes on to the unit below.
    const at = found.indexOf(this.state.selected);
    this.state.select(found[(at + 1) % found.length]);
  }

  _read(event) {
    const image = this.images.get(this.name);
    const [x, y] = this._at(event).map(Math.floor);
    if (!image || x < 0 || y < 0 || x >= this.width || y >= this.height) { this.readout.value = ""; return; }
    const { low, high } = image.meta;
    const value = low + (image.values[y * this.width + x] / 65535) * (high - low);
    this.readout.value = `x ${x}  y ${y}  ${shown(value)}`;
  }
}

function stroke(context, path, style, scale) {
  // A dark seam keeps a line visible on bright cells.
  context.setLineDash([]);
  // Corners are rounded where they can be seen: of a thousand outlines that costs more than all the rest.
  context.lineJoin = scale < 3 ? "bevel" : "round";
  if (style.colour !== "#000000") {
    context.strokeStyle = "rgba(0, 0, 0, 0.5)";
    context.lineWidth = (style.width + 1.4) / scale;
    context.setLineDash(style.dash.map((n) => n / scale));
    context.stroke(path);
  }
  context.strokeStyle = style.colour;
  context.lineWidth = style.width / scale;
  context.setLineDash(style.dash.map((n) => n / scale));
  context.stroke(path);
  context.setLineDash([]);
}

/** A short sample of a line. */
export function swatch(style) {
  const canvas = el("canvas", { class: "swatch", "aria-hidden": "true", width: 44, height: 20 });
  const context = canvas.getContext("2d");
  context.scale(2, 2);
  context.strokeStyle = style.colour;
  context.lineWidth = style.width + 0.4;
  context.setLineDash(style.dash);
  context.beginPath();
  context.moveTo(1, 5);
  context.lineTo(21, 5);
  context.stroke();
  return canvas;
}
