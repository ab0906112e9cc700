import { suite, test } from "node:test";
import assert from "node:assert/strict";
import { memoryRepository, storeSnapshot } from "../../test/memory-repository.ts";
import { forwarding } from "../storage/forwarding.ts";
import type { Storage } from "../storage/storage.ts";
import { changeTags, replaceSnapshot } from "./replace-snapshot.ts";
import { listSnapshots, loadSnapshot } from "./snapshots.ts";

const TREE = "ac08ce34ba4f8123618661bef2425f7028ffb9ac740578a3ee88684d2523fee8";

suite("a changed snapshot", () => {
  test("takes the place of the old one, keeps all else, and remembers the first", async () => {
    const { repository } = memoryRepository();
    const first = await storeSnapshot(repository, TREE, { extra: { label: "kept" } });
    const before = await loadSnapshot(repository, first);
    const second = await replaceSnapshot(
      repository,
      { id: first, snapshot: before },
      { ...before, tags: ["a"] },
    );
    const changed = { ...before, tags: ["a"], original: first };
    assert.deepEqual(await listSnapshots(repository), [{ id: second, snapshot: changed }]);
    const third = await replaceSnapshot(
      repository,
      { id: second, snapshot: changed },
      { ...changed, tags: [] },
    );
    assert.deepEqual(await listSnapshots(repository), [
      { id: third, snapshot: { ...changed, tags: [] } },
    ]);
  });

  test("is durable before the old one goes", async () => {
    const steps: string[] = [];
    const around = (storage: Storage): Storage =>
      forwarding(storage, {
        put: async (key, body, options) => {
          await storage.put(key, body, options);
          steps.push("put");
        },
        delete: async (key, options) => {
          steps.push("delete");
          await storage.delete(key, options);
        },
      });
    const { repository } = memoryRepository({ around });
    const id = await storeSnapshot(repository, TREE);
    const snapshot = await loadSnapshot(repository, id);
    steps.length = 0;
    await replaceSnapshot(repository, { id, snapshot }, { ...snapshot, tags: ["a"] });
    assert.deepEqual(steps, ["put", "delete"]);
  });
});

test("tags are set, or added and removed", () => {
  const change = { set: undefined, add: [], remove: [] };
  assert.deepEqual(changeTags(["a"], { ...change, set: [] }), []);
  assert.deepEqual(changeTags(["a"], { ...change, set: ["a"] }), ["a"]);
  assert.deepEqual(changeTags(["a"], { ...change, add: ["b", "a", "b"] }), ["a", "b"]);
  assert.equal(changeTags(["a"], { ...change, add: ["a"], remove: ["b"] }), undefined);
  assert.deepEqual(changeTags(["a", "b", "c", "d"], { ...change, remove: ["b", "d", "b"] }), [
    "a",
    "c",
  ]);
  assert.deepEqual(changeTags(["a", "b", "c"], { ...change, remove: ["a"] }), ["c", "b"]);
  assert.deepEqual(changeTags([], { ...change, add: ["a"], remove: ["a"] }), []);
});
