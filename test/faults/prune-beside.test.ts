// A prune beside others (docs/decisions/prune.md): what a backup relies on stays, whenever it runs; who would be in the way of
// the moment in which things go is locked out, or locks the prune out; and a plan that was overtaken is made anew.

import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { acquireLock } from "../../src/repository/locks.ts";
import type { PruneOptions } from "../../src/repository/prune.ts";
import { listSnapshots } from "../../src/repository/snapshots.ts";
import { forwarding } from "../../src/storage/forwarding.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { skipWithout } from "../peers.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { backUpPaths, checkAll, openAt, restoreTo } from "./engine.ts";
import { pruneAll } from "./prune-run.ts";
import { assertSameTree, openWorkbench } from "./workbench.ts";

const bench = await openWorkbench({ after });
const PACK_SIZE = 64 << 10;
const source = bench.at("source");
/** What the source was once, of which no snapshot is left. */
const earlier = bench.at("earlier");
const template = bench.at("template");

before(async () => {
  for (let i = 0; i < 12; i++) {
    mkdirSync(join(source, `d${i % 3}`), { recursive: true });
    writeFileSync(join(source, `d${i % 3}`, `f${i}`), seededBytes(i, 9000 + 100 * i));
  }
  cpSync(source, earlier, { recursive: true, preserveTimestamps: true });
  const repository = await openAt(bench.repository);
  const first = await backUpPaths(repository, [source], { packSize: PACK_SIZE });
  rmSync(join(source, "d1"), { recursive: true });
  writeFileSync(join(source, "d0", "f0"), "changed");
  await backUpPaths(repository, [source], { packSize: PACK_SIZE });
  await repository.remove("snapshot", first.snapshot!);
  cpSync(bench.repository, template, { recursive: true });
});

function renew(): void {
  rmSync(bench.repository, { recursive: true });
  cpSync(template, bench.repository, { recursive: true });
}

type Moment = "plan" | "stage" | "unlock" | "removeIndex" | "removePacks";

/**
 * A storage on which `work` happens once, at a moment of the prune that uses it: when it has planned, when it has written
 * everything, between its two locks, or before the first index file or pack goes.
 */
function at(moment: Moment, work: () => Promise<void>): (storage: Storage) => Storage {
  let isDone = false;
  const once = async (): Promise<void> => {
    if (isDone) return;
    isDone = true;
    await work();
  };
  return (storage) =>
    forwarding(storage, {
      put: async (key, body, options) => {
        if (moment === "plan" && key.startsWith("data/")) await once();
        await storage.put(key, body, options);
        if (moment === "stage" && key.startsWith("index/")) await once();
      },
      delete: async (key, options) => {
        if (moment === "removeIndex" && key.startsWith("index/")) await once();
        await storage.delete(key, options);
        if (moment === "unlock" && key.startsWith("locks/")) await once();
      },
      deleteMany: async (keys, options) => {
        if (moment === "removePacks") await once();
        await storage.deleteMany(keys, options);
      },
    });
}

/** Prunes, with `work` done at a moment, which must come. */
async function pruneWith(
  moment: Moment,
  work: () => Promise<void>,
  overrides: Partial<PruneOptions> = {},
): ReturnType<typeof pruneAll> {
  let done = false;
  const watched = async (): Promise<void> => {
    done = true;
    await work();
  };
  const repository = await openAt(bench.repository, at(moment, watched));
  try {
    return await pruneAll(repository, overrides);
  } finally {
    assert.ok(done, `${moment} never came`);
  }
}

async function assertSound(): Promise<void> {
  const report = await checkAll(await openAt(bench.repository));
  assert.equal(report.numErrors, 0, JSON.stringify(report.findings));
}

/** The newest snapshot is that of the earlier source, whole. */
async function assertEarlierIsBack(snapshots: number): Promise<void> {
  await assertSound();
  const repository = await openAt(bench.repository);
  const found = await listSnapshots(repository);
  assert.equal(found.length, snapshots);
  const target = bench.at("target");
  rmSync(target, { recursive: true, force: true });
  const { failures } = await restoreTo(repository, `${found.at(-1)!.id}:${earlier}`, target);
  assert.equal(failures, 0);
  assertSameTree(target, earlier);
}

const locks = (): string[] => readdirSync(join(bench.repository, "locks"));

