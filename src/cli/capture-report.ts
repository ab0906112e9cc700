// What `capture` says: what was stored and up to which moment it is complete, and everything at the source that is not as it
// should be. A line of status a minute is enough for a log; a terminal shows the newest, and --json gets every tick.

import type { Clock } from "../base/clock.ts";
import { isHoldfastError, messageOf } from "../base/errors.ts";
import { formatLsn } from "../barman/lsn.ts";
import type {
  CaptureEvent,
  CaptureOptions,
  CaptureSummary,
  TickReport,
} from "../odoo/capture-events.ts";
import type { JointPosition } from "../odoo/capture-mark.ts";
import { formatAge, formatBytes, formatLocalTime, shortId } from "./format.ts";
import type { Output } from "./output.ts";

interface Options {
  readonly output: Output;
  readonly clock: Clock;
}

const LINE_MS = 60_000;
/** Paths of a kind that are shown; all are in the capture. */
const PATHS_MAX = 20;

export class CaptureReport {
  readonly #output: Output;
  readonly #clock: Clock;
  #toldAt = -Infinity;
  /** Since the last line. */
  #new = { files: 0, bytes: 0 };
  readonly #paths = new Map<string, number>();

  constructor({ output, clock }: Options) {
    this.#output = output;
    this.#clock = clock;
  }

  /** Says what is captured to where. */
  begin({ folder, captures, connect, database }: Omit<CaptureOptions, "onEvent">): void {
    if (this.#output.isJson) return;
    this.#output.print(`capturing ${folder} to ${captures.storage.location}`);
    if (connect !== undefined) return;
    this.#output.warn(
      `no database is asked, so nobody knows to which moment of ${database} the files belong`,
    );
  }

