// What `forget` says: restic's tables of what is kept, with the rules that keep it, and of what goes; or its JSON.

import type { Id } from "../base/bytes.ts";
import type { ForgetGroup } from "../repository/forget.ts";
import type { FoundSnapshot } from "../repository/snapshots.ts";
import { goJson } from "../restic/json-fields.ts";
import type { Context } from "./command.ts";
import { formatDuration, shortId } from "./format.ts";
import { snapshotMessage } from "./snapshot-message.ts";
import { formatGroupHeader, formatSnapshots } from "./snapshot-table.ts";
import type { SnapshotRow } from "./snapshot-table.ts";

/** The tables of every group. */
export function printForgetGroups(
  context: Context,
  groups: readonly ForgetGroup[],
  compact: boolean,
): void {
  const { output, settings, clock } = context;
  if (!output.shows(1)) return;
  const print = (action: string, rows: readonly SnapshotRow[]): void => {
    if (rows.length === 0) return;
    output.print(`${action} ${rows.length} snapshots:`);
    const now = output.isTerminal ? clock.now() : undefined;
    const { timeZone } = settings;
    for (const line of formatSnapshots(rows, { compact, timeZone, now })) output.print(line);
    output.print("");
  };
  for (const group of groups) {
    const header = formatGroupHeader(group);
    // restic names a group only with -v; at a terminal nobody should have to guess.
    if (header !== undefined && (output.shows(2) || output.isTerminal)) output.print(header);
    print(
      "keep",
      group.reasons.map(({ kept, matches }) => ({ ...kept, reasons: matches })),
    );
    print("remove", group.remove);
  }
}

/** restic's line of --dry-run. */
export function printWouldRemove({ output }: Context, ids: readonly Id[]): void {
  const names = ids.toSorted().map(shortId);
  output.print(`Would have removed the following snapshots:\n{${names.join(" ")}}\n`);
}

/** restic's line once its counter has reached the end. */
export function printRemoved({ output }: Context, count: number, seconds: number): void {
  output.print(`[${formatDuration(seconds)}] 100.00%  ${count} / ${count} files deleted`);
}

/** The groups as one array; nothing where there are none. */
export function printForgetJson({ output }: Context, groups: readonly ForgetGroup[]): void {
  const list = (found: readonly FoundSnapshot[]): unknown =>
    found.length === 0 ? null : found.map(snapshotMessage);
  const messages = groups.map(({ hostname, paths, tags, keep, remove, reasons }) => ({
    tags: tags ?? null,
    host: hostname,
    paths: paths ?? null,
    keep: list(keep),
    remove: list(remove),
    reasons:
      reasons.length === 0
        ? null
        : reasons.map(({ kept, matches }) => ({ snapshot: snapshotMessage(kept), matches })),
  }));
  if (messages.length > 0) output.data(goJson(messages));
}