void suite("a backup of what the prune is about to drop", () => {
  for (const moment of ["plan", "stage", "unlock"] as const) {
    void test(`ours, at the moment "${moment}": it stays`, async () => {
      renew();
      let added = Infinity;
      const result = await pruneWith(moment, async () => {
        const beside = await openAt(bench.repository);
        const backup = await backUpPaths(beside, [earlier], { packSize: PACK_SIZE });
        added = backup.added.dataBlobs;
      });
      assert.equal(added, 0, "it relied on what was there");
      assert.ok(result.packsRescued > 0);
      assert.match(result.notices.join(), /packs stay/);
      await assertEarlierIsBack(2);
      assert.deepEqual(locks(), []);
      // The next prune finds what the rescue left behind.
      await pruneAll(await openAt(bench.repository));
      await assertEarlierIsBack(2);
    });
  }

  for (const which of ["oldest", "newest"] as const) {
    void test(
      `restic's, the ${which}: it stays, and restic finds no fault`,
      { skip: skipWithout(`restic-${which}`) },
      async () => {
        renew();
        const result = await pruneWith("stage", async () => {
          await bench.restic(which, ["backup", "--quiet", earlier]);
        });
        assert.ok(result.packsRescued > 0);
        await assertEarlierIsBack(2);
        await bench.restic(which, ["check", "--read-data"]);
      },
    );
  }
});

void suite("who works at the moment in which things go", () => {
  void test("a backup that still runs locks the prune out; what it wrote is kept for the next", async () => {
    renew();
    let lock: Awaited<ReturnType<typeof acquireLock>> | undefined;
    const other = await openAt(bench.repository, undefined, { pid: 1 });
    const prune = pruneWith("stage", async () => {
      lock = await acquireLock(other, { exclusive: false });
    });
    await assert.rejects(prune, { code: "REPO_LOCKED" });
    await assertSound();
    assert.equal(locks().length, 1);
    const backup = await backUpPaths(other, [earlier], { packSize: PACK_SIZE });
    assert.equal(backup.added.dataBlobs, 0);
    await lock!.release();
    await assertEarlierIsBack(2);
    const next = await pruneAll(await openAt(bench.repository));
    assert.equal(next.packsRescued, 0);
    await assertEarlierIsBack(2);
  });

  void test("a backup that begins then is locked out; one that begins when packs go is not", async () => {
    renew();
    await pruneWith("removeIndex", async () => {
      const other = await openAt(bench.repository, undefined, { pid: 1 });
      await assert.rejects(backUpPaths(other, [earlier]), { code: "REPO_LOCKED" });
    });
    await assertSound();
    renew();
    await pruneWith("removePacks", async () => {
      const other = await openAt(bench.repository, undefined, { pid: 1 });
      const backup = await backUpPaths(other, [earlier], { packSize: PACK_SIZE });
      assert.ok(backup.added.dataBlobs > 0, "what goes cannot be found any more");
    });
    await assertEarlierIsBack(2);
  });

  void test(
    "restic is locked out, and nothing of it may remove while packs go",
    { skip: skipWithout("restic-newest") },
    async () => {
      renew();
      await pruneWith("removeIndex", async () => {
        await bench.restic("newest", ["backup", earlier], { status: 11 });
        await bench.restic("newest", ["prune"], { status: 11 });
      });
      renew();
      await pruneWith("removePacks", async () => {
        await bench.restic("newest", ["repair", "index"], { status: 11 });
        await bench.restic("newest", ["prune"], { status: 11 });
        await bench.restic("newest", ["backup", "--quiet", earlier]);
      });
      await assertEarlierIsBack(2);
      await bench.restic("newest", ["check", "--read-data"]);
    },
  );
});

void suite("a plan that was overtaken", () => {
  void test("is made anew after another prune", async () => {
    renew();
    const result = await pruneWith("unlock", async () => {
      await pruneAll(await openAt(bench.repository));
    });
    assert.match(result.notices.join(), /planning anew/);
    await assertSound();
    const { statistics } = await pruneAll(await openAt(bench.repository), { dryRun: true });
    assert.equal(statistics.bytes.remainingUnused + statistics.bytes.unreferenced, 0);
  });

  void test(
    "is made anew after restic's prune and repair",
    { skip: skipWithout("restic-newest") },
    async () => {
      renew();
      const result = await pruneWith("unlock", async () => {
        await bench.restic("newest", ["prune", "--max-unused", "0"]);
        await bench.restic("newest", ["repair", "index", "--read-all-packs"]);
      });
      assert.match(result.notices.join(), /planning anew/);
      await assertSound();
      await bench.restic("newest", ["check", "--read-data"]);
    },
  );

  void test("a new snapshot that is not complete ends it", async () => {
    renew();
    const prune = pruneWith("stage", async () => {
      const other = await openAt(bench.repository);
      const [known] = await listSnapshots(other);
      const tree = "ab".repeat(32);
      const text = JSON.stringify({ ...known!.snapshot, tree, time: known!.snapshot.time });
      await other.save("snapshot", Buffer.from(text));
    });
    await assert.rejects(prune, { code: "PRUNE_REFUSED" });
    const report = await checkAll(await openAt(bench.repository));
    assert.deepEqual(
      report.findings.filter(({ severity }) => severity === "error").map(({ code }) => code),
      ["TREE_MISSING"],
    );
  });
});
