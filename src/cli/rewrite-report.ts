// What `rewrite` says of each snapshot, in restic's words.

import type { Id } from "../base/bytes.ts";
import type { Relabelling } from "../files/rewrite-snapshot.ts";
import type { RewriteOptions } from "../files/rewrite-tree.ts";
import { byteStringToText } from "../restic/byte-string.ts";
import type { FoundSnapshot } from "../repository/snapshots.ts";
import { shortId } from "./format.ts";
import type { Output } from "./output.ts";
import { describeSnapshot, goTime } from "./snapshot-table.ts";

export function printSnapshot(output: Output, { id, snapshot }: FoundSnapshot): void {
  output.print(`\n${describeSnapshot(id, snapshot)}`);
}

/** For -vv: an entry that leaves, or that was asked for. */
export function entryReporter(
  output: Output,
  includes: boolean,
): Pick<RewriteOptions, "onEntry" | "onEmptyDirectory"> {
  if (!output.shows(3)) return {};
  const quoted = (path: string): string => JSON.stringify(byteStringToText(path));
  return {
    onEntry: (path, stays, isDirectory) => {
      if (!includes && !stays) output.veryVerbose(`excluding ${quoted(path)}`);
      if (includes && stays && !isDirectory) output.veryVerbose(`including ${quoted(path)}`);
    },
    onEmptyDirectory: (path) => {
      if (includes) output.veryVerbose(`including directory ${quoted(path)}`);
    },
  };
}

/** What a dry run would have done. */
export function printWouldRewrite(
  output: Output,
  { forget, relabelling: { time, hostname } }: { forget: boolean; relabelling: Relabelling },
): void {
  output.print("would save new snapshot");
  if (forget) output.print("would remove old snapshot");
  if (time !== undefined) output.print(`would set time to ${goTime(time)}`);
  if (hostname !== undefined) output.print(`would set hostname to ${hostname}`);
}

export function printRewritten(
  output: Output,
  { forget, relabelling: { time, hostname } }: { forget: boolean; relabelling: Relabelling },
  { old, fresh }: { old: Id; fresh: Id },
): void {
  if (time !== undefined) output.print(`setting time to ${goTime(time)}`);
  if (hostname !== undefined) output.print(`setting host to ${hostname}`);
  output.print(`saved new snapshot ${shortId(fresh)}`);
  if (forget) output.print(`removed old snapshot ${shortId(old)}`);
}

export function printTotal(output: Output, count: number, dryRun: boolean): void {
  output.print("");
  if (count === 0) output.print(`no snapshots ${dryRun ? "would be" : "were"} modified`);
  else output.print(`${dryRun ? "would modify" : "modified"} ${count} snapshots`);
}
