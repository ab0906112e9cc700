// Which base backup a recovery to some moment begins with, and along which timelines it goes: from the catalogue alone,
// before anything is written (docs/formats/barman.md#recovery-windows). A moment that the archive does not reach is
// refused with what it does reach; a backup of a branch that does not lead to the target is never taken.

import { HoldfastError, type ErrorCode } from "../base/errors.ts";
import type { Catalogue } from "./catalogue.ts";
import type { CatalogueBackup } from "./catalogue-backup.ts";
import { formatLsn, segmentAt } from "./lsn.ts";
import { pathFrom, recoveryWal, type RecoveryWal } from "./recovery-wal.ts";
import { describeTarget, requireTarget, type RecoveryTarget } from "./recovery-target.ts";
import type { RecoveryWindow } from "./recovery-windows.ts";
import { pathTo, timelineUnknown, type Stretch } from "./timelines.ts";
import type { ListedObject } from "./wal-listing.ts";
import { segmentName } from "./wal-name.ts";

export interface RecoveryChoice {
  readonly target: RecoveryTarget;
  readonly backup: CatalogueBackup;
  /** The timeline that the recovery follows. */
  readonly timeline: number;
  /** From the backup's timeline to that one, oldest first. */
  readonly path: readonly Stretch[];
  /** What will be replayed at most; without a position in the target, through the end of what there is. */
  readonly wal: RecoveryWal;
  /** Objects of that WAL, as they are stored. */
  readonly walObjects: number;
  readonly walBytes: number;
  /** What was decided without knowing, one sentence each. */
  readonly notes: readonly string[];
}

