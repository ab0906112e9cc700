// A database at a moment: a base backup restored into a folder, a server of our own started on it, and the log replayed to the
// target. The server listens nowhere but in a private folder, runs nothing of its owner's configuration, and goes when we go.
// The target is reached or this fails: an earlier moment is never handed out in its place.

import { existsSync, renameSync } from "node:fs";
import { join } from "node:path";
import { formatLsn, parseLsn, type Lsn } from "../barman/lsn.ts";
import type { Clock } from "../base/clock.ts";
import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import type { Progress } from "../base/progress.ts";
import { connect, type Connection } from "../postgres/connection.ts";
import { requireArchiveEnd } from "../postgres/recovery-end.ts";
import type { RestorePlan } from "../postgres/restore-plan.ts";
import { restoreBackup, type RestoreResult } from "../postgres/restore.ts";
import {
  startScratchServer,
  type ScratchOptions,
  type ScratchServer,
  type ServerState,
} from "../postgres/scratch.ts";
import type { ServerAccount } from "../postgres/server-process.ts";
import type { ServerPrograms } from "../postgres/server-programs.ts";
import { requireReadableArchive } from "./archive-access.ts";

export interface RecoverDatabaseOptions {
  /** From `planRestore`: backup, target, folder. Show it before. */
  readonly plan: RestorePlan;
  /** The recovery ends before the record or transaction that the target names, not behind it. */
  readonly exclusive?: boolean;
  /**
   * For a time: a position at which it was surely over. A log that ends behind it, without a transaction of later, holds the
   * database of that time, where PostgreSQL alone would say that the time was not reached.
   */
  readonly settled?: Lsn | undefined;
  /** Of the plan's major. */
  readonly programs: ServerPrograms;
  /** How the server gets its WAL: the whole command, with %f and %p. */
  readonly restoreCommand: string;
  /** For that command, which runs in the server's environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** Who owns the files and runs the server; undefined is whoever we are. */
  readonly account: ServerAccount | undefined;
  /** A superuser of the cluster; `postgres` without. */
  readonly superuser?: string | undefined;
  /** Folder for the socket: a short path. */
  readonly temporary: string;
  /** False: the machine may not go down before all is written. For what is thrown away anyway. */
  readonly durable?: boolean;
  /** Settings of the server that win over those of its sandbox. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly clock: Pick<Clock, "sleep" | "monotonic">;
  /** Counts what is restored of the backup; the replay is told by `onReplay`. */
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
  /** The backup is restored, and the replay begins. */
  readonly onRestored?: (result: RestoreResult) => void;
  /** Told as the replay goes on, with its position. */
  readonly onReplay?: (lsn: string) => void;
  /** Takes every line of the server's log. */
  readonly onLine?: (line: string) => void;
}

/** A server that stands at the target. Stop it when done: what it was started on stays. */
export interface RecoveredDatabase extends AsyncDisposable {
  readonly plan: RestorePlan;
  readonly restored: RestoreResult;
  readonly server: ScratchServer;
  /**
   * `paused` at the target, read-only, until it is promoted; `open` at the end of the archive, which is a new timeline already.
   */
  readonly state: ServerState;
  /** The position to which the log was replayed. */
  readonly lsn: Lsn;
  /** Seconds that it took to restore the backup, and then to replay. */
  readonly seconds: { readonly restore: number; readonly replay: number };
  /** A connection to a database of the cluster; close it. */
  connect(database: string): Promise<Connection>;
  /** Names of all databases that take connections, templates left out. */
  databases(): Promise<string[]>;
  /** Ends the recovery: the database opens for writing, on a new timeline. Does nothing when it is open. */
  promote(): Promise<ServerState>;
  stop(): Promise<void>;
}

/**
 * Restores, starts and replays. When the restore fails nothing is left in the folder; when the replay fails the restored backup
 * is. Throws STORAGE_DENIED, BACKUP_DAMAGED, WAL_MISSING, TARGET_UNREACHABLE, POSTGRES_FAILED, TARGET_UNWRITABLE, CANCELLED.
 */