  tell(event: CaptureEvent): void {
    if (this.#output.isJson) this.#tellJson(event);
    else this.#tellText(event);
  }

  /** Of a capture that was made once. */
  once(report: TickReport): void {
    if (this.#output.isJson) {
      this.#output.json({ message_type: "summary", ...describeTick(report, this.#clock.now()) });
      return;
    }
    const { newFiles, newBytes, storedBytes, capture, files } = report;
    const stored = newFiles === 0 ? "" : ` (${formatBytes(storedBytes)} stored)`;
    this.#output.print(`${newFilesText(newFiles, newBytes)}${stored}`);
    this.#output.print(
      capture === undefined
        ? "nothing to capture: everything is there already"
        : `capture ${shortId(capture)} saved, with ${filesText(files)} ${sinceText(report)}`,
    );
    this.#output.print(this.#completeText(report));
    for (const line of this.#wrongLines(report)) this.#output.warn(line);
  }

  /** Of captures that went on until they were stopped. */
  summary({ ticks, failures, newFiles, newBytes, last }: CaptureSummary): void {
    if (this.#output.isJson) {
      this.#output.json({
        message_type: "summary",
        ticks,
        failures,
        new_files: newFiles,
        new_bytes: newBytes,
        ...(last && positionFields(last.position, this.#clock.now())),
      });
      return;
    }
    this.#output.status([]);
    const failed = failures === 0 ? "" : `, ${failures} failed`;
    this.#output.print(`${ticks} captures${failed}, ${newFilesText(newFiles, newBytes)}`);
    if (last === undefined) return;
    this.#output.print(this.#completeText(last));
    for (const line of this.#wrongLines(last)) this.#output.warn(line);
  }

  #tellText(event: CaptureEvent): void {
    const output = this.#output;
    switch (event.kind) {
      case "opened": {
        const since = event.since === undefined ? "no full snapshot" : shortId(event.since);
        output.verbose(`${since}, ${event.known} files are stored already`);
        if (event.since === undefined) {
          output.print(
            "no full snapshot has this filestore in it yet: everything is captured. Make one with `backup`",
          );
        }
        break;
      }
      case "tick":
        this.#tellTick(event.report);
        break;
      case "failed": {
        const delay = Math.max(1, Math.round(event.delay / 1000));
        const hint = isHoldfastError(event.error) ? event.error.hint : undefined;
        output.warn(`${messageOf(event.error)}; trying again in ${delay} s`);
        if (hint !== undefined) output.verbose(hint);
        break;
      }
      case "database":
        output.warn(`${event.error.message}; files are captured, but belong to no new moment`);
        if (event.error.hint !== undefined) output.verbose(event.error.hint);
        break;
      case "corrupt":
        this.#warnPath(
          "corrupt",
          event.path,
          event.stored
            ? `${event.path} was changed in place: its content is not that of its name any more. The good copy is kept`
            : `${event.path} is corrupt: its content is not that of its name, and nobody has a good copy`,
        );
        break;
      case "missing":
        this.#warnPath(
          "missing",
          event.path,
          event.stored
            ? `${event.path} is missing at the source: the database refers to it, and an older snapshot has it`
            : `${event.path} is missing: the database refers to it, and it is nowhere`,
        );
        break;
      case "stranger":
        output.verbose(`${event.path} is not captured: Odoo puts nothing like it there`);
        break;
      case "merged":
        output.verbose(
          `packs were merged: ${event.result.packsRemoved} became ${event.result.packsWritten}`,
        );
        break;
      case "notice":
        output.warn(event.text);
        break;
    }
  }

  #tellTick(report: TickReport): void {
    this.#new.files += report.newFiles;
    this.#new.bytes += report.newBytes;
    const now = this.#clock.monotonic();
    const line = `${this.#completeText(report)}; ${newFilesText(report.newFiles, report.newBytes)}`;
    this.#output.status([line]);
    if (this.#output.canRedraw || now - this.#toldAt < LINE_MS) return;
    this.#toldAt = now;
    const { files, bytes } = this.#new;
    this.#new = { files: 0, bytes: 0 };
    this.#output.print(`${this.#completeText(report)}; ${newFilesText(files, bytes)}`);
  }

  #warnPath(kind: string, path: string, text: string): void {
    const told = (this.#paths.get(kind) ?? 0) + 1;
    this.#paths.set(kind, told);
    if (told <= PATHS_MAX) this.#output.warn(text);
    else if (told === PATHS_MAX + 1) {
      this.#output.warn(
        `more files are ${kind}: the capture has a list of all, ${path} among them`,
      );
    }
  }

  #completeText({ position, isJoint }: TickReport): string {
    if (position === undefined) return "complete up to no known moment of the database";
    const age = formatAge(Math.max(0, this.#clock.now() - position.time) / 1000);
    const kept = isJoint ? "" : ", as before";
    return `complete up to ${formatLsn(position.lsn)}, ${formatLocalTime(position.time)} (${age})${kept}`;
  }

  #wrongLines({ torn, corrupt, missing, unreadable }: TickReport): string[] {
    const lines: string[] = [];
    if (missing > 0) lines.push(`${filesText(missing)} missing at the source`);
    if (corrupt > 0) lines.push(`${filesText(corrupt)} corrupt at the source`);
    if (unreadable > 0) lines.push(`${filesText(unreadable)} could not be read`);
    if (torn > 0) lines.push(`${filesText(torn)} half-written, and left to the next capture`);
    return lines;
  }

  #tellJson(event: CaptureEvent): void {
    const { output } = { output: this.#output };
    switch (event.kind) {
      case "opened":
        output.json({
          message_type: "opened",
          since: event.since ?? null,
          known_files: event.known,
        });
        break;
      case "tick":
        output.json({ message_type: "tick", ...describeTick(event.report, this.#clock.now()) });
        break;
      case "failed":
        output.json({
          message_type: "failed",
          ...errorFields(event.error),
          delay_seconds: event.delay / 1000,
        });
        break;
      case "database":
        output.json({ message_type: "database", ...errorFields(event.error) });
        break;
      case "merged":
        output.json({
          message_type: "merged",
          packs_removed: event.result.packsRemoved,
          packs_written: event.result.packsWritten,
        });
        break;
      default: {
        const { kind, ...fields } = event;
        output.json({ message_type: kind, ...fields });
      }
    }
  }
}

function describeTick(report: TickReport, now: number): Record<string, unknown> {
  return {
    capture: report.capture ?? null,
    since: report.since ?? null,
    time: new Date(report.time).toISOString(),
    seconds: report.duration / 1000,
    ...positionFields(report.position, now),
    joint: report.isJoint,
    compared: report.compared,
    new_files: report.newFiles,
    new_bytes: report.newBytes,
    stored_bytes: report.storedBytes,
    files: report.files,
    known_files: report.known,
    torn: report.torn,
    corrupt: report.corrupt,
    missing: report.missing,
    unreadable: report.unreadable,
  };
}

function positionFields(position: JointPosition | undefined, now: number): Record<string, unknown> {
  if (position === undefined) return { position: null };
  const { systemId, timeline, lsn, time } = position;
  return {
    position: {
      system_id: systemId,
      timeline,
      lsn: formatLsn(lsn),
      time: new Date(time).toISOString(),
      age_seconds: Math.max(0, now - time) / 1000,
    },
  };
}

function errorFields(error: unknown): Record<string, unknown> {
  return {
    error: messageOf(error),
    code: isHoldfastError(error) ? error.code : null,
  };
}

function filesText(count: number): string {
  return count === 1 ? "1 file" : `${count} files`;
}

function newFilesText(files: number, bytes: number): string {
  if (files === 0) return "no new files";
  return `${files} new ${files === 1 ? "file" : "files"} of ${formatBytes(bytes)}`;
}

function sinceText({ since }: TickReport): string {
  return since === undefined ? "in all" : `since the full snapshot ${shortId(since)}`;
}
