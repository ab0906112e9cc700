// A repository that has something for every step of a prune, and what must be true of it after anything that happens to one.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Id } from "../../src/base/bytes.ts";
import { keyOf } from "../../src/repository/layout.ts";
import type { Machine, Repository } from "../../src/repository/repository.ts";
import { listSnapshots } from "../../src/repository/snapshots.ts";
import { backUpPaths, checkAll, openAt } from "../faults/engine.ts";
import { pruneAll } from "../faults/prune-run.ts";
import type { Workbench } from "../faults/workbench.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { openPlace } from "./bucket-places.ts";
import type { Place } from "./bucket-places.ts";

/** The pack that is in no index. */
export const STRAY_PACK: Id = `ab${"0".repeat(62)}`;

/**
 * Fills the repository of a workbench with five snapshots and removes three: some packs are partly needed then, some not
 * at all, and one is in no index. The ids of the two that stay.
 */
export async function makePrunable(bench: Workbench): Promise<Id[]> {
  const repository = await openAt(bench.repository);
  const source = bench.at("source");
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 12; i++) {
      if (round > 0 && (i + round) % 4 !== 0) continue;
      const folder = join(source, `d${i % 3}`);
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, `f${i}`), seededBytes(100 * round + i, 9000 + 100 * i));
    }
    await backUpPaths(repository, [source], { packSize: 64 << 10 });
  }
  const found = (await listSnapshots(repository)).map(({ id }) => id);
  for (const id of found.filter((_, i) => i % 2 === 0)) await repository.remove("snapshot", id);
  await repository.storage.put(keyOf("pack", STRAY_PACK), seededBytes("stray", 1000));
  return found.filter((_, i) => i % 2 === 1);
}

/** Runs `work` on the repository of a place, by default as a process that knows all others of this machine to be dead. */
export async function usingPlace<T>(
  place: Place,
  work: (repository: Repository) => Promise<T>,
  machine: Partial<Machine> = { isAlive: (pid) => pid === process.pid },
): Promise<T> {
  const repository = await openPlace(place, machine);
  try {
    return await work(repository);
  } finally {
    await repository.storage.close();
  }
}

/** Every byte of exactly these snapshots is there. */
export async function assertSound(repository: Repository, snapshots: readonly Id[]): Promise<void> {
  const report = await checkAll(repository);
  assert.equal(report.numErrors, 0, JSON.stringify(report.findings));
  const found = await listSnapshots(repository);
  assert.deepEqual(
    found.map(({ id }) => id),
    snapshots,
  );
}

/** Nothing is lost, and the next prune leaves nothing behind. */
export async function assertFinishes(place: Place, snapshots: readonly Id[]): Promise<void> {
  await usingPlace(place, async (repository) => {
    await assertSound(repository, snapshots);
    await pruneAll(repository);
    await assertSound(repository, snapshots);
    const { statistics } = await pruneAll(repository, { dryRun: true });
    const { duplicate, unused, unreferenced } = statistics.bytes;
    assert.deepEqual([duplicate, unused, unreferenced], [0, 0, 0]);
  });
}
