// `pg wal-fetch`: what a restore_command runs for every file of WAL that PostgreSQL wants. 0: it is there. 1: the archive surely
// does not hold it. 126 and more: anything else, because lower ones end a recovery and open the database
// (docs/operations/wal.md#exit-statuses).

import { spawn } from "node:child_process";
import { basename, dirname, join } from "node:path";
import { parseDuration } from "../../base/duration.ts";
import { HoldfastError, isHoldfastError, messageOf } from "../../base/errors.ts";
import { SEGMENT_SIZE_DEFAULT } from "../../barman/lsn.ts";
import type { WalName } from "../../barman/wal-name.ts";
import { clusterOfDirectory, type Cluster } from "../../postgres/data-directory.ts";
import { fetchForRecovery } from "../../postgres/recovery-fetch.ts";
import { hasTimeline } from "../../postgres/find-wal.ts";
import { requireWalName, type FetchedWal } from "../../postgres/wal-fetch.ts";
import { prefetchWal } from "../../postgres/wal-prefetch.ts";
import { WalSpool } from "../../postgres/wal-spool.ts";
import { placeWal } from "../../postgres/wal-target.ts";
import { addArchiveOptions, namedArchive, openNamedArchive } from "../archive-session.ts";
import type { ArchiveFlags } from "../archive-session.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { formatBytes } from "../format.ts";

interface FetchFlags extends ArchiveFlags {
  timeout: string;
  prefetch: string;
  spool?: string;
  /** Bytes of a segment: be the process that fetches ahead. */
  fetchAhead?: string;
}

/** What PostgreSQL calls the file that it restores a segment to; pg_rewind, which goes backwards, uses other names. */
const REPLAYED = "RECOVERYXLOG";
const SPOOL_FOLDER = "holdfast-spool";
/** Milliseconds without a segment being taken after which fetching ahead ends. */
const IDLE_MS = 60_000;
const PREFETCH_MAX = 64;

export const pgWalFetchCommand: CommandModule = {
  failsFrom: EXIT.noAnswer,

  configure(command) {
    addArchiveOptions(command);
    command
      .argument("<name>", "the file: %f in restore_command")
      .argument("<path>", "where it goes: %p in restore_command")
      .option("--timeout <duration>", "try passing failures again for this long", "5m")
      .option("--prefetch <count>", "segments to fetch ahead; 0 for none", "8")
      .option("--spool <folder>", "where those are kept (default: in the folder of <path>)")
      .addHelpText(
        "after",
        `
Examples:
  holdfast pg wal-fetch 000000010000000000000007 /tmp/segment --archive gs://bucket/base --server odoo
  restore_command = 'holdfast pg wal-fetch %f %p --archive gs://bucket/base --server odoo'

The status is 0 when the file is there, 1 when the archive surely does not hold it, and 126 or more when that could not be found
out: PostgreSQL opens the database after 1, and stops with an error after 126. See docs/operations/wal.md.`,
      );
    command.addOption(command.createOption("--fetch-ahead <bytes>").hideHelp());
  },

  async run(context, [text = "", path = ""], options) {
    const flags = options as unknown as FetchFlags;
    const name = requireWalName(text);
    const budget = parseDuration(flags.timeout, "--timeout");
    const count = prefetchOf(flags.prefetch);
    const cluster = await clusterOfDirectory(".");
    const systemId = cluster?.systemId;
    const spool = spoolFor(context, flags, { path, count, systemId });
    if (flags.fetchAhead !== undefined) {
      if (spool === undefined || systemId === undefined) return EXIT.ok;
      const segmentSize = Number(flags.fetchAhead);
      const { clock, signal } = context;
      const archive = await openNamedArchive(context, flags);
      const settings = { archive, spool, count, segmentSize, systemId, idle: IDLE_MS };
      await prefetchWal({ ...settings, clock, signal });
      return EXIT.ok;
    }
    const segment = name.kind === "segment" ? name.name : undefined;
    const taken = segment && (await takeAhead(context, spool, { name: segment, path }));
    if (segment !== undefined && taken) {
      await fetchAhead(context, spool, { name: segment, segmentSize: taken });
      tell(context, text, { from: "spool" });
      return EXIT.ok;
    }
    const found = await fetchWithin(context, flags, { name, path, cluster, budget });
    if (found === undefined) {
      if (name.kind === "history") await warnOfLostHistory(context, flags, name.timeline);
      tell(context, text, { from: "nowhere" });
      return EXIT.absent;
    }
    await placeWal(path, found.content, context);
    if (segment !== undefined && !found.partial)
      await fetchAhead(context, spool, { name: segment, segmentSize: found.content.length });
    tell(context, text, { from: "archive", found });
    return EXIT.ok;
  },
};

