// A database recovered to a moment in a scratch place, to be looked at, copied or dumped, and then thrown away. Everything of it
// lies in that place, tablespaces too, wherever the original had them.

import { tmpdir } from "node:os";
import { join } from "node:path";
import { chooseRecovery } from "../barman/recovery-choice.ts";
import type { RecoveryTarget } from "../barman/recovery-target.ts";
import type { Clock } from "../base/clock.ts";
import type { Progress } from "../base/progress.ts";
import { loadCatalogue, type Archive } from "../postgres/archive.ts";
import { planRestore, type RestorePlan } from "../postgres/restore-plan.ts";
import type { ServerAccount } from "../postgres/server-process.ts";
import type { ServerPrograms } from "../postgres/server-programs.ts";
import {
  recoverDatabase,
  type RecoverDatabaseOptions,
  type RecoveredDatabase,
} from "./recover-database.ts";
import { requireSpace, type ScratchPlace } from "./scratch-place.ts";

export { chooseDatabase } from "./recovery/odoo-database.ts";

/** What a scratch database needs of the machine, and of whoever asks for it. */
export interface ScratchServerOptions {
  readonly archive: Archive;
  /** Finds the server's programs of a major. */
  readonly findPrograms: (major: number) => Promise<ServerPrograms>;
  /** How the server gets its WAL: the whole command, with %f and %p. */
  readonly restoreCommand: string;
  /** For that command. */
  readonly environment: Readonly<Record<string, string>>;
  /** Who runs the server; undefined is whoever we are. */
  readonly account: ServerAccount | undefined;
  /** A superuser of the cluster; `postgres` without. */
  readonly superuser?: string | undefined;
  readonly clock: Pick<Clock, "now" | "sleep" | "monotonic">;
}

export interface RecoverScratchOptions
  extends ScratchServerOptions, Pick<RecoverDatabaseOptions, "onRestored" | "onReplay" | "onLine"> {
  readonly place: ScratchPlace;
  readonly target: RecoveryTarget;
  readonly backup?: string | undefined;
  readonly timeline?: number | undefined;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
  /** Told before anything is written. */
  readonly onPlan?: (plan: RestorePlan) => void;
}

/** Bytes of a folder in which a server can still make its own, with a socket in it. */
const SOCKET_FOLDER_MAX = 68;
/** Room for the WAL that the server keeps while it replays. */
const WAL_BYTES = 512 << 20;

/** Recovers the database. Throws what `planRestore` and `recoverDatabase` do, TARGET_UNWRITABLE without room. */
export async function recoverScratch(options: RecoverScratchOptions): Promise<RecoveredDatabase> {
  const { archive, target, backup, timeline, place, clock, account, signal } = options;
  const now = clock.now();
  const catalogue = await loadCatalogue(archive, { now, signal });
  const choice = chooseRecovery({ catalogue, target, timeline, backup, now });
  const tablespaces = new Map<string, string>();
  for (const { oid } of choice.backup.info!.tablespaces ?? [])
    tablespaces.set(`${oid}`, join(place.path, `tablespace-${oid}`));
  const plan = await planRestore({
    archive,
    target,
    timeline: choice.timeline,
    backup: choice.backup.id,
    folder: join(place.path, "database"),
    tablespaces,
    clock,
    signal,
  });
  options.onPlan?.(plan);
  const bytes = choice.backup.info!.size ?? plan.storedBytes * 4;
  await requireSpace(place.path, bytes + WAL_BYTES);
  const programs = await options.findPrograms(plan.major);
  // The path of a socket has to be short.
  const temporary = Buffer.byteLength(place.path) <= SOCKET_FOLDER_MAX ? place.path : tmpdir();
  const { onRestored, onReplay, onLine } = options;
  return await recoverDatabase({
    plan,
    programs,
    restoreCommand: options.restoreCommand,
    environment: options.environment,
    account,
    superuser: options.superuser,
    temporary,
    durable: false,
    // What is thrown away need not be safe, and is not to keep others waiting for their disks.
    settings: { fsync: "off", full_page_writes: "off", synchronous_commit: "off" },
    clock,
    progress: options.progress,
    signal,
    ...(onRestored && { onRestored }),
    ...(onReplay && { onReplay }),
    ...(onLine && { onLine }),
  });
}
