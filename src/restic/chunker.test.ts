// Both chunkers, the plain one and the WASM kernel: they cut where the definition says, and where each other does.
// That restic cuts there too is proved in test/interop/chunker.test.ts.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { seededBytes } from "../../test/seeded-bytes.ts";
import {
  CHUNK_BYTES_AVERAGE,
  CHUNK_BYTES_MAX,
  CHUNK_BYTES_MIN,
  CHUNK_WINDOW_BYTES,
  chunkerTables,
  cutPoints,
  findCut,
} from "./chunker.ts";
import { createKernels } from "./kernels.ts";
import { polynomialRemainder } from "./polynomial.ts";

const POLYNOMIAL = 0x3da3358b4dc173n;
const MEBIBYTE = 1024 * 1024;
/** Bytes the kernel scans at once; its lanes and strides end at parts of it. */
const STRIDE = 16 * 2880;

interface Chunker {
  readonly name: string;
  /** Takes the file. */
  load(data: Uint8Array): void;
  findCut(start: number, scanned: number, available: number): number;
}

const tables = chunkerTables(POLYNOMIAL);
let loaded: Uint8Array = new Uint8Array();
const plain: Chunker = {
  name: "plain",
  load: (data) => (loaded = data),
  findCut: (start, scanned, available) => findCut(tables, loaded, { start, scanned, available }),
};

const kernels = createKernels({ bytes: 20 * MEBIBYTE });
kernels.initChunker(POLYNOMIAL);
/** Off every alignment, as packs put no two blobs' plaintexts at even addresses. */
const at = kernels.base + 64 + 5;
const kernel: Chunker = {
  name: "kernel",
  load: (data) => kernels.bytes.set(data, at),
  findCut: (start, scanned, available) => kernels.findCut(at + start, scanned, available),
};

/** Whether the 64 bytes before `end` are where a chunk may end, from the definition. */
function saysCut(data: Uint8Array, end: number): boolean {
  const window = Buffer.from(data.subarray(end - CHUNK_WINDOW_BYTES, end)).toString("hex");
  const digest = polynomialRemainder(BigInt(`0x${window}`), POLYNOMIAL);
  return digest % BigInt(CHUNK_BYTES_AVERAGE) === 0n;
}

/** All end offsets of a file whose bytes become available in `steps`, the last one to its end. */
function cutInSteps(chunker: Chunker, length: number, steps: readonly number[]): number[] {
  const cuts: number[] = [];
  let start = 0;
  let scanned = 0;
  for (const end of [...steps.filter((step) => step < length).toSorted((a, b) => a - b), length]) {
    for (;;) {
      const cut = chunker.findCut(start, scanned, end - start);
      if (cut < 0) break;
      start += cut;
      scanned = 0;
      cuts.push(start);
    }
    scanned = end - start;
  }
  if (start < length) cuts.push(length);
  return cuts;
}

const random = seededBytes("chunker", 12 * MEBIBYTE);
const cutWindow = ((): Buffer => {
  const end = findCut(tables, random, { start: 0, scanned: 0 });
  return random.subarray(end - CHUNK_WINDOW_BYTES, end);
})();
/** Never says cut by itself. */
const filler = Buffer.alloc(CHUNK_BYTES_MAX + STRIDE, 1);

/** Filler with windows that say cut, each ending at one of `ends`. */
function planted(...ends: number[]): Buffer {
  const data = Buffer.from(filler);
  for (const end of ends) cutWindow.copy(data, end - CHUNK_WINDOW_BYTES);
  return data;
}

