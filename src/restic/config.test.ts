import assert from "node:assert/strict";
import test from "node:test";
import { decodeConfig, encodeConfig } from "./config.ts";

const ID = "5956a3f67a6230d4a92cefb29529f10196c7d92582ec305fd71ff6d331d6271b";
const TEXT = `{"version":1,"id":"${ID}","chunker_polynomial":"25b468838dcb75"}`;
const decode = (text: string): unknown => decodeConfig(Buffer.from(text));

test("a config is the text that restic writes, and reads back", () => {
  const config = {
    version: 1,
    id: ID,
    chunkerPolynomial: 0x25b468838dcb75n,
    extra: {},
  } as const;
  assert.equal(encodeConfig(config).toString(), TEXT);
  assert.deepEqual(decode(TEXT), config);
});

test("members of rustic are kept", () => {
  const text = `${TEXT.slice(0, -1)},"append_only":true,"treepack_size":4194304,"is_hot":false}`;
  const config = decodeConfig(Buffer.from(text));
  assert.deepEqual(config.extra, { append_only: true, treepack_size: 4194304, is_hot: false });
  assert.equal(encodeConfig(config).toString(), text);
});

test("another way of cutting files is refused, the usual one spelled out is not", () => {
  const member = (text: string): string => `${TEXT.slice(0, -1)},${text}}`;
  for (const text of [
    `"chunker":"fixed_size"`,
    `"chunk_size":2097152`,
    `"chunk_min_size":1`,
    `"chunk_max_size":16777216`,
  ]) {
    assert.throws(() => decode(member(text)), { code: "REPO_UNSUPPORTED" }, text);
  }
  for (const text of [
    `"chunker":"rabin"`,
    `"chunker":null`,
    `"chunk_size":1048576,"chunk_min_size":524288,"chunk_max_size":8388608`,
  ]) {
    assert.doesNotThrow(() => decode(member(text)), text);
  }
});

test("a later format version is refused as such", () => {
  const later = TEXT.replace('"version":1', '"version":3');
  assert.throws(() => decode(later), { code: "REPO_UNSUPPORTED" });
});

test("what is no config is damage", () => {
  for (const text of [
    "",
    "{}",
    "[]",
    TEXT.slice(1),
    TEXT.replace('"version":1', '"version":0'),
    TEXT.replace('"version":1', '"version":"1"'),
    TEXT.replace(ID, ID.slice(1)),
    TEXT.replace("25b468838dcb75", ""),
    TEXT.replace("25b468838dcb75", "0x25"),
    TEXT.replace("25b468838dcb75", "1".repeat(17)),
    TEXT.replace('"25b468838dcb75"', "1"),
  ]) {
    assert.throws(() => decode(text), { code: "REPO_CONFIG_DAMAGED" }, text);
  }
});
