import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  damage,
  memoryRepository,
  storeIndex,
  storePack,
  testMachine,
} from "../../test/memory-repository.ts";
import type { BlobToStore, MemoryRepository } from "../../test/memory-repository.ts";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { sha256Hex } from "../base/bytes.ts";
import { systemClock } from "../base/clock.ts";
import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import type { IndexPack } from "../restic/index-file.ts";
import { faulty } from "../storage/faulty.ts";
import type { FaultRule, FaultyStorage } from "../storage/faulty.ts";
import { BlobReader } from "./blob-reader.ts";
import { loadIndex } from "./index-loader.ts";
import { keyOf } from "./layout.ts";

const PLAIN = Buffer.alloc(3000, "content of a file ");
const ID = sha256Hex(PLAIN);

interface Sample extends MemoryRepository {
  storage: FaultyStorage;
  packs: IndexPack[];
  reader: BlobReader;
}

/** A repository of these packs. */
async function sample(packs: BlobToStore[][], rules: readonly FaultRule[] = []): Promise<Sample> {
  let storage: FaultyStorage;
  const made = memoryRepository({ around: (inner) => (storage = faulty(inner, rules)) });
  const stored: IndexPack[] = [];
  for (const blobs of packs) stored.push(await storePack(made.repository, blobs));
  await storeIndex(made.repository, stored);
  const { index } = await loadIndex(made.repository);
  const reader = new BlobReader(made.repository, index);
  return { ...made, storage: storage!, packs: stored, reader };
}

const data = (plain: Uint8Array, compressed = false): BlobToStore => ({
  type: "data",
  plain,
  compressed,
});
const is =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    isHoldfastError(error, code);
const text = async (
  reader: BlobReader,
  type: "data" | "tree",
  plain: Uint8Array,
): Promise<void> => {
  assert.deepEqual(Buffer.from(await reader.read(type, sha256Hex(plain))), Buffer.from(plain));
};

suite("a blob", () => {
  test("is read, compressed or not, empty or not", async () => {
    const plains = [PLAIN, Buffer.alloc(0), seededBytes(1, 100_000)];
    const { reader } = await sample([
      plains.map((plain) => data(plain)),
      plains.slice(0, 1).map((plain) => data(Buffer.concat([plain, plain]), true)),
    ]);
    for (const plain of plains) await text(reader, "data", plain);
    await text(reader, "data", Buffer.concat([PLAIN, PLAIN]));
  });

  test("is not taken for one of the other kind", async () => {
    const { reader } = await sample([[data(PLAIN)]]);
    await assert.rejects(reader.read("tree", ID), is("BLOB_MISSING"));
    await assert.rejects(reader.read("data", "ab".repeat(32)), is("BLOB_MISSING"));
  });

  test("whose content is not what its id says is damaged, however well it is sealed", async () => {
    const made = memoryRepository();
    const { id, blobs } = await storePack(made.repository, [data(Buffer.from("other"))]);
    await storeIndex(made.repository, [{ id, blobs: [{ ...blobs[0]!, id: ID }] }]);
    const reader = new BlobReader(made.repository, (await loadIndex(made.repository)).index);
    await assert.rejects(reader.read("data", ID), is("BLOB_DAMAGED"));
  });
});

