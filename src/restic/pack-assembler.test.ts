import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { suite, test } from "node:test";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { sha256, sha256Hex, toHex } from "../base/bytes.ts";
import { isHoldfastError } from "../base/errors.ts";
import { BlobSealer, SEAL_MARGIN } from "./blob-sealer.ts";
import { decompressZstd } from "./compression.ts";
import { splitKey, unseal } from "./crypto.ts";
import { createKernels } from "./kernels.ts";
import type { Kernels } from "./kernels.ts";
import { PackAssembler, packBufferBytes } from "./pack-assembler.ts";
import type { FinishedPack, PackAssemblerOptions, PackBuffer } from "./pack-assembler.ts";
import { decodePackHeader } from "./pack-header.ts";
import { sealSingleBlobPack } from "./single-blob-pack.ts";

const KEY = splitKey(randomBytes(64));
const BLOB_MAX = 50_000;
const PACK_SIZE = 120_000;
const BUFFER_BYTES = packBufferBytes(PACK_SIZE, BLOB_MAX);

interface Stored {
  id: string;
  bytes: Buffer;
  header: Uint8Array;
}

/** An assembler over memory of its own, with `buffers` buffers that are free again once a pack was copied. */
function createAssembler(
  options: Partial<PackAssemblerOptions> & {
    level?: number;
    /** Changes the kernels of the assembler, not those of its sealer. */
    around?: (kernels: Kernels) => Kernels;
  } = {},
): {
  add: (plain: Uint8Array) => number;
  assembler: PackAssembler;
  packs: Stored[];
  free: PackBuffer[];
} {
  const { level = 3, around = (same) => same, ...others } = options;
  const kernels = createKernels({ bytes: 4096 + 2 * BLOB_MAX + 2 * BUFFER_BYTES });
  const scratch = { at: kernels.base + 4096, bytes: BLOB_MAX };
  const input = scratch.at + BLOB_MAX;
  const buffers = input + BLOB_MAX;
  const free = [0, 1].map((i) => ({ at: buffers + i * BUFFER_BYTES, bytes: BUFFER_BYTES }));
  const packs: Stored[] = [];
  const sealer = new BlobSealer({
    kernels,
    key: KEY,
    version: 2,
    level,
    start: randomBytes(16),
    at: kernels.base,
    scratch,
  });
  const assembler = new PackAssembler({
    kernels: around(kernels),
    key: KEY,
    sealer,
    random: (length) => randomBytes(length),
    type: "data",
    packSize: PACK_SIZE,
    takeBuffer: () => free.pop()!,
    onPack: (pack: FinishedPack) => {
      const { at } = pack.buffer;
      const bytes = Buffer.from(kernels.bytes.slice(at, at + pack.length));
      packs.push({ id: toHex(pack.id), bytes, header: pack.header });
      free.push(pack.buffer);
    },
    ...others,
  });
  const add = (plain: Uint8Array): number => {
    kernels.bytes.set(plain, input);
    return assembler.add(sha256(plain), input, plain.length);
  };
  return { add, assembler, packs, free };
}

/** The plaintexts of a pack, read by the plain code alone, as any reader of the format would. */
function openPack({ id, bytes, header }: Stored): Buffer[] {
  assert.equal(sha256Hex(bytes), id);
  const headerBytes = bytes.readUInt32LE(bytes.length - 4);
  const sealed = bytes.subarray(bytes.length - 4 - headerBytes, bytes.length - 4);
  const plainHeader = unseal(KEY, sealed)!;
  assert.deepEqual(Buffer.from(plainHeader), Buffer.from(header));
  return decodePackHeader(plainHeader, bytes.length).map((blob) => {
    const opened = unseal(KEY, bytes.subarray(blob.offset, blob.offset + blob.length))!;
    const plain =
      blob.uncompressedLength === 0 ? opened : decompressZstd(opened, blob.uncompressedLength);
    assert.equal(sha256Hex(plain), blob.id);
    return Buffer.from(plain);
  });
}