export async function recoverDatabase(options: RecoverDatabaseOptions): Promise<RecoveredDatabase> {
  const { plan, restoreCommand, account, progress, signal, clock, durable = true } = options;
  const segment = plan.choice.backup.info!.beginWal;
  if (segment !== null) requireReadableArchive(plan.archive, { account, segment });
  const begun = clock.monotonic();
  const restored = await restoreBackup({
    plan,
    restoreCommand,
    action: "pause",
    exclusive: options.exclusive === true,
    account,
    durable,
    progress,
    signal,
  });
  options.onRestored?.(restored);
  const replaying = clock.monotonic();
  const replayed = await replay(options);
  try {
    requireArchiveEnd(plan, replayed.state);
    const seconds = {
      restore: (replaying - begun) / 1000,
      replay: (clock.monotonic() - replaying) / 1000,
    };
    return new Recovered({ options, restored, replayed, seconds });
  } catch (error) {
    await replayed.server.stop("immediate");
    throw error;
  }
}

interface Replayed {
  readonly server: ScratchServer;
  readonly state: ServerState;
  /** The log ends right at the target: the server is a standby that waits for more. */
  readonly isWaiting: boolean;
}

async function replay(options: RecoverDatabaseOptions): Promise<Replayed> {
  const { target } = options.plan.choice;
  try {
    const server = await startScratchServer({ ...scratchOptions(options), until: "recovered" });
    return { server, state: server.state, isWaiting: false };
  } catch (error) {
    // PostgreSQL stops at a position only when a record begins there or behind it, and at a time only when a transaction was
    // committed later; a log may end right there instead.
    const end = target.kind === "lsn" ? target.lsn : options.settled;
    if (end === undefined || !isHoldfastError(error, "TARGET_UNREACHABLE")) throw error;
    const found = await replayToEnd(options, end);
    if (found === undefined) throw error;
    return found;
  }
}

function scratchOptions(options: RecoverDatabaseOptions): Omit<ScratchOptions, "until"> {
  const { plan, programs, temporary, account, environment, settings = {}, superuser } = options;
  const { clock, signal, onReplay, onLine } = options;
  return {
    programs,
    dataDirectory: plan.folder.path,
    temporary,
    account,
    environment,
    settings,
    user: superuser,
    clock,
    signal,
    ...(onReplay && { onReplay }),
    ...(onLine && { onLine }),
  };
}

/** A standby waits this long before it asks for WAL again, instead of five seconds. */
const IMPATIENT = { wal_retrieve_retry_interval: "200ms" };
const STANDBY_SIGNAL = "standby.signal";
const RECOVERY_SIGNAL = "recovery.signal";
/** How long a replay may stand still before its end is believed, and how often it is looked at, in milliseconds. */
const STILL_MS = 10_000;
const LOOK_MS = 100;

/**
 * A standby replays what there is and waits for more instead of ending: it stands at the target when its position is that.
 * Should more have come meanwhile, it pauses at the target as the first one would have. Undefined when it does not get there.
 */
async function replayToEnd(
  options: RecoverDatabaseOptions,
  lsn: Lsn,
): Promise<Replayed | undefined> {
  const { path } = options.plan.folder;
  // With both of them, a server that opens leaves one behind, and would recover once more.
  renameSync(join(path, RECOVERY_SIGNAL), join(path, STANDBY_SIGNAL));
  const base = scratchOptions(options);
  const server = await startScratchServer({
    ...base,
    settings: { ...base.settings, ...IMPATIENT },
    until: "answers",
  });
  let found: Omit<Replayed, "server"> | undefined;
  try {
    found = await standAt(server, lsn, options);
  } catch (error) {
    await server.stop("immediate");
    throw error;
  }
  if (found !== undefined) return { server, ...found };
  await server.stop("immediate");
  renameSync(join(path, STANDBY_SIGNAL), join(path, RECOVERY_SIGNAL));
  return undefined;
}

/** Waits until the standby stands at `lsn`, and pauses it there; undefined when its replay ends before. */
async function standAt(
  server: ScratchServer,
  lsn: Lsn,
  { clock, signal }: RecoverDatabaseOptions,
): Promise<Omit<Replayed, "server"> | undefined> {
  const connection = await connect({ settings: server.connection, signal });
  try {
    let last = { lsn: -1n, since: clock.monotonic() };
    for (;;) {
      const [row = {}] = await connection.query(
        `SELECT pg_catalog.pg_last_wal_replay_lsn() AS lsn, pg_catalog.pg_last_xact_replay_timestamp() AS time,
           pg_catalog.pg_is_wal_replay_paused() AS paused`,
        { signal },
      );
      const reached = row["lsn"] ? parseLsn(row["lsn"], "the server") : 0n;
      const isPaused = row["paused"] === "t";
      if (reached >= lsn || isPaused) {
        if (!isPaused)
          await connection.query("SELECT pg_catalog.pg_wal_replay_pause()", { signal });
        const state: ServerState = {
          state: "paused",
          timeline: server.control.timeline,
          lsn: formatLsn(reached),
          time: row["time"] ?? undefined,
        };
        return { state, isWaiting: !isPaused };
      }
      if (reached !== last.lsn) last = { lsn: reached, since: clock.monotonic() };
      else if (clock.monotonic() - last.since > STILL_MS) return undefined;
      await clock.sleep(LOOK_MS, signal);
    }
  } finally {
    await connection.close();
  }
}