export interface ChoiceOptions {
  readonly catalogue: Catalogue;
  readonly target: RecoveryTarget;
  /** Follow this timeline, whatever newer ones there are. */
  readonly timeline?: number | undefined;
  /** Begin with this backup. */
  readonly backup?: string | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/**
 * Chooses for `target`. Throws TARGET_UNREACHABLE with what can be reached, BACKUP_NOT_FOUND for a backup that is not
 * there, BARMAN_TIMELINE_UNKNOWN for a timeline of unknown descent, USAGE for a target that cannot be.
 */
export function chooseRecovery(options: ChoiceOptions): RecoveryChoice {
  const { catalogue, target, now } = options;
  requireTarget(target);
  const named = options.backup === undefined ? undefined : namedBackup(options.backup, catalogue);
  if (target.kind === "time" && target.micros > now * 1000)
    throw unreachable(options, `that is in the future: now is ${isoTime(now)}`);
  const usable = named ? [named] : catalogue.backups.filter(({ flaws }) => flaws.length === 0);
  if (usable.length === 0) throw noBackup(options);
  const routes = timelinesFor(options, usable)
    .map((timeline) => routesOn(timeline, usable, options))
    .filter((found) => found.length > 0);
  if (routes.length === 0) throw unreachable(options, "no backup leads to that timeline");
  const choice =
    target.kind === "time"
      ? chooseByTime(routes, target.micros, options)
      : chooseByPlace(routes[0]!, options);
  const notes = aboutOthers(choice, new Set(routes.map(([route]) => route!.timeline)), options);
  return { ...choice, notes: [...choice.notes, ...notes] };
}

/**
 * What there is to say of newer timelines to which no backup leads. Throws TARGET_UNREACHABLE or BARMAN_TIMELINE_UNKNOWN when the
 * target is of the moments that one of them may hold, and nobody chose the timeline or the backup: the branch that can be
 * recovered may be one that was left behind.
 */
function aboutOthers(
  { timeline: chosen, wal }: RecoveryChoice,
  reached: ReadonlySet<number>,
  options: ChoiceOptions,
): string[] {
  const { catalogue, target, timeline: asked, backup: named } = options;
  if (asked !== undefined || target.kind === "immediate") return [];
  const isTime = target.kind === "time";
  const moment = isTime ? target.micros / 1000 : reachedTime({ wal }, catalogue);
  const found = [...catalogue.wal.values()].filter(({ timeline, segments, partials }) => {
    if (timeline < chosen || reached.has(timeline)) return false;
    const times = [...segments.values(), ...partials.values()].map(({ time }) => time);
    const first = Math.min(catalogue.historyTimes.get(timeline) ?? Infinity, ...times);
    // What has no time may be of any.
    return first === 0 || ((!isTime || first <= moment) && Math.max(...times) >= moment);
  });
  const other = found.at(-1)?.timeline;
  if (other === undefined) return [];
  const what = `timeline ${other} was written ${isTime ? "then, too" : "later"}, and no backup leads to it`;
  const way = `follow timeline ${chosen} with --timeline ${chosen}`;
  if (named !== undefined || !(isTime || target.kind === "latest"))
    return [`${what}: this follows timeline ${chosen}`];
  if (catalogue.timelines.get(other)) throw unreachable(options, `${what}; ${way}`);
  throw timelineUnknown(other, `, or ${way}`);
}

/** One way of recovering: a backup, and the timeline that is followed from there. */
interface Route {
  readonly timeline: number;
  readonly backup: CatalogueBackup;
  readonly path: readonly Stretch[];
  readonly wal: RecoveryWal;
}

/** The timelines that may be followed, the newest first. */
function timelinesFor(options: ChoiceOptions, usable: readonly CatalogueBackup[]): number[] {
  const { catalogue, target, timeline } = options;
  if (timeline !== undefined) return [timeline];
  const own = usable.map(({ info }) => info!.timeline!);
  // A backup is consistent on its own timeline, whatever came afterwards.
  if (target.kind === "immediate") return [newestOf(usable).info!.timeline!];
  return [...new Set([...catalogue.wal.keys(), ...own])].toSorted((a, b) => b - a);
}

/** The ways to a timeline, that with the newest backup first. */
function routesOn(
  timeline: number,
  usable: readonly CatalogueBackup[],
  { catalogue, timeline: asked, target }: ChoiceOptions,
): Route[] {
  const isAlone = usable.some(({ info }) => info!.timeline === timeline);
  // Without a history, a timeline can only be followed from a backup of its own.
  const path =
    catalogue.timelines.get(timeline) ??
    (isAlone || asked === undefined
      ? [{ timeline, from: 0n, to: undefined }]
      : pathTo(catalogue.timelines, timeline));
  return usable
    .flatMap((backup) => {
      const from = pathFrom(backup, path);
      if (from === undefined) return [];
      const until = target.kind === "lsn" ? target.lsn : undefined;
      const wal =
        target.kind === "immediate"
          ? recoveryWal(backup, from, catalogue, backup.info!.endLsn!)
          : recoveryWal(backup, from, catalogue, until);
      return [{ timeline, backup, path: from, wal }];
    })
    .toSorted((a, b) => endOf(b.backup) - endOf(a.backup));
}

/** For all targets but times: on one timeline, the newest backup that comes before the target. */
function chooseByPlace(routes: readonly Route[], options: ChoiceOptions): RecoveryChoice {
  const { catalogue, target, backup: named } = options;
  const lsn = target.kind === "lsn" ? target.lsn : undefined;
  const before = routes.filter(({ backup }) => lsn === undefined || backup.info!.endLsn! <= lsn);
  if (before.length === 0)
    throw unreachable(
      options,
      `${named === undefined ? "every backup" : `backup ${named}`} ends behind that`,
    );
  const route = before.find(({ wal }) => wal.missing === undefined);
  if (route === undefined) throw missingWal(before[0]!, options);
  const notes: string[] = [];
  if ((target.kind === "name" || target.kind === "xid") && named === undefined)
    notes.push(
      `an archive does not tell where ${describeTarget(target)} lies: this begins with the newest backup, which serves only if the target comes after it (choose an earlier one with --backup)`,
    );
  if (target.kind === "lsn") {
    const other = catalogue.windows.find(
      (window) => window.timeline !== route.timeline && isIn(window, target.lsn, route),
    );
    if (other)
      notes.push(
        `timeline ${other.timeline} has a position ${formatLsn(target.lsn)} too: follow it with --timeline ${other.timeline}`,
      );
  }
  return choiceOf(route, route.wal, notes, options);
}

/** True when the window has that position on a branch that the route does not go along. */
function isIn(window: RecoveryWindow, lsn: bigint, { path }: Route): boolean {
  const isShared = path.some(
    ({ timeline, to }) => timeline === window.timeline && (to === undefined || lsn <= to),
  );
  return !isShared && window.from.lsn <= lsn && lsn <= window.to.lsn;
}

/**
 * For times, which lie on the timeline that the server wrote at that moment: the newest one that had begun by then. A
 * timeline that began later serves when it goes on where the archive leaves its parent: a moment at which nobody wrote
 * is the end of the parent, and that may be there only as the beginning of the child.
 */
function chooseByTime(
  routes: readonly (readonly Route[])[],
  micros: number,
  options: ChoiceOptions,
): RecoveryChoice {
  const { catalogue, timeline: asked } = options;
  const holds = (route: Route): boolean =>
    endOf(route.backup) <= micros && reachedTime(route, catalogue) >= micros / 1000;
  const found = routes.map((ways) => ways.find(holds)).filter((route) => route !== undefined);
  const begun = found.find((route) => beginning(route, catalogue) <= micros / 1000);
  const continued = found.filter((route) => goesOn(route, catalogue)).toReversed();
  const best =
    asked === undefined
      ? (continued.find((route) => begun === undefined || isBehind(route, begun)) ?? begun)
      : found[0];
  if (best === undefined) throw noTime(routes.flat(), micros, options);
  const notes: string[] = [];
  if (begun === undefined && beginning(best, catalogue) > micros / 1000) {
    const began = isoTime(beginning(best, catalogue));
    notes.push(
      `the archive has no WAL of that moment: this recovers to where timeline ${best.timeline} began, which was at ${began}`,
    );
  }
  return choiceOf(best, walThrough(best, micros, catalogue), notes, options);
}

/** True when the route is on a timeline that came out of that of the other one. */
function isBehind(route: Route, other: Route): boolean {
  return (
    route.timeline !== other.timeline &&
    route.path.some(({ timeline }) => timeline === other.timeline)
  );
}

/** True when no timeline on the way has WAL in the archive behind the place where the next one leaves it. */
function goesOn({ path }: Route, { wal, segmentSize }: Catalogue): boolean {
  return path.every(({ timeline, to }) => {
    const last = wal.get(timeline)?.ranges.at(-1)?.last ?? -1;
    return to === undefined || last < segmentAt(to, segmentSize);
  });
}

/** When a timeline began, in milliseconds since 1970, as far as the archive tells. */
function beginning({ timeline, backup }: Route, { windows }: Catalogue): number {
  if (backup.info!.timeline === timeline) return endOf(backup) / 1000;
  const times = windows.filter((one) => one.timeline === timeline).map(({ from }) => from.time);
  return Math.min(...times.map((time) => time ?? 0));
}

/** When the last WAL on the way was stored: what it holds happened before. Infinity when that is not known. */
function reachedTime({ wal }: Pick<Route, "wal">, catalogue: Catalogue): number {
  const last = wal.stretches.at(-1);
  const object = wal.partial ?? (last && catalogue.wal.get(last.timeline)?.segments.get(last.last));
  return object === undefined ? -Infinity : object.time === 0 ? Infinity : object.time;
}

/** The WAL through the first segment that was stored after that moment: what follows is not needed. */
function walThrough({ wal }: Route, micros: number, catalogue: Catalogue): RecoveryWal {
  const stretches = [];
  for (const stretch of wal.stretches) {
    const { segments } = catalogue.wal.get(stretch.timeline)!;
    for (let segment = stretch.first; segment <= stretch.last; segment++) {
      if (segments.get(segment)!.time * 1000 <= micros) continue;
      stretches.push({ ...stretch, last: segment });
      return { stretches, missing: undefined, partial: undefined };
    }
    stretches.push(stretch);
  }
  return wal;
}

function choiceOf(
  { timeline, backup, path }: Route,
  wal: RecoveryWal,
  notes: readonly string[],
  { catalogue, target }: ChoiceOptions,
): RecoveryChoice {
  const objects: ListedObject[] = wal.partial ? [wal.partial] : [];
  for (const stretch of wal.stretches) {
    const { segments } = catalogue.wal.get(stretch.timeline)!;
    for (let segment = stretch.first; segment <= stretch.last; segment++)
      objects.push(segments.get(segment)!);
  }
  return {
    target,
    backup,
    timeline,
    path,
    wal,
    walObjects: objects.length,
    walBytes: objects.reduce((sum, { size }) => sum + size, 0),
    notes,
  };
}

function namedBackup(id: string, { backups }: Catalogue): CatalogueBackup {
  const backup = backups.find((one) => one.id === id);
  if (backup === undefined) {
    const shown = JSON.stringify(id.slice(0, 60));
    throw new HoldfastError("BACKUP_NOT_FOUND", `the archive has no backup ${shown}`, {
      hint: "Choose one that `holdfast pg list` shows.",
    });
  }
  if (backup.flaws.length === 0) return backup;
  throw new HoldfastError(
    "TARGET_UNREACHABLE",
    `backup ${id} cannot be restored: ${backup.flaws.join("; ")}`,
    { hint: "Choose another one that `holdfast pg list` shows, or leave out --backup." },
  );
}

/** When a backup ended, in microseconds since 1970. */
function endOf({ info }: CatalogueBackup): number {
  return info!.endTime!.micros;
}

function newestOf(backups: readonly CatalogueBackup[]): CatalogueBackup {
  return backups.reduce((newest, one) => (endOf(one) > endOf(newest) ? one : newest));
}

function noBackup(options: ChoiceOptions): HoldfastError {
  const { backups } = options.catalogue;
  if (backups.length === 0) {
    return new HoldfastError("BACKUP_NOT_FOUND", "the archive has no base backup", {
      hint: "Make one with `holdfast pg backup`.",
    });
  }
  const reasons = backups.slice(-3).map(({ id, flaws }) => `${id}: ${flaws[0]}`);
  const code: ErrorCode = "TARGET_UNREACHABLE";
  return new HoldfastError(code, `no backup can be restored (${reasons.join("; ")})`, {
    hint: "Look at all of them with `holdfast pg info`.",
  });
}

function noTime(routes: readonly Route[], micros: number, options: ChoiceOptions): HoldfastError {
  const before = routes.filter(({ backup }) => endOf(backup) <= micros);
  if (before.length === 0) {
    const first = Math.min(...routes.map(({ backup }) => endOf(backup)));
    return unreachable(options, `the first backup on that way ended at ${isoTime(first / 1000)}`);
  }
  const broken = before.find(({ wal }) => wal.missing !== undefined);
  if (broken !== undefined) return missingWal(broken, options);
  const last = Math.max(...before.map((route) => reachedTime(route, options.catalogue)));
  return unreachable(
    options,
    last * 1000 < micros
      ? `the WAL of the archive ends at ${isoTime(last)}`
      : "the archive has no WAL of the server that wrote at that moment",
  );
}

function missingWal({ wal, backup }: Route, options: ChoiceOptions): HoldfastError {
  const { timeline, segment } = wal.missing!;
  const name = segmentName(timeline, segment, options.catalogue.segmentSize);
  return unreachable(options, `WAL ${name}, which follows on backup ${backup.id}, is missing`);
}

/** The refusal of a target, with all that can be reached. */
function unreachable(options: ChoiceOptions, reason: string): HoldfastError {
  const { target, catalogue } = options;
  const windows = catalogue.windows.map(windowText);
  const shown = windows.length > 6 ? ["…", ...windows.slice(-6)] : windows;
  const reach =
    shown.length === 0
      ? "nothing can be recovered from this archive"
      : `recovery is possible ${shown.join(", and ")}`;
  return new HoldfastError(
    "TARGET_UNREACHABLE",
    `cannot recover to ${describeTarget(target)}: ${reason}; ${reach}`,
    { hint: "Choose a moment in between; `holdfast pg info` draws them." },
  );
}

function windowText({ timeline, from, to }: RecoveryWindow): string {
  const at = ({ lsn, time }: RecoveryWindow["from"]): string =>
    time === undefined || time === 0 ? formatLsn(lsn) : `${isoTime(time)} (${formatLsn(lsn)})`;
  return `from ${at(from)} to ${at(to)} on timeline ${timeline}`;
}

function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
