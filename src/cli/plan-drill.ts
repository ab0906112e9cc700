// The drill that a plan asks for: as `holdfast drill` with what the plan says, under locks that keep others from removing what it
// reads, its report kept beside the captures.

import { messageOf } from "../base/errors.ts";
import { refuseFailed, runDrill, type DrillReport } from "../odoo/drill.ts";
import { listDrills, packReport, readSigningKey, storeReport } from "../odoo/drill-reports.ts";
import type { InstancePlan } from "../plan/plan.ts";
import type { TaskResult, TaskRun } from "../plan/task.ts";
import type { Connection } from "../postgres/connection.ts";
import type { Repository } from "../repository/repository.ts";
import type { ArchiveFlags } from "./archive-session.ts";
import type { Context } from "./command.ts";
import { openInstance, type OpenedInstance } from "./instance-session.ts";
import { openScratch, scratchFolder } from "./scratch-session.ts";
import { PROGRAM_VERSION } from "./version.ts";

/** Waiting for the marker, and for locks, in milliseconds. */
const PATIENCE_MS = 5 * 60_000;
const SUPERUSER = "postgres";

export interface PlannedDrill {
  readonly instance: InstancePlan;
  readonly archive: ArchiveFlags;
  /** Undefined when the plan names no database: then nothing can be passed. */
  readonly connectLive: (() => Promise<Connection>) | undefined;
  readonly database: string | undefined;
}

/** Drills. Throws DRILL_FAILED when a check failed. */
export async function runPlannedDrill(
  context: Context,
  planned: PlannedDrill,
  run: TaskRun,
): Promise<TaskResult> {
  const captures = planned.instance.repository?.captures;
  const flags = captures === undefined ? {} : { captures };
  // Also captures that somebody else makes.
  const opened = await openInstance(context, flags, { lock: "read" });
  let report: DrillReport;
  try {
    const signal = AbortSignal.any([run.signal, opened.signal]);
    report = await drill(context, { ...planned, ...opened }, { ...run, signal });
  } finally {
    await opened.close();
  }
  await keep(context, { captures: opened.captures, report, run });
  refuseFailed(report);
  return { text: `the drill ${report.verdict}`, detail: { verdict: report.verdict } };
}

async function drill(
  context: Context,
  planned: PlannedDrill & Pick<OpenedInstance, "repository" | "captures">,
  { signal, notice }: TaskRun,
): Promise<DrillReport> {
  const { clock, random, machine } = context;
  const { instance, repository, captures, connectLive, database, archive } = planned;
  const flags = { ...archive, superuser: SUPERUSER };
  const before = captures ? await listDrills(captures, { signal }) : [];
  return await runDrill({
    ...(await openScratch(context, flags)),
    target: { kind: "latest" },
    connectLive,
    database,
    files: { repository, captures },
    sample: instance.drill.sample,
    after: before.at(-1)?.rotation ?? undefined,
    patience: { archive: PATIENCE_MS, capture: PATIENCE_MS },
    scratch: scratchFolder(context, flags),
    machine,
    program: `holdfast ${PROGRAM_VERSION}`,
    clock,
    random,
    signal,
    onNotice: notice,
  });
}

/** A report that cannot be kept fails nothing. */
async function keep(
  { environment }: Context,
  options: {
    readonly captures: Repository | undefined;
    readonly report: DrillReport;
    readonly run: TaskRun;
  },
): Promise<void> {
  const { captures, report, run } = options;
  if (captures === undefined) return;
  const given = environment["HOLDFAST_DRILL_KEY"];
  const key = given ? readSigningKey(given) : undefined;
  try {
    await storeReport(captures, packReport(report, key), {
      program: `holdfast ${PROGRAM_VERSION}`,
      retryFor: PATIENCE_MS,
      signal: run.signal,
    });
  } catch (error) {
    if (run.signal.aborted) throw error;
    run.notice(`the report is not kept beside the captures: ${messageOf(error)}`);
  }
}
