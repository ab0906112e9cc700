// Throw-away PostgreSQL servers: one call makes a cluster of its own in a temporary folder and starts it. The server
// listens on a socket there (and on a port of 127.0.0.1 when asked), runs under an account that is not root, and is
// gone with its folder when it is stopped or when the test process ends, however that ends.

import { execFile } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { Client, type ClientConfig } from "pg";
import {
  makeServerFolder,
  startServerProcess,
  type ServerAccount,
  type ServerProcess,
  type StopMode,
} from "../../src/postgres/server-process.ts";
import { freePort } from "../free-port.ts";
import { peer, skipWithout, type PeerName } from "../peers.ts";

const run = promisify(execFile);

export type Major = 13 | 14 | 15 | 16 | 17 | 18;

const ALL: readonly Major[] = [13, 14, 15, 16, 17, 18];

/** The majors that tests run with: 15 and 18 always, the others with HOLDFAST_ALL_MAJORS=1. */
export const MAJORS: readonly Major[] = process.env["HOLDFAST_ALL_MAJORS"] === "1" ? ALL : [15, 18];

/** The reason to skip a test with servers of that major, or false. */
export function skipWithoutServer(major: Major = 15): string | false {
  return skipWithout(`postgres-${major}` satisfies PeerName) || whyOutOfReach(import.meta.dirname);
}

/** Servers run under an account of their own, and start programs of this checkout: it has to get there. */
function whyOutOfReach(path: string): string | false {
  const account = serverAccount();
  for (let folder = path; account && folder !== "/"; folder = dirname(folder)) {
    const { uid, gid, mode } = statSync(folder);
    const mine = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
    if ((mode & mine) === 0)
      return `the account of PostgreSQL servers cannot enter ${folder}: chmod o+x would let it`;
  }
  return false;
}

export interface TestServerOptions {
  /** 15 without. */
  readonly major?: Major;
  /** Lines of postgresql.conf; the defaults are those of `TEST_SETTINGS`. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
  /** Megabytes of a WAL segment; 16 without. */
  readonly segmentMegabytes?: number;
  /** Page checksums; on without. */
  readonly checksums?: boolean;
  /** Lines of pg_hba.conf, before those that trust everybody on the socket and on 127.0.0.1. */
  readonly hba?: readonly string[];
  /** Also listens on a free port of 127.0.0.1. */
  readonly tcp?: boolean;
  /** Turns archiving on with this command. */
  readonly archiveCommand?: string;
  /** Environment of the server and the commands that it runs. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Starts on this data directory, which is kept, instead of a new one. */
  readonly dataDirectory?: string;
}

export interface TestServer extends AsyncDisposable {
  readonly major: Major;
  /** Folder of the programs. */
  readonly programs: string;
  /** A folder that the server's account may write, and that goes with the server. */
  readonly folder: string;
  readonly dataDirectory: string;
  /** Folder of the socket: PGHOST. Another one after each start. */
  readonly host: string;
  /** Port of the socket, and on 127.0.0.1 when asked for. */
  readonly port: number;
  /** Superuser. */
  readonly user: "postgres";
  readonly account: ServerAccount | undefined;
  /** How to connect with `pg`. */
  connection: (database?: string) => ClientConfig;
  /** Runs statements, all in one transaction when there are several and no `parameters`; the rows of the last one. */
  sql: <Row = Record<string, string>>(text: string, parameters?: unknown[]) => Promise<Row[]>;
  log: () => string;
  isRunning: () => boolean;
  /** Adds lines to postgresql.conf and restarts. */
  configure: (settings: Readonly<Record<string, string | number | boolean>>) => Promise<void>;
  start: () => Promise<void>;
  /** Stops it and leaves its folder. */
  halt: (mode?: StopMode) => Promise<void>;
  /** Stops it and removes its folder. */
  stop: () => Promise<void>;
}

/** The account for servers: undefined unless we are root. */
export function serverAccount(): ServerAccount | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const lines = readFileSync("/etc/passwd", "utf8").split("\n");
  for (const name of ["postgres", "nobody"]) {
    const [, , uid, gid] = lines.find((line) => line.startsWith(`${name}:`))?.split(":") ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  return { uid: 65534, gid: 65534 };
}

/** A new folder that the servers' account owns and everybody may read; remove it with `rmSync`. */
export function serverOwnedFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `holdfast-${name}-`));
  chmodSync(folder, 0o755);
  const account = serverAccount();
  if (account) chownSync(folder, account.uid, account.gid);
  return folder;
}

/**
 * Fast rather than durable: tests end servers, never the machine. Nothing writes but the test: autovacuum would move the end
 * of the log, and write a page again whose file was damaged on purpose.
 */
const TEST_SETTINGS = {
  fsync: "off",
  autovacuum: "off",
  shared_buffers: "32MB",
  max_wal_senders: 10,
  max_replication_slots: 10,
  wal_level: "replica",
  log_line_prefix: "%m [%p] ",
  lc_messages: "C",
  timezone: "UTC",
  log_timezone: "UTC",
} as const;