class Recovered implements RecoveredDatabase {
  readonly plan: RestorePlan;
  readonly restored: RestoreResult;
  readonly seconds: { readonly restore: number; readonly replay: number };
  readonly lsn: Lsn;
  readonly #options: RecoverDatabaseOptions;
  readonly #signal: AbortSignal | undefined;
  #server: ScratchServer;
  #isWaiting: boolean;
  #state: ServerState;

  constructor(parts: {
    options: RecoverDatabaseOptions;
    restored: RestoreResult;
    replayed: Replayed;
    seconds: { restore: number; replay: number };
  }) {
    const { options, restored, replayed, seconds } = parts;
    this.plan = options.plan;
    this.restored = restored;
    this.seconds = seconds;
    this.lsn = parseLsn(replayed.state.lsn, "the server");
    this.#options = options;
    this.#signal = options.signal;
    this.#server = replayed.server;
    this.#isWaiting = replayed.isWaiting;
    this.#state = replayed.state;
  }

  get server(): ScratchServer {
    return this.#server;
  }

  get state(): ServerState {
    return this.#state;
  }

  async connect(database: string): Promise<Connection> {
    const settings = { ...this.server.connection, database };
    return await connect({ settings, signal: this.#signal });
  }

  async databases(): Promise<string[]> {
    const connection = await connect({ settings: this.server.connection, signal: this.#signal });
    try {
      const rows = await connection.query(
        "SELECT datname AS name FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname",
        { signal: this.#signal },
      );
      return rows.map((row) => row["name"]!);
    } finally {
      await connection.close();
    }
  }

  async promote(): Promise<ServerState> {
    if (this.#state.state === "open") return this.#state;
    if (this.#isWaiting) await this.#forgetTarget();
    const signal = this.#signal;
    const connection = await connect({ settings: this.server.connection, signal });
    try {
      const [row] = await connection.query(
        "SELECT pg_catalog.pg_promote(true, 600) AS done, pg_catalog.pg_is_in_recovery() AS recovering",
        { signal },
      );
      if (row?.["done"] !== "t")
        throw new HoldfastError("POSTGRES_FAILED", "the recovered server did not open", {
          hint: "Look at what its log says: run again with -vv.",
        });
      const [now] = await connection.query(
        "SELECT pg_catalog.pg_current_wal_lsn() AS lsn, pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) AS segment",
        { signal },
      );
      const timeline = Number.parseInt((now?.["segment"] ?? "").slice(0, 8), 16);
      this.#state = { ...this.#state, state: "open", timeline, lsn: now?.["lsn"] ?? "" };
      return this.#state;
    } finally {
      await connection.close();
    }
  }

  /**
   * A server that waits for its target would not open: to it the target was not reached. It starts again without one, and with
   * no more WAL than it has.
   */
  async #forgetTarget(): Promise<void> {
    await this.#server.stop();
    const options = scratchOptions(this.#options);
    const forgotten = {
      recovery_target_lsn: "",
      recovery_target_time: "",
      restore_command: "",
    };
    const settings = { ...options.settings, ...IMPATIENT, ...forgotten };
    this.#server = await startScratchServer({ ...options, settings, until: "answers" });
    const found = await standAt(this.#server, this.lsn, this.#options);
    if (found?.state.lsn === this.#state.lsn) return;
    throw new HoldfastError(
      "POSTGRES_FAILED",
      `the recovered server came to ${found?.state.lsn ?? "an earlier position"} and not to ${this.#state.lsn} again`,
      { hint: "Look at what its log says: run again with -vv." },
    );
  }

  async stop(): Promise<void> {
    await this.#server.stop();
    // Started by others, it is to recover to its target as it was told, and not to follow a primary.
    const { path } = this.plan.folder;
    if (this.#state.state !== "open" && existsSync(join(path, STANDBY_SIGNAL)))
      renameSync(join(path, STANDBY_SIGNAL), join(path, RECOVERY_SIGNAL));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
