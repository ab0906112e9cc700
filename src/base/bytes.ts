// Byte helpers shared by all layers. Ids are 32 bytes (SHA-256); as text, 64 lowercase hex digits.

import { createHash, hash } from "node:crypto";

/** Number of bytes in an id. */
export const ID_BYTES = 32;

/** An id as 64 lowercase hex digits. */
export type Id = string;

const ID_TEXT = /^[0-9a-f]{64}$/;

/** True when `text` has the form of an id. */
export function isId(text: string): text is Id {
  return ID_TEXT.test(text);
}

/** A Buffer over the same memory as `bytes` (no copy). */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Lowercase hex of `bytes`. */
export function toHex(bytes: Uint8Array): string {
  return asBuffer(bytes).toString("hex");
}

/** Bytes of a hex text; throws RangeError when it is not hex of whole bytes. */
export function fromHex(text: string): Uint8Array {
  const bytes = Buffer.from(text, "hex");
  if (bytes.length * 2 !== text.length) throw new RangeError("not a hex text of whole bytes");
  return bytes;
}

/** SHA-256 of `bytes` as 64 hex digits. */
export function sha256Hex(bytes: Uint8Array): Id {
  return hash("sha256", bytes, "hex");
}

/** SHA-256 of `bytes` as 32 bytes. */
export function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

/** True when both have the same length and content. Not constant time. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

/**
 * Whether `id`, 32 bytes, is the SHA-256 of `content`. The digest comes as text: as memory of its own, which Node makes for
 * each, a small blob would take three times as long, and the millions of them would be left to the garbage collector.
 */
export function isSha256Of(content: Uint8Array, id: Uint8Array): boolean {
  const digest = hash("sha256", content, "binary");
  for (let i = 0; i < ID_BYTES; i++) if (digest.charCodeAt(i) !== id[i]) return false;
  return true;
}

/** The concatenation of `parts`. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}
