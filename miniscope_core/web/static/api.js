/** Asking the server: JSON, and packed numbers (see packing.py). */

export class ApiError extends Error {
  /** @param {number} status @param {string} kind @param {string} message */
  constructor(status, kind, message) {
    super(message);
    this.status = status;
    this.kind = kind;
  }
}

/** The server does not answer at all. */
export class AwayError extends Error {}

const TYPES = {
  float32: Float32Array, float64: Float64Array, int32: Int32Array, int64: BigInt64Array,
  uint16: Uint16Array, uint8: Uint8Array, bool: Uint8Array,
};

/** @param {string} path @param {Record<string, any>} [query] @param {AbortSignal} [signal] */
export async function get(path, query = {}, signal = undefined) {
  return read(await ask(path + asQuery(query), { signal }), "json");
}

/**
 * @param {string} path @param {Record<string, any>} [query] @param {AbortSignal} [signal]
 * @returns {Promise<{ meta: any, arrays: Record<string, any>, shapes: Record<string, number[]> }>}
 */
export async function getPacked(path, query = {}, signal = undefined) {
  const body = await read(await ask(path + asQuery(query), { signal }), "arrayBuffer");
  const begin = 4 + new DataView(body).getUint32(0, true);
  const meta = JSON.parse(new TextDecoder().decode(new Uint8Array(body, 4, begin - 4)));
  const arrays = {}, shapes = {};
  for (const { name, dtype, shape, offset } of meta.arrays) {
    const count = shape.reduce((product, n) => product * n, 1);
    arrays[name] = new TYPES[dtype](body, begin + offset, count);
    shapes[name] = shape;
  }
  return { meta, arrays, shapes };
}

/** @param {string} path @param {any} body */
export async function post(path, body) {
  const headers = { "Content-Type": "application/json", "X-Miniscope": "1" };
  return read(await ask(path, { method: "POST", headers, body: JSON.stringify(body) }), "json");
}

const AUTHOR = "miniscope-author";

/** The name that the person before this browser gave; empty: the server's own. */
export const author = () => localStorage.getItem(AUTHOR) ?? "";

/** @param {string} name */
export function setAuthor(name) {
  if (name) localStorage.setItem(AUTHOR, name); else localStorage.removeItem(AUTHOR);
}

async function ask(path, { headers = {}, ...options }) {
  const said = author() ? { "X-Miniscope-Author": encodeURIComponent(author()) } : {};
  let answer;
  try {
    answer = await fetch(`/api/${path}`, { credentials: "same-origin", cache: "no-store", headers: { ...headers, ...said }, ...options });
  } catch (error) {
    throw away(error);
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new ApiError(answer.status, told.kind ?? "", told.error ?? `The server answered ${answer.status}.`);
}

/** Read an answer whole: a server may die in the middle of it. */
async function read(answer, kind) {
  try {
    return await answer[kind]();
  } catch (error) {
    throw error instanceof SyntaxError ? error : away(error);
  }
}

function away(error) {
  return error.name === "AbortError" ? error : new AwayError("The server does not answer.");
}

function asQuery(query) {
  const text = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)])).toString();
  return text ? `?${text}` : "";
}
