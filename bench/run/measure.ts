// Runs one command and measures it: wall clock, CPU of all its threads and children, and the most memory it held.
// GNU time does the accounting, because Node cannot ask the kernel for a child's peak memory.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Measured {
  /** Seconds. */
  readonly wall: number;
  /** Seconds of user and system time together. */
  readonly cpu: number;
  /** Bytes of the largest resident set. */
  readonly memory: number;
}

export interface Command {
  readonly argv: readonly [program: string, ...args: string[]];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

const TIME = "/usr/bin/time";

/** Runs `command` to its end and measures it. Throws with its own words when it fails. */
export function measure(command: Command): Measured {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-measure-"));
  try {
    const report = join(folder, "time");
    const argv = ["-f", "%U %S %M", "-o", report, "--", ...command.argv];
    const begun = performance.now();
    run({ ...command, argv: [TIME, ...argv] });
    const wall = (performance.now() - begun) / 1000;
    const [user, system, kilobytes] = readFileSync(report, "utf8").trim().split(" ").map(Number);
    return { wall, cpu: user! + system!, memory: kilobytes! * 1024 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs `command` and returns its standard output. Throws with its own words when it fails. */
export function run(command: Command): string {
  const [program, ...args] = command.argv;
  const { status, error, stdout, stderr } = spawnSync(program, args, {
    cwd: command.cwd,
    env: { ...process.env, ...command.env },
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 1 << 28,
  });
  if (error) {
    const missing = program === TIME && (error as { code?: string }).code === "ENOENT";
    throw missing ? new Error("GNU time is missing: install the system's package `time`") : error;
  }
  if (status !== 0) {
    const words = `${stderr}${stdout}`.trim().split("\n").slice(-5).join("\n  ");
    throw new Error(`${command.argv.join(" ")} failed with ${status}:\n  ${words}`);
  }
  return stdout;
}

/** Flushes what is written, so that one tool does not pay for another's dirty pages. */
export function settle(): void {
  run({ argv: ["sync"] });
}

/** Empties the page cache; false when only root may. */
export function dropCaches(): boolean {
  if (process.getuid?.() !== 0) return false;
  settle();
  try {
    run({ argv: ["sh", "-c", "echo 3 > /proc/sys/vm/drop_caches"] });
    return true;
  } catch {
    return false;
  }
}
