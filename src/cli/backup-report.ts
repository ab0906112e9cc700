// What `backup` says, in restic's words: the lines about the parent and each file, the summary at the end, and the
// messages of --json. Scripts cut numbers out of these lines; VolSync keeps some of them in a resource's status.

import { messageOf } from "../base/errors.ts";
import type { Clock } from "../base/clock.ts";
import type { Progress } from "../base/progress.ts";
import { byteStringToText } from "../restic/byte-string.ts";
import { formatTime } from "../restic/go-time.ts";
import { fixed, formatBytes, formatDuration, shortId } from "./format.ts";
import type { Output } from "./output.ts";
import { pathText } from "./terminal-text.ts";

type Change = "new" | "changed" | "unmodified";

/** What a backup came to. */
export interface BackupOutcome {
  /** Id of the new snapshot; undefined when none was made. */
  readonly snapshot: string | undefined;
  readonly counts: {
    readonly files: Readonly<Record<Change, number>>;
    readonly dirs: Readonly<Record<Change, number>>;
    readonly totalBytes: number;
  };
  readonly added: {
    readonly dataBlobs: number;
    readonly treeBlobs: number;
    /** Bytes of new blobs, plain and as stored. */
    readonly added: number;
    readonly addedPacked: number;
  };
  /** Nanoseconds since 1970. */
  readonly startedAt: bigint;
  readonly endedAt: bigint;
}

/** What the engine tells while it works. */
export interface BackupEvents {
  found(files: number, bytes: number): void;
  foundAll(): void;
  done(files: number, bytes: number): void;
  /** Path as text. */
  current(path: string): void;
  failed(path: string, error: unknown): void;
  parent(id: string | undefined): void;
  expected(files: number, bytes: number): void;
  notice(message: string): void;
  /** Path as byte string. Only there when somebody wants to hear of every item. */
  item?(change: Change, kind: "file" | "dir", path: string, bytes: number): void;
}

/** restic's words for what happened to an entry. */
const ACTIONS: Readonly<Record<Change, string>> = {
  new: "new",
  changed: "modified",
  unmodified: "unchanged",
};

/** Counts what the engine tells in `progress`, and says what is to be said at once. */
export function createBackupEvents(
  output: Output,
  progress: Progress,
  clock: Pick<Clock, "monotonic">,
): BackupEvents {
  const start = clock.monotonic();
  const wantsItems = output.isJson ? output.verbosity >= 2 : output.shows(3);
  return {
    found: (files, bytes) => progress.addTotal({ files, bytes }),
    foundAll() {
      progress.totalComplete();
      reportScan(output, progress, (clock.monotonic() - start) / 1000);
    },
    done: (files, bytes) => progress.done({ files, bytes }),
    current: (path) => progress.now(path),
    failed(path, error) {
      progress.failed();
      reportItemError(output, { during: "archival", path, error });
    },
    parent(id) {
      if (id === undefined) output.print("no parent snapshot found, will read all files");
      else output.print(`using parent snapshot ${shortId(id)}`);
    },
    expected: (files, bytes) => progress.expect({ files, bytes }),
    notice(message) {
      if (!output.isJson) output.warn(message);
    },
    ...(wantsItems && {
      item: (change, kind, path, bytes) => {
        const action = ACTIONS[change];
        const shown = kind === "dir" ? `${path}/` : path;
        if (output.isJson) output.json(itemMessage(action, shown, bytes));
        else if (change === "unmodified") output.veryVerbose(`unchanged ${pathText(shown)}`);
        else
          output.veryVerbose(
            `${action.padEnd(9)} ${pathText(shown)} with size ${formatBytes(bytes)}`,
          );
      },
    }),
  };
}

function itemMessage(action: string, path: string, bytes: number): object {
  return {
    message_type: "verbose_status",
    action,
    item: byteStringToText(path),
    duration: 0,
    data_size: bytes,
    data_size_in_repo: 0,
    metadata_size: 0,
    metadata_size_in_repo: 0,
    total_files: 0,
  };
}

