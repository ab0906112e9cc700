// What a plan says once it is read: what is protected, when and for how long. The YAML of it is read by
// src/plan/read-plan.ts; every key is explained in docs/operations/plan.md.

import type { RetentionPolicy } from "../barman/retention.ts";
import type { Schedule } from "./schedule.ts";

/** Tasks that are due by a schedule, in the order in which they run when several are due at once. */
export const SCHEDULED_TASKS = ["base", "snapshot", "expire", "prune", "drill"] as const;
export type ScheduledTask = (typeof SCHEDULED_TASKS)[number];

/** Tasks that never end. */
export const SERVICES = ["receive", "capture"] as const;
export type Service = (typeof SERVICES)[number];

export type TaskName = ScheduledTask | Service;

export interface Plan {
  /** Folder of the journal and of what waits to be archived; undefined for a place in the user's home. */
  readonly state: string | undefined;
  readonly instances: readonly InstancePlan[];
}

export interface InstancePlan {
  readonly name: string;
  /** Where the values of secrets are, the plan's own first: as --from-secret and --secret take them. */
  readonly secrets: SecretsPlan;
  /** The folder of ab/ab12…, absolute. */
  readonly filestore: string | undefined;
  readonly database: DatabasePlan | undefined;
  readonly repository: RepositoryPlan | undefined;
  readonly archive: ArchivePlan | undefined;
  /** How far back any moment must be recoverable. */
  readonly window: RecoveryWindowPlan | undefined;
  readonly keep: KeepPlan;
  /** Undefined when files are not captured between snapshots. */
  readonly capture: CapturePlan | undefined;
  readonly schedules: Readonly<Partial<Record<ScheduledTask, Schedule>>>;
  readonly drill: DrillPlan;
}

export interface SecretsPlan {
  /** Absolute paths. */
  readonly files: readonly string[];
  /** Each NAME=SOURCE. */
  readonly variables: readonly string[];
}

export interface DatabasePlan {
  /** A connection string or URI without a password. */
  readonly connect: string | undefined;
  /** The same for replication; undefined for the same one. */
  readonly replication: string | undefined;
}

export interface RepositoryPlan {
  /** Undefined for what the secrets say: RESTIC_REPOSITORY. */
  readonly location: string | undefined;
  /** Undefined for beside the repository. */
  readonly captures: string | undefined;
  /** Host name of the snapshots; undefined for that of this machine. */
  readonly host: string | undefined;
  /** True when nobody else forgets and prunes there. */
  readonly owned: boolean;
}

export interface ArchivePlan {
  readonly location: string | undefined;
  readonly server: string | undefined;
  /** True when nobody else deletes base backups and WAL there. */
  readonly owned: boolean;
  /** Undefined when another program brings the WAL. */
  readonly receive: ReceivePlan | undefined;
}

export interface ReceivePlan {
  readonly slot: string;
  readonly createSlot: boolean;
  readonly unlimitedSlot: boolean;
  /** Absolute; undefined for a folder of the state. */
  readonly spool: string | undefined;
  readonly spoolLimit: number;
  /** Milliseconds. */
  readonly partialAfter: number | undefined;
  readonly shared: boolean;
}

export interface RecoveryWindowPlan {
  readonly text: string;
  readonly milliseconds: number;
  readonly policy: RetentionPolicy;
}

/** How many of each are kept beyond what the window needs; 0 for no such rule. */
export interface KeepPlan {
  readonly last: number;
  readonly hourly: number;
  readonly daily: number;
  readonly weekly: number;
  readonly monthly: number;
  readonly yearly: number;
}

export interface CapturePlan {
  /** Milliseconds from one look to the next. */
  readonly interval: number;
}

export interface DrillPlan {
  /** Bytes of files that are read; undefined for all. */
  readonly sample: number | undefined;
}
