/** The courses of a unit over time: fluorescence with the denoised trace, residual, activity; zoomed and moved. */

import { getPacked } from "./api.js";
import { button, clock, el, onFrame, sharp, shown } from "./dom.js";
import { COMPARED, COURSES, INK, MUTED, RULE } from "./palette.js";

const LEFT = 58, RIGHT = 10, AXIS = 22, STRIP = 22;
const MOST_COMPARED = 2;
const REMEMBERED = 64;

export class Traces {
  /** @param {import("./state.js").State} state @param {(text: string) => void} failed */
  constructor(state, failed) {
    this.state = state;
    this.failed = failed;
    const { begin_s: begin, end_s: end } = state.facts;
    this.whole = [begin, Math.max(end, begin + 1e-3)];
    this.view = [...this.whole];
    this.data = new Map();
    this.wholes = new Map();
    this.draw = onFrame(() => this._draw());
    this.ask = onFrame(() => void this._ask());
    this.canvas = el("canvas", { id: "traces", tabindex: 0, role: "img" });
    this.span = el("output", { class: "muted readout", id: "span" });
    this.legend = el("span", { class: "courses" });
    this.element = el("section", { class: "panel traces", "aria-label": "Traces" },
      el("div", { class: "tools" }, this.legend, el("span", { class: "grow" }), this.span,
        button("−", () => this.zoom(1.6), { "aria-label": "Show a longer time" }),
        button("+", () => this.zoom(1 / 1.6), { "aria-label": "Show a shorter time" }),
        button("Whole", () => this.showAll(), { "aria-label": "Show the whole recording" })),
      el("div", { class: "stage" }, this.canvas));
    new ResizeObserver(() => { this.draw(); this.ask(); }).observe(this.canvas);
    state.on("selection", () => this.ask());
    state.on("units", () => this.draw());
    this._listen();
  }

  /** The units drawn: the one looked at, and few of the marked ones beside it. */
  get drawn() {
    const { selected, marked } = this.state;
    if (selected === null) return [];
    return [selected, ...[...marked].filter((id) => id !== selected).slice(0, MOST_COMPARED)];
  }

  // -- asking -----------------------------------------------------------------------------------------------
  async _ask() {
    const width = Math.max(50, this.canvas.clientWidth - LEFT - RIGHT);
    const columns = Math.round(Math.min(4096, width * Math.min(2, window.devicePixelRatio || 1)));
    const [begin_s, end_s] = this.view;
    this.asked?.abort();
    this.asked = new AbortController();
    const signal = this.asked.signal;
    const isWhole = begin_s <= this.whole[0] && end_s >= this.whole[1];
    try {
      await Promise.all(this.drawn.map(async (unit) => {
        const query = { task: this.state.task, unit, begin_s: begin_s - (end_s - begin_s) * 0.02,
          end_s: end_s + (end_s - begin_s) * 0.02, columns };
        const key = `${unit} ${columns}`;
        const found = (isWhole && this.wholes.get(key)) || await getPacked("traces", query, signal);
        if (isWhole) this._remember(key, found);
        this.data.set(unit, found);
      }));
      for (const unit of [...this.data.keys()]) if (!this.drawn.includes(unit)) this.data.delete(unit);
      this.canvas.dataset.unit = String(this.state.selected);
      this.draw();
    } catch (error) {
      if (error.name !== "AbortError") this.failed(error.message);
    }
  }

  _remember(key, found) {
    this.wholes.set(key, found);
    if (this.wholes.size > REMEMBERED) this.wholes.delete(this.wholes.keys().next().value);
  }

  // -- drawing ----------------------------------------------------------------------------------------------
  _x(time) {
    const [begin, end] = this.view;
    return LEFT + ((time - begin) / (end - begin)) * (this.canvas.clientWidth - LEFT - RIGHT);
  }

  _draw() {
    const { context, width, height } = sharp(this.canvas);
    context.clearRect(0, 0, width, height);
    const units = this.drawn;
    this.span.value = `${clock(this.view[0])} – ${clock(this.view[1])} of ${clock(this.whole[1] - this.whole[0])}`;
    this._describe(units);
    if (!units.length || width < LEFT + RIGHT + 20) return;
    const tracks = [];
    units.forEach((unit, at) => tracks.push({ unit, at, share: at ? 0.7 : 1, courses: ["fluorescence", "traces"] }));
    tracks.push({ unit: units[0], at: 0, share: 0.4, courses: ["residual"] });
    tracks.push({ unit: units[0], at: 0, share: 0.5, courses: ["activity"] });
    const total = tracks.reduce((sum, track) => sum + track.share, 0);
    let top = 4;
    const room = height - AXIS - STRIP - 4;
    this._timeAxis(context, width, 4, room);
    for (const track of tracks) {
      const tall = (room * track.share) / total;
      this._track(context, track, top, tall - 6, width);
      top += tall;
    }
    this._strip(context, units[0], width, height);
  }

