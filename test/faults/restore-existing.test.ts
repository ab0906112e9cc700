// A restore into a target that is not empty: what stays, what is replaced, what is deleted, and that nothing outside of
// the target is ever touched.

import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import type { Overwrite } from "../../src/files/restore-existing.ts";
import { compileSelector } from "../../src/files/selection.ts";
import type { SelectionOptions, Selector } from "../../src/files/selection.ts";
import { sha256 } from "../../src/base/bytes.ts";
import { loadIndex } from "../../src/repository/index-loader.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { backUpPaths, openAt, restoreTo } from "./engine.ts";
import { assertSameTree, describeTree, openWorkbench } from "./workbench.ts";
import type { Scope, Workbench } from "./workbench.ts";

const OLD = "this was here before";
const THEN = 1_500_000_000;

interface Scene extends Workbench {
  engine: Repository;
  source: string;
  target: string;
}

/** A snapshot of a small tree, and an empty target. */
async function setScene(scope: Scope): Promise<Scene> {
  const bench = await openWorkbench(scope);
  const source = bench.at("source");
  const target = bench.at("target");
  mkdirSync(join(source, "dir/inner"), { recursive: true });
  writeFileSync(join(source, "small"), "small");
  writeFileSync(join(source, "large"), seededBytes("large", 2_500_000));
  writeFileSync(join(source, "dir/a"), "content of a");
  writeFileSync(join(source, "dir/inner/b"), "content of b");
  linkSync(join(source, "large"), join(source, "dir/other name"));
  symlinkSync("small", join(source, "link"));
  for (const name of ["small", "large", "dir/a", "dir/inner/b"]) {
    utimesSync(join(source, name), THEN, THEN);
  }
  mkdirSync(target);
  const engine = await openAt(bench.repository);
  await backUpPaths(engine, [source]);
  return { ...bench, engine, source, target };
}

const shared = await setScene({ after });
let targets = 0;

/** The scene that tests share which change nothing but their target. */
function shareScene(): Scene {
  const target = shared.at(`target ${++targets}`);
  mkdirSync(target);
  return { ...shared, target };
}

const noFiles = { readFile: () => Promise.resolve(Buffer.alloc(0)), variables: () => undefined };
const select = (options: SelectionOptions): Promise<Selector> => compileSelector(options, noFiles);

/** What the snapshot calls the source. */
const within = (scene: Scene): string => `latest:${scene.source}`;

void suite("what stays", () => {
  for (const mode of ["always", "if-changed", "if-newer", "never"] as const) {
    void test(`--overwrite ${mode}`, async () => {
      const scene = shareScene();
      const { target } = scene;
      writeFileSync(join(target, "small"), OLD);
      utimesSync(join(target, "small"), THEN + 10, THEN + 10);
      mkdirSync(join(target, "dir"));
      writeFileSync(join(target, "dir/a"), "CONTENT of a");
      utimesSync(join(target, "dir/a"), THEN, THEN);
      writeFileSync(join(target, "large"), OLD);
      utimesSync(join(target, "large"), THEN - 10, THEN - 10);
      const result = await restoreTo(scene.engine, within(scene), target, { overwrite: mode });
      assert.equal(result.failures, 0);
      const keeps: Record<Overwrite, string[]> = {
        always: [],
        "if-changed": ["dir/a"],
        "if-newer": ["small", "dir/a"],
        never: ["small", "dir/a", "large"],
      };
      const kept = keeps[mode];
      for (const name of ["small", "dir/a", "large"]) {
        const isSame = readFileSync(join(target, name)).equals(
          readFileSync(join(scene.source, name)),
        );
        assert.equal(isSame, !kept.includes(name), name);
      }
      // What another mode would keep for its time was taken for equal, not kept for what it is.
      const told = mode === "if-changed" ? [] : kept.map((name) => `/${name}`);
      assert.deepEqual([...result.kept].sort(), told.sort());
      assert.equal(readFileSync(join(target, "dir/inner/b"), "utf8"), "content of b");
      if (mode === "always") assertSameTree(target, scene.source);
    });
  }

  void test("what is there already is not written again, but gets its metadata", async () => {
    const scene = shareScene();
    await restoreTo(scene.engine, within(scene), scene.target);
    const inode = lstatSync(join(scene.target, "small")).ino;
    chmodSync(join(scene.target, "small"), 0o600);
    utimesSync(join(scene.target, "small"), 1, 1);
    const result = await restoreTo(scene.engine, within(scene), scene.target);
    assert.deepEqual(result.skipped.sort(), ["/dir/a", "/dir/inner/b", "/small"]);
    assert.equal(lstatSync(join(scene.target, "small")).ino, inode);
    assertSameTree(scene.target, scene.source);
  });

  void test("a missing second name is linked to a file that is there", async () => {
    const scene = shareScene();
    writeFileSync(join(scene.target, "large"), readFileSync(join(scene.source, "large")));
    const other = scene.at("other");
    mkdirSync(join(other, "dir"), { recursive: true });
    writeFileSync(join(other, "dir/other name"), readFileSync(join(scene.source, "large")));
    await restoreTo(scene.engine, within(scene), scene.target);
    await restoreTo(scene.engine, within(scene), other);
    assertSameTree(scene.target, scene.source);
    assertSameTree(other, scene.source);
  });

  void test("--dry-run writes nothing and tells what would happen", async () => {
    const scene = shareScene();
    writeFileSync(join(scene.target, "small"), "small");
    writeFileSync(join(scene.target, "surplus"), OLD);
    writeFileSync(join(scene.target, ".holdfast-restore-0123456789abcdef"), OLD);
    const before = describeTree(scene.target);
    const dry = { dryRun: true, delete: true };
    const result = await restoreTo(scene.engine, within(scene), scene.target, dry);
    assert.deepEqual(describeTree(scene.target), before);
    assert.deepEqual(result.skipped, ["/small"]);
    assert.deepEqual(result.deleted, ["/.holdfast-restore-0123456789abcdef", "/surplus"]);
    assert.ok(result.restored.includes("/dir/inner/b"));
    await restoreTo(scene.engine, within(scene), scene.at("absent"), dry);
    assert.equal(existsSync(scene.at("absent")), false);
  });
});

