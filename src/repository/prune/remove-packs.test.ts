import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryRepository } from "../../../test/memory-repository.ts";
import { HoldfastError } from "../../base/errors.ts";
import { faulty } from "../../storage/faulty.ts";
import type { FaultyStorage } from "../../storage/faulty.ts";
import { keyOf } from "../layout.ts";
import { packsLeft, removePacks } from "./remove-packs.ts";
import type { Removal } from "./remove-packs.ts";

const IDS = Array.from({ length: 600 }, (_, i) => i.toString(16).padStart(64, "0"));

/** Removes three requests full of packs, of which the first is refused with `error`. */
async function remove(
  error: HoldfastError,
): Promise<{ removal: Removal; told: number; done: number; left: number; requests: number }> {
  let storage: FaultyStorage | undefined;
  const { repository, objects } = memoryRepository({
    around: (memory) =>
      (storage = faulty(memory, [{ on: "deleteMany", fault: { kind: "before", error } }])),
  });
  for (const id of IDS) objects.set(keyOf("pack", id), new Uint8Array(1));
  let told = 0;
  let done = 0;
  const removal = await removePacks(repository, IDS, {
    onRemoved: () => void told++,
    onDone: (count) => void (done += count),
    signal: new AbortController().signal,
  });
  return { removal, told, done, left: objects.size, requests: storage!.calls.length };
}

test("a refusal keeps its own packs, not those of the next requests", async () => {
  const error = new HoldfastError("STORAGE_DENIED", "not this one", { hint: "Allow it." });
  const { removal, told, done, left, requests } = await remove(error);
  assert.deepEqual([removal.removed, told, left], [600 - 256, 600 - 256, 256]);
  assert.deepEqual([done, requests, removal.failure], [600, 3, error]);
  const { code, message, hint } = packsLeft(error);
  assert.equal(code, "INCOMPLETE");
  assert.match(message, /could not be removed: not this one/);
  assert.match(hint!, /^Allow it\. No index names them any more: the next prune/);
});

test("a storage that is still out of reach after all retries is not asked again", async () => {
  const error = new HoldfastError("STORAGE_UNAVAILABLE", "not now", { retryable: true });
  const { removal, told, done, left, requests } = await remove(error);
  assert.deepEqual([removal.removed, told, left], [0, 0, 600]);
  assert.deepEqual([done, requests, removal.failure], [600, 1, error]);
});