  _describe(units) {
    const words = units.map((unit, at) => (at ? `, compared with unit ${unit}` : `Traces of unit ${unit}`)).join("");
    this.canvas.setAttribute("aria-label", units.length
      ? `${words}: fluorescence, denoised, residual and activity from ${clock(this.view[0])} to ${clock(this.view[1])}. ` +
        "Arrow keys move in time, plus and minus zoom, 0 shows the whole recording."
      : "Traces: no unit is selected");
    const items = Object.values(COURSES).map(({ word, colour }) => keyed(word, colour));
    const others = units.slice(1).map((unit, at) => keyed(`unit ${unit}`, COMPARED[at]));
    this.legend.replaceChildren(...(units.length ? [el("strong", { text: `Unit ${units[0]}` })] : []), ...items, ...others);
  }

  _track(context, track, top, tall, width) {
    const found = this.data.get(track.unit);
    context.save();
    context.beginPath();
    context.rect(LEFT, top, width - LEFT - RIGHT, tall);
    context.clip();
    context.fillStyle = "#14171c";
    context.fillRect(LEFT, top, width - LEFT - RIGHT, tall);
    if (found) {
      const { arrays } = found;
      const time = arrays.time_s;
      const range = limits(arrays, track.courses, time, this.view);
      const y = (value) => top + tall - 3 - ((value - range[0]) / (range[1] - range[0])) * (tall - 6);
      if (track.courses[0] === "residual") this._level(context, y(0), width);
      for (const name of track.courses) {
        const colour = track.at && name === "traces" ? COMPARED[track.at - 1] : COURSES[name].colour;
        this._course(context, time, arrays[`${name}_low`], arrays[`${name}_high`], y, colour, name === "traces" ? 1.4 : 1);
      }
      context.restore();
      this._labels(context, top, tall, range, y, track);
    } else {
      context.restore();
    }
  }

  _level(context, at, width) {
    context.strokeStyle = RULE;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(LEFT, at);
    context.lineTo(width - RIGHT, at);
    context.stroke();
  }

  _course(context, time, low, high, y, colour, weight) {
    context.strokeStyle = colour;
    context.lineWidth = weight;
    context.lineJoin = "bevel";
    context.beginPath();
    const step = time.length > 2 ? this._x(time[1]) - this._x(time[0]) : 1;
    for (let bin = 0; bin < low.length; bin += 1) {
      const x = this._x((time[bin] + time[Math.min(bin + 1, time.length - 1)]) / 2);
      if (x < LEFT - step - 2 || x > this.canvas.clientWidth + step) continue;
      // Up and down at each bin, joined: every peak is seen, and single frames make a line.
      if (bin === 0) context.moveTo(x, y(high[bin])); else context.lineTo(x, y(high[bin]));
      if (high[bin] !== low[bin]) context.lineTo(x, y(low[bin]));
    }
    context.stroke();
  }

  _labels(context, top, tall, range, y, track) {
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.textAlign = "right";
    context.fillStyle = MUTED;
    for (const value of ticks(range[0], range[1], Math.max(1, Math.floor(tall / 34)))) {
      const at = y(value);
      if (at > top + 5 && at < top + tall - 5) context.fillText(shown(value), LEFT - 6, at);
    }
    context.textAlign = "left";
    context.textBaseline = "top";
    const word = track.courses.map((name) => COURSES[name].word).join(" + ");
    const text = track.at ? `unit ${track.unit}: ${word}` : word;
    context.lineWidth = 3;
    context.strokeStyle = "rgba(16, 18, 22, 0.85)";
    context.strokeText(text, LEFT + 6, top + 4);
    context.fillStyle = INK;
    context.fillText(text, LEFT + 6, top + 4);
  }

