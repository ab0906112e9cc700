// What `pg restore` says: the plan before anything is written, what was restored, and where the server came to.

import { formatLsn } from "../barman/lsn.ts";
import { describeTarget, targetDocument } from "../barman/recovery-target.ts";
import { segmentName } from "../barman/wal-name.ts";
import { millisecondsOf } from "../barman/zoned-time.ts";
import type { RestorePlan } from "../postgres/restore-plan.ts";
import type { RestoreResult } from "../postgres/restore.ts";
import type { ServerState } from "../postgres/scratch.ts";
import { formatAge, formatBytes, formatDuration, formatLocalTime } from "./format.ts";
import type { Output } from "./output.ts";
import { quoteUnprintable } from "./terminal-text.ts";

/** Tells the plan. `now` in milliseconds since 1970; `restoreCommand` as it will be set. */
export function reportPlan(
  output: Output,
  plan: RestorePlan,
  told: { readonly now: number; readonly restoreCommand: string },
): void {
  if (output.isJson) {
    output.json(planMessage(plan, told.restoreCommand));
    return;
  }
  for (const line of planLines(plan, told.now)) output.print(line);
  output.verbose(`restore_command: ${quoteUnprintable(told.restoreCommand)}`);
}

function planLines(plan: RestorePlan, now: number): string[] {
  const { archive, choice, folder, tablespaces, tars, storedBytes, hasManifest } = plan;
  const { backup, target, walObjects, walBytes, notes } = choice;
  const info = backup.info!;
  const ended = millisecondsOf(info.endTime!);
  const age = (time: number): string => formatAge((now - time) / 1000);
  const aged = target.kind === "time" ? ` (${age(target.micros / 1000)})` : "";
  const lines = [
    `Recovery of ${quoteUnprintable(archive.server)} to ${quoteUnprintable(describeTarget(target))}${aged}`,
    `  archive     ${quoteUnprintable(archive.location)}`,
    `  backup      ${backup.id}, ended ${formatLocalTime(ended)} (${age(ended)}) at ${formatLsn(info.endLsn!)}`,
    `              ${count(tars.length, "tar")}, ${formatBytes(storedBytes)}${sizeText(info.size)}, ${hasManifest ? "with a manifest" : "without a manifest: its files cannot be checked"}`,
    `  timeline    ${pathText(plan)}`,
    `  WAL         ${walText(plan)}, ${count(walObjects, "object")}, ${formatBytes(walBytes)} at most`,
    `  into        ${quoteUnprintable(folder.path)}${folder.state === "left" ? " (what an earlier restore left there is removed)" : ""}`,
  ];
  for (const { oid, name, location, folder: place } of tablespaces) {
    const moved = place.path === location ? "where it was" : `was ${quoteUnprintable(location)}`;
    lines.push(
      `  tablespace  ${oid} ${quoteUnprintable(name)} in ${quoteUnprintable(place.path)} (${moved})`,
    );
  }
  return [...lines, ...notes.map((note) => `  note        ${quoteUnprintable(note)}`)];
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

function sizeText(size: number | null): string {
  return size === null ? "" : ` for ${formatBytes(size)}`;
}

function pathText({ choice: { path } }: RestorePlan): string {
  return path
    .map(({ timeline, to }) =>
      to === undefined ? `${timeline}` : `${timeline} to ${formatLsn(to)}, then `,
    )
    .join("");
}

/** Names of the first and the last segment. */
function walEnds({ choice }: RestorePlan): [first: string, last: string] | undefined {
  const { wal, backup } = choice;
  const [first, last] = [wal.stretches[0], wal.stretches.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  const size = backup.info!.segmentSize;
  return [
    segmentName(first.timeline, first.first, size),
    segmentName(last.timeline, last.last, size),
  ];
}

function walText(plan: RestorePlan): string {
  const ends = walEnds(plan);
  if (ends === undefined) return "none";
  const partial = plan.choice.wal.partial === undefined ? "" : " and the beginning of the next one";
  return (ends[0] === ends[1] ? ends[0] : `${ends[0]} to ${ends[1]}`) + partial;
}

function planMessage(plan: RestorePlan, restoreCommand: string): object {
  const { archive, choice, folder, tablespaces, tars, storedBytes, hasManifest, major } = plan;
  const { backup, target, timeline, path, wal, walObjects, walBytes, notes } = choice;
  const info = backup.info!;
  const ends = walEnds(plan);
  return {
    message_type: "plan",
    server: archive.server,
    archive: archive.location,
    target: targetDocument(target),
    backup: backup.id,
    backup_end_time: new Date(millisecondsOf(info.endTime!)).toISOString(),
    backup_end_lsn: formatLsn(info.endLsn!),
    postgres_major: major,
    system_id: info.systemId,
    size: info.size,
    tars: tars.length,
    stored_bytes: storedBytes,
    has_manifest: hasManifest,
    timeline,
    path: path.map(({ timeline: one, to }) => ({
      timeline: one,
      to_lsn: to === undefined ? null : formatLsn(to),
    })),
    wal: {
      first: ends?.[0] ?? null,
      last: ends?.[1] ?? null,
      partial: wal.partial?.path ?? null,
      objects: walObjects,
      bytes: walBytes,
    },
    folder: folder.path,
    tablespaces: tablespaces.map(({ oid, name, location, folder: place }) => ({
      oid,
      name,
      location,
      folder: place.path,
    })),
    restore_command: restoreCommand,
    notes,
  };
}

/** Tells what was restored in `seconds`. */
export function reportRestored(
  output: Output,
  plan: RestorePlan,
  told: {
    readonly result: RestoreResult;
    readonly seconds: number;
    readonly variables: readonly string[];
  },
): void {
  const { result, seconds, variables } = told;
  const { files, bytes, isVerified, control, notes } = result;
  const needed = variables.map(
    (name) => `the server needs ${name} in its environment to fetch WAL`,
  );
  if (output.isJson) {
    output.json({
      message_type: "summary",
      folder: plan.folder.path,
      backup: plan.choice.backup.id,
      system_id: control.systemId,
      files,
      bytes,
      verified: isVerified,
      seconds,
      notes: [...notes, ...needed],
    });
    return;
  }
  const verified = isVerified ? ", each as its manifest says" : "";
  output.print(
    `restored ${count(files, "file")}, ${formatBytes(bytes)}${verified}, in ${formatDuration(seconds)}`,
  );
  for (const note of [...notes, ...needed]) output.print(`note: ${quoteUnprintable(note)}`);
}

/** Tells where the server that was started came to. */
export function reportReached(output: Output, plan: RestorePlan, state: ServerState): void {
  const { state: what, timeline, lsn, time } = state;
  if (output.isJson) {
    output.json({ message_type: "reached", state: what, timeline, lsn, last_commit: time ?? null });
    return;
  }
  const last = time === undefined ? "" : `, the last transaction committed at ${time}`;
  output.print(
    what === "paused"
      ? `the target is reached at ${lsn} on timeline ${timeline}${last}`
      : `the end of the archive is reached: the database is open at ${lsn} on timeline ${timeline}${last}`,
  );
  if (what === "open" && timeline !== plan.choice.timeline) {
    const file = `${timeline.toString(16).toUpperCase().padStart(8, "0")}.history`;
    output.print(
      `note: before this server archives, archive the history of its new timeline: holdfast pg wal-push ${quoteUnprintable(plan.folder.path)}/pg_wal/${file}`,
    );
  }
}
