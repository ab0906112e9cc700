// Reading JSON objects member by member (docs/formats/restic.md#json), for what JSON.parse cannot give back: integers
// above 2^53 and the exact text of members that this program does not know but has to preserve.

/** A non-negative integer below 2^64: a bigint only above Number.MAX_SAFE_INTEGER. */
export type Uint64 = number | bigint;

const DIGITS = /^(?:0|[1-9]\d{0,19})$/;
const UINT64_MAX = (1n << 64n) - 1n;

/** The integer written in `text`, or undefined when it is not one below 2^64. */
export function parseUint64(text: string): Uint64 | undefined {
  if (!DIGITS.test(text)) return undefined;
  const value = BigInt(text);
  if (value > UINT64_MAX) return undefined;
  return value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

/** True for an integer from 0 up to 2^32 - 1. */
export function isUint32(value: unknown): value is number {
  return typeof value === "number" && value >>> 0 === value;
}

/** True for an integer from 0 up to 2^53 - 1. */
export function isUint53(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

export function isString(value: unknown): value is string {
  return typeof value === "string";
}

/** The object that `text` is as JSON, or undefined when it is anything else. */
export function parseJsonObject(text: string): Record<string, unknown> | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return value as Record<string, unknown>;
}

/**
 * The members of a JSON object as key → exact text of the value. `text` must be an object that JSON.parse accepted;
 * of equal keys the last one counts.
 */
export function splitJsonObject(text: string): Map<string, string> {
  const members = new Map<string, string>();
  let at = text.indexOf("{") + 1;
  for (;;) {
    const keyStart = text.indexOf('"', at);
    if (keyStart < 0) return members;
    const keyEnd = endOfString(text, keyStart);
    const colon = text.indexOf(":", keyEnd);
    const end = endOfValue(text, colon + 1);
    const key = JSON.parse(text.slice(keyStart, keyEnd)) as string;
    members.set(key, text.slice(colon + 1, end).trim());
    at = end;
  }
}

/** Members whose key is not in `known`, as text to append to an object: `"a":1,"b":[]`, or "". */
export function unknownMembers(text: string, known: ReadonlySet<string>): string {
  let extra = "";
  for (const [key, value] of splitJsonObject(text)) {
    if (!known.has(key)) extra += `${extra === "" ? "" : ","}${JSON.stringify(key)}:${value}`;
  }
  return extra;
}

/** Index after the closing quote of the string that opens at `start`. */
function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x5c) i++;
    else if (code === 0x22) return i + 1;
  }
  return text.length;
}

/** Index of the comma or bracket that ends the value starting at `start`. */
function endOfValue(text: string, start: number): number {
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    const char = text[i];
    if (char === '"') i = endOfString(text, i) - 1;
    else if (char === "{" || char === "[") depth++;
    else if (char === "}" || char === "]") {
      if (depth-- === 0) return i;
    } else if (char === "," && depth === 0) return i;
  }
  return text.length;
}
