// What is named on the command line ends up in the same tree as with real restic: `.`, `..`, paths with common parents,
// from the root, with links and odd spellings, with excludes and on other file systems.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";
import { compileExcluder } from "../../src/files/excludes.ts";
import type { Excluder } from "../../src/files/excludes.ts";
import { loadSnapshot } from "../../src/repository/snapshots.ts";
import { backUpPaths, openAt } from "../faults/engine.ts";
import { IS_ROOT, PASSWORD, openWorkbench } from "../faults/workbench.ts";
import { skipWithout } from "../peers.ts";
import { createQuickRepository } from "./quick-repository.ts";

const skip = skipWithout("restic-newest");
const bench = await openWorkbench({ after });
mkdirSync(bench.at("w/a/b/c"), { recursive: true });
mkdirSync(bench.at("w/x"), { recursive: true });
mkdirSync(bench.at("w/empty"), { recursive: true });
for (const name of ["top", "a/one", "a/b/two", "a/b/c/three", "x/a", "x/y"]) {
  writeFileSync(bench.at("w", name), name);
}
symlinkSync("a", bench.at("w/link"));
symlinkSync("top", bench.at("w/x/link"));
mkdirSync(bench.at("w/mount"));
if (IS_ROOT) execFileSync("mount", ["-t", "tmpfs", "none", bench.at("w/mount")]);
mkdirSync(bench.at("w/mount/below"));
writeFileSync(bench.at("w/mount/below/inside"), "inside");

interface Case {
  paths: readonly string[];
  /** Below w; "" by default. */
  cwd?: string;
  exclude?: readonly string[];
  oneFileSystem?: boolean;
}

const CASES: readonly Case[] = [
  { paths: ["."] },
  { paths: [".."], cwd: "a/b" },
  { paths: ["../.."], cwd: "a/b/c" },
  { paths: ["./a/../a//b/."] },
  { paths: ["a"] },
  { paths: ["a/b/two", "a/one"] },
  { paths: ["a/b", "a", "a/one"] },
  { paths: ["a/b/c", "x", "top"] },
  { paths: ["../../x", "c", "."], cwd: "a/b" },
  { paths: ["../../../a", "../../../x/a", "../two"], cwd: "a/b/c" },
  { paths: ["a", "../x/a", "../x", "../a/one"], cwd: "x" },
  { paths: ["link", "x/link"] },
  { paths: ["link/b/two"] },
  { paths: ["empty", "top"] },
  { paths: ["link", "link/b/two"] },
  { paths: ["link/b", "a/b", "link/one"] },
  // The folders above these do not change while the test runs.
  { paths: ["/etc/passwd", "/etc/group", "/usr/bin/env"] },
  { paths: ["/etc/passwd", "x", "../w/top"] },
  { paths: ["a", "a", "./a"] },
  { paths: ["."], exclude: ["a", "*.x", "/ABSOLUTE/x/y"] },
  { paths: ["a", "x"], exclude: ["a"] },
  { paths: [".", "a/one"], exclude: ["one"] },
  { paths: ["a/b/two", "."], exclude: ["two", "!x"] },
  { paths: ["."], oneFileSystem: true },
  { paths: ["mount", "."], oneFileSystem: true },
  { paths: ["mount/below", "x"], oneFileSystem: true },
  { paths: ["mount/below", "."], oneFileSystem: true },
  { paths: ["/etc/passwd", "mount"], oneFileSystem: true },
];

const noIo = {
  readFile: () => Promise.reject(new Error("there are no pattern files")),
  variables: () => undefined,
  readStart: () => undefined,
  warn: () => {},
};

for (const [number, { paths, cwd = "", exclude = [], oneFileSystem = false }] of CASES.entries()) {
  const words = [...paths, ...exclude.map((pattern) => `--exclude=${pattern}`)];
  if (oneFileSystem) words.push("--one-file-system");
  void test(`${cwd}: ${words.join(" ")}`, { skip }, async () => {
    const absolute = (word: string): string => word.replace("/ABSOLUTE", bench.at("w"));
    const folder = bench.at("w", cwd);
    const location = bench.at(`repository ${number}`);
    await createQuickRepository(location, PASSWORD);
    const options = { repository: location, cwd: folder };
    await bench.restic("newest", ["backup", "--no-scan", ...words.map(absolute)], options);
    const listed = await bench.restic("newest", ["snapshots", "--json"], options);
    const [theirs] = JSON.parse(listed.stdout) as { tree: string; paths: string[] }[];
    process.chdir(folder);
    let excluder: Excluder | undefined;
    if (exclude.length > 0)
      excluder = await compileExcluder({ exclude: exclude.map(absolute) }, noIo);
    const repository = await openAt(location);
    const ours = await backUpPaths(repository, paths.map(absolute), {
      excluder,
      oneFileSystem,
      cwd: folder,
    });
    const { paths: named } = await loadSnapshot(repository, ours.snapshot!);
    assert.deepEqual(named, theirs!.paths);
    if (ours.tree !== theirs!.tree) {
      const ls = async (id: string): Promise<string> =>
        (await bench.restic("newest", ["ls", id], options)).stdout.replace(/^.*\n/, "");
      assert.equal(await ls(ours.snapshot!), await ls("latest:/"), "the listings");
    }
    assert.equal(ours.tree, theirs!.tree);
    assert.equal(ours.added.dataBlobs + ours.added.treeBlobs, 0);
  });
}
