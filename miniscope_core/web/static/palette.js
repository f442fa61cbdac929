/**
 * How states look: by colour (Okabe and Ito's, which stay apart in every common form of colour blindness), by the
 * style of the line, by a sign, and by the word.
 */
export const STATES = {
  accepted: { word: "accepted", sign: "●", colour: "#E69F00", dash: [], width: 1.5 },
  rejected: { word: "rejected", sign: "○", colour: "#56B4E9", dash: [4, 3], width: 1.3 },
  "merged-accepted": { word: "accepted, merged", sign: "◆", colour: "#E58FC0", dash: [], width: 2.6 },
  "merged-rejected": { word: "rejected, merged", sign: "◇", colour: "#B9A3E3", dash: [8, 3, 2, 3], width: 1.6 },
};
export const SELECTED = "#FFFFFF";
export const MARKED = "#F0E442";
export const PART = { colour: "#C8CDD6", dash: [1.5, 2.5], width: 1 };
export const COURSES = {
  fluorescence: { word: "fluorescence", colour: "#8E97A6" },
  traces: { word: "denoised", colour: "#F2B134" },
  residual: { word: "residual", colour: "#9AA3B2" },
  activity: { word: "activity", colour: "#5CC8A5" },
};
export const COMPARED = ["#56B4E9", "#E58FC0", "#F0E442"];
export const TYPES = ["soma", "axon", "dendrite", "neuropil", "artefact", "unknown"];
export const INK = "#E8EAED";
export const MUTED = "#A9B0BC";
export const RULE = "#353A44";
