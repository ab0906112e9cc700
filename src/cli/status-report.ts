// What `status` tells a person: one sentence that answers from when to when everything can come back, a picture, and the
// facts below it. Ages stand beside times; what is not known is said to be so. Names come from a repository and are shown as
// such.

import { formatLsn } from "../barman/lsn.ts";
import { duration } from "../odoo/drill-reports.ts";
import type { DatabaseReach } from "../odoo/joint-moments.ts";
import type { SurveyedArchive, SurveyedFilestore } from "../odoo/survey.ts";
import type { LiveSurvey } from "../odoo/survey-live.ts";
import type { Obstacle } from "../odoo/watermark.ts";
import type { JournalEntry } from "../plan/journal.ts";
import { formatAge, formatBytes, formatLocalTime, formatShortAge, shortId } from "./format.ts";
import { drawLanes, type Lane } from "./lanes.ts";
import { quoteUnprintable } from "./terminal-text.ts";
import { recoveryLanes } from "./timeline-picture.ts";

export interface Status {
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Undefined when none was named, or it could not be read. */
  readonly archive: SurveyedArchive | undefined;
  /** Whether a repository was named, and could be read. */
  readonly repository: "read" | "failed" | "none";
  readonly filestores: readonly SurveyedFilestore[];
  readonly live: LiveSurvey | undefined;
  /** What a runner did last of each task; empty when no state folder was named. */
  readonly runs: readonly JournalEntry[];
  /** What could not be read. */
  readonly problems: readonly string[];
}

/** Why there is no joint point, or why the newest does not count yet. */
export const OBSTACLES: Readonly<Record<Obstacle, string>> = {
  "no-captures": "files are not captured between snapshots",
  "no-position":
    "captures were made without a database, so nobody knows to which moment they belong",
  "snapshot-gone": "the full snapshot is gone from which the captures go on",
  "no-archive": "no archive was looked at",
  foreign: "the archive is of another cluster than the captures",
  "no-backup": "the archive has no base backup that can be restored",
  "no-way": "no base backup leads to what was captured",
  "wal-behind": "the WAL of what was captured is not in the archive yet",
  "partial-unknown": "only a partial segment reaches that far, and it cannot be read",
};

/** The newest moment of both, in milliseconds since 1970. */
export function jointTime({ watermark, joint }: SurveyedFilestore): number | undefined {
  const times = [
    watermark.point?.position.time,
    joint.stretches.at(-1)?.to,
    joint.moments.at(-1)?.time,
  ].filter((time) => time !== undefined);
  return times.length === 0 ? undefined : Math.max(...times);
}

/** The lines of the report. */
export function viewStatus(status: Status, { columns }: { readonly columns: number }): string[] {
  const several = status.filestores.length > 1;
  const sections = [
    [statusSentence(status)],
    ...status.filestores
      .slice(1)
      .map((filestore) => [`${placeName(filestore)}: ${jointClause(filestore, status)}`]),
    drawStatus(status, columns),
    databaseLines(status),
    ...status.filestores.map((filestore, i) =>
      filestoreLines(filestore, status, several ? ` ${i + 1}` : ""),
    ),
    liveLines(status),
    runLines(status),
    explanation(status),
    status.problems.length === 0
      ? []
      : ["Not read", ...status.problems.map((one) => `  ${quoteUnprintable(one)}`)],
  ];
  return sections
    .filter(({ length }) => length > 0)
    .flatMap((lines, i) => (i === 0 ? lines : ["", ...lines]));
}

const NO_FILESTORE: Readonly<Record<Status["repository"], string>> = {
  read: "never: there is no snapshot",
  failed: "not known: the repository could not be read",
  none: "not looked at (no repository is named)",
};

/** "database: any moment since 20 Oct 02:10; database and files together: 04:00 today; 3 referenced files missing at the source" */
export function statusSentence(status: Status): string {
  const [first] = status.filestores;
  const together = first
    ? `database and files together: ${jointClause(first, status)}`
    : `database and files together: ${NO_FILESTORE[status.repository]}`;
  const missing = missingClause(status);
  return [`database: ${databaseClause(status)}`, together, ...(missing ? [missing] : [])].join(
    "; ",
  );
}

