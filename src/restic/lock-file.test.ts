// The JSON texts were made by Go 1.26 from a struct with the members that docs/formats/restic.md#locks lists.

import assert from "node:assert/strict";
import test from "node:test";
import { decodeLock, encodeLock } from "./lock-file.ts";

const TIME = "2024-03-01T12:30:45.12-05:30";
const ROOT = {
  time: TIME,
  exclusive: true,
  hostname: "h",
  username: "u",
  pid: 123,
  uid: 0,
  gid: 0,
};
const ROOT_TEXT = `{"time":"${TIME}","exclusive":true,"hostname":"h","username":"u","pid":123}`;
const USER = {
  ...ROOT,
  exclusive: false,
  hostname: "h<",
  username: "ü",
  pid: 1,
  uid: 1000,
  gid: 100,
};
const USER_TEXT = `{"time":"${TIME}","exclusive":false,"hostname":"h\\u003c","username":"ü","pid":1,"uid":1000,"gid":100}`;

test("locks are written as Go does, and read back", () => {
  assert.equal(encodeLock(ROOT).toString(), ROOT_TEXT);
  assert.deepEqual(decodeLock(Buffer.from(ROOT_TEXT)), ROOT);
  assert.equal(encodeLock(USER).toString(), USER_TEXT);
  assert.deepEqual(decodeLock(Buffer.from(`${USER_TEXT}\n`)), USER);
});

test("what is no lock is damage", () => {
  for (const text of [
    "",
    "{}",
    "[]",
    ROOT_TEXT.slice(1),
    ROOT_TEXT.replace("2024", "24"),
    ROOT_TEXT.replace("true", "1"),
    ROOT_TEXT.replace("123", "-1"),
    ROOT_TEXT.replace('"h"', "{}"),
  ]) {
    assert.throws(() => decodeLock(Buffer.from(text)), { code: "LOCK_DAMAGED" }, text);
  }
});
