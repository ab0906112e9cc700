// Names of objects: which keys and prefixes a storage accepts (the rules of src/storage/storage.ts).
// A key that breaks them is a defect of the caller: names from outside are checked before they come this far.

import { HoldfastError } from "../base/errors.ts";

/** Printable ASCII without the separators of any system. */
const SEGMENT = /^[\x20-\x2e\x30-\x5b\x5d-\x7e]+$/;

/** What backends append to the final name while they write; restic's own end in digits. */
const TEMPORARY = /-tmp-[0-9a-f]+$/;

/** True when the last segment of `name` is that of a temporary object, which lists never show. */
export function isTemporaryName(name: string): boolean {
  return TEMPORARY.test(name);
}

/** True when `key` can name an object. */
export function isKey(key: string): boolean {
  return key.split("/").every(isSegment) && !isTemporaryName(key);
}

/** Throws BUG when `key` cannot name an object. */
export function checkKey(key: string): void {
  if (!isKey(key)) throw new HoldfastError("BUG", `not an object key: ${JSON.stringify(key)}`);
}

/** The prefix as "" or with one final "/": "data" and "data/" mean the same. BUG when it is neither. */
export function normalPrefix(prefix: string): string {
  if (prefix === "") return "";
  const segments = prefix.endsWith("/") ? prefix.slice(0, -1) : prefix;
  if (segments.split("/").every(isSegment)) return `${segments}/`;
  throw new HoldfastError("BUG", `not a prefix of object keys: ${JSON.stringify(prefix)}`);
}

function isSegment(segment: string): boolean {
  return segment !== "." && segment !== ".." && SEGMENT.test(segment);
}
