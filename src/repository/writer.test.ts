import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { memoryRepository } from "../../test/memory-repository.ts";
import type { MemoryRepository } from "../../test/memory-repository.ts";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { sha256Hex } from "../base/bytes.ts";
import { isHoldfastError } from "../base/errors.ts";
import { decodePackHeader, encodePackHeader } from "../restic/pack-header.ts";
import { sealSingleBlobPack } from "../restic/single-blob-pack.ts";
import { faulty } from "../storage/faulty.ts";
import type { FaultRule, FaultyStorage } from "../storage/faulty.ts";
import { BlobIndexBuilder } from "./blob-index-builder.ts";
import type { BlobIndex } from "./blob-index.ts";
import { BlobReader } from "./blob-reader.ts";
import { loadIndex } from "./index-loader.ts";
import type { Repository } from "./repository.ts";
import { RepositoryWriter } from "./writer.ts";
import type { WriterOptions } from "./writer.ts";

const NOTHING: BlobIndex = new BlobIndexBuilder().build();

function createWriter(
  repository: Repository,
  options: Partial<WriterOptions> = {},
): RepositoryWriter {
  return new RepositoryWriter({ repository, packSize: 1 << 20, verify: true, ...options });
}

/** Trees that do not compress to nothing. */
const trees = (count: number, bytes: number): Buffer[] =>
  Array.from({ length: count }, (_, i) => seededBytes(`tree ${i}`, bytes));

const packs = ({ objects }: MemoryRepository): string[] =>
  [...objects.keys()].filter((key) => key.startsWith("data/"));

/** Everything the repository can give back of these trees, by way of its index files. */
async function assertStored({ repository }: MemoryRepository, plains: Buffer[]): Promise<void> {
  const { index } = await loadIndex(repository);
  const reader = new BlobReader(repository, index);
  for (const plain of plains) {
    assert.ok(plain.equals(Buffer.from(await reader.read("tree", sha256Hex(plain)))));
  }
}

test("trees come back from what was written, in packs of about the target size", async () => {
  const made = memoryRepository();
  const writer = createWriter(made.repository);
  writer.useIndex(NOTHING);
  const plains = trees(60, 100_000);
  for (const plain of plains) assert.equal(writer.addTree(plain), sha256Hex(plain));
  await writer.finish();
  await assertStored(made, plains);
  assert.equal(writer.counts.treeBlobs, 60);
  assert.equal(writer.counts.added, 6_000_000);
  assert.ok(packs(made).length >= 6 && packs(made).length <= 8);
  assert.deepEqual(
    writer.indexFiles.map((id) => `index/${id}`),
    [...made.objects.keys()].filter((key) => key.startsWith("index/")),
  );
});

test("a tree is stored once, and not at all when the repository has it", async () => {
  const made = memoryRepository();
  const [known, fresh] = trees(2, 5000);
  const first = createWriter(made.repository);
  first.useIndex(NOTHING);
  first.addTree(known!);
  await first.finish();
  const second = createWriter(made.repository);
  second.useIndex((await loadIndex(made.repository)).index);
  for (const tree of [known!, fresh!, fresh!, known!]) second.addTree(tree);
  await second.finish();
  assert.equal(second.counts.treeBlobs, 1);
  assert.equal(packs(made).length, 2);
  await assertStored(made, [known!, fresh!]);
});

test("trees given before the index wait for it", async () => {
  const made = memoryRepository();
  const writer = createWriter(made.repository);
  const plains = trees(5, 1000);
  for (const plain of plains) writer.addTree(plain);
  assert.equal(writer.waitingTreeBytes, 5000);
  assert.equal(made.objects.size, 0);
  await assert.rejects(writer.finish(), (error) => isHoldfastError(error, "BUG"));
  writer.useIndex(NOTHING);
  assert.equal(writer.waitingTreeBytes, 0);
  await writer.finish();
  await assertStored(made, plains);
});

test("a tree too large for a pack buffer gets a pack of its own", async () => {
  const made = memoryRepository();
  const writer = createWriter(made.repository);
  writer.useIndex(NOTHING);
  const large = Buffer.alloc((8 << 20) + 1, '{"name":"one of very many files"},');
  const largest = Buffer.alloc(8 << 20, '{"name":"fits just so"},');
  for (const tree of [large, largest, Buffer.from("{}")]) writer.addTree(tree);
  await writer.finish();
  assert.equal(packs(made).length, 2);
  assert.equal(writer.counts.treeBlobs, 3);
  await assertStored(made, [large, largest, Buffer.from("{}")]);
});

test("with nothing to write, nothing is written", async () => {
  const made = memoryRepository();
  const writer = createWriter(made.repository);
  writer.useIndex(NOTHING);
  await writer.finish();
  assert.equal(made.objects.size, 0);
});

