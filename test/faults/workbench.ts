// Where the tests of whole runs work: a folder with a quick repository, the program and real restic beside it, and eyes
// to compare directory trees by everything a restore brings back.
//
// Every run of the program is looked at: it must end by itself with a status and never show a stack trace.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { lstatSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { createQuickRepository } from "../interop/quick-repository.ts";
import { resticPath } from "../peers.ts";

export const PASSWORD = "open sesame";
export const PROGRAM: string = join(import.meta.dirname, "..", "..", "bin", "holdfast");
export const IS_ROOT: boolean = userInfo().uid === 0;
/** For tests that mount, change owners or become somebody else. */
export const ROOT_ONLY: string | false = IS_ROOT ? false : "only root may do what this needs";

export interface Run {
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  /** Repository, `repository` of the workbench by default. */
  repository?: string;
  password?: string;
  cwd?: string;
  env?: Record<string, string>;
  input?: string | Uint8Array;
  /** Leaves standard input open: whoever was told of the process ends it. */
  holdInput?: boolean;
  /** Told of the process once it runs. */
  onStart?: (child: ChildProcess) => void;
  /** Run as this user and group. */
  uid?: number;
  gid?: number;
  /** Expected exit status; any when not given. */
  status?: number | null;
}

export interface Workbench {
  /** Holds everything; removed after the test. */
  folder: string;
  repository: string;
  /** A path below the folder. */
  at(...parts: string[]): string;
  /** Runs the program. */
  holdfast(words: readonly string[], options?: RunOptions): Promise<Run>;
  /** Runs real restic. */
  restic(which: "oldest" | "newest", words: readonly string[], options?: RunOptions): Promise<Run>;
}

/** A test, or the node:test module for a whole file: what calls back when it is over. */
export interface Scope {
  after(work: () => void): void;
}

/** A new workbench with an empty repository. */
export async function openWorkbench(scope: Scope, version: 1 | 2 = 2): Promise<Workbench> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-faults-"));
  scope.after(() => {
    for (const mounted of mountsBelow(folder)) execFileSync("umount", ["-l", mounted]);
    // A restored directory may be closed to its owner.
    if (!IS_ROOT) execFileSync("chmod", ["-R", "u+rwX", folder]);
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  });
  const at = (...parts: string[]): string => join(folder, ...parts);
  const repository = at("repository");
  await createQuickRepository(repository, PASSWORD, version);
  const environment = (options: RunOptions): NodeJS.ProcessEnv => ({
    PATH: process.env["PATH"],
    HOME: folder,
    TZ: "UTC",
    RESTIC_REPOSITORY: options.repository ?? repository,
    RESTIC_PASSWORD: options.password ?? PASSWORD,
    RESTIC_CACHE_DIR: at("cache"),
    ...options.env,
  });
  return {
    folder,
    repository,
    at,
    async holdfast(words, options = {}) {
      const run = await runProgram(PROGRAM, words, { ...options, env: environment(options) });
      const said = `holdfast ${words.join(" ")}\n${run.stdout}\n${run.stderr}`;
      assert.doesNotMatch(run.stderr, /^\s+at .*:\d+:\d+\)?$/m, said);
      assert.doesNotMatch(run.stderr, /defect/, said);
      if (options.status !== undefined) assert.equal(run.status, options.status, said);
      return run;
    },
    async restic(which, words, options = {}) {
      const program = resticPath(which);
      const run = await runProgram(program, words, { ...options, env: environment(options) });
      const status = options.status === undefined ? 0 : options.status;
      const said = `restic ${words.join(" ")}\n${run.stdout}\n${run.stderr}`;
      if (status !== null) assert.equal(run.status, status, said);
      return run;
    },
  };
}

