// What progress looks like, for each kind of operation: on a terminal, as a line in a log, and as the JSON message
// that restic sends (same members, same order, zeros left out where it leaves them out).

import type { ProgressCounters } from "../base/progress.ts";
import { formatBytes, formatDuration, formatPercent, formatRate } from "./format.ts";
import { quoteUnprintable } from "./terminal-text.ts";

/** One look at the counters. */
export interface ProgressState {
  readonly counters: ProgressCounters;
  /** Since the start. */
  readonly seconds: number;
  readonly bytesPerSecond: number;
  /** Until the end; 0 when unknown. */
  readonly secondsLeft: number;
}

export interface ProgressView {
  /** Lines for a terminal of this width. */
  lines(state: ProgressState, columns: number): string[];
  /** One line for a log; restic's own text. */
  plain(state: ProgressState): string;
  /** The message for --json; without it there is none. */
  message?(state: ProgressState): object;
  /** A line to leave behind at the end. */
  final?(state: ProgressState): string;
}

/** How many files a backup's display names at most. */
const CURRENT_FILES_SHOWN = 4;
const BAR_CELLS_MAX = 30;
const BAR_CELLS_MIN = 8;

/** Of a backup. */
export const backupView: ProgressView = {
  lines(state, columns) {
    const { counters } = state;
    const busy = counters.current.filter((path) => path !== "").slice(0, CURRENT_FILES_SHOWN);
    return [
      transferLine(state, columns, "files"),
      ...busy.map((path) => `  ${quoteUnprintable(path)}`),
    ];
  },
  plain(state) {
    const { counters, secondsLeft } = state;
    const { filesDone, bytesDone, filesTotal, directoriesTotal, bytesTotal, errors } = counters;
    const begin = `[${formatDuration(state.seconds)}]`;
    if (filesTotal === 0 && directoriesTotal === 0) {
      return `${begin} ${filesDone} files, ${formatBytes(bytesDone)}, ${errors} errors`;
    }
    const estimated = secondsLeft > 0 && bytesDone < bytesTotal;
    const percent = estimated ? `${formatPercent(bytesDone, bytesTotal)}  ` : "";
    const eta = estimated ? ` ETA ${formatDuration(secondsLeft)}` : "";
    const total = `total ${filesTotal} files ${formatBytes(bytesTotal)}`;
    return `${begin} ${percent}${filesDone} files ${formatBytes(bytesDone)}, ${total}, ${errors} errors${eta}`;
  },
  message({ counters, seconds, secondsLeft }) {
    const current = counters.current.filter((path) => path !== "");
    return {
      message_type: "status",
      seconds_elapsed: Math.trunc(seconds) || undefined,
      seconds_remaining: secondsLeft || undefined,
      percent_done: fraction(counters.bytesDone, counters.bytesTotal),
      total_files: counters.filesTotal || undefined,
      files_done: counters.filesDone || undefined,
      total_bytes: counters.bytesTotal || undefined,
      bytes_done: counters.bytesDone || undefined,
      error_count: counters.errors || undefined,
      current_files: current.length > 0 ? current.sort() : undefined,
    };
  },
};

/** Of a restore. Directories count as files, as restic has it. */
export const restoreView: ProgressView = {
  lines: (state, columns) => [transferLine(state, columns, "files/dirs")],
  plain(state) {
    const { counters } = state;
    const percent = formatPercent(counters.bytesDone, counters.bytesTotal);
    const done = `${itemsDone(counters)} files/dirs ${formatBytes(counters.bytesDone)}`;
    const total = `total ${itemsTotal(counters)} files/dirs ${formatBytes(counters.bytesTotal)}`;
    return `[${formatDuration(state.seconds)}] ${percent}  ${done}, ${total}${besides(counters)}`;
  },
  message: ({ counters, seconds }) => ({
    message_type: "status",
    seconds_elapsed: Math.trunc(seconds) || undefined,
    percent_done: fraction(counters.bytesDone, counters.bytesTotal),
    ...restoreMembers(counters),
  }),
};

/** Of an operation that moves bytes and is told beforehand how many, as by a database server: an estimate. */
export const bytesView: ProgressView = {
  lines: (state, columns) => [transferLine(state, columns)],
  plain(state) {
    const { counters, secondsLeft } = state;
    const { bytesDone, bytesTotal } = counters;
    const eta = secondsLeft > 0 ? `, ETA ${formatDuration(secondsLeft)}` : "";
    const percent = formatPercent(bytesDone, bytesTotal);
    const whole = bytesTotal > 0 ? ` of ${formatBytes(bytesTotal)}` : "";
    return `[${formatDuration(state.seconds)}] ${percent}  ${formatBytes(bytesDone)}${whole}${eta}`;
  },
  message: ({ counters, seconds, secondsLeft }) => ({
    message_type: "status",
    seconds_elapsed: Math.trunc(seconds) || undefined,
    seconds_remaining: secondsLeft || undefined,
    percent_done: Math.min(1, fraction(counters.bytesDone, counters.bytesTotal)),
    total_bytes: counters.bytesTotal || undefined,
    bytes_done: counters.bytesDone || undefined,
    files_done: counters.filesDone || undefined,
  }),
};

