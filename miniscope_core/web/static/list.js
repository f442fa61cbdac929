/** What waits for a person, and what was decided. */

import { get } from "./api.js";
import { button, el, when } from "./dom.js";

/** @param {HTMLElement} content */
export async function showList(content) {
  const { processings } = await get("processings");
  const waiting = processings.filter((one) => one.reviews.length);
  const rest = processings.filter((one) => !one.reviews.length);
  content.replaceChildren(el("div", { class: "page" },
    el("h1", { text: "Processings" }),
    part("Waiting for a decision", waiting, "Nothing waits for a decision.", true),
    part(waiting.length ? "All others" : "All processings", rest, waiting.length ? "There are no others." : "Nothing was processed yet.", false)));
}

function part(title, items, none, open) {
  return el("section", { class: "list-part", "aria-label": title }, el("h2", { text: title }),
    items.length ? items.map((item) => card(item, open)) : el("p", { class: "muted", text: none }));
}

function card(item, open) {
  const reviews = item.reviews.map((review) => el("p", { class: "waits" },
    el("span", { class: "chip waiting", text: review.overdue ? "⏲ overdue" : "⏳ waiting" }),
    ` asked for ${when(review.requested)}` + (review.deadline ? `, until ${when(review.deadline)}` : "") +
    (review.run ? ", a flow run waits for it" : "")));
  const rows = [...item.curations].reverse().map((one) => el("tr", {},
    el("th", { scope: "row", text: one.curation_id }),
    el("td", {}, el("span", { text: one.curator }), ...(one.manual ? [] : [el("span", { class: "muted", text: " (automatic)" })])),
    el("td", { text: when(one.when) }), el("td", { class: "number", text: `${one.accepted_count} / ${one.unit_count}` }),
    el("td", { text: one.extracted ? "yes" : "not yet" }), el("td", { class: "note", text: one.note })));
  const draft = item.draft ? el("span", { class: "chip draft", text: `your draft: ${item.draft.edits} edits` }) : null;
  const link = el("a", { href: `#/${item.task.split("/").map(encodeURIComponent).join("/")}`, class: "open", text: item.task });
  return el("article", { class: "panel card", "data-task": item.task },
    el("div", { class: "tools" }, el("h3", {}, link), draft, el("span", { class: "grow" }),
      el("span", { class: "muted", text: `${item.method}, ${item.unit_count} units, ${item.engine_accepted_count} accepted by the engine` }),
      button("Curate", () => link.click(), { class: open ? "primary" : "", "aria-label": `Curate ${item.task}` })),
    reviews,
    rows.length ? el("table", { class: "list" }, el("thead", {}, el("tr", {},
      ["version", "author", "when", "accepted", "extracted", "note"].map((text) => el("th", { scope: "col", text })))), el("tbody", {}, rows))
      : el("p", { class: "muted", text: "Nobody decided on it yet." }));
}
