// Errors of the file system as errors of the storage contract: the code decides what callers do next.

import { getSystemErrorMessage } from "node:util";
import { errnoOf, HoldfastError, messageOf } from "../../base/errors.ts";
import type { ErrorCode, ErrorFields } from "../../base/errors.ts";

interface Meaning {
  readonly code: ErrorCode;
  readonly fields: ErrorFields;
}

const DENIED = "check the owner and the permissions of the repository directory";
const FULL = "free some space on the file system or raise the quota, then run it again";

// Passing faults: of network file systems, and of limits that other work of the machine exhausts for a while.
const PASSING = new Set(
  (
    "EAGAIN EBUSY ECONNABORTED ECONNREFUSED ECONNRESET EHOSTDOWN EHOSTUNREACH EINTR EMFILE " +
    "ENETDOWN ENETUNREACH ENFILE ENOBUFS ENOMEM ENOTCONN ESTALE ETIMEDOUT"
  ).split(" "),
);

/** The storage error for a failed call on `what` (a key or a path): `cannot <verb> <what>: <reason>`. */
export function storageError(error: unknown, verb: string, what: string): HoldfastError {
  if (error instanceof HoldfastError) return error;
  const { code, fields } = meaningOf(errnoOf(error));
  const message = `cannot ${verb} ${what}: ${reasonOf(error)}`;
  return new HoldfastError(code, message, { ...fields, cause: error });
}

/** True when `error` says that a name, or a directory on the way to it, does not exist. */
export function isAbsent(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === "ENOENT" || errno === "ENOTDIR";
}

function meaningOf(errno: string | undefined): Meaning {
  switch (errno) {
    case "ENOENT":
    case "ENOTDIR":
      return { code: "STORAGE_NOT_FOUND", fields: {} };
    case "EACCES":
    case "EPERM":
      return { code: "STORAGE_DENIED", fields: { hint: DENIED } };
    case "EROFS":
      return { code: "STORAGE_DENIED", fields: { hint: "mount the file system writable" } };
    case "ENOSPC":
    case "EDQUOT":
      return { code: "STORAGE_FULL", fields: { hint: FULL } };
    default:
      return errno !== undefined && PASSING.has(errno)
        ? { code: "STORAGE_UNAVAILABLE", fields: { retryable: true } }
        : { code: "STORAGE_FAILED", fields: {} };
  }
}

/** The system's words without Node's prefix, which repeats the path of a temporary file. */
function reasonOf(error: unknown): string {
  const errno = (error as { errno?: unknown } | null)?.errno;
  if (typeof errno !== "number") return messageOf(error);
  return `${getSystemErrorMessage(errno)} (${errnoOf(error) ?? errno})`;
}
