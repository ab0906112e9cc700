// The service that captures files as they come (src/odoo/capture.ts), and puts the many small packs of that together once a day.

import { basename } from "node:path";
import { formatLsn } from "../../barman/lsn.ts";
import { isHoldfastError, messageOf } from "../../base/errors.ts";
import { localZone, readOwnerNames } from "../../files/metadata.ts";
import { Capture } from "../../odoo/capture.ts";
import type { CaptureEvent, TickReport } from "../../odoo/capture-events.ts";
import type { InstanceAccess } from "../access.ts";
import type { InstancePlan } from "../plan.ts";
import type { ServiceRun, ServiceTask } from "../task.ts";

const MERGE_EVERY_MS = 24 * 3_600_000;
/** After a failure, and after the start: a short run should not begin with it. */
const MERGE_AGAIN_MS = 3_600_000;
const LOCK_PATIENCE_MS = 60_000;

export interface CaptureTaskOptions {
  readonly instance: InstancePlan;
  /** Absolute path. */
  readonly filestore: string;
  /** Milliseconds. */
  readonly interval: number;
  readonly access: InstanceAccess;
  readonly onTick: (report: TickReport) => void;
}

export interface CaptureTask extends ServiceTask {
  /** A full snapshot was made, which begins a new period. */
  fullSnapshotMade(): void;
  /** Puts packs together; false when nothing is capturing. Throws REPO_LOCKED. */
  mergePacks(signal: AbortSignal): Promise<boolean>;
}

export function captureTask(options: CaptureTaskOptions): CaptureTask {
  const { instance, filestore, interval, access, onTick } = options;
  let running: Capture | undefined;
  return {
    instance: instance.name,
    name: "capture",
    fullSnapshotMade: () => running?.fullSnapshotMade(),
    async mergePacks(signal) {
      if (running === undefined) return false;
      await running.mergePacks(signal);
      return true;
    },
    async run(run) {
      const { repository: main, captures } = await access.captures();
      const { machine, backup } = access;
      const { clock } = machine;
      const capture = new Capture({
        main,
        captures,
        folder: filestore,
        database:
          instance.database === undefined ? basename(filestore) : await access.databaseName(),
        connect:
          instance.database &&
          (async (signal) => await access.connect({ replication: false, signal })),
        metadata: { owners: readOwnerNames(), withAtime: false, ...localZone() },
        hostname: instance.repository?.host ?? machine.hostname,
        programVersion: backup.programVersion,
        retryLock: LOCK_PATIENCE_MS,
        onEvent: (event) => tell(event, run, { now: clock.now(), onTick }),
      });
      running = capture;
      const over = new AbortController();
      const merging = mergeDaily(capture, run, {
        clock,
        signal: AbortSignal.any([run.signal, over.signal]),
      });
      try {
        await capture.run({ every: interval, signal: run.signal });
      } finally {
        running = undefined;
        over.abort();
        await merging;
      }
    },
  };
}

/** Ends with the signal; failures are told and tried again. */
async function mergeDaily(
  capture: Capture,
  run: ServiceRun,
  {
    clock,
    signal,
  }: { readonly clock: InstanceAccess["machine"]["clock"]; readonly signal: AbortSignal },
): Promise<void> {
  let pause = MERGE_AGAIN_MS;
  while (!signal.aborted) {
    try {
      await clock.sleep(pause, signal);
      await capture.mergePacks(signal);
      pause = MERGE_EVERY_MS;
    } catch (error) {
      if (signal.aborted) return;
      pause = MERGE_AGAIN_MS;
      if (!isHoldfastError(error, "REPO_LOCKED"))
        run.notice(`packs of captures were not put together: ${messageOf(error)}`);
    }
  }
}

function tell(
  event: CaptureEvent,
  run: ServiceRun,
  { now, onTick }: { readonly now: number; readonly onTick: (report: TickReport) => void },
): void {
  switch (event.kind) {
    case "tick":
      onTick(event.report);
      run.working({ text: tickText(event.report), fields: tickFields(event.report) });
      break;
    case "failed":
      run.failing(event.error, now + event.delay);
      break;
    case "database":
      run.notice(
        `the database cannot be asked, files are captured without a position: ${event.error.message}`,
      );
      break;
    case "corrupt":
      run.notice(
        event.stored
          ? `${event.path} was changed at the source and is not what its name says any more; the earlier content is kept`
          : `${event.path} is not what its name says, and no sound copy is known`,
      );
      break;
    case "missing":
      run.notice(`${event.path} is referred to, and is neither at the source nor in any snapshot`);
      break;
    case "stranger":
      run.notice(`${event.path} does not belong into a filestore and is not captured`);
      break;
    case "notice":
      run.notice(event.text);
      break;
    default:
      break;
  }
}

function tickText({ files, missing, corrupt, isJoint }: TickReport): string {
  const parts = [`${files} files since the last full snapshot`];
  if (!isJoint) parts.push("without the database");
  if (missing > 0) parts.push(`${missing} missing at the source`);
  if (corrupt > 0) parts.push(`${corrupt} corrupt at the source`);
  return parts.join(", ");
}

function tickFields(report: TickReport): Record<string, unknown> {
  const { capture, time, isJoint, newFiles, newBytes, files, missing, corrupt, position } = report;
  return {
    capture_id: capture ?? null,
    time: new Date(time).toISOString(),
    joint: isJoint,
    lsn: position === undefined ? null : formatLsn(position.lsn),
    timeline: position?.timeline ?? null,
    new_files: newFiles,
    new_bytes: newBytes,
    files,
    missing,
    corrupt,
  };
}
