// Odoo as a child of this process, under an account that is neither root nor PostgreSQL's: its HTTP server for as long as
// it is wanted, or one of its commands to the end. It sees nothing of our environment.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../../test/free-port.ts";
import type { OdooProgram } from "./install.ts";

/** Where an Odoo finds its database and its files. */
export interface OdooPlace {
  readonly odoo: OdooProgram;
  /** A folder for its configuration and home. */
  readonly folder: string;
  /** Odoo's `data_dir`: the filestore is `filestore/DATABASE` below it. */
  readonly dataDirectory: string;
  readonly database: string;
  /** PostgreSQL's address; its socket is open to its own account alone. */
  readonly host: string;
  readonly port: number;
}

export interface CommandRun {
  readonly status: number | null;
  readonly output: string;
  readonly seconds: number;
}

export interface OdooServer extends AsyncDisposable {
  /** "http://127.0.0.1:8069". */
  readonly url: string;
  log: () => string;
  stop: () => Promise<void>;
}

/** The role that Odoo connects as: it refuses to be a superuser called postgres. */
export const ODOO_ROLE = "odoo";

const START_MILLISECONDS = 180_000;

/** The account for Odoo; undefined unless we are root. */
export function odooAccount(): { readonly uid: number; readonly gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((each) => each.startsWith("nobody:"));
  const [, , uid = "65534", gid = "65534"] = line?.split(":") ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}

/** Makes a folder that Odoo may write. */
export function makeOdooFolder(path: string): string {
  mkdirSync(path, { recursive: true });
  const account = odooAccount();
  if (account) chownSync(path, account.uid, account.gid);
  return path;
}

/** Starts a command of Odoo; `input` is what it reads. */
export function spawnOdoo(
  place: OdooPlace,
  words: readonly string[],
  stdin: "pipe" | "ignore" = "ignore",
): ChildProcess {
  const { odoo, folder } = place;
  return spawn(odoo.python, [odoo.program, ...words], {
    cwd: makeOdooFolder(folder),
    env: {
      PATH: "/usr/bin:/bin",
      HOME: folder,
      LANG: "C.UTF-8",
      TZ: "UTC",
      ...odoo.environment,
    },
    stdio: [stdin, "pipe", "pipe"],
    ...odooAccount(),
  });
}

/** Runs a command of Odoo, "db" or "shell", to its end. */
export async function runOdoo(
  place: OdooPlace,
  words: readonly string[],
  input?: string,
): Promise<CommandRun> {
  const begun = performance.now();
  const child = spawnOdoo(place, words, input === undefined ? "ignore" : "pipe");
  let output = "";
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  child.stdin?.end(input);
  const [status] = (await once(child, "close")) as [number | null];
  return { status, output, seconds: (performance.now() - begun) / 1000 };
}

/** Writes the configuration of `place`; its path, for `--config`. `more` are lines of it. */
export function writeConfiguration(
  place: OdooPlace,
  more: Readonly<Record<string, string>> = {},
): string {
  const settings: Record<string, string> = {
    db_host: place.host,
    db_port: String(place.port),
    db_user: ODOO_ROLE,
    data_dir: makeOdooFolder(place.dataDirectory),
    workers: "0",
    ...more,
  };
  const path = join(makeOdooFolder(place.folder), "odoo.conf");
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`);
  writeFileSync(path, `[options]\n${lines.join("")}`);
  return path;
}

/** Starts the HTTP server on a free port; resolves when it answers. `crons`: whether scheduled jobs run. */
export async function startOdoo(
  place: OdooPlace,
  options: { crons: boolean },
): Promise<OdooServer> {
  const port = await freePort();
  const configuration = writeConfiguration(place, {
    http_interface: "127.0.0.1",
    http_port: String(port),
    db_name: place.database,
    max_cron_threads: options.crons ? "1" : "0",
  });
  const child = spawnOdoo(place, ["server", "--config", configuration]);
  const lines: string[] = [];
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      lines.push(text);
      if (lines.length > 2000) lines.shift();
    });
  }
  const closed = once(child, "close");
  const url = `http://127.0.0.1:${port}`;
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGINT");
    const killer = setTimeout(() => child.kill("SIGKILL"), 20_000);
    await closed;
    clearTimeout(killer);
  };
  try {
    await untilAnswers(url, child, () => lines.join(""));
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, log: () => lines.join(""), stop, [Symbol.asyncDispose]: stop };
}

async function untilAnswers(url: string, child: ChildProcess, log: () => string): Promise<void> {
  const deadline = Date.now() + START_MILLISECONDS;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`Odoo ended:\n${log().slice(-4000)}`);
    try {
      const { status } = await fetch(`${url}/web/health`);
      if (status === 200) return;
    } catch {
      // Not listening yet.
    }
    if (Date.now() > deadline) throw new Error(`Odoo does not answer:\n${log().slice(-4000)}`);
    await sleep(200);
  }
}

/** Path of the filestore of `place`. */
export function filestoreOf({ dataDirectory, database }: OdooPlace): string {
  return join(dataDirectory, "filestore", database);
}

/** Makes the database and its filestore with `modules` and their demo data. Throws when Odoo says no. */
export async function initialise(place: OdooPlace, modules: string): Promise<number> {
  const configuration = writeConfiguration(place);
  const { status, output, seconds } = await runOdoo(place, [
    "server",
    `--config=${configuration}`,
    `--database=${place.database}`,
    `--init=${modules}`,
    "--with-demo",
    "--stop-after-init",
    "--max-cron-threads=0",
    "--no-http",
  ]);
  if (status !== 0 || !existsSync(filestoreOf(place)))
    throw new Error(`Odoo did not make its database:\n${output.slice(-4000)}`);
  return seconds;
}
