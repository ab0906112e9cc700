// `recover` with a moment: planned, shown, and carried out beside whatever is live.

import { tmpdir } from "node:os";
import { join } from "node:path";
import { HoldfastError } from "../base/errors.ts";
import type { Progress } from "../base/progress.ts";
import { hasAllFiles, type FilesReport } from "../odoo/recover-files.ts";
import { planRecovery, type RecoveryPlan } from "../odoo/recovery-plan.ts";
import {
  recoverMoment,
  type RecoverMomentOptions,
  type RecoveryEvents,
  type RecoveryStage,
} from "../odoo/recovery.ts";
import { findServerPrograms } from "../postgres/server-programs.ts";
import { openNamedArchive } from "./archive-session.ts";
import type { Context } from "./command.ts";
import { EXIT } from "./exit-status.ts";
import { openInstance } from "./instance-session.ts";
import { ProgressDisplay } from "./progress.ts";
import { bytesView } from "./progress-views.ts";
import {
  accountsOf,
  momentTarget,
  pathFrom,
  timelineOf,
  type RecoverFlags,
} from "./recover-options.ts";
import { reportRecovery, reportRecoveryPlan } from "./recovery-report.ts";
import { quoteUnprintable } from "./terminal-text.ts";
import { PROGRAM_VERSION } from "./version.ts";
import { serverVariables, walCommand } from "./wal-command.ts";

/** Recovers a moment into a new directory. Throws RECOVERY_INCOMPLETE when it came back without all its files. */
export async function recoverToDirectory(context: Context, flags: RecoverFlags): Promise<number> {
  const { output, clock, random } = context;
  const root = targetFolder(context, flags);
  const target = momentTarget(flags);
  const accounts = accountsOf(context, flags);
  const archive = await openNamedArchive(context, flags);
  await using instance = await openInstance(context, flags, { lock: "read" });
  const { repository, captures, signal } = instance;
  const events = new MomentEvents(context);
  const plan = await planRecovery({
    archive,
    target,
    timeline: timelineOf(flags),
    backup: flags.backup,
    repository,
    captures,
    database: flags.database,
    root,
    account: accounts.database,
    clock,
    random,
    onDamage: events.damage,
    signal,
  });
  reportRecoveryPlan(output, plan, clock.now());
  const programs = await programsOf(context, flags, plan);
  if (flags.dryRun === true) return EXIT.ok;
  const report = await watched(events, {
    plan,
    programs,
    ...serverOptions(context, flags, plan),
    accounts,
    leavePaused: flags.leavePaused === true,
    events,
    signal,
  });
  reportRecovery(output, report);
  requireAllFiles(report.files);
  return EXIT.ok;
}

/** What every recovery needs of the machine and of the command line. */
export function serverOptions(
  context: Context,
  flags: RecoverFlags,
  { archive }: RecoveryPlan,
): Pick<
  RecoverMomentOptions,
  "restoreCommand" | "environment" | "superuser" | "temporary" | "program" | "clock" | "random"
> {
  const { clock, random } = context;
  return {
    restoreCommand: walCommand(context, flags, archive.server).command,
    environment: serverVariables(context),
    superuser: flags.superuser,
    temporary: tmpdir(),
    program: `holdfast ${PROGRAM_VERSION}`,
    clock,
    random,
  };
}

/** The programs of the plan's major: without them there is no recovery, so they are looked for before anything is written. */
export async function programsOf(
  context: Context,
  flags: RecoverFlags,
  { database }: RecoveryPlan,
): ReturnType<typeof findServerPrograms> {
  const { environment, signal } = context;
  return await findServerPrograms({
    major: database.major,
    folder: flags.postgresBin,
    path: environment["PATH"],
    signal,
  });
}

/** Recovers while `events` shows it. */
export async function watched(
  events: MomentEvents,
  options: RecoverMomentOptions,
): ReturnType<typeof recoverMoment> {
  try {
    const report = await recoverMoment(options);
    events.finish("done");
    return report;
  } catch (error) {
    events.finish("failed");
    throw error;
  }
}

/** Throws RECOVERY_INCOMPLETE when files are missing that Odoo does not make again. */
export function requireAllFiles(files: FilesReport): void {
  if (hasAllFiles(files)) return;
  const { missing, corrupt, missingAtSource, corruptAtSource, referenced } = files;
  const lost = missing.length + corrupt.length;
  const atSource = missingAtSource.length + corruptAtSource.length;
  const parts = [
    ...(lost > 0 ? [`${lost} not to be had from the backups`] : []),
    ...(atSource > 0 ? [`${atSource} lost at the source before they could be captured`] : []),
  ];
  throw new HoldfastError(
    "RECOVERY_INCOMPLETE",
    `the moment is recovered without ${lost + atSource} of its ${referenced} files: ${parts.join(", ")}`,
    {
      hint: "The report names each of them. `--latest-complete` and earlier moments may have them all.",
    },
  );
}

function targetFolder(context: Context, { to }: RecoverFlags): string {
  if (to !== undefined && to !== "") return pathFrom(context, to);
  throw new HoldfastError("USAGE", "no directory to recover into is named", {
    hint: "Name one that is absent or empty with --to, or a running server with --into-server.",
  });
}

const STAGES: Readonly<Record<RecoveryStage, string>> = {
  restore: "restoring the base backup",
  replay: "replaying WAL",
  references: "reading what the database refers to",
  pool: "looking for the files",
  files: "writing the files",
  copy: "copying the database into the server",
  open: "opening the database",
};

/** Shows what a recovery does. */
export class MomentEvents implements RecoveryEvents {
  readonly #context: Context;
  #display: ProgressDisplay | undefined;
  #shown = "";

  constructor(context: Context) {
    this.#context = context;
  }

  readonly stage = (stage: RecoveryStage, counters: Progress | undefined): void => {
    const { output, clock, settings } = this.#context;
    this.finish("done");
    if (output.isJson) output.json({ message_type: "stage", stage });
    else output.print(`${STAGES[stage]} …`);
    if (counters === undefined) return;
    this.#display = new ProgressDisplay({
      output,
      counters,
      view: bytesView,
      clock,
      framesPerSecond: settings.progressFps,
    });
  };

  readonly replayed = (lsn: string): void => {
    const { output } = this.#context;
    if (lsn === this.#shown) return;
    this.#shown = lsn;
    output.status([`  replayed to ${lsn}`]);
    output.verbose(`replayed to ${lsn}`);
  };

  readonly line = (line: string): void => {
    this.#context.output.veryVerbose(line);
  };

  readonly walked = (walked: number, total: number): void => {
    this.#context.output.status([`  ${walked} of ${total} snapshots`]);
  };

  readonly damage = (what: string, error: HoldfastError): void => {
    this.#context.output.warn(`damaged: ${quoteUnprintable(what)}: ${error.message}`);
  };

  /** Takes what is shown away. */
  finish(outcome: "done" | "failed"): void {
    this.#display?.stop(outcome);
    this.#display = undefined;
    this.#context.output.status([]);
  }
}

/** A folder beside nothing of anybody's, for what is thrown away. */
export function scratchFolder(context: Context, { scratch }: RecoverFlags, token: string): string {
  return join(
    scratch === undefined ? tmpdir() : pathFrom(context, scratch),
    `holdfast-recover-${token}`,
  );
}