for (const chunker of [plain, kernel]) {
  suite(`chunker, ${chunker.name}`, () => {
    test("every cut is one by definition, and none is missed around them", () => {
      chunker.load(random);
      const cuts = cutInSteps(chunker, random.length, []);
      assert.ok(cuts.length > 5);
      let start = 0;
      for (const end of cuts.slice(0, -1)) {
        assert.ok(end - start >= CHUNK_BYTES_MIN && end - start < CHUNK_BYTES_MAX);
        assert.ok(saysCut(random, end));
        const from = Math.max(start + CHUNK_BYTES_MIN, end - 200);
        for (let before = from; before < end; before++) assert.ok(!saysCut(random, before));
        start = end;
      }
    });

    test("zeros are cut at the least length, at once", () => {
      chunker.load(Buffer.alloc(2 * MEBIBYTE));
      assert.equal(chunker.findCut(0, 0, CHUNK_BYTES_MIN - 1), -1);
      assert.equal(chunker.findCut(0, 0, 2 * MEBIBYTE), CHUNK_BYTES_MIN);
      assert.equal(chunker.findCut(0, CHUNK_BYTES_MIN - 1, 2 * MEBIBYTE), CHUNK_BYTES_MIN);
    });

    test("data that never says cut is cut at the greatest length", () => {
      chunker.load(filler);
      assert.equal(chunker.findCut(0, 0, CHUNK_BYTES_MAX - 1), -1);
      for (const scanned of [0, MEBIBYTE, CHUNK_BYTES_MAX - 1, CHUNK_BYTES_MAX]) {
        assert.equal(chunker.findCut(0, scanned, CHUNK_BYTES_MAX), CHUNK_BYTES_MAX);
        assert.equal(chunker.findCut(0, scanned, filler.length), CHUNK_BYTES_MAX);
      }
    });

    test("a cut before the least length or after the greatest does not count", () => {
      for (const end of [CHUNK_BYTES_MIN - 1, CHUNK_BYTES_MAX + 1]) {
        chunker.load(planted(end));
        assert.equal(chunker.findCut(0, 0, filler.length), CHUNK_BYTES_MAX);
      }
    });

    test("a cut is found wherever it lies, from wherever the scan resumes", () => {
      const offsets = [0, 1, 15, 16, 17, 63, 64, 255, 256, 2879, 2880, 2881];
      const ends = [...offsets, ...offsets.map((offset) => STRIDE - 1 + offset)]
        .map((offset) => CHUNK_BYTES_MIN + offset)
        .concat(CHUNK_BYTES_MAX - 1, CHUNK_BYTES_MAX);
      for (const end of ends) {
        chunker.load(planted(end));
        const far = end < MEBIBYTE ? 0 : end - 2 * STRIDE;
        for (const scanned of [end - 1, end - 2, end - 64, end - 300, end - 5000, far]) {
          assert.equal(chunker.findCut(0, scanned, filler.length), end, `${end} from ${scanned}`);
          assert.equal(chunker.findCut(0, scanned, end), end, `${end} is the last byte`);
          assert.equal(chunker.findCut(0, scanned, end - 1), -1, `${end} is not there yet`);
        }
        const after = Math.min(end + 1000, CHUNK_BYTES_MAX - 1);
        assert.equal(chunker.findCut(0, end, after), -1, `nothing after ${end}`);
      }
    });

    test("the first of several cuts wins", () => {
      const first = CHUNK_BYTES_MIN + 2800;
      for (const later of [first + 300, CHUNK_BYTES_MIN + 3 * 2880 + 70, first + STRIDE]) {
        chunker.load(planted(first, later));
        assert.equal(chunker.findCut(0, 0, filler.length), first);
        assert.equal(chunker.findCut(0, first, filler.length), later);
      }
    });
  });
}

const segment = fc.record({
  kind: fc.constantFrom("random", "zeros", "constant", "period", "cut"),
  seed: fc.nat(),
  length: fc.integer({ min: 1, max: 3 * MEBIBYTE }),
});

function segmentBytes({
  kind,
  seed,
  length,
}: {
  kind: string;
  seed: number;
  length: number;
}): Buffer {
  if (kind === "random") return seededBytes(seed, length);
  if (kind === "zeros") return Buffer.alloc(length);
  if (kind === "constant") return Buffer.alloc(length, 1 + (seed % 255));
  if (kind === "cut") return cutWindow;
  return Buffer.alloc(length, seededBytes(seed, 2 + (seed % 5000)));
}

test("kernel and plain cut mixed data alike, in one go and in any steps", () => {
  const files = fc.array(segment, { minLength: 1, maxLength: 6 });
  const steps = fc.array(fc.nat(18 * MEBIBYTE), { maxLength: 12 });
  fc.assert(
    fc.property(files, steps, (segments, ends) => {
      const data = Buffer.concat(segments.map(segmentBytes));
      const expected = cutPoints(data, POLYNOMIAL);
      kernel.load(data);
      plain.load(data);
      assert.deepEqual(cutInSteps(kernel, data.length, []), expected);
      assert.deepEqual(cutInSteps(kernel, data.length, ends), expected);
      assert.deepEqual(cutInSteps(plain, data.length, ends), expected);
    }),
    { numRuns: 15 },
  );
});

test("kernel and plain agree for other polynomials", () => {
  for (const polynomial of [0x3717ec6815c083n, 0x394e8a7f34436bn, 0x22c853761b99c1n]) {
    kernels.initChunker(polynomial);
    kernel.load(random);
    assert.deepEqual(cutInSteps(kernel, random.length, []), cutPoints(random, polynomial));
  }
  kernels.initChunker(POLYNOMIAL);
});

test("a file's last chunk ends where the file does, and an empty file has none", () => {
  assert.deepEqual(cutPoints(new Uint8Array(), POLYNOMIAL), []);
  assert.deepEqual(cutPoints(Buffer.alloc(1), POLYNOMIAL), [1]);
  assert.deepEqual(cutPoints(Buffer.alloc(CHUNK_BYTES_MIN), POLYNOMIAL), [CHUNK_BYTES_MIN]);
  assert.deepEqual(cutPoints(Buffer.alloc(CHUNK_BYTES_MIN + 3), POLYNOMIAL), [
    CHUNK_BYTES_MIN,
    CHUNK_BYTES_MIN + 3,
  ]);
});
