// `recover` with a moment: planned, shown, and carried out beside whatever is live.

import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HoldfastError } from "../base/errors.ts";
import type { Progress } from "../base/progress.ts";
import { copyDatabase, requireNewDatabase } from "../odoo/copy-database.ts";
import { hasAllFiles, type FilesReport } from "../odoo/recover-files.ts";
import { recoveryDocument } from "../odoo/recovery-document.ts";
import { planRecovery, type RecoveryPlan } from "../odoo/recovery-plan.ts";
import {
  recoverMoment,
  type RecoverMomentOptions,
  type RecoveryEvents,
  type RecoveryReport,
  type RecoveryStage,
} from "../odoo/recovery.ts";
import { makeScratchPlace, removeLeftPlaces } from "../odoo/scratch-place.ts";
import { findClientProgram } from "../postgres/client-programs.ts";
import type { ConnectionSettings } from "../postgres/connection.ts";
import { findServerPrograms, type ServerPrograms } from "../postgres/server-programs.ts";
import { openNamedArchive } from "./archive-session.ts";
import type { Context } from "./command.ts";
import { namedDatabase } from "./database-option.ts";
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

/** Recovers a moment, where the options say. Throws RECOVERY_INCOMPLETE when it came back without all its files. */
export async function recoverNamedMoment(context: Context, flags: RecoverFlags): Promise<number> {
  return flags.intoServer === undefined
    ? await recoverToDirectory(context, flags)
    : await recoverIntoServer(context, flags);
}

async function recoverToDirectory(context: Context, flags: RecoverFlags): Promise<number> {
  const root = targetFolder(context, flags);
  const accounts = accountsOf(context, flags);
  const filestore = flags.filestore === undefined ? undefined : pathFrom(context, flags.filestore);
  const found = { root, accounts, ...(filestore && { filestore }) };
  return await withPlan(context, flags, found, async ({ plan, programs, events, signal }) => {
    return await watched(events, {
      plan,
      programs,
      ...serverOptions(context, flags, plan),
      accounts,
      leavePaused: flags.leavePaused === true,
      events,
      signal,
    });
  });
}

/** The report of what was recovered into a server lies beside the files: there is no other folder. */
const REPORT_SUFFIX = "-recovery-report.json";

async function recoverIntoServer(context: Context, flags: RecoverFlags): Promise<number> {
  const { machine, environment, signal: stopped } = context;
  const { name, filestore, target } = await serverTarget(context, flags);
  const accounts = accountsOf(context, flags);
  const parent = flags.scratch === undefined ? tmpdir() : pathFrom(context, flags.scratch);
  await removeLeftPlaces({ parent, machine, account: accounts.database });
  await requireNewDatabase({ target, name, major: 0, signal: stopped });
  await using place = await makeScratchPlace({ parent, machine, account: accounts.database });
  const into = `${name}, new in the server`;
  const found = { root: join(place.path, "moment"), filestore, accounts, into };
  return await withPlan(context, flags, found, async ({ plan, programs, events, signal }) => {
    const { major } = plan.database;
    await requireNewDatabase({ target, name, major, signal });
    const options = { major, folder: flags.postgresBin, path: environment["PATH"], signal };
    const clients = {
      pgDump: await findClientProgram("pg_dump", options),
      psql: await findClientProgram("psql", options),
    };
    const report = await watched(events, {
      plan,
      programs,
      ...serverOptions(context, flags, plan),
      accounts,
      keepsDatabase: false,
      copyTo: async (recovered, database) =>
        await copyDatabase({ recovered, database, target, name, programs: clients, signal }),
      events,
      signal,
    });
    const document = JSON.stringify(recoveryDocument(report), undefined, 2);
    writeFileSync(`${filestore}${REPORT_SUFFIX}`, `${document}\n`);
    return report;
  });
}

/** The server, the database's new name and the folder for the files. Throws USAGE. */
async function serverTarget(
  context: Context,
  { intoServer, newDatabase, filestore, to }: RecoverFlags,
): Promise<{ name: string; filestore: string; target: ConnectionSettings }> {
  const missing =
    newDatabase === undefined ? "--new-database" : filestore === undefined ? "--filestore" : "";
  if (missing !== "" || to !== undefined)
    throw new HoldfastError(
      "USAGE",
      to === undefined
        ? `--into-server needs ${missing}`
        : "a moment goes to one place at a time: --to or --into-server",
      {
        hint: "Name a database that does not exist with --new-database, and a new folder for its files with --filestore.",
      },
    );
  const target = await namedDatabase(context, { dbname: intoServer! });
  return { name: newDatabase!, filestore: pathFrom(context, filestore!), target };
}

/** What a recovery is carried out with. */
interface Prepared {
  readonly plan: RecoveryPlan;
  readonly programs: ServerPrograms;
  readonly events: MomentEvents;
  readonly signal: AbortSignal;
}

/** Plans with the named archive and repositories, shows the plan, lets `work` recover unless this is a dry run, and reports. */
async function withPlan(
  context: Context,
  flags: RecoverFlags,
  found: {
    readonly root: string;
    readonly filestore?: string;
    readonly accounts: ReturnType<typeof accountsOf>;
    /** Where the database goes, for people. */
    readonly into?: string;
  },
  work: (prepared: Prepared) => Promise<RecoveryReport>,
): Promise<number> {
  const { output, clock, random } = context;
  const target = momentTarget(flags);
  const timeline = timelineOf(flags);
  const archive = await openNamedArchive(context, flags);
  await using instance = await openInstance(context, flags, { lock: "read" });
  const { repository, captures, signal } = instance;
  const events = new MomentEvents(context);
  const plan = await planRecovery({
    archive,
    target,
    timeline,
    backup: flags.backup,
    repository,
    captures,
    database: flags.database,
    root: found.root,
    filestore: found.filestore,
    account: found.accounts.database,
    clock,
    random,
    onDamage: events.damage,
    signal,
  });
  reportRecoveryPlan(output, plan, { now: clock.now(), ...(found.into && { into: found.into }) });
  const programs = await programsOf(context, flags, plan);
  if (flags.dryRun === true) return EXIT.ok;
  const report = await work({ plan, programs, events, signal });
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
  const { missing, corrupt, missingAtSource, corruptAtSource, referenced, unknown } = files;
  const lost = missing.length + corrupt.length;
  const atSource = missingAtSource.length + corruptAtSource.length;
  const parts = [
    ...(lost > 0 ? [`${lost} not to be had from the backups`] : []),
    ...(atSource > 0 ? [`${atSource} lost at the source before they could be captured`] : []),
  ];
  if (parts.length === 0) {
    throw new HoldfastError(
      "RECOVERY_INCOMPLETE",
      `the moment is recovered, but ${unknown.length} names of files in its rows mean nothing: what they refer to was not looked for`,
      { hint: "The report lists them under rows.unknown. Odoo itself never writes such names." },
    );
  }
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
