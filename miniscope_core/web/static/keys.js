/** Keys: what each does, told in the overlay and heard here. */

export const KEYS = [
  ["j  ↓", "next unit of the table"], ["k  ↑", "previous unit"], ["Shift ↓ ↑", "select several"],
  ["n  N", "next, previous undecided"], ["a", "accept"], ["r", "reject"],
  ["1 – 6", "soma, axon, dendrite, neuropil, artefact, unknown"], ["7", "take the type back"],
  ["m", "merge the selected units"], ["s", "split a merged unit"], ["u  Ctrl+Z", "undo"], ["y  Ctrl+Y  Ctrl+Shift+Z", "redo"],
  ["/", "go to the filter"], ["Ctrl+A", "select all of the table"], ["Space", "select one more (in the table)"], ["Esc", "select only one"],
  ["i  I", "next, previous image"], ["f", "show the unit large; again: the whole field"],
  ["+  −  0", "zoom (in the field, in the traces)"], ["← →", "move (in the field, in the traces)"],
  ["[  ]", "shorter, longer time"], [",  .", "earlier, later"],
  ["Ctrl+Enter", "submit"], ["?", "these keys"],
];

/**
 * Listen for keys of a page until it is left.
 * @param {Record<string, (event: KeyboardEvent) => void>} acts by key, those with Ctrl as `ctrl+z`
 * @param {() => boolean} singles whether single keys are heard
 * @returns {() => void} stops listening
 */
export function listen(acts, singles) {
  const hear = (event) => {
    if (event.defaultPrevented || event.altKey || document.querySelector("dialog[open]")) return;
    const control = event.ctrlKey || event.metaKey;
    if (isTyping(event.target)) return;
    const key = event.key.length === 1 && control ? event.key.toLowerCase() : event.key;
    const name = (control ? "ctrl+" : "") + (control && event.shiftKey ? "shift+" : "") + key;
    const act = acts[name];
    if (!act || (!control && key.length === 1 && !singles())) return;
    // A button is pressed by its own keys.
    if (event.target instanceof HTMLButtonElement && (key === " " || key === "Enter") && !control) return;
    event.preventDefault();
    act(event);
  };
  document.addEventListener("keydown", hear);
  return () => document.removeEventListener("keydown", hear);
}

function isTyping(target) {
  if (target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true;
  return target instanceof HTMLInputElement && !["checkbox", "radio", "button", "range"].includes(target.type);
}
