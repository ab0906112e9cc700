// Expectations come from os.FileMode of Go 1.26 on Linux.

import assert from "node:assert/strict";
import test from "node:test";
import { toGoMode, toUnixMode } from "./file-mode.ts";

/** [st_mode, os.FileMode]. */
const MODES: readonly (readonly [unix: number, go: number])[] = [
  [0o100644, 0o644],
  [0o100000, 0],
  [0o040755, 2147484141],
  [0o120777, 134218239],
  [0o060660, 67109296],
  [0o020620, 69206416],
  [0o010600, 33554816],
  [0o140755, 16777709],
  [0o104755, 8389101],
  [0o102755, 4194797],
  [0o041777, 2148532735],
  [0o107777, 13631999],
];

test("modes are translated as Go does, both ways", () => {
  for (const [unix, go] of MODES) {
    assert.equal(toGoMode(unix), go, unix.toString(8));
    assert.equal(toUnixMode(go), unix, unix.toString(8));
  }
});

test("a type that Go does not know is irregular, and has no Unix type", () => {
  assert.equal(toGoMode(0o160644), 0o644 | (1 << 19));
  assert.equal(toUnixMode(0o644 | (1 << 19)), 0o644);
});