/** Of an operation that goes through `unit`s, "snapshots" or "packs", counted as files. */
export function countView(unit: string): ProgressView {
  const plain = ({ counters, seconds }: ProgressState): string => {
    const begin = `[${formatDuration(seconds)}]`;
    const { filesDone, filesTotal } = counters;
    if (filesTotal === 0) return `${begin}          ${filesDone} ${unit}`;
    return `${begin} ${formatPercent(filesDone, filesTotal)}  ${filesDone} / ${filesTotal} ${unit}`;
  };
  return {
    lines(state, columns) {
      const text = plain(state);
      const { filesDone, filesTotal } = state.counters;
      const bar = formatBar(fraction(filesDone, filesTotal), columns - text.length - 3);
      return [filesTotal === 0 || bar === "" ? text : `${text}  ${bar}`];
    },
    plain,
    final: plain,
  };
}

/** The members about files and bytes that restore's status and summary share. */
export function restoreMembers(counters: ProgressCounters): object {
  return {
    total_files: itemsTotal(counters) || undefined,
    files_restored: itemsDone(counters) || undefined,
    files_skipped: counters.filesSkipped || undefined,
    files_deleted: counters.filesDeleted || undefined,
    total_bytes: counters.bytesTotal || undefined,
    bytes_restored: counters.bytesDone || undefined,
    bytes_skipped: counters.bytesSkipped || undefined,
  };
}

/** ", skipped 4 files/dirs 2.861 MiB, deleted 1 files/dirs", as far as there is something to say. */
export function besides({ filesSkipped, bytesSkipped, filesDeleted }: ProgressCounters): string {
  const skipped =
    filesSkipped > 0 ? `, skipped ${filesSkipped} files/dirs ${formatBytes(bytesSkipped)}` : "";
  return skipped + (filesDeleted > 0 ? `, deleted ${filesDeleted} files/dirs` : "");
}

/** Files and directories, which restic counts together in a restore. */
export function itemsDone({ filesDone, directoriesDone }: ProgressCounters): number {
  return filesDone + directoriesDone;
}

/** See itemsDone. */
export function itemsTotal({ filesTotal, directoriesTotal }: ProgressCounters): number {
  return filesTotal + directoriesTotal;
}

/** The one line that matters: how much, how fast, how long; the bar gets what room is left. */
function transferLine(state: ProgressState, columns: number, unit?: string): string {
  const { counters } = state;
  const done = unit === "files" ? counters.filesDone : itemsDone(counters);
  const whole = wholeOf(counters, unit);
  const parts = [
    ...(unit === undefined
      ? []
      : [whole ? `${done} / ${whole.mark}${whole.files} ${unit}` : `${done} ${unit}`]),
    whole
      ? `${formatBytes(counters.bytesDone)} / ${whole.mark}${formatBytes(whole.bytes)}`
      : formatBytes(counters.bytesDone),
  ];
  if (state.bytesPerSecond > 0) parts.push(formatRate(state.bytesPerSecond));
  if (state.secondsLeft > 0) parts.push(`ETA ${formatDuration(state.secondsLeft)}`);
  if (counters.errors > 0) parts.push(`${counters.errors} errors`);
  const begin = `[${formatDuration(state.seconds)}]`;
  if (whole === undefined) return `${begin} ${parts.join("  ")}`;
  const percent = formatPercent(counters.bytesDone, whole.bytes).padStart(7);
  const text = `${begin} ${percent}  ${parts.join("  ")}`;
  const bar = formatBar(fraction(counters.bytesDone, whole.bytes), columns - text.length - 3);
  return bar === "" ? text : `${begin} ${percent} ${bar}  ${parts.join("  ")}`;
}

/** What there is to do: as it is known, or else as it is expected, marked by "~". */
function wholeOf(
  counters: ProgressCounters,
  unit?: string,
): { files: number; bytes: number; mark: "" | "~" } | undefined {
  const { totalKnown, filesTotal, bytesTotal, filesExpected, bytesExpected } = counters;
  if (totalKnown) {
    const files = unit === "files" ? filesTotal : itemsTotal(counters);
    return bytesTotal > 0 ? { files, bytes: bytesTotal, mark: "" } : undefined;
  }
  if (bytesExpected <= bytesTotal) return undefined;
  return { files: Math.max(filesExpected, filesTotal), bytes: bytesExpected, mark: "~" };
}

/** A bar of at most `cells`; "" when there is too little room for one. */
function formatBar(part: number, cells: number): string {
  const width = Math.min(BAR_CELLS_MAX, cells);
  if (width < BAR_CELLS_MIN) return "";
  const filled = Math.round(Math.min(1, part) * (width - 2));
  return `[${"=".repeat(filled)}${" ".repeat(width - 2 - filled)}]`;
}

function fraction(part: number, whole: number): number {
  return whole > 0 ? part / whole : 0;
}
