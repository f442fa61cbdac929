/** Elements made by hand: text is only ever text, so nothing that was stored can run. */

/**
 * Make an element.
 * @param {string} tag
 * @param {Record<string, any>} [attributes] `text`, `class`, `on` (events), or any attribute; null leaves one out
 * @param {...(Node|string|null|undefined)} children
 * @returns {any}
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") node.textContent = String(value);
    else if (name === "class") node.className = value;
    else if (name === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else if (name === "value" || name === "checked" || name === "disabled") node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) if (child !== null && child !== undefined) node.append(child);
  return node;
}

/** @param {string} text @param {(event: Event) => void} act @param {Record<string, any>} [more] */
export function button(text, act, more = {}) {
  return el("button", { type: "button", text, on: { click: act }, ...more });
}

let last = "";
/** Tell a screen reader what happened. @param {string} text */
export function announce(text) {
  const live = document.getElementById("live");
  // The same words twice are read twice only where they differ.
  live.textContent = text === last ? `${text}\u00a0` : text;
  last = live.textContent;
}

/**
 * Show a message above the page, until it is closed or replaced by the next of its kind.
 * @param {string} kind
 * @param {string|null} text null takes it away
 * @param {{ tone?: "error"|"info", actions?: Node[] }} [more]
 */
export function notice(kind, text, { tone = "error", actions = [] } = {}) {
  const box = document.getElementById("notices");
  box.querySelector(`[data-kind="${kind}"]`)?.remove();
  if (text === null) return;
  const one = el("div", { class: `notice ${tone}`, "data-kind": kind }, el("span", { text }), ...actions);
  one.append(button("×", () => one.remove(), { "aria-label": "Close the message", class: "close" }));
  box.append(one);
}

/**
 * A canvas as sharp as the screen.
 * @param {HTMLCanvasElement} canvas
 * @returns {{ context: CanvasRenderingContext2D, width: number, height: number, ratio: number }}
 */
export function sharp(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  const wanted = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wanted[0] || canvas.height !== wanted[1]) [canvas.width, canvas.height] = wanted;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width, height, ratio };
}

/** Call a function at most once per picture of the screen. @param {() => void} act */
export function onFrame(act) {
  let asked = 0;
  return () => {
    if (!asked) asked = requestAnimationFrame(() => { asked = 0; act(); });
  };
}

/** @param {number|null|undefined} value @param {number} [digits] */
export function shown(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(digits)));
}

/** Seconds as people read them. @param {number} seconds */
export function clock(seconds) {
  const whole = Math.abs(seconds), sign = seconds < 0 ? "−" : "";
  if (whole < 60) return `${sign}${Number(whole.toFixed(2))} s`;
  const h = Math.floor(whole / 3600), m = Math.floor((whole % 3600) / 60), s = whole % 60;
  const rest = s.toFixed(s % 1 > 0.005 ? 1 : 0).padStart(s % 1 > 0.005 ? 4 : 2, "0");
  return h ? `${sign}${h}:${String(m).padStart(2, "0")}:${rest}` : `${sign}${m}:${rest}`;
}

/** A stored time, in the reader's zone. @param {string|null} text */
export function when(text) {
  if (!text) return "–";
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? text : time.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
