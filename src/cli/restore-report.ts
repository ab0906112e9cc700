// What `restore` says, in restic's words: a line for each entry with -vv, the summary, and the messages of --json.

import type { ProgressCounters } from "../base/progress.ts";
import type { Progress } from "../base/progress.ts";
import { byteStringToText } from "../restic/byte-string.ts";
import { reportItemError } from "./backup-report.ts";
import { formatBytes, formatDuration } from "./format.ts";
import type { Output } from "./output.ts";
import { besides, itemsDone, itemsTotal, restoreMembers } from "./progress-views.ts";
import { pathText } from "./terminal-text.ts";

/** What the engine tells while it works. Paths are byte strings inside the snapshot. */
export interface RestoreEvents {
  found(files: number, bytes: number): void;
  bytes(bytes: number): void;
  restored(path: string, type: string, bytes: number): void;
  skipped(path: string, bytes: number): void;
  deleted(path: string): void;
  /** Path as text. */
  failed(path: string, error: unknown): void;
}

/** Counts what the engine tells in `progress`, and says what is to be said at once. */
export function createRestoreEvents(
  output: Output,
  progress: Progress,
  { dryRun = false }: { dryRun?: boolean } = {},
): RestoreEvents {
  const say = output.verbosity >= 3 ? reportItem : () => {};
  return {
    found: (files, bytes) => progress.addTotal({ files, bytes }),
    bytes: (bytes) => progress.done({ bytes }),
    restored(path, type, bytes) {
      if (type === "dir") {
        // Directories are made when something in them is wanted, and are not announced before.
        progress.addTotal({ directories: 1 });
        progress.done({ directories: 1 });
      } else {
        // A dry run writes no bytes that could be counted on their way.
        progress.done({ files: 1, bytes: dryRun ? bytes : 0 });
      }
      say(output, "restored", path, type === "file" ? bytes : undefined);
    },
    skipped(path, bytes) {
      // restic does not count what it skips as part of the work.
      progress.addTotal({ files: -1, bytes: -bytes });
      progress.skipped({ files: 1, bytes });
      say(output, "unchanged", path, bytes);
    },
    deleted(path) {
      progress.deleted(1);
      say(output, "deleted", path, undefined);
    },
    failed(path, error) {
      progress.failed();
      reportItemError(output, { during: "restore", path, error });
    },
  };
}

/** One line or message about an entry; `bytes` for files only. */
function reportItem(output: Output, action: string, path: string, bytes: number | undefined): void {
  if (output.isJson) {
    const item = byteStringToText(path);
    output.json({ message_type: "verbose_status", action, item, size: bytes ?? 0 });
    return;
  }
  const size = bytes === undefined ? "" : ` with size ${formatBytes(bytes)}`;
  output.veryVerbose(`${action.padEnd(9)} ${pathText(path)}${size}`);
}

/** Prints the summary of a restore that took `seconds`. */
export function reportRestore(output: Output, counters: ProgressCounters, seconds: number): void {
  if (output.isJson) {
    const elapsed = Math.trunc(seconds) || undefined;
    output.json({ message_type: "summary", seconds_elapsed: elapsed, ...restoreMembers(counters) });
    return;
  }
  const [done, total] = [itemsDone(counters), itemsTotal(counters)];
  const { bytesDone, bytesTotal } = counters;
  const complete = done === total && bytesDone === bytesTotal;
  const items = complete ? `${total}` : `${done} / ${total}`;
  const size = formatBytes(bytesTotal);
  const bytes = complete ? size : `${formatBytes(bytesDone)} / ${size}`;
  const duration = formatDuration(seconds);
  output.print(
    `Summary: Restored ${items} files/dirs (${bytes}) in ${duration}${besides(counters)}`,
  );
}
