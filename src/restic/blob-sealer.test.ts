import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { suite, test } from "node:test";
import fc from "fast-check";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { sha256, toHex } from "../base/bytes.ts";
import { isHoldfastError } from "../base/errors.ts";
import { BlobSealer, SEALER_BYTES, SEAL_MARGIN } from "./blob-sealer.ts";
import type { SealedBlob, SealerOptions } from "./blob-sealer.ts";
import { compressZstd, decompressZstd } from "./compression.ts";
import { SEAL_BYTES, splitKey, unseal } from "./crypto.ts";
import { createKernels } from "./kernels.ts";
import type { Kernels } from "./kernels.ts";
import { blocksOf } from "./nonce-counter.ts";

const KEY = splitKey(randomBytes(64));
const BLOB_MAX = 1 << 20;
const kernels = createKernels({ bytes: 4096 + 3 * BLOB_MAX + SEAL_MARGIN });
const SCRATCH = { at: kernels.base + 4096, bytes: BLOB_MAX };
const PLAIN_AT = SCRATCH.at + BLOB_MAX;
const TARGET = PLAIN_AT + BLOB_MAX;

function createSealer(options: Partial<SealerOptions> = {}): BlobSealer {
  return new BlobSealer({
    kernels,
    key: KEY,
    version: 2,
    level: 3,
    start: randomBytes(16),
    at: kernels.base,
    scratch: SCRATCH,
    ...options,
  });
}

interface Stored extends SealedBlob {
  bytes: Buffer;
}

function sealWith(sealer: BlobSealer, plain: Uint8Array, type: "data" | "tree" = "data"): Stored {
  kernels.bytes.set(plain, PLAIN_AT);
  const sealed = sealer.seal(type, sha256(plain), PLAIN_AT, plain.length, TARGET);
  return { ...sealed, bytes: Buffer.from(kernels.bytes.slice(TARGET, TARGET + sealed.length)) };
}

/** Opens stored bytes by the plain code, which shares nothing with the sealer. */
function openPlain({ bytes, uncompressedLength }: Stored): Buffer | undefined {
  const opened = unseal(KEY, bytes);
  if (opened === undefined || uncompressedLength === 0) return opened;
  return Buffer.from(decompressZstd(opened, uncompressedLength));
}

