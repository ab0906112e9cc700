// Looks at one file of a filestore: is it there, has it the length that its row says, and the content that its name promises?
// Follows no link, waits for no pipe, and changes nothing (not even the time of the last access, where the system lets us).

import { createHash } from "node:crypto";
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from "node:fs";
import { errnoOf, messageOf } from "../../base/errors.ts";

/** What became of a file. */
export type Condition =
  | { readonly state: "ok"; readonly size: number }
  | { readonly state: "missing" }
  /** No bytes at all, though its name is not that of nothing. */
  | { readonly state: "empty" }
  /** Shorter than its row says. */
  | { readonly state: "truncated"; readonly size: number }
  /** As long as it should be or longer, with another content. */
  | { readonly state: "altered"; readonly size: number; readonly found?: string | undefined }
  /** A link, a folder, a file that may not be read, a copy that does not open. */
  | { readonly state: "unreadable"; readonly reason: string };

export interface Examined {
  readonly path: string;
  readonly sha1: string;
  /** Bytes that the rows say, -1 where they do not. */
  readonly expected: number;
}

const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Looks at the file's size alone. */
export function examineSize({ path, expected, sha1 }: Examined): Condition {
  try {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return { state: "missing" };
    if (!stat.isFile()) return { state: "unreadable", reason: "it is no regular file" };
    return judge({ size: stat.size, expected, sha1, found: undefined });
  } catch (error) {
    return failure(error);
  }
}

/** Reads the file through `buffer`. */
export function examineContent({ path, expected, sha1 }: Examined, buffer: Uint8Array): Condition {
  let descriptor: number;
  try {
    descriptor = openSync(path, FLAGS);
  } catch (error) {
    return failure(error);
  }
  try {
    if (!fstatSync(descriptor).isFile())
      return { state: "unreadable", reason: "it is no regular file" };
    const sum = createHash("sha1");
    let size = 0;
    for (;;) {
      const read = readSync(descriptor, buffer, 0, buffer.length, null);
      if (read === 0) break;
      size += read;
      sum.update(buffer.subarray(0, read));
    }
    return judge({ size, expected, sha1, found: sum.digest("hex") });
  } catch (error) {
    return failure(error);
  } finally {
    closeSync(descriptor);
  }
}

/** The condition of a file by its size, and by the SHA-1 of its content if that was read. */
export function judge(file: {
  readonly size: number;
  readonly expected: number;
  readonly sha1: string;
  readonly found: string | undefined;
}): Condition {
  const { size, expected, sha1, found } = file;
  const isGood = found === undefined ? expected < 0 || size === expected : found === sha1;
  const isNothing = size === 0 && (found === undefined ? expected !== 0 : found !== sha1);
  if (isNothing) return { state: "empty" };
  if (isGood) return { state: "ok", size };
  return size < expected ? { state: "truncated", size } : { state: "altered", size, found };
}

function failure(error: unknown): Condition {
  const code = errnoOf(error);
  if (code === "ENOENT" || code === "ENOTDIR") return { state: "missing" };
  const reason = code === "ELOOP" ? "it is a symbolic link" : (code ?? messageOf(error));
  return { state: "unreadable", reason };
}
