// A copy for tests: recovered, made harmless on its own server, and only then given to whoever is to use it.

import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { HoldfastError } from "../base/errors.ts";
import { copyDatabase, requireNewDatabase, type CopiedDatabase } from "../odoo/copy-database.ts";
import type { RecoveredDatabase } from "../odoo/recover-database.ts";
import { planRecovery, type MomentTarget, type RecoveryPlan } from "../odoo/recovery-plan.ts";
import type { RecoveryReport } from "../odoo/recovery.ts";
import { makeScratchPlace, removeLeftPlaces, requireSpace } from "../odoo/scratch-place.ts";
import { keepOnly, makeHarmless, type SqlHook, type StagingReport } from "../odoo/staging.ts";
import { findClientProgram } from "../postgres/client-programs.ts";
import { connect, quoteIdentifier, type ConnectionSettings } from "../postgres/connection.ts";
import { openNamedArchive } from "./archive-session.ts";
import type { Context } from "./command.ts";
import { EXIT } from "./exit-status.ts";
import { namedFilestore } from "./instance-options.ts";
import { openInstance } from "./instance-session.ts";
import {
  MomentEvents,
  programsOf,
  requireAllFiles,
  serverOptions,
  watched,
} from "./recover-moment.ts";
import { accountsOf, pathFrom, type RecoverFlags } from "./recover-options.ts";
import { reportRecovery, reportRecoveryPlan } from "./recovery-report.ts";
import { readMoment } from "./recovery-target-option.ts";
import { scratchFolder } from "./scratch-session.ts";
import { reportStaging } from "./staging-report.ts";

export interface StagingFlags extends RecoverFlags {
  addons: string[];
  sql: string[];
  baseUrl?: string;
  allowUnknownModules?: boolean;
  allowMail?: boolean;
  keepStorage?: boolean;
  leaveAsIs?: string;
}

/** What the copy is to be. */
export interface StagingTarget {
  /** The name of its database. */
  readonly name: string;
  /** Undefined leaves it as the original is. */
  readonly addons: readonly string[] | undefined;
  readonly hooks: readonly SqlHook[];
  /** The server that gets it; undefined for a data directory of its own. */
  readonly server: ConnectionSettings | undefined;
}

/** Makes the copy. Throws RECOVERY_INCOMPLETE when it is there, without all its files. */
export async function stage(
  context: Context,
  flags: StagingFlags,
  target: StagingTarget,
): Promise<number> {
  const { server, name } = target;
  if (server === undefined)
    return await stageInto(context, flags, target, pathFrom(context, flags.to!));
  const { machine, signal } = context;
  await requireNewDatabase({ target: server, name, major: 0, signal });
  const parent = scratchFolder(context, flags);
  const { database: account } = accountsOf(context, flags);
  await removeLeftPlaces({ parent, machine, account });
  await using place = await makeScratchPlace({ parent, machine, account });
  return await stageInto(context, flags, target, join(place.path, "copy"));
}

async function stageInto(
  context: Context,
  flags: StagingFlags,
  target: StagingTarget,
  root: string,
): Promise<number> {
  const { output, clock, random } = context;
  const { name, server } = target;
  const filestore = filestoreOf(context, flags, { root, name, server });
  const accounts = accountsOf(context, flags);
  const archive = await openNamedArchive(context, flags);
  await using instance = await openInstance(context, flags, { lock: "read" });
  const { repository, captures, signal } = instance;
  const events = new MomentEvents(context);
  const plan = await planRecovery({
    archive,
    target: momentOf(flags),
    repository,
    captures,
    database: flags.database,
    root,
    filestore,
    account: accounts.database,
    clock,
    random,
    onDamage: events.damage,
    signal,
  });
  const into = server === undefined ? undefined : `${name}, new in the server`;
  reportRecoveryPlan(output, plan, { now: clock.now(), ...(into && { into }) });
  const programs = await programsOf(context, flags, plan);
  if (flags.dryRun === true) return EXIT.ok;
  if (server !== undefined)
    await requireSpace(dirname(root), plan.database.choice.backup.info!.size ?? 0);
  const ours = [root, filestore].filter((path) => !existsSync(path));
  const copying = new Copying(context, flags, { target, plan, signal });
  let report: RecoveryReport;
  try {
    report = await watched(events, {
      plan,
      programs,
      ...serverOptions(context, flags, plan),
      accounts,
      keepsDatabase: server === undefined,
      copyTo: async (recovered, database) => await copying.run(recovered, database),
      events,
      signal,
    });
    report = await copying.finish(report);
  } catch (error) {
    // Half a copy may be as dangerous as the original. What was there before is not ours.
    for (const path of ours) await rm(path, { recursive: true, force: true });
    throw error;
  }
  reportRecovery(output, report, { takesOver: false });
  copying.report(report);
  requireAllFiles(report.files);
  return EXIT.ok;
}