function databaseClause({ archive, now }: Status): string {
  if (archive === undefined) return "not looked at (no archive is named or can be read)";
  const reach = archive.reaches.at(-1);
  if (reach === undefined) return "NOTHING can be recovered";
  return stretchText(reach, now);
}

function jointClause({ joint, watermark }: SurveyedFilestore, { now, archive }: Status): string {
  const stretch = joint.stretches.at(-1);
  if (stretch !== undefined) {
    const to = watermark.point?.position.time ?? stretch.to;
    return stretchText({ from: stretch.from, to: Math.max(to, stretch.from) }, now);
  }
  const moment = joint.moments.at(-1);
  if (moment === undefined) {
    const { obstacle } = watermark;
    const why =
      archive === undefined
        ? "no archive was looked at"
        : obstacle === undefined || obstacle === "no-captures"
          ? "the archive reaches none of the snapshots"
          : OBSTACLES[obstacle];
    return `never: ${why}`;
  }
  const others = joint.moments.length - 1;
  const more =
    others === 0 ? "" : `, and ${others} earlier ${others === 1 ? "snapshot" : "snapshots"}`;
  return `${nearTime(moment.time, now)}${more}`;
}

function missingClause({ filestores, live }: Status): string | undefined {
  const count = live?.missing?.length ?? filestores[0]?.watermark.newest?.missing;
  if (count === undefined) return undefined;
  if (count === 0) return "no referenced file missing at the source";
  return `${count} referenced ${count === 1 ? "file" : "files"} missing at the source`;
}

/** How far the newest end may be behind before it is worth telling. */
const FRESH_MS = 60_000;

function stretchText({ from, to }: Pick<DatabaseReach, "from" | "to">, now: number): string {
  const begin = nearTime(from, now);
  if (now - to < FRESH_MS) return `any moment since ${begin}, until ${ageText(to, now)}`;
  return `any moment from ${begin} to ${nearTime(to, now)} (${ageText(to, now)})`;
}

