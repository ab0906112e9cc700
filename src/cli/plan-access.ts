// How the tasks of a plan reach what it names: each instance gets a context of its own, with the secrets that its plan names
// over the variables of the process, and everything is opened as the commands open it.

import { join } from "node:path";
import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import type { BackupSettings, InstanceAccess } from "../plan/access.ts";
import type { InstancePlan } from "../plan/plan.ts";
import type { TaskResult, TaskRun } from "../plan/task.ts";
import type { Archive } from "../postgres/archive.ts";
import { connect, type Connection, type ConnectionSettings } from "../postgres/connection.ts";
import type { Machine, Repository } from "../repository/repository.ts";
import { openNamedArchive, type ArchiveFlags } from "./archive-session.ts";
import type { Context } from "./command.ts";
import { Closers } from "./closers.ts";
import { namedDatabase, requireDatabaseOf } from "./database-option.ts";
import { readSettings, type GlobalFlags } from "./environment.ts";
import { openCaptureWriter } from "./instance-session.ts";
import { findRepositorySource } from "./repository-source.ts";
import { namedLocation, openNamedRepository } from "./session.ts";
import { PROGRAM_VERSION } from "./version.ts";

/** A context in which commands would run for that instance. Throws what reading its secrets throws. */
export async function instanceContext(context: Context, instance: InstancePlan): Promise<Context> {
  const { secrets, repository } = instance;
  const { withSecrets } = await import("./secret-variables.ts");
  const environment = await withSecrets(context, {
    fromSecret: secrets.files,
    secret: secrets.variables,
  });
  const repo = repository?.location;
  return {
    ...context,
    environment,
    // Secrets may say more than passwords, such as RESTIC_CACERT. The flags are all that the command line gave.
    settings: readSettings(context.flags as GlobalFlags, environment),
    flags:
      repo === undefined ? context.flags : { ...context.flags, repo, repositoryFile: undefined },
    closers: new Closers(context.clock),
  };
}

/** Opens what one instance needs, when it is needed. */
export class PlanAccess implements InstanceAccess {
  readonly backup: BackupSettings;
  readonly #context: Context;
  readonly #instance: InstancePlan;
  readonly #opened = new Map<string, Promise<unknown>>();

  constructor(context: Context, instance: InstancePlan) {
    this.#context = context;
    this.#instance = instance;
    const { settings, cores } = context;
    this.backup = {
      workers: settings.readConcurrency ?? Math.min(cores, 8),
      packSize: settings.packSize,
      verify: settings.extraVerify,
      programVersion: `holdfast ${PROGRAM_VERSION}`,
      scanCacheFolder: settings.cacheFolder && join(settings.cacheFolder, "scan"),
    };
  }

  get machine(): Machine {
    return this.#context.machine;
  }

  /**
   * Throws PLAN_INVALID when nothing says where the repository or the archive is: that does not pass, and whoever starts a
   * runner should hear it at once. Opens nothing.
   */
  async requireNames(): Promise<void> {
    const { name, repository, archive } = this.#instance;
    const environment = this.#context.environment;
    const missing: [what: string, key: string | undefined, variable: string][] = [];
    if (archive !== undefined) {
      const { location, server } = archive;
      if (!(location || environment["HOLDFAST_ARCHIVE"]))
        missing.push(["where the archive is", "archive.location", "HOLDFAST_ARCHIVE"]);
      if (!(server || environment["HOLDFAST_ARCHIVE_SERVER"]))
        missing.push(["the archive's server", "archive.server", "HOLDFAST_ARCHIVE_SERVER"]);
    }
    const isNamed = repository === undefined || (await this.#namesRepository());
    if (!isNamed)
      missing.push(["where the repository is", "repository.location", "RESTIC_REPOSITORY"]);
    if (repository !== undefined && isNamed && !this.#namesPassword())
      missing.push(["the repository's password", undefined, "RESTIC_PASSWORD"]);
    if (missing.length === 0) return;
    const hints = missing.map(([, key, variable]) =>
      key === undefined ? variable : `${variable} (or write \`${key}\` into the plan)`,
    );
    throw new HoldfastError(
      "PLAN_INVALID",
      `${name}: nothing says ${missing.map(([what]) => what).join(", nor ")}`,
      { hint: `Where \`secrets\` finds it, put ${hints.join(", ")}.` },
    );
  }

  /** Nobody is there to be asked, and standard input is no place to ask a runner's. */
  #namesPassword(): boolean {
    const { flags, environment, role } = this.#context;
    return findRepositorySource(flags, environment, role).password.kind !== "ask";
  }

  async #namesRepository(): Promise<boolean> {
    try {
      return (await namedLocation(this.#context)) !== "";
    } catch (error) {
      if (isHoldfastError(error, "USAGE")) return false;
      throw error;
    }
  }

  async repository(): Promise<Repository> {
    // By itself: captures that are out of reach must not keep full snapshots from being made.
    return await this.#once("repository", async () => await openNamedRepository(this.#context));
  }

  async captures(): Promise<{ repository: Repository; captures: Repository }> {
    const { repository, filestore, database } = this.#instance;
    const flags = repository?.captures === undefined ? {} : { captures: repository.captures };
    return await this.#once("captures", async () => {
      if (filestore !== undefined && database !== undefined)
        await requireDatabaseOf(filestore, await this.#database(false), this.#context.signal);
      return await openCaptureWriter(this.#context, flags);
    });
  }

  async repositoryLocation(): Promise<string> {
    return await namedLocation(this.#context);
  }

  async archive(): Promise<Archive> {
    return await this.#once(
      "archive",
      async () => await openNamedArchive(this.#context, this.#archiveFlags(), { create: true }),
    );
  }

  async connect(options: { replication: boolean; signal: AbortSignal }): Promise<Connection> {
    const { replication, signal } = options;
    return await connect({ settings: await this.#database(replication), replication, signal });
  }

  async databaseName(): Promise<string> {
    return (await this.#database(false)).database;
  }

  async drill(run: TaskRun): Promise<TaskResult> {
    const { runPlannedDrill } = await import("./plan-drill.ts");
    const { database } = this.#instance;
    const { signal } = run;
    const planned = {
      instance: this.#instance,
      archive: this.#archiveFlags(),
      connectLive: database && (async () => await this.connect({ replication: false, signal })),
      database: database && (await this.databaseName()),
    };
    return await runPlannedDrill(this.#context, planned, run);
  }

  #archiveFlags(): ArchiveFlags {
    const { location, server } = this.#instance.archive ?? {};
    return {
      ...(location !== undefined && { archive: location }),
      ...(server !== undefined && { server }),
    };
  }

  async #database(replication: boolean): Promise<ConnectionSettings> {
    const { connect: plain, replication: other } = this.#instance.database ?? {};
    const dbname = replication ? (other ?? plain) : plain;
    const flags = dbname === undefined ? {} : { dbname };
    return await namedDatabase(this.#context, flags, { replication });
  }

  /** Opened once, and again only when it failed. */
  async #once<T>(name: string, open: () => Promise<T>): Promise<T> {
    const known = this.#opened.get(name) as Promise<T> | undefined;
    if (known !== undefined) return await known;
    const opening = open();
    this.#opened.set(name, opening);
    opening.catch(() => this.#opened.delete(name));
    return await opening;
  }
}
