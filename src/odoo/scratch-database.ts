// A database recovered to a moment in a scratch place, to be looked at, copied or dumped, and then thrown away. Everything of it
// lies in that place, tablespaces too, wherever the original had them.

import { tmpdir } from "node:os";
import { join } from "node:path";
import { chooseRecovery } from "../barman/recovery-choice.ts";
import type { RecoveryTarget } from "../barman/recovery-target.ts";
import type { Clock } from "../base/clock.ts";
import { HoldfastError } from "../base/errors.ts";
import type { Progress } from "../base/progress.ts";
import { loadCatalogue, type Archive } from "../postgres/archive.ts";
import type { Connection } from "../postgres/connection.ts";
import { planRestore, type RestorePlan } from "../postgres/restore-plan.ts";
import type { ServerAccount } from "../postgres/server-process.ts";
import type { ServerPrograms } from "../postgres/server-programs.ts";
import {
  recoverDatabase,
  type RecoverDatabaseOptions,
  type RecoveredDatabase,
} from "./recover-database.ts";
import { requireSpace, type ScratchPlace } from "./scratch-place.ts";

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

/**
 * The name of the database that is meant: the one that was named, or the only one with Odoo's tables. Throws ODOO_NOT_FOUND
 * with what there is.
 */
export async function findOdooDatabase(
  recovered: RecoveredDatabase,
  named: string | undefined,
  signal?: AbortSignal,
): Promise<string> {
  const names = await recovered.databases();
  if (named !== undefined) {
    if (names.includes(named)) return named;
    throw notFound(`the recovered cluster has no database ${JSON.stringify(named)}`, names);
  }
  const found: string[] = [];
  for (const name of names) {
    const connection = await recovered.connect(name);
    try {
      if (await hasAttachments(connection, signal)) found.push(name);
    } finally {
      await connection.close();
    }
  }
  const [only, ...more] = found;
  if (only !== undefined && more.length === 0) return only;
  throw only === undefined
    ? notFound("no database of the recovered cluster is one of Odoo's", names)
    : notFound("several databases of the recovered cluster are Odoo's", found);
}

async function hasAttachments(
  connection: Connection,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const [row] = await connection.query(
    "SELECT pg_catalog.to_regclass('public.ir_attachment') IS NOT NULL AS there",
    { signal },
  );
  return row?.["there"] === "t";
}

function notFound(what: string, names: readonly string[]): HoldfastError {
  return new HoldfastError("ODOO_NOT_FOUND", what, {
    hint: `Name one with --database: ${names.slice(0, 20).join(", ") || "there is none"}.`,
  });
}