const START_MILLISECONDS = 180_000;

/** Makes a cluster and starts it; resolves when it answers. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const { major = 15, tcp = false, environment = {} } = options;
  const programs = dirname(peer(`postgres-${major}`).path);
  const account = serverAccount();
  const folder = serverOwnedFolder("pg");
  const dataDirectory = options.dataDirectory ?? join(folder, "data");
  const port = tcp ? await freePort() : 5432;
  let server: ServerProcess | undefined;
  let host = "";

  const connection = (database = "postgres"): ClientConfig => ({
    host,
    port,
    user: "postgres",
    database,
  });
  const start = async (): Promise<void> => {
    host = makeServerFolder(tmpdir(), account);
    server = startServerProcess({
      program: join(programs, "postgres"),
      dataDirectory,
      settings: {
        listen_addresses: tcp ? "127.0.0.1" : "",
        port: String(port),
        unix_socket_directories: host,
      },
      account,
      folder: host,
      removeWhenOrphaned: folder,
      environment,
    });
    await untilAnswers(server, connection());
  };
  const halt = async (mode?: StopMode): Promise<void> => await server?.stop(mode);
  const stop = async (): Promise<void> => {
    await halt("immediate");
    rmSync(folder, { recursive: true, force: true });
  };
  const sql = async <Row>(text: string, parameters?: unknown[]): Promise<Row[]> =>
    await query<Row>(connection(), text, parameters);

  try {
    if (options.dataDirectory === undefined)
      await makeCluster({ ...options, major, programs, account, dataDirectory });
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    major,
    programs,
    folder,
    dataDirectory,
    get host() {
      return host;
    },
    port,
    user: "postgres",
    account,
    connection,
    sql,
    log: () => server?.log() ?? "",
    isRunning: () => server !== undefined && !server.hasExited,
    async configure(settings) {
      appendFileSync(join(dataDirectory, "postgresql.conf"), settingLines(settings));
      await halt();
      await start();
    },
    start,
    halt,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Runs statements on a connection of their own; the rows of the last one. */
export async function query<Row = Record<string, string>>(
  connection: ClientConfig,
  text: string,
  parameters?: unknown[],
): Promise<Row[]> {
  const client = new Client(connection);
  // A server that is stopped under a connection is part of some tests.
  client.on("error", () => {});
  await client.connect();
  try {
    const results: unknown = await client.query(text, parameters);
    const last = (Array.isArray(results) ? results.at(-1) : results) as { rows: Row[] };
    return last.rows;
  } finally {
    await client.end();
  }
}

/**
 * Polls until `condition` gives something, or throws after `milliseconds` with what it was about. They are many: only what
 * will never come waits for them, and a busy machine takes long for anything.
 */
export async function until<T>(
  what: string,
  condition: () => Promise<T | undefined | false>,
  milliseconds = 180_000,
): Promise<T> {
  const deadline = Date.now() + milliseconds;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await sleep(20);
  }
}

async function untilAnswers(server: ServerProcess, connection: ClientConfig): Promise<void> {
  await until(
    "a PostgreSQL server to answer",
    async () => {
      if (server.hasExited) throw new Error(`the server ended:\n${server.log()}`);
      try {
        return await query(connection, "SELECT 1");
      } catch {
        return undefined;
      }
    },
    START_MILLISECONDS,
  );
}

async function makeCluster(
  options: TestServerOptions & {
    readonly major: Major;
    readonly programs: string;
    readonly account: ServerAccount | undefined;
    readonly dataDirectory: string;
  },
): Promise<void> {
  const { major, programs, account, dataDirectory, checksums = true } = options;
  const { segmentMegabytes = 16, hba = [], archiveCommand, settings = {} } = options;
  const words = ["-D", dataDirectory, "-U", "postgres", "--auth=trust", "--encoding=UTF8"];
  words.push("--locale=C", "--no-sync", `--wal-segsize=${segmentMegabytes}`);
  // The default changed with 18.
  if (checksums) words.push("--data-checksums");
  else if (major >= 18) words.push("--no-data-checksums");
  await run(join(programs, "initdb"), words, {
    cwd: "/",
    env: { PATH: "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" },
    ...(account ? { uid: account.uid, gid: account.gid } : {}),
  });
  const archiving =
    archiveCommand === undefined ? {} : { archive_mode: "on", archive_command: archiveCommand };
  appendFileSync(
    join(dataDirectory, "postgresql.conf"),
    settingLines({ ...TEST_SETTINGS, ...archiving, ...settings }),
  );
  const trust = ["local all all trust", "local replication all trust"];
  const tcp = ["host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"];
  writeFileSync(join(dataDirectory, "pg_hba.conf"), `${[...hba, ...trust, ...tcp].join("\n")}\n`);
}

function settingLines(settings: Readonly<Record<string, string | number | boolean>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name} = '${String(value).replaceAll("'", "''")}'\n`)
    .join("");
}
