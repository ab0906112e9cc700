// An instance of Odoo that is protected the way its owner would do it: a server, a database, a filestore, and beside them an
// archive, a repository and its captures, all filled by the program itself, run under the account of the server as on a
// machine where nobody is root.

import assert from "node:assert/strict";
import { execFile, type ChildProcess } from "node:child_process";
import { chownSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { createQuickRepository } from "../interop/quick-repository.ts";
import { HOLDFAST, runProgram, startProgram, type ProgramRun } from "../postgres/program.ts";
import { removeAll } from "../postgres/restored.ts";
import {
  query,
  serverAccount,
  serverOwnedFolder,
  startTestServer,
  until,
  type TestServer,
} from "../postgres/servers.ts";
import { SimulatedOdoo, type SimulatedOdooOptions } from "./simulated-odoo.ts";
import type { Ask } from "./truth.ts";

export const PASSWORD = "a password of these tests";
export const DATABASE = "odoo";

/** A program that goes on until it is stopped. */
export interface RunningProgram {
  readonly child: ChildProcess;
  /** Everything that it has said on standard error. */
  stderr: () => string;
  /** Asks it to stop, as systemd would, and waits; its status must be `status`. */
  stop: (status?: number) => Promise<ProgramRun>;
  /** Kills it with SIGKILL, and waits. */
  kill: () => Promise<void>;
}

export interface InstanceBench extends AsyncDisposable {
  readonly server: TestServer;
  readonly odoo: SimulatedOdoo;
  /** Of the server's account; everything is below it. */
  readonly root: string;
  readonly filestore: string;
  readonly repository: string;
  readonly captures: string;
  readonly archive: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Runs a command that must end with `status`, 0 without; what it printed. */
  holdfast: (words: readonly string[], status?: number) => Promise<ProgramRun>;
  /** Runs a command that may end as it likes. */
  tryHoldfast: (words: readonly string[]) => Promise<ProgramRun>;
  /** Starts a command that stays. */
  start: (words: readonly string[]) => RunningProgram;
  /** Asks the live database. */
  ask: Ask;
  /** Where the WAL ends now. */
  position: () => Promise<string>;
  /** Resolves when everything up to `position` is durable in the archive. */
  untilArchived: (position: string) => Promise<void>;
}

export interface BenchOptions extends Partial<SimulatedOdooOptions> {
  /** 15 without. */
  readonly major?: 15 | 18;
  /** Where backups go; folders of the bench without. */
  readonly places?: {
    readonly repository: string;
    readonly archive: string;
    readonly environment: Readonly<Record<string, string>>;
  };
}

/** Opens it with an empty repository and nothing running. */
export async function openInstance(options: BenchOptions = {}): Promise<InstanceBench> {
  const { major = 15, places, ...simulated } = options;
  const account = serverAccount();
  const root = serverOwnedFolder("instance");
  const folder = (...parts: string[]): string => {
    const path = join(root, ...parts);
    mkdirSync(path, { recursive: true });
    if (account) chownSync(path, account.uid, account.gid);
    return path;
  };
  folder("filestore");
  const filestore = folder("filestore", DATABASE);
  const archive = places?.archive ?? folder("archive");
  const repository = places?.repository ?? join(folder("bucket"), "odoo");
  const server = await startTestServer({ major, settings: { track_commit_timestamp: "on" } });
  const running = new Set<RunningProgram>();
  // Whoever waits for what a program should do must not wait when it is gone.
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => {});
  let odoo: SimulatedOdoo | undefined;
  const close = async (): Promise<void> => {
    await odoo?.close().catch(() => {});
    for (const program of running) {
      running.delete(program);
      program.child.kill("SIGKILL");
    }
    await server.stop();
    removeAll(root);
  };
  try {
    await server.sql(`CREATE DATABASE ${DATABASE}`);
    const connection = server.connection(DATABASE);
    odoo = new SimulatedOdoo({ ...simulated, connection, folder: filestore });
    await odoo.open();
    const environment = {
      RESTIC_REPOSITORY: repository,
      RESTIC_PASSWORD: PASSWORD,
      RESTIC_CACHE_DIR: folder("cache"),
      HOLDFAST_ARCHIVE: archive,
      HOLDFAST_ARCHIVE_SERVER: "pg",
      HOLDFAST_DATABASE: `host=${server.host} user=postgres dbname=${DATABASE}`,
      HOLDFAST_FILESTORE: filestore,
      HOLDFAST_SPOOL: folder("spool"),
      TMPDIR: folder("tmp"),
      HOME: root,
      ...places?.environment,
    };
    const how = { env: environment, account, cwd: root };
    const ask: Ask = async (text) => await query(connection, text);
    const bench: InstanceBench = {
      server,
      odoo,
      root,
      filestore,
      repository,
      captures: `${repository}-captures`,
      archive,
      environment,
      tryHoldfast: async (words) => await Promise.race([runProgram(words, how), broken.promise]),
      holdfast: async (words, status = 0) => {
        const done = await bench.tryHoldfast(words);
        const text = `holdfast ${words.join(" ")}: ${done.stdout}\n${done.stderr}`;
        assert.equal(done.status, status, text);
        return done;
      },
      start: (words) => {
        const { child, ended } = startProgram(words, { ...how, program: HOLDFAST });
        let said = "";
        child.stderr!.on("data", (text: string) => (said += text));
        const program: RunningProgram = {
          child,
          stderr: () => said,
          stop: async (status = 0) => {
            running.delete(program);
            child.kill("SIGTERM");
            const done = await ended;
            assert.equal(done.status, status, `${words.join(" ")}: ${done.stdout}\n${said}`);
            return done;
          },
          kill: async () => {
            running.delete(program);
            child.kill("SIGKILL");
            await ended;
          },
        };
        running.add(program);
        void ended.then(({ status }) => {
          if (!running.delete(program)) return;
          broken.reject(new Error(`${words.join(" ")} ended by itself with ${status}:\n${said}`));
        });
        return program;
      },
      ask,
      position: async () => (await ask("SELECT pg_current_wal_lsn()::text AS lsn"))[0]!["lsn"]!,
      untilArchived: async (position) => {
        const reached = until(`${position} to be archived`, async () => {
          const [row] = await ask(
            `SELECT (confirmed >= '${position}'::pg_lsn)::int::text AS there FROM
               (SELECT restart_lsn AS confirmed FROM pg_replication_slots WHERE slot_name = 'holdfast') AS slot`,
          );
          return row?.["there"] === "1";
        });
        await Promise.race([reached, broken.promise]);
      },
      [Symbol.asyncDispose]: close,
    };
    if (places) await bench.holdfast(["init", "--quiet"]);
    else {
      await createQuickRepository(repository, PASSWORD);
      if (account)
        await promisify(execFile)("chown", ["-R", `${account.uid}:${account.gid}`, repository]);
    }
    return bench;
  } catch (error) {
    await close();
    throw error;
  }
}