function ageText(time: number, now: number): string {
  const seconds = (now - time) / 1000;
  if (seconds < 1) return "just now";
  return seconds < 60 ? `${formatShortAge(seconds)} ago` : formatAge(seconds);
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** "04:00 today", "23:10 yesterday", "20 Oct 02:10", "20 Oct 2025", by the clock of this place. */
export function nearTime(time: number, now: number): string {
  const date = new Date(time);
  const clock = formatLocalTime(time).slice(11, 16);
  const day = (milliseconds: number): string => formatLocalTime(milliseconds).slice(0, 10);
  if (day(time) === day(now)) return `${clock} today`;
  if (day(time) === day(now - 86_400_000)) return `${clock} yesterday`;
  const name = `${date.getDate()} ${MONTHS[date.getMonth()]}`;
  const year = date.getFullYear();
  return year === new Date(now).getFullYear() ? `${name} ${clock}` : `${name} ${year}`;
}

function drawStatus({ archive, filestores, now }: Status, columns: number): string[] {
  const lanes: Lane[] = archive
    ? recoveryLanes(archive.inventory).map((lane) => ({ ...lane, label: `WAL ${lane.label}` }))
    : [];
  const names = laneNames(filestores);
  for (const [i, filestore] of filestores.slice(0, 8).entries()) {
    const { snapshots, captures, joint } = filestore;
    const suffix = filestores.length > 1 ? ` ${names[i]}` : "";
    const times = captures.map(({ mark, time }) => mark.position?.time ?? time);
    lanes.push({
      label: `files${suffix}`,
      bars: times.length === 0 ? [] : [{ from: Math.min(...times), to: Math.max(...times) }],
      marks: snapshots.map(({ time }) => ({ time, mark: "●" })),
    });
    lanes.push({
      label: `both${suffix}`,
      bars: joint.stretches,
      marks: joint.moments.map(({ time }) => ({ time, mark: "◆" })),
    });
  }
  const picture = drawLanes(lanes, { columns: columns - 2, now }).map((line) => `  ${line}`);
  if (picture.length === 0) return [];
  return [
    ...picture,
    "  ━ any moment   ● base backup, snapshot   ◆ only that moment   × cannot be restored",
  ];
}

/** The picture has no room for places: by their databases or folders, or else by the order in which they are told below. */
function laneNames(filestores: readonly SurveyedFilestore[]): string[] {
  const names = filestores.map(
    ({ database, paths }) => database ?? paths[0]?.split("/").at(-1) ?? "",
  );
  const isClear = new Set(names).size === names.length && names.every(isShort);
  return names.map((name, i) => (isClear ? quoteUnprintable(name) : `${i + 1}`));
}

function isShort(name: string): boolean {
  return name !== "" && name.length <= 16;
}

function databaseLines({ archive, now }: Status): string[] {
  if (archive === undefined) return [];
  const { inventory, reaches } = archive;
  const { totals, catalogue } = inventory;
  const lost = catalogue.gaps.filter(({ state }) => state === "lost");
  const lines = reaches
    .toReversed()
    .slice(0, 5)
    .map(
      ({ timeline, from, to }) =>
        `any moment on timeline ${timeline} ${spanText({ from, to }, now)}`,
    );
  return [
    `Database: ${quoteUnprintable(archive.archive.location)}`,
    ...(lines.length === 0
      ? ["  NOTHING can be recovered: `holdfast pg info` says why"]
      : lines.map((line) => `  ${line}`)),
    `  ${totals.restorable} of ${totals.backups} base backups can be restored, ${formatBytes(totals.backupBytes + totals.walBytes)} with their WAL`,
    ...(lost.length === 0
      ? []
      : [
          `  ${lost.length} ${lost.length === 1 ? "gap" : "gaps"} in the WAL: \`holdfast pg info\` lists them`,
        ]),
  ];
}

function filestoreLines(
  filestore: SurveyedFilestore,
  { now, archive }: Status,
  number: string,
): string[] {
  const { snapshots, captures, watermark, joint, database } = filestore;
  const newest = snapshots.at(-1);
  const lines = [
    newest === undefined
      ? "no full snapshot"
      : `${snapshots.length} full ${snapshots.length === 1 ? "snapshot" : "snapshots"}, the newest ${shortId(newest.id)} of ${timeAge(newest.time, now)}${newest.files === undefined ? "" : `: ${newest.files} files, ${formatBytes(newest.bytes ?? 0)}`}`,
    captures.length === 0
      ? "no captures: what comes and goes between two snapshots is in none of them"
      : `${captures.length} ${captures.length === 1 ? "capture" : "captures"}, the newest of ${timeAge(Math.max(...captures.map(({ time }) => time)), now)}`,
    ...joint.stretches
      .toReversed()
      .slice(0, 5)
      .map((stretch) => `with the database: any moment ${spanText(stretch, now)}`),
  ];
  if (joint.moments.length > 0) {
    const { time } = joint.moments.at(-1)!;
    lines.push(
      `with the database: ${joint.moments.length} ${joint.moments.length === 1 ? "moment" : "moments"} of full snapshots, the newest ${timeAge(time, now)}`,
    );
  }
  const { point, newest: last, obstacle } = watermark;
  if (point !== undefined) {
    const { lsn, timeline, time } = point.position;
    const left = point.isLeft ? ", on a branch that was left since" : "";
    lines.push(
      `watermark: ${formatLsn(lsn)} on timeline ${timeline}, ${timeAge(time, now)}${left}`,
      `at the source then: ${point.missing} referenced files missing, ${point.corrupt} corrupt`,
    );
  }
  if (obstacle !== undefined && archive !== undefined && captures.length > 0) {
    const when = last === undefined ? "" : ` for ${timeAge(last.position.time, now)}`;
    lines.push(
      `${point === undefined ? "no watermark" : "not yet"}${when}: ${OBSTACLES[obstacle]}`,
    );
  }
  if (captures.length > 0) lines.push(drillText(filestore, now));
  const name =
    database === undefined || number !== "" ? placeName(filestore) : quoteUnprintable(database);
  return [`Files${number}: ${name}`, ...lines.map((line) => `  ${line}`)];
}

/** Whether anybody has tried to bring it back, and how that ended. */
function drillText({ drill }: SurveyedFilestore, now: number): string {
  if (drill === undefined)
    return "no drill is known: whether all of this comes back, nobody has tried (`holdfast drill`)";
  const { verdict, time, recoveryMs } = drill;
  const took = recoveryMs === undefined ? "" : `, everything came back in ${duration(recoveryMs)}`;
  return `last drill: ${verdict.toUpperCase()}, ${timeAge(time, now)}${took}`;
}

function liveLines({ live, archive, now }: Status): string[] {
  if (live === undefined) return [];
  const { position, referenced, elsewhere, missing, regenerable } = live;
  const reach = archive && archivedEnd(archive, position.timeline);
  const lines = [
    `the server is at ${formatLsn(position.lsn)} on timeline ${position.timeline}, ${timeAge(position.time, now)}`,
  ];
  if (reach !== undefined)
    lines.push(
      position.lsn > reach
        ? `${formatBytes(position.lsn - reach)} of its WAL are not in the archive`
        : "all of its WAL is in the archive",
    );
  lines.push(
    `${referenced} files are referred to${elsewhere === 0 ? "" : `, and ${elsewhere} rows have their content in stores that no filestore holds`}`,
  );
  if (missing !== undefined && missing.length > 0) {
    const bundles =
      regenerable === 0 ? "" : `, ${regenerable} of them bundles that Odoo makes again`;
    lines.push(
      `${missing.length} are not in the filestore${bundles}: \`holdfast verify\` says whose they are`,
    );
  } else if (missing !== undefined && referenced > 0)
    lines.push("all of them are in the filestore, by their names");
  return [`Live: database ${quoteUnprintable(live.database)}`, ...lines.map((line) => `  ${line}`)];
}

function runLines({ runs, now }: Status): string[] {
  const lines = runs.map(({ instance, task, outcome, ended, message }) => {
    const why = message === undefined ? "" : `: ${message}`;
    return `  ${quoteUnprintable(`${instance} ${task}: ${outcome} ${timeAge(ended, now)}${why}`)}`;
  });
  return lines.length === 0 ? [] : ["Last runs", ...lines];
}

/** Up to where the archive has a timeline, its partial segment included. */
export function archivedEnd(
  { inventory, partialReach }: SurveyedArchive,
  timeline: number,
): bigint | undefined {
  const window = inventory.catalogue.windows.findLast((one) => one.timeline === timeline);
  if (window === undefined) return undefined;
  const reach = window.partial && partialReach.get(window.partial.path);
  return reach !== undefined && reach > window.to.lsn ? reach : window.to.lsn;
}

/** What snapshots alone can do, for whoever sees it for the first time. */
function explanation({ filestores, archive }: Status): string[] {
  const isNightly = filestores.some(
    ({ joint, captures }) => captures.length === 0 && joint.moments.length > 0,
  );
  if (!isNightly || archive === undefined) return [];
  return [
    "With full snapshots alone, database and files meet where a scan began: recover the database to that moment, and the",
    "snapshot has the files that it refers to, but for those that went while the scan was under way. `holdfast run` and",
    "`holdfast capture` keep the files of every other moment.",
  ];
}

function placeName({ database, hostname, paths }: SurveyedFilestore): string {
  if (paths.length === 0) return quoteUnprintable(database ?? "");
  const place = quoteUnprintable(`${hostname}:${paths.join(",")}`);
  return database === undefined ? place : `${quoteUnprintable(database)} (${place})`;
}

function spanText(
  { from, to }: { readonly from: number; readonly to: number },
  now: number,
): string {
  return `from ${timeAge(from, now)} to ${timeAge(to, now)}`;
}

function timeAge(time: number, now: number): string {
  return `${formatLocalTime(time)} (${ageText(time, now)})`;
}