/** What tests mounted below a folder and did not unmount, the last one first. */
function mountsBelow(folder: string): string[] {
  if (!IS_ROOT) return [];
  const lines = readFileSync("/proc/self/mounts", "utf8").split("\n");
  const paths = lines.map((line) => (line.split(" ")[1] ?? "").replaceAll("\\040", " "));
  return paths.filter((path) => path.startsWith(`${folder}/`)).reverse();
}

function runProgram(
  program: string,
  words: readonly string[],
  options: Omit<RunOptions, "env"> & { env: NodeJS.ProcessEnv },
): Promise<Run> {
  const { cwd, env, uid, gid, input } = options;
  return new Promise((resolve, reject) => {
    const identity = { ...(uid !== undefined && { uid }), ...(gid !== undefined && { gid }) };
    const child = spawn(program, [...words], { cwd, env, ...identity, stdio: "pipe" });
    const parts: { stdout: Buffer[]; stderr: Buffer[] } = { stdout: [], stderr: [] };
    child.stdout.on("data", (part: Buffer) => parts.stdout.push(part));
    child.stderr.on("data", (part: Buffer) => parts.stderr.push(part));
    child.on("error", reject);
    // A program that does not read its input closes it.
    child.stdin.on("error", () => {});
    if (options.holdInput !== true) child.stdin.end(input ?? "");
    child.on("close", (status, signal) => {
      const stdout = Buffer.concat(parts.stdout).toString();
      const stderr = Buffer.concat(parts.stderr).toString();
      resolve({ status, signal, stdout, stderr });
    });
    options.onStart?.(child);
  });
}

export interface TreeDescription {
  /** One line of everything a restore brings back but times, for each entry by path (a byte string). */
  lines: Record<string, string>;
  /** Modification times, ns since 1970. */
  times: Record<string, bigint>;
}

/** What is below `folder`. */
export function describeTree(folder: string): TreeDescription {
  const lines: Record<string, string> = {};
  const times: Record<string, bigint> = {};
  const firstNames = new Map<bigint, string>();
  const visit = (path: string): void => {
    const names = readdirSync(native(folder, path), { encoding: "latin1" }).sort();
    for (const name of names) {
      const below = path === "" ? name : `${path}/${name}`;
      const stat = lstatSync(native(folder, below), { bigint: true });
      times[below] = stat.mtimeNs;
      const facts = [`${stat.mode.toString(8)} ${stat.uid}:${stat.gid}`];
      if (stat.isFile()) {
        const content = readFileSync(native(folder, below));
        facts.push(`${stat.size} ${createHash("sha256").update(content).digest("hex")}`);
        const first = firstNames.get(stat.ino);
        if (first !== undefined) facts.push(`same as ${first}`);
        else if (stat.nlink > 1n) firstNames.set(stat.ino, below);
      } else if (stat.isSymbolicLink()) {
        facts.push(`-> ${readlinkSync(native(folder, below), "latin1")}`);
      } else if (stat.isBlockDevice() || stat.isCharacterDevice()) facts.push(`${stat.rdev}`);
      lines[below] = facts.join(" ");
      if (stat.isDirectory()) visit(below);
    }
  };
  visit("");
  return { lines, times };
}

/** Times are restored as floating seconds: to about a quarter of a microsecond. */
const TIME_TOLERANCE_NS = 500n;

/** Asserts that two directories hold the same, as far as a restore brings it back. */
export function assertSameTree(actual: string, expected: string): void {
  const [found, wanted] = [describeTree(actual), describeTree(expected)];
  assert.deepEqual(found.lines, wanted.lines);
  for (const [path, time] of Object.entries(wanted.times)) {
    const difference = found.times[path]! - time;
    const isClose = difference <= TIME_TOLERANCE_NS && difference >= -TIME_TOLERANCE_NS;
    assert.ok(isClose, `${path} is ${difference} ns off`);
  }
}

/** The path of a byte string below a folder. */
export function native(folder: string, below: string): Buffer {
  return Buffer.concat([Buffer.from(folder), Buffer.from(`/${below}`, "latin1")]);
}