suite("packs", () => {
  test("hold the blobs in the order they came in, and open with the plain code", () => {
    const { add, assembler, packs } = createAssembler();
    const plains: Buffer[] = [];
    for (let i = 0; i < 200; i++) {
      const size = [0, 1, 500, 9000, BLOB_MAX][i % 5]!;
      plains.push(i % 2 === 0 ? seededBytes(i, size) : Buffer.alloc(size, `text ${i} `));
      add(plains.at(-1)!);
    }
    assembler.flush();
    assert.ok(packs.length > 10);
    assert.deepEqual(packs.flatMap(openPack), plains);
  });

  test("are closed when they reach their size, before they outgrow their buffer", () => {
    const { add, assembler, packs } = createAssembler({ level: 0 });
    for (let i = 0; i < 50; i++) add(seededBytes(i, 10_000));
    assembler.flush();
    for (const pack of packs) assert.ok(pack.bytes.length <= BUFFER_BYTES);
    for (const pack of packs.slice(0, -1)) assert.ok(pack.bytes.length > PACK_SIZE - 11_000);
    assert.equal(assembler.pending, 0);
  });

  test("of many small blobs leave room for their header", () => {
    const { add, assembler, packs } = createAssembler();
    const plains = Array.from({ length: 4000 }, (_, i) => Buffer.from(`blob ${i}`));
    for (const plain of plains) add(plain);
    assembler.flush();
    for (const pack of packs) assert.ok(pack.bytes.length <= BUFFER_BYTES);
    assert.deepEqual(packs.flatMap(openPack), plains);
  });

  test("take the largest blob there is, alone or after others", () => {
    const { add, assembler, packs } = createAssembler({ level: 0 });
    const plains = [9, BLOB_MAX, BLOB_MAX, 9, BLOB_MAX].map((size, i) => seededBytes(i, size));
    for (const plain of plains) assert.equal(add(plain), plain.length + 32);
    assembler.flush();
    assert.deepEqual(packs.flatMap(openPack), plains);
  });

  test("say of trees that they are trees", () => {
    const { add, assembler, packs } = createAssembler({ type: "tree" });
    add(Buffer.from('{"nodes":[]}\n'));
    assembler.flush();
    assert.deepEqual(
      decodePackHeader(packs[0]!.header).map(({ type }) => type),
      ["tree"],
    );
  });
});

suite("buffers", () => {
  test("are taken when a pack begins, and one is enough where it comes back at once", () => {
    const { add, assembler, packs, free } = createAssembler();
    free.length = 1;
    for (let i = 0; i < 100; i++) add(seededBytes(i, 9000));
    assembler.flush();
    assembler.flush();
    assert.equal(free.length, 1);
    assert.equal(packs.flatMap(openPack).length, 100);
  });

  test("nothing is stored for nothing", () => {
    const { assembler, packs, free } = createAssembler();
    assembler.flush();
    assert.deepEqual([packs.length, free.length], [0, 2]);
  });

  test("a blob larger than a buffer is a defect, not a damaged pack", () => {
    const { add } = createAssembler({ takeBuffer: () => ({ at: 1 << 20, bytes: 4000 }) });
    const attempt = (): unknown => add(seededBytes("large", 4000 - SEAL_MARGIN));
    assert.throws(attempt, (error) => isHoldfastError(error, "BUG"));
  });
});

/** Memory in which a bit turns in what is written to it. */
class FlakyMemory extends Uint8Array<SharedArrayBuffer> {
  /** Index of the damage in what is written. */
  static damageAt = 0;

  override set(source: ArrayLike<number>, at = 0): void {
    super.set(source, at);
    this[at + FlakyMemory.damageAt]! ^= 8;
  }
}

test("a header that does not open again stops the pack", () => {
  for (const at of [0, 16, 30, 60]) {
    const { add, assembler, packs } = createAssembler({
      around: (kernels) => ({ ...kernels, bytes: new FlakyMemory(kernels.memory.buffer) }),
    });
    FlakyMemory.damageAt = at;
    add(Buffer.from("content"));
    const flush = (): unknown => assembler.flush();
    assert.throws(flush, (error) => isHoldfastError(error, "BUG") && /header/.test(error.message));
    assert.equal(packs.length, 0);
  }
});

suite("a pack of one blob", () => {
  const options = {
    key: KEY,
    random: (length: number) => randomBytes(length),
    version: 2,
    type: "tree",
  } as const;

  test("opens with the plain code, at any size and version", () => {
    for (const size of [0, 1, 5000, 9 << 20]) {
      const plain = Buffer.alloc(size, '{"name":"a"},');
      for (const version of [1, 2] as const) {
        const pack = sealSingleBlobPack({ ...options, version, id: sha256(plain), plain });
        const stored = { ...pack, id: toHex(pack.id), bytes: Buffer.from(pack.bytes) };
        assert.ok(openPack(stored)[0]!.equals(plain));
        const [blob] = decodePackHeader(pack.header, pack.bytes.length);
        assert.equal(blob!.length, pack.blobLength);
        assert.equal(blob!.type, "tree");
        assert.equal(blob!.uncompressedLength !== 0, version === 2 && size > 0);
      }
    }
  });

  test("uses a nonce of its own for the blob and for the header", () => {
    const plain = Buffer.from("tree");
    const { bytes, blobLength } = sealSingleBlobPack({ ...options, id: sha256(plain), plain });
    const header = bytes.subarray(blobLength);
    assert.notDeepEqual(bytes.subarray(0, 16), header.subarray(0, 16));
  });

  test("is not made of content that its id does not name", () => {
    const make = (): unknown =>
      sealSingleBlobPack({ ...options, id: randomBytes(32), plain: Buffer.from("tree") });
    assert.throws(make, (error) => isHoldfastError(error, "BUG"));
  });
});
