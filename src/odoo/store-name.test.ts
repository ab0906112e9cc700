import { test } from "node:test";
import assert from "node:assert/strict";
import { isSha1, isStoreFolder, readStoreName, storePath } from "./store-name.ts";

const SHA1 = "ab0123456789abcdef0123456789abcdef012345";

test("files of both layouts, whatever slashes come first", () => {
  assert.deepEqual(readStoreName(`ab/${SHA1}`), { kind: "local", sha1: SHA1, path: `ab/${SHA1}` });
  assert.deepEqual(readStoreName(`/ab0/${SHA1}`), {
    kind: "local",
    sha1: SHA1,
    path: `ab0/${SHA1}`,
  });
  assert.equal(storePath(SHA1), `ab/${SHA1}`);
});

test("objects of stores outside are told apart by their scheme", () => {
  assert.deepEqual(readStoreName("s3://bucket/key"), { kind: "external", scheme: "s3" });
  assert.deepEqual(readStoreName("my_store://name-12-0.pdf"), {
    kind: "external",
    scheme: "my_store",
  });
});

test("what is neither is unknown, also a path that leaves the filestore", () => {
  for (const name of [`../${SHA1}`, `ff/${SHA1}`, `ab/${SHA1}/..`, "", `AB/${SHA1}`, SHA1]) {
    assert.deepEqual(readStoreName(name), { kind: "unknown" }, name);
  }
});

test("names of files and folders", () => {
  assert.ok(isSha1(SHA1) && !isSha1(SHA1.toUpperCase()) && !isSha1(SHA1.slice(1)));
  assert.ok(isStoreFolder("0f") && isStoreFolder("0fa"));
  assert.ok(!isStoreFolder("checklist") && !isStoreFolder("0") && !isStoreFolder("0fab"));
});
