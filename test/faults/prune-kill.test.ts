// A prune that dies: whatever it was doing, nothing that a snapshot needs is lost, and the next prune finishes the work.
//
// Deterministic: every write and every deletion of a run is once the last thing that it does, or the last that it does not.
// By chance: kill -9 of the real program.

import assert from "node:assert/strict";
import { cpSync, mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import type { Id } from "../../src/base/bytes.ts";
import { checkRepository } from "../../src/repository/check.ts";
import { loadIndex } from "../../src/repository/index-loader.ts";
import { keyOf } from "../../src/repository/layout.ts";
import type { PlannedPrune } from "../../src/repository/prune.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { listSnapshots } from "../../src/repository/snapshots.ts";
import { faulty } from "../../src/storage/faulty.ts";
import type { FaultyStorage } from "../../src/storage/faulty.ts";
import { forwarding } from "../../src/storage/forwarding.ts";
import { openMemoryStorage } from "../../src/storage/memory.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { damage, memoryRepository, testMachine } from "../memory-repository.ts";
import { skipWithout } from "../peers.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { backUpPaths, openAt } from "./engine.ts";
import { pruneAll } from "./prune-run.ts";
import { openWorkbench } from "./workbench.ts";

const bench = await openWorkbench({ after });
const PACK_SIZE = 64 << 10;

/** Files of which each round changes some, so that packs are partly needed afterwards. */
function changeSource(round: number): void {
  for (let i = 0; i < 12; i++) {
    if (round > 0 && (i + round) % 4 !== 0) continue;
    const folder = bench.at("source", `d${i % 3}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `f${i}`), seededBytes(100 * round + i, 9000 + 100 * i));
  }
}

async function makeHistory(repository: Repository): Promise<void> {
  for (let round = 0; round < 5; round++) {
    changeSource(round);
    await backUpPaths(repository, [bench.at("source")], { packSize: PACK_SIZE });
  }
  const snapshots = await listSnapshots(repository);
  for (const { id } of snapshots.filter((_, i) => i % 2 === 0)) {
    await repository.remove("snapshot", id);
  }
}

/** Every byte of every snapshot is there. */
async function assertSound(repository: Repository, snapshots: readonly Id[]): Promise<void> {
  const report = await checkRepository(repository, { readData: { mode: "all" }, workers: 1 });
  assert.equal(report.numErrors, 0, JSON.stringify(report.findings));
  const found = await listSnapshots(repository);
  assert.deepEqual(
    found.map(({ id }) => id),
    snapshots,
  );
}

/** Deletes one by one, so that a death can come between any two. */
function deletingSingly(storage: Storage): Storage {
  return forwarding(storage, {
    deleteMany: async (keys, options) => {
      for (const key of keys) await storage.delete(key, options);
    },
  });
}

suite("a death of a prune", () => {
  const { repository: original, objects } = memoryRepository();
  let snapshots: Id[] = [];

  before(async () => {
    await makeHistory(original);
    snapshots = (await listSnapshots(original)).map(({ id }) => id);
    assert.equal(snapshots.length, 2);
  });

  /** The repository again, on a copy of its files, as another process opens it. */
  function copy(
    pid: number,
    from: ReadonlyMap<string, Uint8Array>,
    around: (storage: Storage) => Storage = (storage) => storage,
  ): { repository: Repository; stored: Map<string, Uint8Array> } {
    const stored = new Map(from);
    const { repository } = memoryRepository({
      storage: around(openMemoryStorage({ objects: stored })),
      machine: testMachine({ pid, isAlive: () => false }),
      config: original.config,
      key: original.key,
    });
    return { repository, stored };
  }

  for (const on of ["put", "delete"] as const) {
    for (const when of ["before", "after"] as const) {
      test(`${when} any ${on} loses nothing, and the next prune finishes`, async () => {
        let deaths = 0;
        for (let skip = 0; ; skip++) {
          let faults: FaultyStorage | undefined;
          const dying = copy(5000, objects, (storage) => {
            faults = faulty(storage, [{ on, skip, fault: { kind: "kill", when } }]);
            return deletingSingly(faults);
          });
          const outcome = await pruneAll(dying.repository).catch((error: unknown) => error);
          if (faults?.killed !== true) {
            assert.ok(!(outcome instanceof Error), String(outcome));
            break;
          }
          deaths++;
          const next = copy(5001, dying.stored);
          await assertSound(next.repository, snapshots);
          await pruneAll(next.repository);
          await assertSound(next.repository, snapshots);
          const { statistics } = await pruneAll(next.repository, { dryRun: true });
          const { duplicate, unused, unreferenced } = statistics.bytes;
          assert.deepEqual(
            { duplicate, unused, unreferenced },
            { duplicate: 0, unused: 0, unreferenced: 0 },
          );
          const report = await checkRepository(next.repository, {
            readData: { mode: "none" },
            workers: 1,
          });
          assert.deepEqual(report.findings, [], "not even a hint is left");
        }
        assert.ok(deaths >= 6, `${deaths}`);
      });
    }
  }

  test("an error of the storage at any deletion loses nothing either", async () => {
    for (let skip = 0; ; skip++) {
      let faults: FaultyStorage | undefined;
      const failing = copy(5000, objects, (storage) => {
        faults = faulty(storage, [{ on: "delete", skip, times: 3, fault: { kind: "after" } }]);
        return deletingSingly(faults);
      });
      await pruneAll(failing.repository).catch(() => {});
      await assertSound(copy(5001, failing.stored).repository, snapshots);
      if (faults?.hits === 0) break;
    }
  });

  test("a needed blob that is damaged ends the prune before anything goes", async () => {
    const { repository, stored } = copy(5000, objects);
    let packs: readonly Id[] = [];
    const planned = (plan: PlannedPrune): void => {
      packs = plan.repack;
    };
    await pruneAll(repository, { dryRun: true, events: { planned } });
    assert.ok(packs.length > 0);
    const { index } = await loadIndex(repository);
    for (let entry = 0; entry < index.count; entry++) {
      const { pack, offset, type } = index.place(entry);
      if (type === "data" && packs.includes(pack)) damage(stored, keyOf("pack", pack), offset + 20);
    }
    const before = [...stored.keys()];
    await assert.rejects(pruneAll(repository), { code: "BLOB_DAMAGED" });
    for (const key of before) assert.ok(stored.has(key), key);
  });
});

suite("kill -9 of the program", { skip: skipWithout("restic-newest") }, () => {
  const environment = { NODE_OPTIONS: `--import ${join(import.meta.dirname, "death.ts")}` };
  const prune = ["prune", "--max-unused", "0", "--quiet"];

  test("at one of its calls", async () => {
    const template = bench.at("template");
    await makeHistory(await openAt(bench.repository));
    cpSync(bench.repository, template, { recursive: true });
    const renew = (): void => {
      rmSync(bench.repository, { recursive: true });
      cpSync(template, bench.repository, { recursive: true });
    };
    const log = bench.at("calls");
    await bench.holdfast(prune, { env: { ...environment, DEATH_LOG: log }, status: 0 });
    const calls = statSync(log).size;
    assert.ok(calls > 20, `${calls}`);
    for (let i = 1; i <= 8; i++) {
      renew();
      const env = { ...environment, DEATH_AT: String(Math.floor((calls * i) / 9)) };
      const killed = await bench.holdfast(prune, { env });
      assert.equal(killed.signal, "SIGKILL");
      if (i % 4 === 0) {
        await bench.restic("newest", ["unlock", "--remove-all"]);
        await bench.restic("newest", ["check", "--read-data"]);
      }
      await bench.holdfast(prune, { status: 0 });
      const check = await bench.restic("newest", ["check", "--read-data"]);
      assert.match(check.stdout, /no errors were found/);
      assert.doesNotMatch(check.stdout, /several indexes|not referenced/);
    }
  });
});