void suite("what is in the way", () => {
  void test("links in the target are replaced and never followed", async () => {
    const scene = shareScene();
    const { target } = scene;
    const outside = scene.at(`outside ${targets}`);
    mkdirSync(join(outside, "inner"), { recursive: true });
    writeFileSync(join(outside, "victim"), OLD);
    writeFileSync(join(outside, "a"), OLD);
    writeFileSync(join(outside, "inner/b"), OLD);
    const before = describeTree(outside);
    symlinkSync(join(outside, "victim"), join(target, "small"));
    symlinkSync(join(outside, "victim"), join(target, "large"));
    symlinkSync(outside, join(target, "dir"));
    symlinkSync(outside, join(target, "link"));
    const result = await restoreTo(scene.engine, within(scene), target, { delete: true });
    assert.equal(result.failures, 0);
    assert.deepEqual(describeTree(outside), before);
    assertSameTree(target, scene.source);
  });

  void test("--delete does not look through a link to a directory", async () => {
    const scene = shareScene();
    const outside = scene.at(`outside ${targets}`);
    mkdirSync(outside);
    writeFileSync(join(outside, "victim.tmp"), OLD);
    symlinkSync(outside, join(scene.target, "dir"));
    const selected = await select({ include: ["/dir/*.tmp"] });
    const options = { delete: true, select: selected };
    const result = await restoreTo(scene.engine, within(scene), scene.target, options);
    assert.deepEqual([result.failures, result.deleted], [0, []]);
    assert.equal(readFileSync(join(outside, "victim.tmp"), "utf8"), OLD);
  });

  void test("a link that is the target itself is followed: its user named it", async () => {
    const scene = shareScene();
    symlinkSync(scene.target, scene.at("named"));
    await restoreTo(scene.engine, within(scene), scene.at("named"));
    assertSameTree(scene.target, scene.source);
  });

  void test("an empty directory gives way to a file, one with content only with --delete", async () => {
    const scene = shareScene();
    const { target } = scene;
    mkdirSync(join(target, "small"));
    mkdirSync(join(target, "large/full"), { recursive: true });
    mkdirSync(join(target, "link/full"), { recursive: true });
    const result = await restoreTo(scene.engine, within(scene), target);
    assert.deepEqual([...result.failed.keys()].sort(), ["/large", "/link"]);
    assert.equal(readFileSync(join(target, "small"), "utf8"), "small");
    assert.ok(existsSync(join(target, "large/full")) && existsSync(join(target, "link/full")));
    await restoreTo(scene.engine, within(scene), target, { delete: true });
    assertSameTree(target, scene.source);
  });

  void test("a file gives way to a directory", async () => {
    const scene = shareScene();
    writeFileSync(join(scene.target, "dir"), OLD);
    await restoreTo(scene.engine, within(scene), scene.target);
    assertSameTree(scene.target, scene.source);
  });

  void test("a file with another name elsewhere is replaced, not written through", async () => {
    const scene = shareScene();
    writeFileSync(scene.at("elsewhere"), OLD);
    for (const name of ["small", "large"])
      linkSync(scene.at("elsewhere"), join(scene.target, name));
    await restoreTo(scene.engine, within(scene), scene.target);
    assert.equal(readFileSync(scene.at("elsewhere"), "utf8"), OLD);
    assertSameTree(scene.target, scene.source);
  });

  void test("leftovers of a killed run go, what only looks like one stays", async () => {
    const scene = shareScene();
    const { target } = scene;
    mkdirSync(join(target, "dir"));
    mkdirSync(join(target, ".holdfast-restore-00000000000000ff"));
    const stay = [".holdfast-restore-0123", ".holdfast-restore-0123456789abcdeg", "restore"];
    const go = [".holdfast-restore-0123456789abcdef", "dir/.holdfast-restore-ffffffffffffffff"];
    for (const name of [...stay, ...go]) writeFileSync(join(target, name), OLD);
    await restoreTo(scene.engine, within(scene), target);
    for (const name of stay) assert.ok(existsSync(join(target, name)), name);
    for (const name of go) assert.ok(!existsSync(join(target, name)), name);
    assert.ok(existsSync(join(target, ".holdfast-restore-00000000000000ff")));
  });

  void test("a leftover that was backed up is restored like any file", async (t) => {
    const scene = await setScene(t);
    const name = ".holdfast-restore-0123456789abcdef";
    writeFileSync(join(scene.source, name), OLD);
    await backUpPaths(scene.engine, [scene.source]);
    for (let run = 0; run < 2; run++) {
      await restoreTo(scene.engine, within(scene), scene.target);
      assertSameTree(scene.target, scene.source);
    }
  });
});

