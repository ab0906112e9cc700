// Bytes that look random and are the same in every run: what tests use where content does not matter but a failure
// must be repeatable.

import { createCipheriv, createHash } from "node:crypto";

/** `length` bytes that depend on `seed` only. */
export function seededBytes(seed: string | number, length: number): Buffer {
  const key = createHash("sha256").update(String(seed)).digest();
  return createCipheriv("aes-256-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(length));
}
