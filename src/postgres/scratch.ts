// A server on a data directory that is ours to use: a drill's, or one that was just restored. It listens on a socket in a
// private folder and nowhere else, runs nothing of its owner's configuration (src/postgres/sandbox.ts), and goes when we
// go. It is not for production: what it writes is not archived, and its memory is small.

import { chownSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseControlFile, type ControlFile } from "../barman/control-file.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import type { Clock } from "../base/clock.ts";
import { HoldfastError, isHoldfastError, messageOf } from "../base/errors.ts";
import { connect, sqlStateOf, type Connection, type ConnectionSettings } from "./connection.ts";
import { askedSettings, sandboxSettings } from "./sandbox.ts";
import type { ServerPrograms } from "./server-programs.ts";
import {
  fatalReason,
  makeServerFolder,
  startServerProcess,
  type ServerAccount,
  type ServerProcess,
  type StopMode,
} from "./server-process.ts";

export interface ScratchOptions {
  readonly programs: ServerPrograms;
  readonly dataDirectory: string;
  /** Folder for the socket: a short path. */
  readonly temporary: string;
  readonly account: ServerAccount | undefined;
  /** Settings that win over those of the sandbox. */
  readonly settings?: Readonly<Record<string, string>>;
  /** For the commands that the server runs, such as one that fetches WAL. */
  readonly environment?: Readonly<Record<string, string>>;
  /** A superuser of the cluster; `postgres` without. */
  readonly user?: string | undefined;
  /** `answers`: it takes connections, in recovery if need be. `recovered`: its recovery has come to its target, or to an end. */
  readonly until: "answers" | "recovered";
  readonly clock: Pick<Clock, "sleep">;
  readonly signal?: AbortSignal | undefined;
  /** Called as a recovery goes on, with the position that it has come to. */
  readonly onReplay?: (lsn: string) => void;
  /** Called for every line of its log. */
  readonly onLine?: (line: string) => void;
}

/** Where a server stands. */
export interface ServerState {
  /** `paused`: a recovery has come to its target and waits there. `open`: it takes writes. */
  readonly state: "recovering" | "paused" | "open";
  readonly timeline: number;
  /** The last position that was replayed, or written. */
  readonly lsn: string;
  /** When the last transaction that was replayed had been committed, as the server tells it; undefined without any. */
  readonly time: string | undefined;
}

export interface ScratchServer extends AsyncDisposable {
  /** For `connect`, to the database `postgres`, or to `template1` when there is none. */
  readonly connection: ConnectionSettings;
  readonly control: ControlFile;
  /** As it was when it was ready. */
  readonly state: ServerState;
  log: () => string;
  stop: (mode?: StopMode) => Promise<void>;
}

/** How often a server is asked how far it is. */
const POLL_MILLISECONDS = 100;
const PORT = 5432;
/** What a recovery says when it stops where it was told to. */
const STOPPED = /LOG: {2}(?:recovery stopping |pausing at the end of recovery)/;

/**
 * Starts a server and waits until it is ready; a server that fails, or that cannot reach its target, is an error with what
 * its log says. Throws POSTGRES_FAILED, BACKUP_DAMAGED for a directory without a good pg_control, CANCELLED.
 */
export async function startScratchServer(options: ScratchOptions): Promise<ScratchServer> {
  const { dataDirectory, programs, signal } = options;
  const control = readControlFile(dataDirectory);
  let raised: Readonly<Record<string, string>> = {};
  for (;;) {
    throwIfCancelled(signal);
    const server = begin(options, {
      ...sandboxSettings(programs.major, control.minimumSettings),
      ...raised,
    });
    try {
      const ready = await untilReady(server, options);
      if (ready.asked === undefined) return scratchServer(server, ready, control);
      raised = { ...raised, ...ready.asked };
      await server.process.stop();
    } catch (error) {
      await server.process.stop("immediate");
      throw error;
    }
  }
}

/** The control file of a data directory. Throws BACKUP_DAMAGED. */
export function readControlFile(dataDirectory: string): ControlFile {
  const path = join(dataDirectory, "global", "pg_control");
  let content: Buffer;
  try {
    content = readFileSync(path);
  } catch (error) {
    throw new HoldfastError("BACKUP_DAMAGED", `${path} cannot be read: ${messageOf(error)}`, {
      hint: "Name a folder that is a whole data directory of PostgreSQL.",
      cause: error,
    });
  }
  return parseControlFile(content, path);
}

interface Started {
  readonly process: ServerProcess;
  readonly connection: ConnectionSettings;
  /** True once the log said that the recovery came to its target. */
  readonly hasStopped: () => boolean;
}

