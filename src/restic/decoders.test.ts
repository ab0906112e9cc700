// Whatever a file holds, a decoder ends in a value or in one HoldfastError: arbitrary bytes, and valid files that were
// cut, overwritten, repeated and spliced.

import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { HoldfastError } from "../base/errors.ts";
import { decodeConfig } from "./config.ts";
import { listIndexFile } from "./index-file.ts";
import { decodeKeyFile } from "./key-file.ts";
import { decodeLock } from "./lock-file.ts";
import { decodePackHeader } from "./pack-header.ts";
import { decodeSnapshot } from "./snapshot.ts";
import { decodeTree, encodeTree } from "./tree.ts";

const ID = "0123456789abcdef".repeat(4);
const TIME = "2024-03-01T12:30:45.12-05:30";

const SEEDS: Readonly<Record<string, readonly [decode: (bytes: Buffer) => unknown, seed: string]>> =
  {
    tree: [
      // What was read must also be possible to write.
      (bytes) => encodeTree(decodeTree(bytes)),
      `{"nodes":[{"name":"a\\\\xff","type":"file","mode":420,"mtime":"${TIME}","atime":"${TIME}","ctime":"${TIME}","uid":0,"gid":0,"user":"\\u003c\\ufffd","inode":18446744073709551615,"linktarget":"x","linktarget_raw":"eA==","extended_attributes":[{"name":"user.a","value":"AA=="}],"generic_attributes":{"windows.a":1},"content":["${ID}"]},{"name":"b","type":"dir","mtime":"${TIME}","content":null,"subtree":"${ID}","more":[{}]}]}\n`,
    ],
    snapshot: [
      decodeSnapshot,
      `{"time":"${TIME}","parent":"${ID}","tree":"${ID}","paths":["/a"],"tags":["b"],"uid":1,"summary":{"backup_start":"${TIME}","files_new":1}}`,
    ],
    index: [
      listIndexFile,
      `{"packs":[{"id":"${ID}","blobs":[{"id":"${ID}","type":"tree","offset":0,"length":38,"uncompressed_length":50},{"id":"${ID}","type":"data","offset":38,"length":40}]}]}\n`,
    ],
    "pack header": [decodePackHeader, `\0AAAA${ID.slice(32)}\x03AAAABBBB${ID.slice(32)}`],
    config: [
      decodeConfig,
      `{"version":2,"id":"${ID}","chunker_polynomial":"25b468838dcb75","chunk_size":1048576}`,
    ],
    key: [
      decodeKeyFile,
      `{"created":"${TIME}","username":"u","kdf":"scrypt","N":32768,"r":8,"p":7,"salt":"${"A".repeat(86)}==","data":"${"A".repeat(64)}"}`,
    ],
    lock: [decodeLock, `{"time":"${TIME}","exclusive":true,"hostname":"h","pid":123,"uid":1}`],
  };

const PIECES = ["", '"', "\\", "\\u0000", "\\ud800", "[", "]", "{", "}", ",", ":", "null", "-1"];
PIECES.push("1e999", "18446744073709551616", "9007199254740993", "\xff", '"__proto__":{},', "/");

interface Edit {
  readonly at: number;
  readonly length: number;
  readonly piece: string;
  readonly repeat: boolean;
}

const edit: fc.Arbitrary<Edit> = fc.record(
  {
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.nat(12),
    piece: fc.oneof(fc.constantFrom(...PIECES), fc.string({ maxLength: 3 })),
    repeat: fc.boolean(),
  },
  { noNullPrototype: true },
);

function apply(text: string, { at, length, piece, repeat }: Edit): string {
  const start = Math.floor(at * text.length);
  const removed = text.slice(start, start + length);
  const inserted = repeat ? removed + removed : piece;
  return text.slice(0, start) + inserted + text.slice(start + length);
}

function survives(decode: (bytes: Buffer) => unknown, bytes: Uint8Array): void {
  try {
    decode(Buffer.from(bytes));
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    assert.notEqual(error.code, "BUG");
  }
}

for (const [name, [decode, seed]] of Object.entries(SEEDS)) {
  test(`${name}: the untouched seed is valid`, () => {
    assert.doesNotThrow(() => decode(Buffer.from(seed, "latin1")));
  });

  test(`${name}: arbitrary bytes end in a value or one error`, () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => survives(decode, bytes)));
  });

  test(`${name}: any damage to a valid file ends in a value or one error`, () => {
    const edits = fc.array(edit, { minLength: 1, maxLength: 4 });
    const property = fc.property(edits, (list) => {
      survives(decode, Buffer.from(list.reduce(apply, seed), "latin1"));
    });
    fc.assert(property, { numRuns: 1000 });
  });

  test(`${name}: every truncation ends in a value or one error`, () => {
    for (let end = 0; end < seed.length; end++) {
      survives(decode, Buffer.from(seed.slice(0, end), "latin1"));
    }
  });

  test(`${name}: deep nesting ends in one error`, () => {
    survives(decode, Buffer.from('{"a":'.repeat(100_000)));
    survives(decode, Buffer.from(`{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`));
  });
}