async function onServer(settings: ConnectionSettings, statement: string): Promise<void> {
  const connection = await connect({ settings });
  try {
    await connection.query(statement);
  } finally {
    await connection.close();
  }
}

/** What happens to the recovered database. */
class Copying {
  readonly #context: Context;
  readonly #flags: StagingFlags;
  readonly #target: StagingTarget;
  readonly #plan: RecoveryPlan;
  readonly #signal: AbortSignal;
  #staged: StagingReport | undefined;
  #dropped: readonly string[] = [];
  #copied: CopiedDatabase | undefined;

  constructor(
    context: Context,
    flags: StagingFlags,
    parts: {
      readonly target: StagingTarget;
      readonly plan: RecoveryPlan;
      readonly signal: AbortSignal;
    },
  ) {
    this.#context = context;
    this.#flags = flags;
    this.#target = parts.target;
    this.#plan = parts.plan;
    this.#signal = parts.signal;
  }

  async run(recovered: RecoveredDatabase, database: string): Promise<CopiedDatabase | undefined> {
    const { addons, hooks, server, name } = this.#target;
    const { allowUnknownModules, allowMail, keepStorage, baseUrl } = this.#flags;
    this.#staged = await makeHarmless(recovered, database, {
      addons,
      hooks,
      allowUnknown: allowUnknownModules === true,
      allowMail: allowMail === true,
      keepStorage: keepStorage === true,
      baseUrl,
      random: this.#context.random,
      signal: this.#signal,
    });
    if (server === undefined) this.#dropped = await keepOnly(recovered, database, name);
    else this.#copied = await this.#copy(recovered, { database, server });
    return this.#copied;
  }

  /** Under a name of its own until everything is there: nobody finds half of it. */
  async #copy(
    recovered: RecoveredDatabase,
    { database, server }: { readonly database: string; readonly server: ConnectionSettings },
  ): Promise<CopiedDatabase> {
    const { environment, random } = this.#context;
    const { name } = this.#target;
    const { major } = this.#plan.database;
    const signal = this.#signal;
    await requireNewDatabase({ target: server, name, major, signal });
    const options = {
      major,
      folder: this.#flags.postgresBin,
      path: environment["PATH"],
      signal,
    };
    const programs = {
      pgDump: await findClientProgram("pg_dump", options),
      psql: await findClientProgram("psql", options),
    };
    const incoming = `holdfast_incoming_${Buffer.from(random(6)).toString("hex")}`;
    return await copyDatabase({
      recovered,
      database,
      target: server,
      name: incoming,
      programs,
      signal,
    });
  }

  /** Gives the copy in the server its name, when its files are there, too; the report with that name. */
  async finish(report: RecoveryReport): Promise<RecoveryReport> {
    const copied = this.#copied;
    const { server, name } = this.#target;
    if (copied === undefined || server === undefined) return report;
    try {
      await onServer(
        server,
        `ALTER DATABASE ${quoteIdentifier(copied.name)} RENAME TO ${quoteIdentifier(name)}`,
      );
    } catch (error) {
      await copied.undo().catch(() => {});
      throw error;
    }
    this.#copied = { ...copied, name };
    return { ...report, copied: this.#copied };
  }

  report({ filestore, dataDirectory }: RecoveryReport): void {
    reportStaging(this.#context.output, this.#staged!, {
      database: this.#target.name,
      filestore,
      dataDirectory,
      copied: this.#copied,
      dropped: this.#dropped,
    });
  }
}

function momentOf({ at, latestComplete }: StagingFlags): MomentTarget {
  if (at !== undefined && latestComplete === true) {
    throw new HoldfastError("USAGE", "--at and --latest-complete name two moments", {
      hint: "Use one of them, or none for the end of the archive.",
    });
  }
  if (at !== undefined) return { kind: "time", micros: readMoment(at, "--at") };
  return latestComplete === true ? { kind: "latest-complete" } : { kind: "latest" };
}

/** A new folder for the copy's files. Throws USAGE for that of the live instance. */
function filestoreOf(
  context: Context,
  { filestore }: StagingFlags,
  { root, name, server }: { root: string; name: string; server: ConnectionSettings | undefined },
): string {
  if (server === undefined) {
    const isPlain = /^[^./\0][^/\0]*$/.test(name);
    if (isPlain) return join(root, "filestore", name);
    throw new HoldfastError("USAGE", `no folder can be called ${JSON.stringify(name)}`);
  }
  if (filestore === undefined || filestore === "") {
    throw new HoldfastError("USAGE", "the files of the copy have no place", {
      hint: `Name a new folder with --filestore, such as /var/lib/odoo/filestore/${name}.`,
    });
  }
  const path = pathFrom(context, filestore);
  if (path !== namedFilestore(context, {})) return path;
  throw new HoldfastError("USAGE", `${path} is the filestore of the live instance`, {
    hint: "Name a new folder: a copy never shares files with its original.",
  });
}
