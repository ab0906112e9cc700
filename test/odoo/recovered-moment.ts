// A moment recovered by the program, and the judgement of it: the database in exactly the state of that moment, the folder with
// exactly the files that it refers to, each with the content of its name.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { storePath } from "../../src/odoo/store-name.ts";
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
  await bench.holdfast(["recover", ...words, "--to", folder]);
  const took = performance.now() - begun;
  try {
    const referenced = await referencedIn(folder);
    const found = filesBelow(join(folder, "filestore", DATABASE));
    const extra = [...found.keys()].filter((sha1) => !referenced.has(sha1));
    assert.deepEqual(extra, [], "files that no row refers to");
    for (const [sha1, { path, content }] of found) {
      assert.equal(content, sha1, `content of ${path}`);
      assert.equal(path, storePath(sha1));
    }
    const missing = [...referenced].filter((sha1) => !found.has(sha1));
    const { filestore, lostAtSource } = bench.odoo;
    const unexplained = missing.filter(
      (sha1) => !filestore.wasBrief(sha1, brief) && !lostAtSource.has(sha1),
    );
    assert.deepEqual(unexplained, [], "files that were there and are not");
    return { referenced: referenced.size, excused: missing.length, took };
  } finally {
    rmSync(folder, { recursive: true, force: true });
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

/** All files below a folder, by their names: where they are, and the SHA-1 of what they hold. */
export function filesBelow(
  folder: string,
): Map<string, { readonly path: string; readonly content: string }> {
  const files = new Map<string, { path: string; content: string }>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue;
    const path = join(entry.parentPath, entry.name);
    const content = createHash("sha1").update(readFileSync(path)).digest("hex");
    files.set(entry.name, { path: relative(folder, path), content });
  }
  return files;
}
