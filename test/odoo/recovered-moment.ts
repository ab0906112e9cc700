// A moment recovered by the program, and the judgement of it: the database in exactly the state of that moment, the folder with
// exactly the files that it refers to, each with the content of its name.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { storePath } from "../../src/odoo/store-name.ts";
import { removeAll } from "../postgres/restored.ts";
import { query, startTestServer } from "../postgres/servers.ts";
import { DATABASE, type InstanceBench } from "./instance-bench.ts";
import { assertStateAt, type Moment, type Step } from "./truth.ts";

export interface Judged {
  /** Files that the database refers to. */
  readonly referenced: number;
  /** Files that are not there, and were at the source for no longer than `brief` milliseconds at a stretch. */
  readonly excused: number;
  /** Milliseconds that the command took. */
  readonly took: number;
}

export interface JudgeOptions {
  readonly bench: InstanceBench;
  readonly moment: Moment;
  /** What the command is given to find the moment. */
  readonly words: readonly string[];
  /** Of the live database, read when it had ended its work. */
  readonly liveHistory: ReadonlyMap<string, Step>;
  /** Nobody can have files that were there for less than that. */
  readonly brief: number;
}

let numbers = 0;

/** Recovers a moment into a new folder, judges it, and removes it. */
export async function judgeMoment(options: JudgeOptions): Promise<Judged> {
  const { bench, moment, words, liveHistory, brief } = options;
  const folder = join(bench.root, `moment-${++numbers}`);
  const begun = performance.now();
  const status = await recover();
  const took = performance.now() - begun;
  try {
    const referenced = await referencedIn(folder);
    const found = filesBelow(join(folder, "filestore", DATABASE));
    const there = new Set(found.map(({ name }) => name));
    const extra = found.filter(({ name }) => !referenced.has(name));
    assert.deepEqual(extra, [], "files that no row refers to");
    for (const { name, path, content } of found) {
      assert.equal(content, name, `content of ${path}`);
      assert.equal(path, storePath(name));
    }
    const missing = [...referenced].filter((sha1) => !there.has(sha1));
    const { filestore, lostAtSource } = bench.odoo;
    const unexplained = missing.filter(
      (sha1) => !filestore.wasBrief(sha1, brief) && !lostAtSource.has(sha1),
    );
    assert.deepEqual(unexplained, [], "files that were there and are not");
    // What is not there is said, by name and by status.
    const { lost, regenerable } = toldMissing(folder);
    assert.equal(status, lost.length === 0 ? 0 : 3);
    assert.deepEqual([...lost, ...regenerable].toSorted(), missing.toSorted());
    return { referenced: referenced.size, excused: missing.length, took };
  } finally {
    removeAll(folder);
  }

  async function recover(): Promise<number> {
    const all = ["recover", ...words, "--to", folder];
    const { status, stdout, stderr } = await bench.tryHoldfast(all);
    assert.ok(status === 0 || status === 3, `holdfast ${all.join(" ")}: ${stdout}\n${stderr}`);
    return status;
  }

  async function referencedIn(recovered: string): Promise<Set<string>> {
    const dataDirectory = join(recovered, "pgdata");
    await using server = await startTestServer({ major: bench.server.major, dataDirectory });
    return await assertStateAt({
      ask: async (text) => await query(server.connection(DATABASE), text),
      truth: bench.odoo.truth,
      moment,
      liveHistory,
    });
  }
}

interface Told {
  readonly lost: string[];
  /** Odoo makes these again. */
  readonly regenerable: string[];
}

/** SHA-1s that the report of a recovery says are not there. */
function toldMissing(folder: string): Told {
  const text = readFileSync(join(folder, "recovery-report.json"), "utf8");
  const { files } = JSON.parse(text) as { files: Record<string, { sha1: string }[]> };
  const names = (list: string): string[] => files[list]!.map(({ sha1 }) => sha1);
  const lists = ["missing", "corrupt", "missing_at_source", "corrupt_at_source"];
  return { lost: lists.flatMap(names), regenerable: names("regenerable") };
}

export interface FoundFile {
  readonly name: string;
  /** Below the folder. */
  readonly path: string;
  /** SHA-1 of what it holds. */
  readonly content: string;
}

/** All files below a folder. */
export function filesBelow(folder: string): FoundFile[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map(({ parentPath, name }) => {
      const path = join(parentPath, name);
      const content = createHash("sha1").update(readFileSync(path)).digest("hex");
      return { name, path: relative(folder, path), content };
    });
}
