// How the program ends: restic's exit codes, which scripts and VolSync's movers decide by. `holdfast help` and the
// manual quote this list.

import { isHoldfastError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";

export const EXIT: {
  readonly ok: 0;
  readonly failed: 1;
  readonly incomplete: 3;
  readonly noRepository: 10;
  readonly locked: 11;
  readonly wrongPassword: 12;
  /** Of `pg wal-fetch` alone, and only to bin/holdfast, which makes 1 of it: the archive surely does not hold it. */
  readonly absent: 94;
  /** The least status of a failing `pg wal-fetch`: PostgreSQL takes lower ones for "there is no more WAL". */
  readonly noAnswer: 126;
  /** As shells say it. */
  readonly noSuchCommand: 127;
  readonly cancelled: 130;
  readonly unread: 141;
  /** SOPS's own: an editor that left a file as it was. */
  readonly unchanged: 200;
} = {
  ok: 0,
  failed: 1,
  incomplete: 3,
  noRepository: 10,
  locked: 11,
  wrongPassword: 12,
  absent: 94,
  noAnswer: 126,
  noSuchCommand: 127,
  cancelled: 130,
  unread: 141,
  unchanged: 200,
};

/** SOPS's own, so that scripts around `sops` can tell them apart as before. */
const SOPS_STATUS: Readonly<Partial<Record<ErrorCode, number>>> = {
  SOPS_DECRYPT_FAILED: 25,
  SOPS_MAC_MISMATCH: 51,
  SOPS_NO_KEY: 128,
  SOPS_ENCRYPTED: 203,
};

/** What each exit status means, in one line. */
export const EXIT_MEANINGS: readonly (readonly [status: number, meaning: string])[] = [
  [EXIT.ok, "the command was successful"],
  [EXIT.failed, "the command failed"],
  [EXIT.incomplete, "the command finished, but some items could not be processed"],
  [EXIT.noRepository, "the repository does not exist"],
  [EXIT.locked, "the repository is already locked"],
  [EXIT.wrongPassword, "the password is wrong"],
  [25, "a value of a SOPS document does not open"],
  [51, "a SOPS document was changed after it was encrypted"],
  [EXIT.noAnswer, "pg wal-fetch failed; that the archive does not hold the file is 1"],
  [EXIT.noSuchCommand, "the program could not be started, or pg has no such command"],
  [128, "no key on this machine opens the SOPS document"],
  [EXIT.cancelled, "the command was stopped by a signal"],
  [EXIT.unread, "nobody read the output to its end"],
  [EXIT.unchanged, "the editor left the SOPS document as it was"],
  [203, "the SOPS document is encrypted already"],
];

/** The exit status for an error that ends the program. */
export function exitStatus(error: unknown): number {
  if (isHoldfastError(error, "INCOMPLETE", "RECOVERY_INCOMPLETE", "ODOO_INCONSISTENT"))
    return EXIT.incomplete;
  if (isHoldfastError(error, "REPO_NOT_FOUND")) return EXIT.noRepository;
  if (isHoldfastError(error, "REPO_LOCKED")) return EXIT.locked;
  if (isHoldfastError(error, "WRONG_PASSWORD")) return EXIT.wrongPassword;
  const ofSops = isHoldfastError(error) ? SOPS_STATUS[error.code] : undefined;
  if (ofSops !== undefined) return ofSops;
  return isCancellation(error) ? EXIT.cancelled : EXIT.failed;
}

/** True for our own cancellation and for that of an aborted signal. */
export function isCancellation(error: unknown): boolean {
  return (
    isHoldfastError(error, "CANCELLED") || (error instanceof Error && error.name === "AbortError")
  );
}
