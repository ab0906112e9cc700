// What changes or removes snapshots dies at each of its writes and deletions in turn: no snapshot is ever lost that was not
// to go, whatever is there can be read, and the same work done again finishes it.

import { suite, test } from "node:test";
import assert from "node:assert/strict";
import type { Id } from "../../src/base/bytes.ts";
import { sha256Hex } from "../../src/base/bytes.ts";
import { rewriteSnapshot } from "../../src/files/rewrite-snapshot.ts";
import { checkRepository } from "../../src/repository/check.ts";
import { removeSnapshots } from "../../src/repository/forget.ts";
import { BlobReader } from "../../src/repository/blob-reader.ts";
import { loadIndex } from "../../src/repository/index-loader.ts";
import { changeTags, replaceSnapshot } from "../../src/repository/replace-snapshot.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { listSnapshots } from "../../src/repository/snapshots.ts";
import type { FoundSnapshot } from "../../src/repository/snapshots.ts";
import { RepositoryWriter } from "../../src/repository/writer.ts";
import { faulty } from "../../src/storage/faulty.ts";
import { openMemoryStorage } from "../../src/storage/memory.ts";
import {
  memoryRepository,
  storeIndex,
  storePack,
  storeSnapshot,
  treeOf,
} from "../memory-repository.ts";

const DATA = Buffer.from("content");
const inner = treeOf({ x: [sha256Hex(DATA)], y: [sha256Hex(DATA)] });
const root = treeOf({ d: { tree: sha256Hex(inner) }, z: [sha256Hex(DATA)] });
const COUNT = 4;

const { repository: original, objects } = memoryRepository();
await storeIndex(original, [
  await storePack(original, [{ type: "data", plain: DATA }]),
  await storePack(original, [
    { type: "tree", plain: inner },
    { type: "tree", plain: root },
  ]),
]);
for (let i = 0; i < COUNT; i++) {
  await storeSnapshot(original, sha256Hex(root), { time: `2026-01-0${i + 1}T00:00:00Z` });
}
const snapshots = await listSnapshots(original);

/** Removes all but the newest. */
async function forget(repository: Repository): Promise<void> {
  const found = await listSnapshots(repository);
  await removeSnapshots(
    repository,
    found.slice(0, -1).map(({ id }) => id),
    {
      onFailed: (_, error) => {
        throw error;
      },
    },
  );
}

async function tag(repository: Repository): Promise<void> {
  for (const found of await listSnapshots(repository)) {
    const change = { set: undefined, add: ["kept"], remove: [] };
    const tags = changeTags(found.snapshot.tags, change);
    if (tags !== undefined) await replaceSnapshot(repository, found, { ...found.snapshot, tags });
  }
}

/** Without one of the files, in place of the old ones. */
async function rewrite(repository: Repository): Promise<void> {
  const { index } = await loadIndex(repository);
  const writer = new RepositoryWriter({ repository, packSize: 1 << 20, verify: true });
  writer.useIndex(index);
  for (const found of await listSnapshots(repository)) {
    await rewriteSnapshot(found, {
      repository,
      reader: new BlobReader(repository, index),
      writer,
      select: (path) => ({ selected: path !== "/d/y", childMayBeSelected: false }),
      includes: false,
      relabelling: { hostname: undefined, time: undefined },
      forget: true,
      dryRun: false,
    });
  }
}

const isOf =
  (first: Id) =>
  ({ id, snapshot }: FoundSnapshot) =>
    id === first || snapshot.original === first;

/** Every snapshot is there, as it was or changed. */
function assertAllThere(found: readonly FoundSnapshot[]): void {
  for (const { id } of snapshots) assert.ok(found.some(isOf(id)), id);
}

const WORKS: Record<
  string,
  {
    run: (repository: Repository) => Promise<void>;
    /** What holds at any moment. */
    always: (found: readonly FoundSnapshot[]) => void;
    /** What holds when the work has been done again. */
    finished: (found: readonly FoundSnapshot[]) => void;
  }
> = {
  forget: {
    run: forget,
    always: (found) => assert.ok(found.some(isOf(snapshots.at(-1)!.id))),
    finished: (found) => assert.deepEqual(found, snapshots.slice(-1)),
  },
  tag: {
    run: tag,
    always: assertAllThere,
    finished: (found) => {
      assertAllThere(found);
      for (const { snapshot } of found) assert.deepEqual(snapshot.tags, ["kept"]);
    },
  },
  rewrite: {
    run: rewrite,
    always: assertAllThere,
    finished: (found) => {
      assertAllThere(found);
      for (const { snapshot } of found) assert.notEqual(snapshot.tree, sha256Hex(root));
    },
  },
};

for (const [name, { run, always, finished }] of Object.entries(WORKS)) {
  suite(`a death of ${name}`, () => {
    for (const on of ["put", "delete"] as const) {
      for (const when of ["before", "after"] as const) {
        test(`${when} any ${on} loses nothing, and doing it again finishes it`, async () => {
          let deaths = 0;
          for (let skip = 0; ; skip++) {
            const stored = new Map(objects);
            const { config, key } = original;
            const storage = openMemoryStorage({ objects: stored });
            const faults = faulty(storage, [{ on, skip, fault: { kind: "kill", when } }]);
            const dying = memoryRepository({ storage: faults, config, key }).repository;
            const outcome = await run(dying).catch((error: unknown) => error);
            if (!faults.killed) {
              assert.equal(outcome, undefined);
              break;
            }
            deaths++;
            const { repository } = memoryRepository({ storage, config, key });
            const check = async (): Promise<FoundSnapshot[]> => {
              const report = await checkRepository(repository, {
                readData: { mode: "all" },
                workers: 1,
              });
              assert.equal(report.numErrors, 0, JSON.stringify(report.findings));
              return await listSnapshots(repository);
            };
            always(await check());
            await run(repository);
            finished(await check());
          }
          if (name === "forget" && on === "put") assert.equal(deaths, 0);
          else assert.ok(deaths >= COUNT - 1, `${deaths}`);
        });
      }
    }
  });
}
