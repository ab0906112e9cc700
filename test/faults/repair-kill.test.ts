// Repairs, recoveries and copies that die: before and after every file they write and every file they delete. What was sound
// stays so, and the same command, given once more, ends where it would have ended without the death.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import type { Id } from "../../src/base/bytes.ts";
import { checkRepository } from "../../src/repository/check.ts";
import { copySnapshots } from "../../src/repository/copy.ts";
import { loadIndex } from "../../src/repository/index-loader.ts";
import { keyOf } from "../../src/repository/layout.ts";
import { recover } from "../../src/repository/recover.ts";
import { repairIndex } from "../../src/repository/repair-index.ts";
import { repairPacks } from "../../src/repository/repair-packs.ts";
import { repairSnapshots } from "../../src/repository/repair-snapshots.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { listSnapshots } from "../../src/repository/snapshots.ts";
import { faulty } from "../../src/storage/faulty.ts";
import type { FaultyStorage } from "../../src/storage/faulty.ts";
import { forwarding } from "../../src/storage/forwarding.ts";
import { openMemoryStorage } from "../../src/storage/memory.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { damage, memoryRepository, testMachine } from "../memory-repository.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { backUpPaths } from "./engine.ts";
import { openWorkbench } from "./workbench.ts";

const bench = await openWorkbench({ after });
const PACK_SIZE = 64 << 10;
type Objects = Map<string, Uint8Array>;

interface Work {
  /** Damages the repository; what the work is about. */
  harm: (repository: Repository, objects: Objects) => Promise<Id[]>;
  /** What may die, and is done once more then. */
  run: (repository: Repository, about: Id[]) => Promise<unknown>;
  /** What is to be the same with and without a death; by default all that a person would find. */
  state?: (repository: Repository) => Promise<object>;
}

/** A pack of file content that snapshots need. */
async function contentPack(repository: Repository): Promise<Id> {
  const { index } = await loadIndex(repository);
  for (let entry = 0; entry < index.count; entry++) {
    if (!index.isTree(entry)) return index.place(entry).pack;
  }
  throw new Error("no content");
}

const repairAll = (repository: Repository, readAllPacks: boolean): Promise<unknown> =>
  repairIndex(repository, { readAllPacks, events: {} });

const WORKS: Record<string, Work> = {
  "repair index after a damaged file": {
    harm: async (repository, objects) => {
      const [file] = await repository.list("index");
      damage(objects, keyOf("index", file!.id), 40);
      return [];
    },
    run: (repository) => repairAll(repository, false),
  },
  "repair index without any": {
    harm: async (repository, objects) => {
      for (const { id } of await repository.list("index")) objects.delete(keyOf("index", id));
      return [];
    },
    run: (repository) => repairAll(repository, false),
  },
  "repair index --read-all-packs": {
    harm: () => Promise.resolve([]),
    run: (repository) => repairAll(repository, true),
  },
  "repair packs": {
    harm: async (repository, objects) => {
      const pack = await contentPack(repository);
      damage(objects, keyOf("pack", pack), 100);
      return [pack];
    },
    run: (repository, packs) =>
      repairPacks(repository, {
        packs,
        keepCopy: () => Promise.resolve(),
        packSize: PACK_SIZE,
        events: {},
      }),
  },
  "repair snapshots --forget": {
    harm: async (repository, objects) => {
      objects.delete(keyOf("pack", await contentPack(repository)));
      await repairAll(repository, false);
      return [];
    },
    run: async (repository) =>
      repairSnapshots(repository, {
        snapshots: await listSnapshots(repository),
        forget: true,
        dryRun: false,
        packSize: PACK_SIZE,
        events: {},
      }),
  },
  recover: {
    harm: async (repository, objects) => {
      const [first] = await listSnapshots(repository);
      objects.delete(keyOf("snapshot", first!.id));
      return [];
    },
    run: (repository) =>
      recover(repository, { packSize: PACK_SIZE, programVersion: "", events: {} }),
    // The listing of a recovery that died is found by the next one as well.
    state: async (repository) => {
      const { trees, errors } = await stateOf(repository);
      const readData = { mode: "none" } as const;
      const { covered } = await checkRepository(repository, { readData, workers: 1 });
      return { snapshots: trees.length, errors, unreachable: covered.unusedBlobs };
    },
  },
};

