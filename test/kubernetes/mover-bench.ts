// Runs `holdfast mover` on directories as the operator's pods run it: with variables alone, and a file for the verdict. Real restic
// reads what it wrote.

import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { MOVER_EXIT } from "../../src/operator/mover-variables.ts";
import type { MoverVerdict } from "../../src/operator/mover-verdict.ts";
import { VERDICT_MAX } from "../../src/operator/mover-verdict.ts";
import { parseVerdict } from "../../src/operator/mover/parse-verdict.ts";
import { openWorkbench, PASSWORD } from "../faults/workbench.ts";
import type { Run, RunOptions, Scope, Workbench } from "../faults/workbench.ts";

export interface MoverRun extends Run {
  verdict: MoverVerdict;
}

/** What restic says of a snapshot. */
export interface ListedSnapshot {
  id: string;
  time: string;
  hostname: string;
  paths: string[];
  tags?: string[];
}

export interface MoverBench extends Workbench {
  /** The volume. */
  data: string;
  /** Runs a mover, and checks that its verdict is well-formed and agrees with its status. */
  mover(words: readonly string[], options?: RunOptions): Promise<MoverRun>;
  /** Puts files into the volume: content by path. */
  plant(files: Readonly<Record<string, string>>): void;
  /** All snapshots, oldest first, as real restic lists them. */
  snapshots(options?: RunOptions): Promise<ListedSnapshot[]>;
  locks(): string[];
}

/** A workbench with a volume beside its repository. */
export async function openMoverBench(scope: Scope): Promise<MoverBench> {
  const bench = await openWorkbench(scope);
  const data = bench.at("data");
  mkdirSync(data);
  // For movers that run as somebody else.
  chmodSync(bench.folder, 0o755);
  let count = 0;
  return {
    ...bench,
    data,
    async mover(words, options = {}) {
      const message = bench.at(`message-${count++}`);
      const run = `run${count}`;
      writeFileSync(message, "");
      chmodSync(message, 0o666);
      const env = {
        DATA_DIR: data,
        HOLDFAST_TERMINATION_LOG: message,
        HOLDFAST_RUN: run,
        ...options.env,
      };
      const ended = await bench.holdfast(["mover", ...words], { ...options, env });
      const text = readFileSync(message, "utf8");
      const said = `${ended.stdout}\n${ended.stderr}\n${text}`;
      assert.ok(Buffer.byteLength(text) <= VERDICT_MAX, said);
      assert.ok(!said.includes(options.password ?? PASSWORD), "the password is told");
      const verdict = parseVerdict(text, run);
      assert.ok(verdict, said);
      assert.equal(verdict.result === "ok", ended.status === MOVER_EXIT.ok, said);
      return { ...ended, verdict };
    },
    plant(files) {
      for (const [path, content] of Object.entries(files)) {
        const parts = path.split("/");
        if (parts.length > 1)
          mkdirSync(`${data}/${parts.slice(0, -1).join("/")}`, { recursive: true });
        writeFileSync(`${data}/${path}`, content);
      }
    },
    async snapshots(options = {}) {
      const { stdout } = await bench.restic("newest", ["snapshots", "--json"], options);
      return JSON.parse(stdout) as ListedSnapshot[];
    },
    locks: () =>
      existsSync(`${bench.repository}/locks`) ? readdirSync(`${bench.repository}/locks`) : [],
  };
}

/** The codes of a verdict's problems. */
export function codesOf({ verdict }: MoverRun): string[] {
  return (verdict.problems ?? []).map(({ code }) => code);
}

/** Empties the volume. */
export function emptyVolume({ data }: MoverBench): void {
  for (const name of readdirSync(data)) rmSync(`${data}/${name}`, { recursive: true });
}