void suite("--delete", () => {
  void test("removes what the snapshot does not have, as far as it is selected", async () => {
    const scene = shareScene();
    const { target } = scene;
    mkdirSync(join(target, "surplus/inner"), { recursive: true });
    mkdirSync(join(target, "dir"));
    const files = ["surplus/inner/x.log", "surplus/y.keep", "z.log", "dir/w.log", "dir/v.keep"];
    for (const name of files) writeFileSync(join(target, name), OLD);
    symlinkSync(scene.source, join(target, "to the source.log"));
    const selected = await select({ exclude: ["*.keep"] });
    const options = { delete: true, select: selected };
    const result = await restoreTo(scene.engine, within(scene), target, options);
    assert.equal(result.failures, 0);
    const gone = ["/dir/w.log", "/surplus/inner", "/surplus/inner/x.log", "/to the source.log"];
    assert.deepEqual(result.deleted.sort(), [...gone, "/z.log"]);
    assert.deepEqual(readdirSync(join(target, "surplus")), ["y.keep"]);
    assert.ok(existsSync(join(target, "dir/v.keep")));
    await restoreTo(scene.engine, within(scene), target, { delete: true });
    assertSameTree(target, scene.source);
    assert.ok(existsSync(join(scene.source, "small")));
  });

  void test("leaves what is beside the selection alone", async () => {
    const scene = shareScene();
    mkdirSync(join(scene.target, "dir/inner"), { recursive: true });
    for (const name of ["mine", "dir/mine", "dir/inner/mine"]) {
      writeFileSync(join(scene.target, name), OLD);
    }
    const options = { delete: true, select: await select({ include: ["/dir/inner"] }) };
    const result = await restoreTo(scene.engine, within(scene), scene.target, options);
    assert.deepEqual(result.deleted, ["/dir/inner/mine"]);
    assert.ok(existsSync(join(scene.target, "mine")) && existsSync(join(scene.target, "dir/mine")));
    assert.deepEqual(readdirSync(join(scene.target, "dir/inner")), ["b"]);
    assert.equal(existsSync(join(scene.target, "small")), false);
  });

  void test("removes nothing when anything failed", async (t) => {
    const scene = await setScene(t);
    writeFileSync(join(scene.target, "surplus"), OLD);
    const { index } = await loadIndex(scene.engine);
    const { pack } = index.place(index.find("data", sha256(Buffer.from("content of a"))));
    await scene.engine.remove("pack", pack);
    const result = await restoreTo(scene.engine, within(scene), scene.target, { delete: true });
    assert.ok(result.failures > 0);
    assert.deepEqual(result.deleted, []);
    assert.equal(readFileSync(join(scene.target, "surplus"), "utf8"), OLD);
  });
});