/** Files of which each round changes some. */
function changeSource(round: number): void {
  for (let i = 0; i < 8; i++) {
    if (round > 0 && (i + round) % 3 !== 0) continue;
    const folder = bench.at("source", `d${i % 3}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `f${i}`), seededBytes(100 * round + i, 9000 + 100 * i));
  }
}

/** Deletes one by one, so that a death can come between any two. */
function deletingSingly(storage: Storage): Storage {
  return forwarding(storage, {
    deleteMany: async (keys, options) => {
      for (const key of keys) await storage.delete(key, options);
    },
  });
}

/** What a person would find: the trees of the snapshots, each with what is wrong, and the blobs there are. */
async function stateOf(
  repository: Repository,
): Promise<{ trees: Id[]; blobs: Id[]; errors: string[] }> {
  const trees = (await listSnapshots(repository)).map(({ snapshot }) => snapshot.tree).toSorted();
  const { index } = await loadIndex(repository, { onDamage: () => {} });
  const blobs = new Set<Id>();
  for (let entry = 0; entry < index.count; entry++) blobs.add(index.idAt(entry));
  const report = await checkRepository(repository, { readData: { mode: "all" }, workers: 1 });
  const errors = report.findings.filter(({ severity }) => severity === "error");
  return { trees, blobs: [...blobs].toSorted(), errors: errors.map(({ what }) => what).toSorted() };
}

void suite("a death of", () => {
  const { repository: original, objects: sound } = memoryRepository();

  before(async () => {
    for (let round = 0; round < 3; round++) {
      changeSource(round);
      await backUpPaths(original, [bench.at("source")], { packSize: PACK_SIZE });
    }
  });

  /** The repository on other files, as another process opens it. */
  function openOn(
    objects: Objects,
    around: (storage: Storage) => Storage = (storage) => storage,
  ): Repository {
    return memoryRepository({
      storage: around(openMemoryStorage({ objects })),
      machine: testMachine({ isAlive: () => false }),
      config: original.config,
      key: original.key,
    }).repository;
  }

  for (const [name, { harm, run, state = stateOf }] of Object.entries(WORKS)) {
    void test(`${name}: nothing more is lost, and the next one finishes`, async () => {
      const harmed: Objects = new Map(sound);
      const about = await harm(openOn(harmed), harmed);
      const expected = new Map(harmed);
      await run(openOn(expected), about);
      const wanted = await state(openOn(expected));
      let deaths = 0;
      for (const on of ["put", "delete"] as const) {
        for (const when of ["before", "after"] as const) {
          for (let skip = 0; ; skip++) {
            const objects: Objects = new Map(harmed);
            let faults: FaultyStorage | undefined;
            const dying = openOn(objects, (storage) => {
              faults = faulty(storage, [{ on, skip, fault: { kind: "kill", when } }]);
              return deletingSingly(faults);
            });
            const outcome = await run(dying, about).catch((error: unknown) => error);
            if (faults?.killed !== true) {
              assert.ok(!(outcome instanceof Error), String(outcome));
              break;
            }
            deaths++;
            await run(openOn(objects), about);
            assert.deepEqual(await state(openOn(objects)), wanted, `${when} ${on} ${skip}`);
          }
        }
      }
      assert.ok(deaths >= 2, `${deaths}`);
    });
  }

  void test("copy: the target is sound all the time, and the next one finishes", async () => {
    const { repository: target, objects: empty } = memoryRepository();
    const snapshots = await listSnapshots(original);
    const openTarget = (objects: Objects, around = (storage: Storage): Storage => storage) =>
      memoryRepository({
        storage: around(openMemoryStorage({ objects })),
        config: target.config,
        key: target.key,
      }).repository;
    const copy = (to: Repository) =>
      copySnapshots({
        source: original,
        target: to,
        snapshots,
        packSize: PACK_SIZE,
        verify: true,
        recompress: false,
        workers: 1,
        events: {},
      });
    const check = async (objects: Objects): Promise<void> => {
      const readData = { mode: "all" } as const;
      const report = await checkRepository(openTarget(objects), { readData, workers: 1 });
      assert.equal(report.numErrors, 0, JSON.stringify(report.findings));
    };
    let deaths = 0;
    // After one write is before the next: one of the two will do.
    for (let skip = 0; ; skip++) {
      const objects: Objects = new Map(empty);
      let faults: FaultyStorage | undefined;
      const dying = openTarget(objects, (storage) => {
        return (faults = faulty(storage, [
          { on: "put", skip, fault: { kind: "kill", when: "before" } },
        ]));
      });
      await copy(dying).catch(() => {});
      if (faults?.killed !== true) break;
      deaths++;
      await check(objects);
      const { copied, skipped } = await copy(openTarget(objects));
      assert.equal(copied + skipped, snapshots.length);
      const trees = (await listSnapshots(openTarget(objects))).map(({ snapshot }) => snapshot.tree);
      assert.deepEqual(
        trees,
        snapshots.map(({ snapshot }) => snapshot.tree),
      );
      await check(objects);
    }
    assert.ok(deaths >= 6, `${deaths}`);
  });
});
