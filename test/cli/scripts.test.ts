// Runs the scripts of this folder against the real program, two at a time; script.ts says what a script is.

import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, readdir, rm, symlink } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import assert from "node:assert/strict";
import { systemClock, systemRandom } from "../../src/base/clock.ts";
import { openRepository } from "../../src/repository/open.ts";
import { encodeLock } from "../../src/restic/lock-file.ts";
import { openStorage } from "../../src/storage/open-storage.ts";
import { createQuickRepository } from "../interop/quick-repository.ts";
import { PEERS, peer, skipWithout } from "../peers.ts";
import type { PeerName } from "../peers.ts";
import { linesOf, matchesLines, parseScript } from "./script.ts";
import type { ScriptCommand, ScriptDirective, ScriptStep } from "./script.ts";

const PROGRAM = join(import.meta.dirname, "..", "..", "bin", "holdfast");
const PASSWORD = "right";

/** What restic sends with --json: programs that read it refuse anything else. */
const MESSAGE_TYPES: ReadonlySet<unknown> = new Set([
  "changed",
  "error",
  "exit_error",
  "initialized",
  "node",
  "snapshot",
  "status",
  "summary",
  "verbose_status",
  "version",
]);

interface Scene {
  folder: string;
  environment: NodeJS.ProcessEnv;
  /** Aborts when the test is given up. */
  signal: AbortSignal;
}

/** A script that hangs must not hang the others; it says nothing about how fast one should be. */
const GIVE_UP_MS = 300_000;

async function setUp(signal: AbortSignal): Promise<Scene> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-script-"));
  const bin = join(folder, ".bin");
  await mkdir(bin);
  await symlink(PROGRAM, join(bin, "holdfast"));
  const environment = {
    PATH: `${bin}:${process.env["PATH"]}`,
    HOLDFAST_NODE: process.execPath,
    HOME: join(folder, ".home"),
    TZ: "UTC",
    LC_ALL: "C",
    RESTIC_REPOSITORY: join(folder, "repo"),
    RESTIC_PASSWORD: PASSWORD,
  };
  return { folder, environment, signal };
}

interface Run {
  stdout: string;
  stderr: string;
  status: number | null;
}

function runShell(text: string, { folder, environment, signal }: Scene): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn("sh", ["-c", text], {
      cwd: folder,
      env: environment,
      stdio: ["ignore", "pipe", "pipe"],
      // A group of its own, to be ended with everything it started.
      detached: true,
    });
    const end = (): void => void process.kill(-child.pid!, "SIGKILL");
    signal.addEventListener("abort", end);
    const pieces: [Buffer[], Buffer[]] = [[], []];
    child.stdout.on("data", (piece: Buffer) => pieces[0].push(piece));
    child.stderr.on("data", (piece: Buffer) => pieces[1].push(piece));
    child.on("error", reject);
    child.on("close", (status) => {
      signal.removeEventListener("abort", end);
      const [stdout, stderr] = pieces.map((list) =>
        Buffer.concat(list).toString().replaceAll(folder, "<folder>"),
      );
      resolve({ stdout: stdout!, stderr: stderr!, status });
    });
  });
}

async function runCommand(command: ScriptCommand, scene: Scene): Promise<void> {
  const run = await runShell(command.text, scene);
  const place = `line ${command.line}: ${command.text}`;
  const told = `${place}\n--- stdout\n${run.stdout}--- stderr\n${run.stderr}--- status ${run.status}`;
  const fits = (expected: readonly string[], actual: string): boolean =>
    matchesLines(expected, linesOf(actual));
  assert.ok(fits(command.stdout, run.stdout), `stdout differs at ${told}`);
  assert.ok(fits(command.stderr, run.stderr), `stderr differs at ${told}`);
  assert.equal(run.status, command.status, `status differs at ${told}`);
  assert.doesNotMatch(run.stdout + run.stderr, /^ {4}at |node:internal|ERR_[A-Z]/m, told);
  // These print data as it is, whatever the option; a pipe may do anything.
  if (!/--json\b/.test(command.text) || / (cat|list|dump) | \| /.test(command.text)) return;
  for (const line of linesOf(run.stdout)) checkMessage(line, told);
  for (const line of linesOf(run.stderr)) if (line.startsWith("{")) checkMessage(line, told);
}

function checkMessage(line: string, told: string): void {
  const message = JSON.parse(line) as Record<string, unknown> | unknown[];
  if (Array.isArray(message)) return;
  assert.ok(MESSAGE_TYPES.has(message["message_type"]), `unknown message in ${told}`);
}

async function prepare({ kind, words }: ScriptDirective, scene: Scene): Promise<void> {
  const [name = "", second = PASSWORD] = words;
  const path = join(scene.folder, name);
  if (kind === "repository") await createQuickRepository(path, second);
  if (kind === "lock") await writeLock(path, second === "exclusive");
  if (kind === "needs") {
    const target = join(scene.folder, ".bin", PEERS[name as PeerName].program);
    await symlink(peer(name as PeerName).path, target);
  }
}

/** A fresh lock of somebody on another machine, who may well be alive. */
async function writeLock(path: string, exclusive: boolean): Promise<void> {
  const [clock, random] = [systemClock, systemRandom];
  const owner = { hostname: `not-${hostname()}`, username: "somebody", uid: 1, gid: 1, pid: 42 };
  const machine = { clock, random, ...owner, isAlive: () => true };
  const storage = await openStorage(path, { env: {}, clock, random });
  const repository = await openRepository({ storage, password: PASSWORD, machine });
  const time = new Date(clock.now()).toISOString();
  await repository.save("lock", encodeLock({ time, exclusive, ...owner }));
}

/** The reason why a script cannot run here, or false. */
function skipOf(steps: readonly ScriptStep[]): string | false {
  const needs = steps.flatMap((step) => (step.kind === "needs" ? step.words : []));
  return skipWithout(...(needs as PeerName[]));
}

const files = (await readdir(import.meta.dirname)).filter((name) => name.endsWith(".txt"));
const scripts = await Promise.all(
  files.map(async (name) => {
    const text = await readFile(join(import.meta.dirname, name), "utf8");
    return { name, steps: parseScript(text) };
  }),
);

suite("scripts", { concurrency: 2 }, () => {
  for (const { name, steps } of scripts) {
    test(name, { skip: skipOf(steps), timeout: GIVE_UP_MS }, async ({ signal }) => {
      const scene = await setUp(signal);
      try {
        for (const step of steps) {
          if (step.kind === "command") await runCommand(step, scene);
          else await prepare(step, scene);
        }
      } finally {
        await rm(scene.folder, { recursive: true });
      }
    });
  }
});
