// What `status` says with --json (docs/operations/odoo-status.md#json): times in UTC, positions as PostgreSQL prints them, null
// for what is not known. Fields are added, never changed or taken away.

import { formatLsn } from "../barman/lsn.ts";
import type { TimeStretch } from "../odoo/joint-moments.ts";
import type { SurveyedArchive, SurveyedFilestore } from "../odoo/survey.ts";
import type { LiveSurvey } from "../odoo/survey-live.ts";
import type { JointPoint } from "../odoo/watermark.ts";
import { archivedEnd, jointTime, statusSentence, type Status } from "./status-report.ts";

/** The message. */
export function statusMessage(status: Status): object {
  const { now, archive, filestores, live, runs, problems } = status;
  return {
    message_type: "status",
    time: timeText(now),
    sentence: statusSentence(status),
    archive: archive === undefined ? null : archiveMessage(archive),
    filestores: filestores.map((filestore) => filestoreMessage(filestore, now)),
    live: live === undefined ? null : liveMessage(live, archive),
    runs: runs.map(({ instance, task, outcome, started, ended, code }) => ({
      instance,
      task,
      outcome,
      started: timeText(started),
      ended: timeText(ended),
      code: code ?? null,
    })),
    problems,
  };
}

function archiveMessage({ archive, inventory, reaches }: SurveyedArchive): object {
  const { totals, catalogue, systemId } = inventory;
  return {
    location: archive.location,
    server: archive.server,
    system_id: systemId ?? null,
    windows: reaches.map(({ timeline, ...stretch }) => ({ timeline, ...stretchMessage(stretch) })),
    backups: totals.backups,
    restorable_backups: totals.restorable,
    lost_gaps: catalogue.gaps.filter(({ state }) => state === "lost").length,
  };
}

function filestoreMessage(filestore: SurveyedFilestore, now: number): object {
  const { drill, database, hostname, paths, snapshots, captures, joint, watermark } = filestore;
  const time = jointTime(filestore);
  return {
    database: database ?? null,
    hostname,
    paths,
    snapshots: snapshots.length,
    newest_snapshot: snapshots.length === 0 ? null : timeText(snapshots.at(-1)!.time),
    captures: captures.length,
    newest_capture:
      captures.length === 0 ? null : timeText(Math.max(...captures.map((one) => one.time))),
    last_drill:
      drill === undefined
        ? null
        : {
            time: timeText(drill.time),
            verdict: drill.verdict,
            recovery_seconds: drill.recoveryMs === undefined ? null : drill.recoveryMs / 1000,
          },
    joint_windows: joint.stretches.map(stretchMessage),
    joint_moments: joint.moments.map((one) => ({
      time: timeText(one.time),
      snapshot_id: one.snapshot,
    })),
    watermark: pointMessage(watermark.point),
    newest_point: pointMessage(watermark.newest),
    obstacle: watermark.obstacle ?? null,
    recoverable_until: time === undefined ? null : timeText(time),
    lag_seconds: time === undefined ? null : Math.max(0, Math.round((now - time) / 1000)),
  };
}

function pointMessage(point: JointPoint | undefined): object | null {
  if (point === undefined) return null;
  const { capture, position, missing, corrupt, isLeft } = point;
  return {
    capture_id: capture,
    system_id: position.systemId,
    timeline: position.timeline,
    lsn: formatLsn(position.lsn),
    time: timeText(position.time),
    missing,
    corrupt,
    left_branch: isLeft,
  };
}

function liveMessage(live: LiveSurvey, archive: SurveyedArchive | undefined): object {
  const { database, position, referenced, elsewhere, missing, regenerable } = live;
  const end = archive && archivedEnd(archive, position.timeline);
  return {
    database,
    timeline: position.timeline,
    lsn: formatLsn(position.lsn),
    unarchived_bytes: end === undefined ? null : Math.max(0, Number(position.lsn - end)),
    referenced_files: referenced,
    rows_elsewhere: elsewhere,
    missing_files: missing?.length ?? null,
    regenerable_missing: missing === undefined ? null : regenerable,
  };
}

function stretchMessage({ from, to }: TimeStretch): object {
  return { from: timeText(from), to: timeText(to) };
}

function timeText(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