suite("sealed blobs open with the plain code", () => {
  const text = Buffer.alloc(BLOB_MAX, "An attachment of an invoice. ");

  test("at every size, whether they compress or not", () => {
    const sealer = createSealer();
    const sizes = [...Array(70).keys(), 1000, 1023, 65_535, 65_536, 65_537, BLOB_MAX - 1, BLOB_MAX];
    for (const size of sizes) {
      for (const plain of [text.subarray(0, size), seededBytes(size, size)]) {
        const stored = sealWith(sealer, plain);
        assert.deepEqual(openPlain(stored), Buffer.from(plain), `${size} bytes`);
        assert.ok(stored.length <= plain.length + SEAL_BYTES);
      }
    }
  });

  test("compressed already, in turns with others, under nonces that follow each other", () => {
    const sealer = createSealer();
    let next: bigint | undefined;
    for (const size of [1, 100, 65_536, 200_000]) {
      const plain = text.subarray(0, size);
      const frame = compressZstd(plain);
      kernels.bytes.set(frame, PLAIN_AT);
      const sealed = sealer.sealCompressed(sha256(plain), PLAIN_AT, frame.length, size, TARGET);
      const bytes = Buffer.from(kernels.bytes.slice(TARGET, TARGET + sealed.length));
      assert.deepEqual(openPlain({ ...sealed, bytes }), Buffer.from(plain));
      assert.deepEqual(unseal(KEY, bytes), Buffer.from(frame), "as it was");
      const nonce = BigInt(`0x${bytes.toString("hex", 0, 16)}`);
      if (next !== undefined) assert.equal(nonce, next);
      const other = sealWith(sealer, seededBytes(size, 1000));
      const after = BigInt(`0x${other.bytes.toString("hex", 0, 16)}`);
      assert.equal(after, BigInt.asUintN(128, nonce + BigInt(blocksOf(frame.length))));
      next = BigInt.asUintN(128, after + BigInt(blocksOf(other.length - SEAL_BYTES)));
    }
  });

  test("what is compressed and gives something else is never sealed, nor anything for format 1", () => {
    const plain = text.subarray(0, 5000);
    const frame = compressZstd(plain);
    kernels.bytes.set(frame, PLAIN_AT);
    const attempt = (id: Uint8Array, length: number, options: Partial<SealerOptions> = {}) => {
      const seal = () =>
        createSealer(options).sealCompressed(id, PLAIN_AT, frame.length, length, TARGET);
      assert.throws(seal, (error) => isHoldfastError(error, "BUG"));
    };
    attempt(randomBytes(32), 5000);
    attempt(sha256(plain), 5001);
    attempt(sha256(plain), 0);
    attempt(sha256(plain), 5000, { version: 1 });
  });

  test("compressed where it pays, and as the settings say", () => {
    const random = seededBytes("r", 5000);
    const lengthOf = (plain: Uint8Array, type: "data" | "tree", options: Partial<SealerOptions>) =>
      sealWith(createSealer(options), plain, type);
    const long = text.subarray(0, 5000);
    assert.equal(lengthOf(long, "data", {}).uncompressedLength, 5000);
    assert.ok(lengthOf(long, "data", {}).length < 200);
    assert.equal(lengthOf(random, "data", {}).uncompressedLength, 0);
    assert.equal(lengthOf(long, "data", { level: 0 }).uncompressedLength, 0);
    assert.equal(lengthOf(long, "tree", { level: 0 }).uncompressedLength, 5000);
    assert.equal(lengthOf(long, "data", { version: 1 }).uncompressedLength, 0);
    assert.equal(lengthOf(long, "tree", { version: 1 }).uncompressedLength, 0);
    // restic reads an empty blob only when it is stored as it is.
    assert.equal(lengthOf(Buffer.alloc(0), "tree", {}).uncompressedLength, 0);
  });

  test("a tree that does not compress still fits its margin", () => {
    for (const size of [1, 20, 40, 500, 200_000]) {
      const plain = seededBytes(size, size);
      kernels.bytes.fill(0x77, TARGET, TARGET + size + SEAL_MARGIN + 16);
      const stored = sealWith(createSealer(), plain, "tree");
      assert.deepEqual(openPlain(stored), plain);
      assert.ok(stored.length <= size + SEAL_MARGIN);
      const after = kernels.bytes.slice(
        TARGET + size + SEAL_MARGIN,
        TARGET + size + SEAL_MARGIN + 16,
      );
      assert.deepEqual(after, new Uint8Array(16).fill(0x77), "wrote beyond the margin");
    }
  });

  test("without verification they are the same", () => {
    const start = randomBytes(16);
    const plain = text.subarray(0, 3000);
    const checked = sealWith(createSealer({ start }), plain);
    assert.deepEqual(sealWith(createSealer({ start, verify: false }), plain), checked);
  });
});

suite("nonces", () => {
  const nonceOf = ({ bytes }: Stored): bigint => BigInt(`0x${toHex(bytes.subarray(0, 16))}`);

  test("follow the bytes that were sealed: one counter for all blobs", () => {
    const sizes = fc.array(fc.oneof(fc.nat(100), fc.constantFrom(0, 16, 4096, 70_000)), {
      minLength: 1,
      maxLength: 20,
    });
    const ends = fc.integer({ min: 0, max: 16 });
    const property = fc.property(sizes, ends, (lengths, ones) => {
      const start = randomBytes(16).fill(0xff, 16 - ones);
      const sealer = createSealer({ start });
      let next = BigInt(`0x${toHex(start)}`);
      for (const length of lengths) {
        // The all-zero nonce is the one that readers refuse.
        if (next === 0n) next = 1n;
        const stored = sealWith(sealer, seededBytes(length, length));
        assert.equal(nonceOf(stored), next);
        const blocks = BigInt(blocksOf(stored.length - SEAL_BYTES));
        next = BigInt.asUintN(128, next + blocks);
      }
    });
    fc.assert(property, { numRuns: 60 });
  });

  test("skip the all-zero one, at the start and when the counter goes round", () => {
    const first = createSealer({ start: Buffer.alloc(16) });
    const plain = seededBytes("z", 40);
    assert.equal(nonceOf(sealWith(first, plain)), 1n);
    assert.equal(nonceOf(sealWith(first, plain)), 4n);
    const round = createSealer({ start: Buffer.alloc(16, 0xff) });
    const whole = sealWith(round, seededBytes("w", 16));
    assert.deepEqual(openPlain(whole), seededBytes("w", 16));
    const next = sealWith(round, plain);
    assert.equal(nonceOf(next), 1n);
    assert.deepEqual(openPlain(next), plain);
  });

  test("of sealers that begin at random bytes do not meet", () => {
    const intervals: [bigint, bigint][] = [];
    for (let run = 0; run < 20; run++) {
      const sealer = createSealer();
      for (let i = 0; i < 10; i++) {
        const stored = sealWith(sealer, seededBytes(i, i * 100));
        const blocks = blocksOf(stored.length - SEAL_BYTES);
        intervals.push([nonceOf(stored), nonceOf(stored) + BigInt(blocks)]);
      }
    }
    intervals.sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [i, [begin]] of intervals.entries()) {
      if (i > 0) assert.ok(intervals[i - 1]![1] <= begin);
    }
  });
});