suite("copies", () => {
  const copies = [
    [data(PLAIN)],
    [data(seededBytes(2, 50)), data(PLAIN, true)],
    [data(PLAIN), data(seededBytes(3, 9))],
  ];
  const harms: Record<string, (made: Sample, pack: IndexPack) => void> = {
    damaged: ({ objects }, { id, blobs }) =>
      damage(objects, keyOf("pack", id), blobs.find((blob) => blob.id === ID)!.offset + 20),
    gone: ({ objects }, { id }) => objects.delete(keyOf("pack", id)),
    "cut short": ({ objects }, { id }) => {
      objects.set(keyOf("pack", id), objects.get(keyOf("pack", id))!.slice(0, 30));
    },
  };
  for (const [how, harm] of Object.entries(harms)) {
    test(`any sound one will do: the others ${how}`, async () => {
      for (let sound = 0; sound < 3; sound++) {
        const made = await sample(copies);
        for (const [i, pack] of made.packs.entries()) if (i !== sound) harm(made, pack);
        await text(made.reader, "data", PLAIN);
      }
    });

    test(`when all are ${how}, each is named`, async () => {
      const made = await sample(copies);
      for (const pack of made.packs) harm(made, pack);
      await assert.rejects(made.reader.read("data", ID), (error) => {
        assert.ok(isHoldfastError(error, "BLOB_DAMAGED"));
        return made.packs.every(({ id }) => error.message.includes(id.slice(0, 10)));
      });
    });
  }

  test("one that cannot be reached now is no reason to call the blob damaged", async () => {
    for (const error of [
      new HoldfastError("STORAGE_UNAVAILABLE", "busy", { retryable: true }),
      new HoldfastError("STORAGE_DENIED", "no"),
    ]) {
      const made = await sample(copies);
      const unreachable = made.packs[1]!.id;
      const rule: FaultRule = {
        on: "get",
        key: new RegExp(unreachable),
        times: 99,
        fault: { kind: "before", error },
      };
      const { repository } = memoryRepository({
        ...made.repository,
        storage: faulty(made.storage, [rule]),
      });
      const reader = new BlobReader(repository, made.reader.index);
      await text(reader, "data", PLAIN);
      for (const pack of made.packs) if (pack.id !== unreachable) harms["gone"]!(made, pack);
      await assert.rejects(reader.read("data", ID), is(error.code));
    }
  });

  test("a bit that turns on the way costs a second reading", async () => {
    const rule: FaultRule = { on: "get", key: /^data/, fault: { kind: "damaged" } };
    const { reader, storage } = await sample([[data(PLAIN)]], [rule]);
    await text(reader, "data", PLAIN);
    assert.equal(storage.hits, 1);
  });

  test("cancelling stops, without trying the next", async () => {
    const { reader, storage } = await sample(copies);
    await assert.rejects(reader.read("data", ID, AbortSignal.abort()), is("CANCELLED"));
    assert.equal(storage.calls.filter((call) => call.startsWith("get data/")).length, 1);
  });
});

suite("trees of one pack", () => {
  const plains = Array.from({ length: 200 }, (_, i) => Buffer.from(`{"nodes":[]} ${i}`));
  const pack = plains.map((plain): BlobToStore => ({ type: "tree", plain }));
  const gets = (storage: FaultyStorage): number =>
    storage.calls.filter((call) => call.startsWith("get data/")).length;

  test("are fetched together once several are wanted", async () => {
    const { reader, storage } = await sample([pack]);
    for (const plain of plains) await text(reader, "tree", plain);
    assert.equal(gets(storage), 8 + 1);
  });

  test("are fetched once also when they are wanted all at once", async () => {
    const { reader, storage } = await sample([pack]);
    await Promise.all(plains.map((plain) => text(reader, "tree", plain)));
    assert.equal(gets(storage), 8 + 1);
  });

  test("are each as sound as they are, when the pack as a whole is not", async () => {
    const made = await sample([pack]);
    const bad = made.packs[0]!.blobs[100]!;
    damage(made.objects, keyOf("pack", made.packs[0]!.id), bad.offset + 18);
    for (const plain of plains) {
      if (sha256Hex(plain) !== bad.id) await text(made.reader, "tree", plain);
      else await assert.rejects(made.reader.read("tree", bad.id), is("BLOB_DAMAGED"));
    }
  });

  test("of many packs do not all stay in memory, and are all right", async () => {
    const filler = seededBytes("filler", 12 << 20);
    const packs = Array.from({ length: 7 }, (_, i): BlobToStore[] => [
      ...Array.from({ length: 10 }, (__, n): BlobToStore => ({
        type: "tree",
        plain: Buffer.from(`${i} ${n}`),
      })),
      { type: "tree", plain: filler.subarray(i), compressed: false },
    ]);
    const { reader, storage } = await sample(packs);
    for (let round = 0; round < 2; round++) {
      for (const blobs of packs)
        for (const { plain } of blobs.slice(0, 10)) await text(reader, "tree", plain);
    }
    // 64 MiB hold five of seven packs, so in the second round each has gone when it is wanted again.
    assert.equal(gets(storage), 7 * (8 + 1) + 7);
  });

  test("leave others their turn, and hear a signal, though all are in memory", async () => {
    let passed = 0;
    const clock = { ...systemClock, monotonic: () => (passed += 1000) };
    const { repository } = memoryRepository({ machine: testMachine({ clock }) });
    await storeIndex(repository, [await storePack(repository, pack)]);
    const reader = new BlobReader(repository, (await loadIndex(repository)).index);
    for (const plain of plains) await text(reader, "tree", plain);
    const stop = new AbortController();
    setImmediate(() => stop.abort());
    const walk = async (): Promise<void> => {
      for (const plain of plains) await reader.read("tree", sha256Hex(plain), stop.signal);
    };
    await assert.rejects(walk(), is("CANCELLED"));
  });
});