/** A recovery that is to follow the newest timeline stays on an older one without a word where the history of it is lost. */
async function warnOfLostHistory(
  context: Context,
  flags: FetchFlags,
  timeline: number,
): Promise<void> {
  const { signal, output } = context;
  const archive = await openNamedArchive(context, flags);
  if (!(await hasTimeline(archive, timeline, { signal }))) return;
  output.warn(
    `the archive has WAL of timeline ${timeline}, and no history of it: a recovery cannot follow it. ` +
      "Copy the .history file from the pg_wal of a server that knows it with `holdfast pg wal-push`.",
  );
}

function prefetchOf(text: string): number {
  const count = /^\d{1,3}$/.test(text) ? Number(text) : NaN;
  if (count <= PREFETCH_MAX) return count;
  throw new HoldfastError("USAGE", `--prefetch: "${text}" is no number from 0 to ${PREFETCH_MAX}`);
}

/** Undefined where nothing is fetched ahead: without a cluster whose WAL it could be, and for others than a recovery. */
function spoolFor(
  context: Context,
  flags: FetchFlags,
  { path, count, systemId }: { path: string; count: number; systemId: bigint | undefined },
): WalSpool | undefined {
  if (count === 0 || systemId === undefined || basename(path) !== REPLAYED) return undefined;
  const { location, server } = namedArchive(context, flags);
  const { clock, random } = context;
  return new WalSpool({
    folder: flags.spool ?? join(dirname(path), SPOOL_FOLDER),
    archive: location,
    server,
    systemId,
    uid: process.getuid?.(),
    clock,
    random,
  });
}

/** Bytes of the segment that was taken. A spool that fails only costs time. */
async function takeAhead(
  { output, signal }: Context,
  spool: WalSpool | undefined,
  { name, path }: { name: string; path: string },
): Promise<number | undefined> {
  try {
    return await spool?.take(name, path, signal);
  } catch (error) {
    output.verbose(`nothing is taken from the spool: ${messageOf(error)}`);
    return undefined;
  }
}

/** Has the segments behind `name` fetched by a process of their own, unless there is one. */
async function fetchAhead(
  { output }: Context,
  spool: WalSpool | undefined,
  { name, segmentSize }: { name: string; segmentSize: number },
): Promise<void> {
  if (spool === undefined) return;
  try {
    await spool.want(name);
    if (await spool.isFetching()) return;
    // Beside the server and not below it, so that PostgreSQL need not wait for it. It ends by itself.
    const [program = "", ...words] = process.argv.slice(1);
    const ahead = ["--fetch-ahead", String(segmentSize)];
    const child = spawn(process.execPath, [...process.execArgv, program, ...words, ...ahead], {
      detached: true,
      stdio: "ignore",
    });
    child.on("error", (error) => output.verbose(`nothing is fetched ahead: ${error.message}`));
    child.unref();
  } catch (error) {
    output.verbose(`nothing is fetched ahead: ${messageOf(error)}`);
  }
}

/** As `fetchWal`, with passing failures tried again until the budget is used up. */
async function fetchWithin(
  context: Context,
  flags: FetchFlags,
  wanted: { name: WalName; path: string; cluster: Cluster | undefined; budget: number },
): Promise<FetchedWal | undefined> {
  const { name, path, cluster, budget } = wanted;
  const late = AbortSignal.timeout(budget);
  const signal = AbortSignal.any([context.signal, late]);
  try {
    const archive = await openNamedArchive({ ...context, signal }, flags);
    return await fetchForRecovery({
      archive,
      name,
      systemId: cluster?.systemId,
      segmentSize: cluster?.segmentSize ?? SEGMENT_SIZE_DEFAULT,
      walFolder: dirname(path),
      // What is found out in the last moment is better told than that there was no time for it.
      patience: budget * 0.8,
      clock: context.clock,
      onWait: (why) => context.output.warn(`waiting: ${why}`),
      signal,
    });
  } catch (error) {
    if (!late.aborted || !isHoldfastError(error, "CANCELLED")) throw error;
    throw new HoldfastError(
      "STORAGE_UNAVAILABLE",
      `whether the archive holds it could not be found out in ${flags.timeout}`,
      { hint: "See the warnings above; a longer --timeout waits longer.", retryable: true },
    );
  }
}

function tell(
  { output }: Context,
  name: string,
  { from, found }: { from: "archive" | "spool" | "nowhere"; found?: FetchedWal },
): void {
  if (output.isJson) {
    const { object, storedBytes, partial, paddedBytes } = found ?? {};
    const facts = { object, stored_bytes: storedBytes, partial, padded_bytes: paddedBytes };
    output.json({ message_type: "wal_fetch", name, from, ...facts });
    return;
  }
  if (from === "nowhere") output.verbose(`${name}: the archive does not hold it`);
  else if (found === undefined) output.verbose(`${name}: fetched ahead`);
  else if (!found.partial) output.verbose(`${name}: ${found.object}`);
  else {
    const zeros =
      found.paddedBytes > 0 ? `, filled up with ${formatBytes(found.paddedBytes)} of zeros` : "";
    output.verbose(`${name}: only its beginning is there: ${found.object}${zeros}`);
  }
}
