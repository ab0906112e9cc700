import { test } from "node:test";
import assert from "node:assert/strict";
import { isHoldfastError } from "./errors.ts";
import { parseByteSize } from "./byte-size.ts";

test("sizes are whole numbers with a power of 1024 as suffix", () => {
  const sizes = {
    "0": 0,
    "1024": 1024,
    "7b": 7,
    "1k": 1024,
    "10M": 10485760,
    "3g": 3 * 2 ** 30,
    "2T": 2 ** 41,
  };
  for (const [text, bytes] of Object.entries(sizes)) {
    assert.equal(parseByteSize(text, "--limit"), bytes);
    assert.equal(parseByteSize(text.toUpperCase(), "--limit"), bytes);
  }
});

test("anything else is a usage error that names its source", () => {
  for (const text of [
    "",
    " ",
    "M",
    "-1",
    "1.5G",
    "1 M",
    "0x10",
    "10MB",
    "1e3",
    "9999999999999M",
    "9223372036854775808",
  ]) {
    assert.throws(
      () => parseByteSize(text, "--limit"),
      (error: unknown) => isHoldfastError(error, "USAGE") && error.message.includes("--limit"),
      text,
    );
  }
});
