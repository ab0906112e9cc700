// `snapshots`: lists the snapshots of the repository, with restic's options, table and JSON.

import { isHoldfastError, messageOf } from "../../base/errors.ts";
import { groupKey, parseGroupBy } from "../../files/snapshot-groups.ts";
import type { GroupBy } from "../../files/snapshot-groups.ts";
import { findSnapshot, listSnapshots } from "../../repository/snapshots.ts";
import type { FoundSnapshot, SnapshotFilter } from "../../repository/snapshots.ts";
import type { Repository } from "../../repository/repository.ts";
import { parseTime } from "../../restic/go-time.ts";
import { goJson } from "../../restic/json-fields.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { wholeNumber } from "../option-values.ts";
import { withRepository } from "../session.ts";
import { addSnapshotFilter, snapshotFilter } from "../snapshot-choice.ts";
import type { FilterFlags } from "../snapshot-choice.ts";
import { snapshotMessage } from "../snapshot-message.ts";
import { formatGroupHeader, formatSnapshots } from "../snapshot-table.ts";
import type { SnapshotGroup } from "../snapshot-table.ts";

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
    const found = await withRepository(context, "read", (repository, signal) =>
      collect(context, repository, { names, filter, signal }),
    );
    const snapshots = found.snapshots.map((each) => inOrder(each, by));
    const latest = flags.last === true && flags.latest === 0 ? 1 : flags.latest;
    const grouped = by.host || by.paths || by.tags;
    const groups = grouped
      ? groupOf(snapshots, by).map((group) => newest(group, latest))
      : [newestOfEach(snapshots, latest)];
    if (context.output.isJson) printJson(context, groups, grouped ? by : undefined);
    else printTables(context, groups, { by, compact: flags.compact === true });
    return found.complete ? EXIT.ok : EXIT.failed;
  },
};

interface Collected {
  /** Oldest first. */
  snapshots: FoundSnapshot[];
  /** Nothing that was asked for had to be left out. */
  complete: boolean;
}

/** What was asked for; what is not there or damaged is named, and does not hide the rest. */
async function collect(
  { output }: Context,
  repository: Repository,
  asked: { names: readonly string[]; filter: SnapshotFilter; signal: AbortSignal },
): Promise<Collected> {
  const { names, filter, signal } = asked;
  let complete = true;
  const ignore = (name: string, error: unknown): void => {
    complete = false;
    output.warn(`Ignoring ${JSON.stringify(name)}: ${messageOf(error)}`);
  };
  if (names.length === 0) {
    const snapshots = await listSnapshots(repository, { filter, onDamage: ignore, signal });
    return { snapshots, complete };
  }
  const found = new Map<string, FoundSnapshot>();
  for (const name of names) {
    try {
      const snapshot = await findSnapshot(repository, name, filter, signal);
      found.set(snapshot.id, snapshot);
    } catch (error) {
      if (!isHoldfastError(error, "SNAPSHOT_NOT_FOUND", "SNAPSHOT_DAMAGED")) throw error;
      ignore(name, error);
    }
  }
  const { hosts = [], tags = [], paths = [] } = filter;
  if (hosts.length + tags.length + paths.length > 0 && !names.includes("latest")) {
    output.warn(`Ignoring "filters": explicit snapshot ids are given`);
  }
  const time = ({ snapshot }: FoundSnapshot): bigint => parseTime(snapshot.time);
  return { snapshots: [...found.values()].sort((a, b) => (time(a) < time(b) ? -1 : 1)), complete };
}

/** restic lists paths, and tags that it groups by, in the order of their bytes. */
function inOrder({ id, snapshot }: FoundSnapshot, by: GroupBy): FoundSnapshot {
  const sorted = (texts: readonly string[]): string[] =>
    texts.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const tags = by.tags ? sorted(snapshot.tags) : snapshot.tags;
  return { id, snapshot: { ...snapshot, paths: sorted(snapshot.paths), tags } };
}

/** The groups, by their first snapshots. */
function groupOf(snapshots: readonly FoundSnapshot[], by: GroupBy): FoundSnapshot[][] {
  const key = ({ snapshot }: FoundSnapshot): string => groupKey(by, snapshot);
  return [...Map.groupBy(snapshots, key).values()];
}

function newest(snapshots: readonly FoundSnapshot[], count: number): FoundSnapshot[] {
  return count > 0 ? snapshots.slice(-count) : [...snapshots];
}

/** The newest of each host and paths, still oldest first. */
function newestOfEach(snapshots: readonly FoundSnapshot[], count: number): FoundSnapshot[] {
  const groups = groupOf(snapshots, { host: true, paths: true, tags: false });
  const chosen = new Set(groups.flatMap((group) => newest(group, count)));
  return snapshots.filter((snapshot) => chosen.has(snapshot));
}

/** What the snapshots of a group have in common. */
function commonOf(group: readonly FoundSnapshot[], by: GroupBy): SnapshotGroup {
  const { hostname, paths, tags } = group[0]!.snapshot;
  return {
    hostname: by.host ? hostname : "",
    paths: by.paths ? paths : undefined,
    tags: by.tags && tags.length > 0 ? tags : undefined,
  };
}

function printJson({ output }: Context, groups: FoundSnapshot[][], by: GroupBy | undefined): void {
  const members = groups.map((group) => group.map(snapshotMessage));
  if (by === undefined) {
    output.data(goJson(members.flat()));
    return;
  }
  const keyed = groups.map((group, i) => {
    const { hostname, paths = null, tags = null } = commonOf(group, by);
    return { group_key: { hostname, paths, tags }, snapshots: members[i] };
  });
  output.data(goJson(keyed));
}

function printTables(
  { output, settings, clock }: Context,
  groups: FoundSnapshot[][],
  { by, compact }: { by: GroupBy; compact: boolean },
): void {
  const { timeZone } = settings;
  // Scripts cut columns out of the table: only a person sees one more.
  const now = output.isTerminal ? clock.now() : undefined;
  for (const group of groups.filter(({ length }) => length > 0)) {
    const header = formatGroupHeader(commonOf(group, by));
    if (header !== undefined) output.data(header);
    for (const line of formatSnapshots(group, { compact, timeZone, now })) output.data(line);
  }
}
