import assert from "node:assert/strict";
import { test } from "node:test";
import { damage, memoryRepository, storeIndex, storePack } from "../../test/memory-repository.ts";
import type { MemoryRepository } from "../../test/memory-repository.ts";
import { isHoldfastError } from "../base/errors.ts";
import type { Id } from "../base/bytes.ts";
import type { IndexPack } from "../restic/index-file.ts";
import { faulty } from "../storage/faulty.ts";
import { loadIndex } from "./index-loader.ts";
import { keyOf } from "./layout.ts";

interface Sample extends MemoryRepository {
  packs: IndexPack[];
  indexes: Id[];
}

/** Five index files of a pack each. */
async function sample(options: Parameters<typeof memoryRepository>[0] = {}): Promise<Sample> {
  const made = memoryRepository(options);
  const packs: IndexPack[] = [];
  const indexes: Id[] = [];
  for (let i = 0; i < 5; i++) {
    const blobs = [0, 1, 2].map(
      (n) => ({ type: "data", plain: Buffer.from(`${i} ${n}`) }) as const,
    );
    packs.push(await storePack(made.repository, blobs));
    indexes.push(await storeIndex(made.repository, [packs.at(-1)!]));
  }
  return { ...made, packs, indexes };
}

const isDamaged = (error: unknown): boolean => isHoldfastError(error, "INDEX_DAMAGED");

test("all files make one index", async () => {
  const made = await sample();
  const seen: Record<Id, number> = {};
  const { index, files } = await loadIndex(made.repository, {
    onFile: (id, { begin, end }) => (seen[id] = end - begin),
  });
  assert.deepEqual(files.sort(), made.indexes.sort());
  assert.deepEqual(seen, Object.fromEntries(made.indexes.map((id) => [id, 1])));
  assert.deepEqual([...index.packs].sort(), made.packs.map(({ id }) => id).sort());
  for (const { id, blobs } of made.packs) {
    for (const { type, id: blob, offset, length } of blobs) {
      const [place, ...others] = index.places(type, blob);
      assert.deepEqual(others, []);
      assert.deepEqual([place!.pack, place!.offset, place!.length], [id, offset, length]);
    }
  }
});

for (const [how, harm] of [
  ["a byte changed", (made: Sample, key: string) => damage(made.objects, key, 30)],
  [
    "cut off",
    (made: Sample, key: string) => made.objects.set(key, made.objects.get(key)!.slice(0, 50)),
  ],
  ["empty", (made: Sample, key: string) => made.objects.set(key, new Uint8Array(0))],
] as const) {
  test(`a damaged file ends the load, unless it is tolerated: ${how}`, async () => {
    const made = await sample();
    const bad = made.indexes[2]!;
    harm(made, keyOf("index", bad));
    await assert.rejects(loadIndex(made.repository), isDamaged);

    const damaged: Id[] = [];
    const { index, files } = await loadIndex(made.repository, {
      onDamage: (id) => damaged.push(id),
    });
    assert.deepEqual(damaged, [bad]);
    assert.deepEqual(files.sort(), made.indexes.filter((id) => id !== bad).sort());
    assert.equal(index.count, 12);
  });
}

test("a file that is sealed well but is no index is left out as a whole", async () => {
  const made = await sample();
  const texts = [
    "[]",
    '{"packs":[{"id":"nothing"}]}',
    `{"packs":[{"id":"${made.packs[0]!.id}","blobs":[{"id":"${"ab".repeat(32)}","type":"data","offset":0,"length":40}]},{"id":1}]}`,
  ];
  for (const text of texts) await made.repository.save("index", Buffer.from(text));
  await assert.rejects(loadIndex(made.repository), (error) => {
    return isHoldfastError(error, "INDEX_DAMAGED") && /repair index/.test(error.hint!);
  });
  const damaged: Id[] = [];
  const { index } = await loadIndex(made.repository, { onDamage: (id) => damaged.push(id) });
  assert.equal(damaged.length, 3);
  assert.equal(index.count, 15);
  assert.equal(index.packs.length, 5);
});

test("a storage that fails is not taken for damage", async () => {
  const made = await sample({
    around: (storage) => faulty(storage, [{ on: "get", key: /^index/, fault: { kind: "before" } }]),
  });
  const load = loadIndex(made.repository, { onDamage: () => assert.fail() });
  await assert.rejects(load, (error) => isHoldfastError(error, "STORAGE_UNAVAILABLE"));
});

test("a bit that turns on the way is not taken for damage", async () => {
  // Two are asked for at once: each of them comes damaged the first time.
  const made = await sample({
    around: (storage) =>
      faulty(storage, [{ on: "get", key: /^index/, times: 2, fault: { kind: "damaged" } }]),
  });
  assert.equal((await loadIndex(made.repository)).index.count, 15);
});

test("only the named files are loaded when they are named", async () => {
  const made = await sample();
  const files = (await made.repository.list("index")).slice(0, 2);
  const loaded = await loadIndex(made.repository, { files });
  assert.equal(loaded.index.count, 6);
  assert.deepEqual(loaded.files.sort(), files.map(({ id }) => id).sort());
});