function begin(options: ScratchOptions, sandbox: Readonly<Record<string, string>>): Started {
  const { programs, dataDirectory, temporary, account, environment = {}, settings = {} } = options;
  const folder = makeServerFolder(temporary, account);
  const place = (name: string, content: string): string => {
    const path = join(folder, name);
    writeFileSync(path, content, { mode: 0o600 });
    if (account) chownSync(path, account.uid, account.gid);
    return path;
  };
  let hasStopped = false;
  const process = startServerProcess({
    program: join(programs.folder, "postgres"),
    dataDirectory,
    settings: {
      config_file: place("postgresql.conf", "# All settings are on the command line.\n"),
      hba_file: place("pg_hba.conf", "local all all trust\n"),
      ident_file: place("pg_ident.conf", ""),
      ...sandbox,
      unix_socket_directories: folder,
      external_pid_file: join(folder, "pid"),
      ...settings,
    },
    account,
    folder,
    environment: withoutServerVariables(environment),
    onLine: (line) => {
      if (STOPPED.test(line)) hasStopped = true;
      options.onLine?.(line);
    },
  });
  const connection: ConnectionSettings = {
    hosts: [{ host: folder, port: PORT }],
    user: options.user ?? "postgres",
    database: "postgres",
    tls: { mode: "disable" },
  };
  return { process, connection, hasStopped: () => hasStopped };
}

/** PGDATA, PGPORT and the like would speak to the server itself. */
function withoutServerVariables(
  environment: Readonly<Record<string, string>>,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).filter(([name]) => !/^(?:PG|LC_)/.test(name)),
  );
}

interface Ready {
  readonly connection: ConnectionSettings;
  readonly state: ServerState;
  /** Larger settings that the server wants before it goes on; it is to be started once more. */
  readonly asked: Readonly<Record<string, string>> | undefined;
}

async function untilReady(server: Started, options: ScratchOptions): Promise<Ready> {
  const { clock, signal, until, onReplay } = options;
  const { process } = server;
  let { connection: settings } = server;
  let connection: Connection | undefined;
  try {
    for (;;) {
      throwIfCancelled(signal);
      const asked = askedSettings(process.log());
      const isAsking = Object.keys(asked).length > 0;
      if (process.hasExited && !isAsking) throw ended(process, options);
      if (isAsking) {
        const texts = Object.entries(asked).map(([name, value]) => [name, String(value)]);
        const state: ServerState = { state: "recovering", timeline: 0, lsn: "", time: undefined };
        return {
          connection: settings,
          state,
          asked: Object.fromEntries(texts) as Record<string, string>,
        };
      }
      try {
        connection ??= await connect({ settings, signal });
        const state = await serverState(connection, server.hasStopped(), signal);
        if (state.state !== "open") onReplay?.(state.lsn);
        if (until === "answers" || state.state !== "recovering")
          return { connection: settings, state, asked: undefined };
      } catch (error) {
        connection?.destroy();
        connection = undefined;
        if (sqlStateOf(error) === "3D000" && settings.database === "postgres")
          settings = { ...settings, database: "template1" };
        else if (!isPassing(error)) throw error;
      }
      await clock.sleep(POLL_MILLISECONDS, signal);
    }
  } finally {
    await connection?.close();
  }
}

/** True for what a server says while it starts, or is not there yet. */
function isPassing(error: unknown): boolean {
  const state = sqlStateOf(error);
  return state.startsWith("57P") || isHoldfastError(error, "POSTGRES_UNREACHABLE");
}

/** Where the server of that connection stands; `hasStopped`: its log said that it came to its target. */
async function serverState(
  connection: Connection,
  hasStopped: boolean,
  signal: AbortSignal | undefined,
): Promise<ServerState> {
  const [row = {}] = await connection.query(
    `SELECT pg_is_in_recovery() AS recovering,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END AS paused,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn,
       (SELECT timeline_id FROM pg_control_checkpoint()) AS timeline,
       pg_last_xact_replay_timestamp() AS time`,
    { signal },
  );
  const isRecovering = row["recovering"] === "t";
  return {
    state: !isRecovering ? "open" : hasStopped && row["paused"] === "t" ? "paused" : "recovering",
    timeline: Number(row["timeline"]),
    lsn: row["lsn"] ?? "",
    time: row["time"] ?? undefined,
  };
}

/** Why a server ended that should have gone on. */
function ended(process: ServerProcess, { dataDirectory }: ScratchOptions): HoldfastError {
  const log = process.log();
  const reason = fatalReason(log);
  if (/recovery ended before configured recovery target was reached/.test(reason)) {
    return new HoldfastError(
      "TARGET_UNREACHABLE",
      `the WAL of the archive ends before the target: ${reason}`,
      { hint: "Recover to the end of the archive, or to a moment before it." },
    );
  }
  return new HoldfastError("POSTGRES_FAILED", `PostgreSQL ended on ${dataDirectory}: ${reason}`, {
    hint: "Look at what its log says above that: run again with -vv.",
  });
}

function scratchServer(server: Started, ready: Ready, control: ControlFile): ScratchServer {
  const stop = async (mode?: StopMode): Promise<void> => await server.process.stop(mode);
  return {
    connection: ready.connection,
    control,
    state: ready.state,
    log: () => server.process.log(),
    stop,
    [Symbol.asyncDispose]: () => stop(),
  };
}
