// What `copy` does with sources that are damaged beyond walking, in memory. test/interop/copy.test.ts has the rest, beside restic.

import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryRepository, storeIndex, storeSnapshot } from "../../test/memory-repository.ts";
import { copySnapshots } from "./copy.ts";
import { listSnapshots } from "./snapshots.ts";

for (const indexed of [false, true]) {
  const what = indexed ? "an index that lists nothing" : "no index at all";
  void test(`a snapshot of a source with ${what} is named and left out`, async () => {
    const source = memoryRepository().repository;
    const target = memoryRepository().repository;
    if (indexed) await storeIndex(source, []);
    await storeSnapshot(source, "ab".repeat(32));
    const why: string[] = [];
    const result = await copySnapshots({
      source,
      target,
      snapshots: await listSnapshots(source),
      packSize: 4 << 20,
      verify: true,
      recompress: false,
      workers: 1,
      events: { damaged: (_, reason) => why.push(reason) },
    });
    assert.equal(result.damaged, 1);
    assert.equal(result.copied, 0);
    assert.match(why.join(), /needs tree (ab){32}, which is in no index$/);
    assert.deepEqual(await listSnapshots(target), []);
  });
}
