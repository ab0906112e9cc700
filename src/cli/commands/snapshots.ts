// `snapshots`: lists the snapshots of the repository, with restic's options, table and JSON.

import {
  GROUP_BY_DEFAULT,
  groupSnapshots,
  parseGroupBy,
} from "../../repository/snapshot-groups.ts";
import type { SnapshotGroup } from "../../repository/snapshot-groups.ts";
import type { FoundSnapshot } from "../../repository/snapshots.ts";
import { goJson } from "../../restic/json-fields.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { wholeNumber } from "../option-values.ts";
import { withRepository } from "../session.ts";
import { addSnapshotFilter, collectSnapshots, snapshotFilter } from "../snapshot-choice.ts";
import type { FilterFlags } from "../snapshot-choice.ts";
import { snapshotMessage } from "../snapshot-message.ts";
import { formatGroupHeader, formatSnapshots } from "../snapshot-table.ts";

interface SnapshotsFlags extends FilterFlags {
  compact?: boolean;
  groupBy?: string;
  latest: number;
  last?: boolean;
}

export const snapshotsCommand: CommandModule = {
  stopsWithReader: true,

  configure(command) {
    command
      .argument("[snapshots...]", "ids, or starts of them, or `latest`; all that pass without any")
      .option("-c, --compact", "one short line for each snapshot")
      .option("-g, --group-by <keys>", "a table for each group: host, paths, tags")
      .option(
        "--latest <n>",
        "only the last n of each host and paths, or of each group",
        wholeNumber,
        0,
      )
      .option("--last", "the same as --latest 1")
      .addHelpText(
        "after",
        `
Examples:
  holdfast snapshots
  holdfast snapshots --host web1 --latest 3
  holdfast snapshots --group-by tags --json`,
      );
    addSnapshotFilter(command);
  },

  async run(context, names, options) {
    const flags = options as unknown as SnapshotsFlags;
    const by = parseGroupBy(flags.groupBy ?? "");
    const filter = snapshotFilter(flags, context);
    const { found, complete } = await withRepository(context, "read", (repository, signal) =>
      collectSnapshots(context, repository, { names, filter, signal }),
    );
    const latest = flags.last === true && flags.latest === 0 ? 1 : flags.latest;
    const grouped = by.host || by.paths || by.tags;
    const groups = groupSnapshots(found, by).map((group) => ({
      ...group,
      snapshots: grouped ? newest(group.snapshots, latest) : newestOfEach(group.snapshots, latest),
    }));
    if (context.output.isJson) printJson(context, groups, grouped);
    else printTables(context, groups, flags.compact === true);
    return complete ? EXIT.ok : EXIT.failed;
  },
};

function newest(snapshots: readonly FoundSnapshot[], count: number): FoundSnapshot[] {
  return count > 0 ? snapshots.slice(-count) : [...snapshots];
}

/** The newest of each host and paths, still oldest first. */
function newestOfEach(snapshots: readonly FoundSnapshot[], count: number): FoundSnapshot[] {
  const groups = groupSnapshots(snapshots, GROUP_BY_DEFAULT);
  const chosen = new Set(groups.flatMap((group) => newest(group.snapshots, count)).map(idOf));
  return snapshots.filter((found) => chosen.has(found.id));
}

function idOf({ id }: FoundSnapshot): string {
  return id;
}

function printJson({ output }: Context, groups: readonly SnapshotGroup[], grouped: boolean): void {
  const messages = groups.map(({ hostname, paths = null, tags = null, snapshots }) => ({
    group_key: { hostname, paths, tags },
    snapshots: snapshots.map(snapshotMessage),
  }));
  output.data(goJson(grouped ? messages : messages.flatMap(({ snapshots }) => snapshots)));
}

function printTables(
  { output, settings, clock }: Context,
  groups: readonly SnapshotGroup[],
  compact: boolean,
): void {
  const { timeZone } = settings;
  // Scripts cut columns out of the table: only a person sees one more.
  const now = output.isTerminal ? clock.now() : undefined;
  for (const group of groups) {
    const header = formatGroupHeader(group);
    if (header !== undefined) output.data(header);
    for (const line of formatSnapshots(group.snapshots, { compact, timeZone, now })) {
      output.data(line);
    }
  }
}
