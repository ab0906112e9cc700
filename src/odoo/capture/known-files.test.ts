import { createHash } from "node:crypto";
import { test } from "node:test";
import assert from "node:assert/strict";
import { KnownFiles } from "./known-files.ts";

const sha1 = (i: number): string => createHash("sha1").update(`${i}`).digest("hex");

test("a listed file of another size than rows say is known no more, until it is proved", () => {
  const known = new KnownFiles();
  for (let i = 0; i < 3000; i++) known.addListed(sha1(i), i);
  assert.ok(known.hasSize(sha1(2999), 2999));
  assert.ok(!known.hasSize(sha1(2000), 1));
  assert.ok(!known.has(sha1(2000)) && known.size === 2999);
  known.add(sha1(2000));
  assert.ok(known.has(sha1(2000)));
  assert.ok(known.hasSize(sha1(2000), 1), "whatever rows say: its content was proved");
});

test("captured files are proved, whether or not a snapshot lists them too", () => {
  const known = new KnownFiles();
  known.add(sha1(1));
  known.addListed(sha1(1), 5);
  assert.ok(known.hasSize(sha1(1), 6));
  assert.ok(!known.hasSize(sha1(2), 6) && !known.has(sha1(2)));
});
