// Whole backups and restores beside real restic, the oldest that knows format 2 and the newest: each accepts what the other
// made without a word of complaint, restores it alike, and finds nothing to add to it.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { plantTree } from "../faults/source-tree.ts";
import { PASSWORD, assertSameTree, openWorkbench } from "../faults/workbench.ts";
import type { Run, RunOptions } from "../faults/workbench.ts";
import { peer, skipWithout } from "../peers.ts";
import { createQuickRepository } from "./quick-repository.ts";

const bench = await openWorkbench({ after });
let count = 0;
plantTree(bench.at("source"), { large: 22_000_000, many: 60 });
plantTree(bench.at("plain"), { large: 600_000, many: 5 });
plantTree(bench.at("ascii"), { large: 600_000, many: 5, links: "utf-8" });

interface Summary {
  snapshot_id: string;
  data_blobs: number;
  tree_blobs: number;
  files_unmodified: number;
  total_files_processed: number;
  total_bytes_processed: number;
}

function summaryOf(run: Run): Summary {
  const lines = run.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { message_type: string });
  return lines.find((line) => line.message_type === "summary") as unknown as Summary;
}

/** Words that restic says when all is well, and nothing else. */
function assertContent(run: Run): void {
  assert.equal(run.stderr.replace(/^using temporary cache in .*\n/m, ""), "");
  assert.doesNotMatch(run.stdout, /warn|error(?!s were found)|not referenced|damaged/i);
}

async function treeOf(which: "oldest" | "newest", options: RunOptions): Promise<string> {
  const run = await bench.restic(which, ["snapshots", "--json", "latest"], options);
  return (JSON.parse(run.stdout) as { tree: string }[])[0]!.tree;
}

async function quickRepository(version: 1 | 2): Promise<string> {
  const location = bench.at(`repository ${++count}`);
  await createQuickRepository(location, PASSWORD, version);
  return location;
}

for (const which of ["oldest", "newest"] as const) {
  const { skip } = peer(`restic-${which}`);
  for (const version of [1, 2] as const) {
    void suite(`format ${version} beside the ${which}`, { skip }, () => {
      // The large file once is enough, and the oldest does not keep link targets that are not UTF-8.
      const later = version === 2 ? "source" : "plain";
      const source = which === "newest" ? later : "ascii";

      void test("it takes what we made", async () => {
        const repository = await quickRepository(version);
        const options = { repository, cwd: bench.folder };
        const made = await bench.holdfast(["backup", "--json", source], { ...options, status: 0 });
        assert.equal(made.stderr, "");
        assertContent(await bench.restic(which, ["check", "--read-data"], options));
        const target = bench.at(`target ${++count}`);
        const restored = await bench.restic(
          which,
          ["restore", "latest", "--target", target],
          options,
        );
        assertContent(restored);
        assertSameTree(join(target, source), bench.at(source));
        const ours = await treeOf(which, options);
        const again = await bench.restic(which, ["backup", "--json", "--force", source], options);
        const { data_blobs, tree_blobs } = summaryOf(again);
        assert.equal(data_blobs, 0);
        if (which === "newest") {
          assert.equal(tree_blobs, 0);
          assert.equal(await treeOf(which, options), ours);
        }
        const unforced = await bench.restic(which, ["backup", "--json", source], options);
        assert.equal(summaryOf(unforced).files_unmodified, summaryOf(made).total_files_processed);
      });

      void test("we take what it made", async () => {
        const repository = await quickRepository(version);
        const options = { repository, cwd: bench.folder };
        const made = await bench.restic(which, ["backup", "--json", source], options);
        const theirs = await treeOf(which, options);
        const unforced = await bench.holdfast(["backup", "--json", source], {
          ...options,
          status: 0,
        });
        assert.equal(summaryOf(unforced).files_unmodified, summaryOf(made).total_files_processed);
        const words = ["backup", "--json", "--force", source];
        const again = await bench.holdfast(words, { ...options, status: 0 });
        assert.equal(again.stderr, "");
        const { data_blobs, tree_blobs } = summaryOf(again);
        assert.equal(data_blobs, 0);
        if (which === "newest") {
          assert.equal(tree_blobs, 0);
          assert.equal(await treeOf(which, options), theirs);
        }
        const check = await bench.holdfast(["check", "--read-data"], { ...options, status: 0 });
        assert.equal(check.stderr, "");
        const target = bench.at(`target ${++count}`);
        await bench.holdfast(["restore", "latest", "--target", target, "--verify"], {
          ...options,
          status: 0,
        });
        assertSameTree(join(target, source), bench.at(source));
        assert.deepEqual(readdirSync(join(repository, "locks")), []);
      });
    });
  }
}

