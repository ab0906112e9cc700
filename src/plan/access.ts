// How tasks reach what a plan names: the repositories, the archive and the server of one instance, with secrets that were found
// elsewhere (src/cli reads them). What is opened stays open and is shared; what could not be opened is tried anew the next
// time.

import type { BackupOptions } from "../files/backup.ts";
import type { Archive } from "../postgres/archive.ts";
import type { Connection } from "../postgres/connection.ts";
import type { Machine, Repository } from "../repository/repository.ts";
import type { TaskResult, TaskRun } from "./task.ts";

/** What a machine and its user decide about backups, beside the plan. */
export type BackupSettings = Pick<
  BackupOptions,
  "workers" | "packSize" | "verify" | "programVersion" | "scanCacheFolder"
>;

export interface InstanceAccess {
  readonly machine: Machine;
  readonly backup: BackupSettings;
  /** The main repository. */
  repository(): Promise<Repository>;
  /** The main repository, and the captures beside it, which are made where there are none. */
  captures(): Promise<{ readonly repository: Repository; readonly captures: Repository }>;
  /** Where the main repository is, as it was named; it may hold a credential. */
  repositoryLocation(): Promise<string>;
  archive(): Promise<Archive>;
  /** A new connection, to be closed by whoever asked. */
  connect(options: {
    readonly replication: boolean;
    readonly signal: AbortSignal;
  }): Promise<Connection>;
  /** The name of the database that connections are to. */
  databaseName(): Promise<string>;
  /** A drill with what the plan says of it. Throws DRILL_FAILED. */
  drill(run: TaskRun): Promise<TaskResult>;
}
