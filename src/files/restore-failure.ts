// What a failed system call on the target means for a restore: most concern one file, some all that are left.

import { HoldfastError, errnoOf, messageOf } from "../base/errors.ts";
import { byteStringToText } from "../restic/byte-string.ts";

/** What no other file can do better with. */
const CONCERNS_ALL: Readonly<Record<string, string>> = {
  ENOSPC: "is full",
  EDQUOT: "has no quota left",
  EROFS: "is read-only",
};

/**
 * The error to report for one file of the target (`path` is a byte string); throws it when it would be the same for all
 * others, so that a full disk is told once and not a million times.
 */
export function targetFailure(path: string, error: unknown): HoldfastError {
  const why = CONCERNS_ALL[errnoOf(error) ?? ""];
  const message = `${byteStringToText(path)}: ${messageOf(error)}`;
  if (why === undefined) return new HoldfastError("TARGET_UNWRITABLE", message, { cause: error });
  throw new HoldfastError("TARGET_UNWRITABLE", `the restore target ${why}: ${message}`, {
    hint: "Make room there, then run the same restore again: it continues where this one stopped.",
    cause: error,
  });
}