suite("the check notices what went wrong between sealing and checking", () => {
  /** Kernels under which memory changes at the n-th tag that is computed: before it or after it. */
  function faulty(tag: number, when: "before" | "after", change: () => void): Kernels {
    let count = 0;
    return {
      ...kernels,
      poly1305(message, length, key, target) {
        const now = ++count === tag;
        if (now && when === "before") change();
        kernels.poly1305(message, length, key, target);
        if (now && when === "after") change();
      },
    };
  }
  const flip = (at: number) => (): void => {
    kernels.bytes[at]! ^= 0x04;
  };

  const plain = Buffer.alloc(300, "some text to seal ");
  for (const level of [0, 3]) {
    const stored = sealWith(createSealer({ level }), plain).length;
    const kind = level === 0 ? "plain" : "compressed";

    test(`a bit of the stored bytes turns: ${kind}`, () => {
      for (let at = TARGET; at < TARGET + stored; at++) {
        const sealer = createSealer({ level, kernels: faulty(1, "after", flip(at)) });
        const error = catchBug(() => sealWith(sealer, plain));
        assert.match(error, at < TARGET + 16 ? /nonce/ : /tag/, `byte ${at - TARGET}`);
      }
    });

    test(`a bit turns before the tag is computed, so that the tag fits: ${kind}`, () => {
      let noticed = 0;
      for (let at = TARGET; at < TARGET + stored - 16; at++) {
        const sealer = createSealer({ level, kernels: faulty(1, "before", flip(at)) });
        const changed = (): Stored => sealWith(sealer, plain);
        // A few bits of a zstd frame mean nothing.
        if (level > 0 && isHarmless(at)) {
          assert.deepEqual(openPlain(changed()), plain);
          continue;
        }
        const expected = at < TARGET + 16 ? /its nonce/ : /its (content|compressed form)/;
        assert.match(catchBug(changed), expected, `byte ${at - TARGET}`);
        noticed++;
      }
      assert.ok(noticed > stored - 24);
    });
  }

  /** Whether the content stays the same when that byte's bit turns before the tag is computed. */
  function isHarmless(at: number): boolean {
    const sealer = createSealer({ verify: false, kernels: faulty(1, "before", flip(at)) });
    if (at < TARGET + 16) return false;
    try {
      return openPlain(sealWith(sealer, plain))!.equals(plain);
    } catch {
      return false;
    }
  }

  test("the plaintext is not what its id says", () => {
    kernels.bytes.set(plain, PLAIN_AT);
    const seal = (): unknown =>
      createSealer().seal("data", randomBytes(32), PLAIN_AT, plain.length, TARGET);
    assert.match(catchBug(seal), /its content/);
  });

  test("a key that changed under way", () => {
    const key = splitKey(Buffer.from(toHex(randomBytes(64)), "hex"));
    const mac = (): void => {
      kernels.bytes[kernels.base + 3]! ^= 1;
    };
    const sealer = createSealer({ key, kernels: faulty(1, "before", mac) });
    assert.match(
      catchBug(() => sealWith(sealer, plain)),
      /its tag/,
    );
  });

  test("nothing is noticed without verification", () => {
    const sealer = createSealer({ verify: false, kernels: faulty(1, "after", flip(TARGET + 20)) });
    assert.equal(openPlain(sealWith(sealer, plain)), undefined);
  });

  function catchBug(work: () => unknown): string {
    let message = "";
    assert.throws(work, (error) => {
      message = (error as Error).message;
      return isHoldfastError(error, "BUG");
    });
    return message;
  }
});

test("the sealer stays within the memory it was given", () => {
  const [from, to] = [kernels.base + SEALER_BYTES, SCRATCH.at];
  kernels.bytes.fill(0x3c, from, to);
  const sealer = createSealer();
  for (const size of [0, 1, 1000, 100_000]) sealWith(sealer, Buffer.alloc(size, "abc"));
  assert.ok(kernels.bytes.subarray(from, to).every((byte) => byte === 0x3c));
});
