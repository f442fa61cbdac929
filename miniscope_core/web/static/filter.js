/**
 * The filter of the table: `snr > 3 and npix < 500`, read by a parser of its own; nothing typed is ever run.
 *
 *   filter     = alternative { "or" alternative }
 *   alternative = part { ["and"] part }
 *   part       = "not" part | "(" filter ")" | name compare value | word
 *   compare    = "<" | "<=" | ">" | ">=" | "=" | "==" | "!="
 *
 * Words stand for units by their state: accepted, rejected, merged, decided, undecided, changed, marked. A number that
 * was not measured fits no comparison but "!=".
 */

export const WORDS = ["accepted", "rejected", "merged", "decided", "undecided", "changed", "marked"];
const KEYWORDS = ["and", "or", "not"];
const TOKEN = /\s*(?:(<=|>=|==|!=|<|>|=|\(|\))|(-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?(?![\w.]))|([a-z_][\w]*))/iy;
const COMPARE = {
  "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
  "=": (a, b) => a === b, "==": (a, b) => a === b, "!=": (a, b) => a !== b,
};

/** What is wrong with a filter, and where. */
export class FilterError extends Error {
  /** @param {string} message @param {number} at */
  constructor(message, at) {
    super(message);
    this.at = at;
  }
}

/**
 * Read a filter.
 * @param {string} text
 * @param {{ numbers: string[], texts: Record<string, string[]> }} known names of numbers, and of texts with their values
 * @returns {(unit: { number: (name: string) => number, text: (name: string) => string, is: (word: string) => boolean })
 *   => boolean}
 */
export function parseFilter(text, known) {
  const tokens = tokenise(text);
  if (!tokens.length) return () => true;
  let at = 0;
  const peek = () => tokens[at];
  const end = () => text.length;
  const isWord = (word) => peek()?.kind === "name" && peek().text.toLowerCase() === word;
  const isSign = (sign) => peek()?.kind === "sign" && peek().text === sign;

  function filter() {
    const parts = [alternative()];
    while (isWord("or")) { at += 1; parts.push(alternative()); }
    return parts.length === 1 ? parts[0] : (unit) => parts.some((one) => one(unit));
  }
  function alternative() {
    const parts = [part()];
    while (peek() && !isWord("or") && !isSign(")")) {
      if (isWord("and")) at += 1;
      parts.push(part());
    }
    return parts.length === 1 ? parts[0] : (unit) => parts.every((one) => one(unit));
  }
  function part() {
    const token = peek();
    if (!token) throw new FilterError("something is missing at the end", end());
    if (isWord("not")) { at += 1; const inner = part(); return (unit) => !inner(unit); }
    if (isSign("(")) {
      at += 1;
      const inner = filter();
      if (!isSign(")")) throw new FilterError("a “)” is missing", peek()?.at ?? end());
      at += 1;
      return inner;
    }
    if (token.kind !== "name" || KEYWORDS.includes(token.text.toLowerCase())) {
      throw new FilterError(`“${token.text}” is not expected here`, token.at);
    }
    at += 1;
    const name = token.text.toLowerCase();
    const next = peek();
    if (next?.kind === "sign" && next.text in COMPARE) { at += 1; return comparison(name, token, next); }
    if (WORDS.includes(name)) return (unit) => unit.is(name);
    const isNumber = known.numbers.includes(name) || name in known.texts;
    throw new FilterError(isNumber ? `“${name}” needs a comparison` : `“${token.text}” is not known`, token.at);
  }
  function comparison(name, token, sign) {
    const value = peek();
    if (!value || value.kind === "sign") throw new FilterError("a value is missing", value?.at ?? end());
    at += 1;
    const compare = COMPARE[sign.text];
    if (known.numbers.includes(name)) {
      if (value.kind !== "number") throw new FilterError(`“${name}” is compared with a number`, value.at);
      const bound = Number(value.text);
      return (unit) => compare(unit.number(name), bound);
    }
    if (Object.hasOwn(known.texts, name)) {
      const wanted = value.text.toLowerCase();
      if (!["=", "==", "!="].includes(sign.text)) throw new FilterError(`“${name}” is equal or not`, sign.at);
      if (!known.texts[name].includes(wanted)) {
        throw new FilterError(`“${value.text}” is none of ${known.texts[name].join(", ")}`, value.at);
      }
      return (unit) => compare(unit.text(name), wanted);
    }
    throw new FilterError(`“${token.text}” is not known`, token.at);
  }

  const read = filter();
  if (peek()) throw new FilterError(`“${peek().text}” is not expected here`, peek().at);
  return read;
}

function tokenise(text) {
  const tokens = [];
  let at = 0;
  while (text.slice(at).trim()) {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(text);
    const begin = at + /^\s*/.exec(text.slice(at))[0].length;
    if (!found) throw new FilterError(`“${text[begin]}” is not expected here`, begin);
    const kind = found[1] ? "sign" : found[2] ? "number" : "name";
    tokens.push({ kind, text: found[1] ?? found[2] ?? found[3], at: begin });
    at = TOKEN.lastIndex;
  }
  return tokens;
}
