// Passwords as rclone's configuration holds them: hidden from a glance, not from anyone who tries, because the key is the
// same everywhere and public. AES-256-CTR with the counter's start in front, in base64 for URLs.

import { createDecipheriv } from "node:crypto";

const KEY = Buffer.from("9c935b48730a554d6bfd7c63c886a92bd390198eb8128afbf4de162b8b95f638", "hex");
const BLOCK_BYTES = 16;

/** The password behind `obscured`, or undefined when it was not obscured. */
export function reveal(obscured: string): string | undefined {
  if (!/^[\w-]+$/.test(obscured)) return undefined;
  const bytes = Buffer.from(obscured, "base64url");
  if (bytes.length < BLOCK_BYTES) return undefined;
  const decipher = createDecipheriv("aes-256-ctr", KEY, bytes.subarray(0, BLOCK_BYTES));
  return decipher.update(bytes.subarray(BLOCK_BYTES)).toString("utf8");
}
