// Both Poly1305 implementations, the plain one and the WASM kernel, against the vectors of RFC 8439 and against the
// definition in big integers.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { createKernels } from "./kernels.ts";
import { poly1305 } from "./poly1305.ts";

type Tagger = (key: Uint8Array, message: Uint8Array, shift?: number) => Uint8Array;

const kernels = createKernels({ bytes: 1 << 20 });

/** The kernel; `shift` moves message, key and tag off their alignment. */
const byKernel: Tagger = (key, message, shift = 0) => {
  const keyAt = kernels.base + shift;
  const tagAt = keyAt + 32 + shift;
  const messageAt = tagAt + 16 + shift;
  kernels.bytes.set(key, keyAt);
  kernels.bytes.set(message, messageAt);
  kernels.bytes.fill(0xa5, messageAt + message.length, messageAt + message.length + 64);
  kernels.poly1305(messageAt, message.length, keyAt, tagAt);
  return kernels.bytes.slice(tagAt, tagAt + 16);
};

const implementations: readonly (readonly [string, Tagger])[] = [
  ["plain", poly1305],
  ["kernel", byKernel],
];

function toNumber(bytes: Uint8Array): bigint {
  return BigInt(`0x0${Buffer.from(bytes).reverse().toString("hex")}`);
}

/** RFC 8439 §2.5, word for word. */
const byDefinition: Tagger = (key, message) => {
  const r = toNumber(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16) {
    const block = [...message.subarray(at, at + 16), 1];
    sum = ((sum + toNumber(Uint8Array.from(block))) * r) % ((1n << 130n) - 5n);
  }
  const tag = BigInt.asUintN(128, sum + toNumber(key.subarray(16)));
  return Buffer.from(tag.toString(16).padStart(32, "0"), "hex").reverse();
};

const CONTRIBUTION =
  "Any submission to the IETF intended by the Contributor for publication as all or part of an IETF Internet-Draft " +
  'or RFC and any statement made within the context of an IETF activity is considered an "IETF Contribution". Such ' +
  "statements include oral statements in IETF sessions, as well as written and electronic communications made at " +
  "any time or place, which are addressed to";
const JABBERWOCKY =
  "'Twas brillig, and the slithy toves\nDid gyre and gimble in the wabe:\nAll mimsy were the borogoves,\n" +
  "And the mome raths outgrabe.";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const zeros = "00".repeat(16);
const ones = "ff".repeat(16);
const small = (value: string): string => value + "00".repeat(15);
const s = "36e5f6b5c5e06070f0efca96227a863e";

/** Key, message, tag: §2.5.2 and appendix A.3. */
const VECTORS: readonly (readonly [string, Buffer, string])[] = [
  [
    "85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b",
    Buffer.from("Cryptographic Forum Research Group"),
    "a8061dc1305136c6c22b8baf0c0127a9",
  ],
  [zeros + zeros, Buffer.alloc(64), zeros],
  [zeros + s, Buffer.from(CONTRIBUTION), s],
  [s + zeros, Buffer.from(CONTRIBUTION), "f3477e7cd95417af89a6b8794c310cf0"],
  [
    "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0",
    Buffer.from(JABBERWOCKY),
    "4541669a7eaaee61e708dc7cbcc5eb62",
  ],
  [small("02") + zeros, hex(ones), small("03")],
  [small("02") + ones, hex(small("02")), small("03")],
  [small("01") + zeros, hex(`${ones} f0${"ff".repeat(15)} ${small("11")}`), small("05")],
  [small("01") + zeros, hex(`${ones} fb${"fe".repeat(15)} ${"01".repeat(16)}`), zeros],
  [small("02") + zeros, hex(`fd${"ff".repeat(15)}`), `fa${"ff".repeat(15)}`],
  [
    `01000000000000000400000000000000${zeros}`,
    hex(
      `e33594d7505e43b90000000000000000 3394d7505e4379cd0100000000000000 ${zeros} ${small("01")}`,
    ),
    "14000000000000005500000000000000",
  ],
  [
    `01000000000000000400000000000000${zeros}`,
    hex(`e33594d7505e43b90000000000000000 3394d7505e4379cd0100000000000000 ${zeros}`),
    small("13"),
  ],
];

for (const [name, tagger] of implementations) {
  suite(`Poly1305, ${name}`, () => {
    test("gives the tags of RFC 8439", () => {
      for (const [key, message, tag] of VECTORS) {
        assert.equal(Buffer.from(tagger(hex(key), message)).toString("hex"), tag);
      }
    });

    test("equals the definition for every length around its block sizes", () => {
      for (let length = 0; length <= 260; length++) {
        const key = seededBytes(`key ${length}`, 32);
        const message = seededBytes(length, length);
        assert.deepEqual(
          Buffer.from(tagger(key, message)),
          byDefinition(key, message),
          `${length} bytes`,
        );
      }
    });

    test("equals the definition where every carry is largest", () => {
      for (let length = 0; length <= 400; length++) {
        const key = length % 2 === 0 ? Buffer.alloc(32, 0xff) : seededBytes(length, 32);
        const message = Buffer.alloc(length, 0xff);
        assert.deepEqual(
          Buffer.from(tagger(key, message)),
          byDefinition(key, message),
          `${length} bytes`,
        );
      }
    });

    test("equals the definition when the last carry runs around the top into a full lowest limb", () => {
      const key = hex(small("01") + zeros);
      for (let below = 0; below < 16; below++) {
        const message = Buffer.alloc(64, 0xff);
        message.writeUInt32LE(0xffffffff - below, 0);
        for (const at of [16, 32, 48]) message.writeUInt32LE(0, at);
        assert.deepEqual(Buffer.from(tagger(key, message)), byDefinition(key, message));
      }
    });

    test("equals the definition for long random messages", () => {
      for (let round = 0; round < 40; round++) {
        const [high = 0, low = 0] = seededBytes(`length ${round}`, 2);
        const key = seededBytes(`long key ${round}`, 32);
        const message = seededBytes(`long ${round}`, high * 64 + low);
        assert.deepEqual(Buffer.from(tagger(key, message)), byDefinition(key, message));
      }
    });
  });
}

test("the kernel takes any alignment", () => {
  const key = seededBytes("key", 32);
  const message = seededBytes("message", 1000);
  const expected = byDefinition(key, message);
  for (let shift = 0; shift < 17; shift++) {
    assert.deepEqual(Buffer.from(byKernel(key, message, shift)), expected, `shifted by ${shift}`);
  }
});

test("the plain one takes a view into a larger buffer, and refuses a key of another length", () => {
  const key = seededBytes("key", 32);
  const bytes = seededBytes("view", 100);
  const view = bytes.subarray(3, 77);
  assert.deepEqual(Buffer.from(poly1305(key, view)), byDefinition(key, Buffer.from(view)));
  assert.throws(() => poly1305(key.subarray(1), view), RangeError);
});