/** Says that one entry could not be processed while the command goes on. Path as text. */
export function reportItemError(
  output: Output,
  {
    during,
    path,
    error,
  }: { during: "scan" | "archival" | "restore"; path: string; error: unknown },
): void {
  const message = messageOf(error);
  if (output.isJson) {
    output.jsonError({ message_type: "error", error: { message }, during, item: path });
  } else if (during === "restore") {
    output.warn(`ignoring error for ${path}: ${message}`);
  } else {
    output.warn(`error: ${message}`);
  }
}

/** Prints the summary of a backup. */
export function reportBackup(
  output: Output,
  outcome: BackupOutcome,
  { dryRun = false }: { dryRun?: boolean } = {},
): void {
  if (output.isJson) output.json(summaryMessage(outcome, dryRun));
  else printSummary(output, outcome, dryRun);
}

function printSummary(output: Output, outcome: BackupOutcome, dryRun: boolean): void {
  const { counts, added } = outcome;
  const line = (
    title: string,
    { new: fresh, changed, unmodified }: Record<Change, number>,
  ): string =>
    `${title.padEnd(12)} ${wide(fresh)} new, ${wide(changed)} changed, ${wide(unmodified)} unmodified`;
  output.print("");
  output.print(line("Files:", counts.files));
  output.print(line("Dirs:", counts.dirs));
  output.verbose(`Data Blobs:  ${wide(added.dataBlobs)} new`);
  output.verbose(`Tree Blobs:  ${wide(added.treeBlobs)} new`);
  const [plain, stored] = [added.added, added.addedPacked].map((bytes) =>
    formatBytes(bytes).padEnd(5),
  );
  output.print(`${dryRun ? "Would add" : "Added"} to the repository: ${plain} (${stored} stored)`);
  output.print("");
  const duration = formatDuration(secondsOf(outcome));
  output.print(
    `processed ${filesOf(outcome)} files, ${formatBytes(counts.totalBytes)} in ${duration}`,
  );
  if (dryRun) return;
  const { snapshot } = outcome;
  output.print(
    snapshot === undefined ? "skipped creating snapshot" : `snapshot ${shortId(snapshot)} saved`,
  );
}

function summaryMessage(outcome: BackupOutcome, dryRun: boolean): object {
  const { counts, added, startedAt, endedAt } = outcome;
  return {
    message_type: "summary",
    files_new: counts.files.new,
    files_changed: counts.files.changed,
    files_unmodified: counts.files.unmodified,
    dirs_new: counts.dirs.new,
    dirs_changed: counts.dirs.changed,
    dirs_unmodified: counts.dirs.unmodified,
    data_blobs: added.dataBlobs,
    tree_blobs: added.treeBlobs,
    data_added: added.added,
    data_added_packed: added.addedPacked,
    total_files_processed: filesOf(outcome),
    total_bytes_processed: counts.totalBytes,
    total_duration: Number(endedAt - startedAt) / 1e9,
    backup_start: localTime(startedAt),
    backup_end: localTime(endedAt),
    snapshot_id: outcome.snapshot,
    dry_run: dryRun || undefined,
  };
}

/** "scan finished in 0.003s: 4 files, 2.861 MiB", for -v, once everything to back up was seen. */
export function reportScan(output: Output, progress: Progress, seconds: number): void {
  const { filesTotal, bytesTotal } = progress;
  if (!output.isJson) {
    const found = `${filesTotal} files, ${formatBytes(bytesTotal)}`;
    output.verbose(`scan finished in ${fixed(seconds, 3)}s: ${found}`);
  } else if (output.verbosity >= 2) {
    const message = itemMessage("scan_finished", "", bytesTotal);
    output.json({ ...message, duration: seconds, total_files: filesTotal });
  }
}

function filesOf({ counts: { files } }: BackupOutcome): number {
  return files.new + files.changed + files.unmodified;
}

function secondsOf({ startedAt, endedAt }: BackupOutcome): number {
  return Number(endedAt - startedAt) / 1e9;
}

function localTime(nanoseconds: bigint): string {
  const east = -new Date(Number(nanoseconds / 1_000_000n)).getTimezoneOffset();
  return formatTime(nanoseconds, east);
}

function wide(count: number): string {
  return String(count).padStart(5);
}