test("a dry run counts the same and stores nothing", async () => {
  const plains = trees(60, 100_000);
  const counts = [];
  for (const dryRun of [false, true]) {
    const made = memoryRepository();
    const writer = createWriter(made.repository, { dryRun });
    writer.useIndex(NOTHING);
    for (const plain of plains) writer.addTree(plain);
    await writer.finish();
    counts.push(writer.counts);
    assert.equal(made.objects.size > 0, !dryRun);
  }
  assert.deepEqual(counts[1], counts[0]);
});

suite("order", () => {
  test("an index file appears only after the packs that it names", async () => {
    let storage: FaultyStorage;
    const { repository } = memoryRepository({ around: (inner) => (storage = faulty(inner, [])) });
    const writer = createWriter(repository);
    writer.useIndex(NOTHING);
    for (const plain of trees(30, 100_000)) writer.addTree(plain);
    await writer.finish();
    const puts = storage!.calls.filter((call) => call.startsWith("put"));
    const first = puts.findIndex((call) => call.startsWith("put index/"));
    assert.ok(first > 2);
    assert.ok(puts.slice(first).every((call) => call.startsWith("put index/")));
  });

  test("the next pack is filled while one is being stored", async () => {
    let store = (): void => {};
    const until = new Promise<void>((resolve) => (store = resolve));
    const rule: FaultRule = { on: "put", key: /^data/, fault: { kind: "hold", until } };
    const made = memoryRepository({ around: (inner) => faulty(inner, [rule]) });
    const writer = createWriter(made.repository);
    writer.useIndex(NOTHING);
    const plains = trees(25, 100_000);
    for (const plain of plains) writer.addTree(plain);
    // One buffer is lent, the other one full: what is beyond waits.
    assert.ok(writer.waitingTreeBytes > 0 && writer.waitingTreeBytes < 800_000);
    store();
    await writer.finish();
    await assertStored(made, plains);
  });
});

suite("failures", () => {
  const failing = (key: RegExp): FaultRule => ({ on: "put", key, fault: { kind: "before" } });

  test("of a pack end the run, and no index names that pack", async () => {
    const made = memoryRepository({ around: (inner) => faulty(inner, [failing(/^data/)]) });
    const writer = createWriter(made.repository);
    writer.useIndex(NOTHING);
    for (const plain of trees(30, 100_000)) writer.addTree(plain);
    await assert.rejects(writer.finish(), (error) => isHoldfastError(error, "STORAGE_UNAVAILABLE"));
    assert.throws(
      () => writer.check(),
      (error) => isHoldfastError(error, "STORAGE_UNAVAILABLE"),
    );
    assert.ok([...made.objects.keys()].every((key) => !key.startsWith("index/")));
  });

  test("of the index end the run", async () => {
    const made = memoryRepository({ around: (inner) => faulty(inner, [failing(/^index/)]) });
    const writer = createWriter(made.repository);
    writer.useIndex(NOTHING);
    writer.addTree(Buffer.from("{}"));
    await assert.rejects(writer.finish(), (error) => isHoldfastError(error, "STORAGE_UNAVAILABLE"));
  });

  test("give the memory back all the same", async () => {
    const made = memoryRepository({ around: (inner) => faulty(inner, [failing(/^data/)]) });
    const writer = createWriter(made.repository);
    let released = 0;
    const id = Buffer.alloc(32, 1);
    const header = encodePackHeader([
      { type: "data", id: "ab".repeat(32), length: 40, uncompressedLength: 0 },
    ]);
    writer.storePack({ id, bytes: Buffer.alloc(9), header }, () => released++);
    assert.equal(released, 0);
    await assert.rejects(writer.settleOne());
    assert.equal(released, 1);
  });

  test("cancelling ends the run", async () => {
    const made = memoryRepository();
    const writer = createWriter(made.repository, { signal: AbortSignal.abort() });
    writer.useIndex(NOTHING);
    writer.addTree(Buffer.from("{}"));
    await assert.rejects(writer.finish(), (error) => isHoldfastError(error, "CANCELLED"));
  });
});

test("packs of worker threads are stored and indexed as they come", async () => {
  const made = memoryRepository();
  const { repository } = made;
  const writer = createWriter(repository);
  const random = repository.machine.random;
  const plain = seededBytes("data", 5000);
  const id = Buffer.from(sha256Hex(plain), "hex");
  const pack = sealSingleBlobPack({
    key: repository.key,
    random,
    version: 2,
    type: "data",
    id,
    plain,
  });
  writer.storePack(pack, () => {});
  writer.useIndex(NOTHING);
  await writer.finish();
  const { index } = await loadIndex(repository);
  assert.deepEqual(index.places("data", sha256Hex(plain)).length, 1);
  assert.equal(decodePackHeader(pack.header)[0]!.id, sha256Hex(plain));
});