  _timeAxis(context, width, top, room) {
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const time of timeTicks(this.view[0], this.view[1], Math.max(2, Math.floor((width - LEFT) / 110)))) {
      const x = Math.round(this._x(time)) + 0.5;
      if (x < LEFT || x > width - RIGHT) continue;
      context.strokeStyle = RULE;
      context.beginPath();
      context.moveTo(x, top + room - 6);
      context.lineTo(x, top + room);
      context.stroke();
      context.fillStyle = MUTED;
      context.fillText(clock(time), Math.min(Math.max(x, LEFT + 14), width - 30), top + room + 2);
    }
  }

  /** The whole recording, with the window in it. */
  _strip(context, unit, width, height) {
    const top = height - STRIP + 4, tall = STRIP - 8, wide = width - LEFT - RIGHT;
    const x = (time) => LEFT + ((time - this.whole[0]) / (this.whole[1] - this.whole[0])) * wide;
    context.fillStyle = "#14171c";
    context.fillRect(LEFT, top, wide, tall);
    const found = [...this.wholes].find(([key]) => key.startsWith(`${unit} `))?.[1];
    if (found) {
      const { time_s: time, traces_high: high, traces_low: low } = found.arrays;
      const range = limits(found.arrays, ["traces"], time, this.whole);
      context.strokeStyle = "#8A6A2A";
      context.lineWidth = 1;
      context.beginPath();
      for (let bin = 0; bin < high.length; bin += 1) {
        const y = (value) => top + tall - ((value - range[0]) / (range[1] - range[0])) * tall;
        context.moveTo(x(time[bin]), y(low[bin]));
        context.lineTo(x(time[bin]), y(high[bin]) - 0.5);
      }
      context.stroke();
    }
    const from = x(this.view[0]), to = Math.max(x(this.view[1]), from + 3);
    context.fillStyle = "rgba(255, 255, 255, 0.10)";
    context.fillRect(from, top, to - from, tall);
    context.strokeStyle = MUTED;
    context.lineWidth = 1;
    context.strokeRect(from + 0.5, top + 0.5, to - from - 1, tall - 1);
  }

  // -- moving -----------------------------------------------------------------------------------------------
  showAll() { this._set(this.whole[0], this.whole[1]); }

  zoom(by, around = (this.view[0] + this.view[1]) / 2) {
    const [begin, end] = this.view;
    const least = Math.min(this.whole[1] - this.whole[0], 4 / this.state.facts.fps);
    const length = Math.min(this.whole[1] - this.whole[0], Math.max(least, (end - begin) * by));
    const share = (around - begin) / (end - begin);
    this._set(around - share * length, around + (1 - share) * length);
  }

  move(share) {
    const by = (this.view[1] - this.view[0]) * share;
    this._set(this.view[0] + by, this.view[1] + by);
  }

  _set(begin, end) {
    const length = end - begin;
    const from = Math.min(Math.max(begin, this.whole[0]), Math.max(this.whole[0], this.whole[1] - length));
    this.view = [from, Math.min(from + length, this.whole[1])];
    this.draw();
    this.ask();
  }

  _time(px) {
    return this.view[0] + ((px - LEFT) / (this.canvas.clientWidth - LEFT - RIGHT)) * (this.view[1] - this.view[0]);
  }

  _listen() {
    const { canvas } = this;
    let from = null;
    canvas.addEventListener("pointerdown", (event) => {
      const strip = event.offsetY > canvas.clientHeight - STRIP;
      from = { x: event.clientX, strip };
      canvas.setPointerCapture(event.pointerId);
      if (strip) this._center(event.offsetX);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!from || !event.buttons) return;
      if (from.strip) { this._center(event.offsetX); return; }
      this.move((from.x - event.clientX) / (canvas.clientWidth - LEFT - RIGHT));
      from = { ...from, x: event.clientX };
    });
    canvas.addEventListener("pointerup", () => { from = null; });
    canvas.addEventListener("dblclick", () => this.showAll());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.move((event.deltaX || event.deltaY) / 1000);
      else this.zoom(Math.exp(event.deltaY * (event.deltaMode ? 0.05 : 0.002)), this._time(event.offsetX));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "ArrowLeft") this.move(-0.25);
      else if (event.key === "ArrowRight") this.move(0.25);
      else if (event.key === "PageUp") this.move(-1);
      else if (event.key === "PageDown") this.move(1);
      else if (event.key === "Home") this._set(this.whole[0], this.whole[0] + this.view[1] - this.view[0]);
      else if (event.key === "End") this._set(this.whole[1] - (this.view[1] - this.view[0]), this.whole[1]);
      else if (event.key === "+" || event.key === "=") this.zoom(1 / 1.6);
      else if (event.key === "-") this.zoom(1.6);
      else if (event.key === "0") this.showAll();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  _center(px) {
    const share = (px - LEFT) / (this.canvas.clientWidth - LEFT - RIGHT);
    const middle = this.whole[0] + share * (this.whole[1] - this.whole[0]), half = (this.view[1] - this.view[0]) / 2;
    this._set(middle - half, middle + half);
  }
}

function keyed(word, colour) {
  const sign = el("span", { class: "dot", "aria-hidden": "true" });
  sign.style.background = colour;
  return el("span", { class: "key" }, sign, word);
}

function limits(arrays, names, time, view) {
  let low = Infinity, high = -Infinity;
  for (const name of names) {
    const from = arrays[`${name}_low`], to = arrays[`${name}_high`];
    for (let bin = 0; bin < from.length; bin += 1) {
      if (time[bin + 1] < view[0] || time[bin] > view[1]) continue;
      if (from[bin] < low) low = from[bin];
      if (to[bin] > high) high = to[bin];
    }
  }
  if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  return high > low ? [low, high] : [low - 0.5, high + 0.5];
}

function ticks(low, high, count) {
  const raw = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(Number(value.toPrecision(12)));
  return found;
}

const NICE_S = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 18000];

function timeTicks(begin, end, count) {
  const step = NICE_S.find((n) => n >= (end - begin) / count) ?? 36000;
  const found = [];
  for (let time = Math.ceil(begin / step) * step; time <= end; time += step) found.push(Number(time.toFixed(6)));
  return found;
}
