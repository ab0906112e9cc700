// Where a recovery to the end of an archive ended. PostgreSQL takes a hole in the log for its end, and opens the database there;
// what the catalogue showed when the recovery began tells the two apart.

import { parseLsn, segmentStart } from "../barman/lsn.ts";
import { segmentName } from "../barman/wal-name.ts";
import { HoldfastError } from "../base/errors.ts";
import type { RestorePlan } from "./restore-plan.ts";
import type { ServerState } from "./scratch.ts";

/**
 * A database that opened before the last WAL that the plan found had lost what follows: its server was told that a segment in
 * the middle does not exist. Throws WAL_MISSING.
 */
export function requireArchiveEnd({ choice, folder }: RestorePlan, state: ServerState): void {
  const last = choice.wal.stretches.at(-1);
  if (state.state !== "open" || choice.target.kind !== "latest" || last === undefined) return;
  const { segmentSize } = choice.backup.info!;
  if (parseLsn(state.lsn, "the server") >= segmentStart(last.last, segmentSize)) return;
  const name = segmentName(last.timeline, last.last, segmentSize);
  throw new HoldfastError(
    "WAL_MISSING",
    `the recovery ended at ${state.lsn}, although the archive held WAL through ${name} when it began`,
    {
      hint: `Look for what is missing with \`holdfast pg info\`, and restore again; do not use ${folder.path}.`,
    },
  );
}