void test(
  "the newest rewrites, prunes and copies what we made",
  { skip: skipWithout("restic-newest") },
  async () => {
    const repository = await quickRepository(2);
    const options = { repository, cwd: bench.folder };
    for (const path of ["plain", "plain/sub"]) {
      await bench.holdfast(["backup", path], { ...options, status: 0 });
    }
    const rewrite = ["rewrite", "--exclude", "many", "--exclude", "large", "--forget"];
    assertContent(await bench.restic("newest", rewrite, options));
    assertContent(await bench.restic("newest", ["prune", "--max-unused", "0"], options));
    assertContent(await bench.restic("newest", ["check", "--read-data"], options));
    const copy = await quickRepository(2);
    const env = { RESTIC_FROM_PASSWORD: PASSWORD };
    const copied = await bench.restic("newest", ["copy", "--from-repo", repository], {
      repository: copy,
      env,
    });
    assertContent(copied);
    for (const each of [repository, copy]) {
      assertContent(await bench.restic("newest", ["check", "--read-data"], { repository: each }));
      const check = await bench.holdfast(["check", "--read-data"], { repository: each, status: 0 });
      assert.equal(check.stderr, "");
      const target = bench.at(`target ${++count}`);
      const words = ["restore", "latest:plain", "--target", target, "--path", bench.at("plain")];
      await bench.holdfast(words, { repository: each, status: 0 });
      const names = readdirSync(target, { encoding: "latin1" });
      const kept = readdirSync(bench.at("plain"), { encoding: "latin1" });
      assert.deepEqual(
        names.sort(),
        kept.filter((name) => name !== "many" && name !== "large").sort(),
      );
    }
  },
);

void test(
  "both write times in the zone of the machine",
  { skip: skipWithout("restic-newest") },
  async () => {
    for (const zone of [
      "America/New_York",
      "Asia/Kathmandu",
      "Australia/Lord_Howe",
      "Europe/London",
    ]) {
      const repository = await quickRepository(2);
      const options = { repository, cwd: bench.folder, env: { TZ: zone } };
      await bench.holdfast(["backup", "plain"], { ...options, status: 0 });
      const again = await bench.restic("newest", ["backup", "--json", "--force", "plain"], options);
      assert.equal(summaryOf(again).tree_blobs, 0, zone);
    }
  },
);

const SELECTIONS: readonly (readonly [directory: string, words: readonly string[]])[] = [
  ["plain", ["--include", "sub/deeper", "--include", "*.txt"]],
  ["plain", ["--exclude", "many", "--exclude", "/sub/deeper"]],
  ["plain/sub", ["--iinclude", "*SAME*"]],
  ["plain/many", []],
  ["plain", ["--include", "/no/such/thing"]],
];

void test("both restore the same selections", { skip: skipWithout("restic-newest") }, async () => {
  const repository = await quickRepository(2);
  const options = { repository, cwd: bench.folder, status: 0 };
  await bench.holdfast(["backup", "plain"], options);
  for (const [directory, words] of SELECTIONS) {
    const restore = ["restore", `latest:${directory}`, ...words, "--target"];
    const [ours, theirs] = [bench.at(`ours ${++count}`), bench.at(`theirs ${count}`)];
    await bench.holdfast([...restore, ours], options);
    await bench.restic("newest", [...restore, theirs], options);
    assertSameTree(ours, theirs);
  }
});
