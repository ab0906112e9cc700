import { test } from "node:test";
import assert from "node:assert/strict";
import { captureTags, readCaptureMark, type CaptureMark } from "./capture-mark.ts";

const MARK: CaptureMark = {
  database: "odoo, prod=1",
  since: "ab".repeat(32),
  position: { systemId: "7312345678901234567", timeline: 2, lsn: 0x16_b374d848n, time: 1.7e12 },
  missing: 3,
  corrupt: 1,
};

test("a mark comes back from its tags, in any order and beside others", () => {
  assert.deepEqual(readCaptureMark(captureTags(MARK)), MARK);
  assert.deepEqual(readCaptureMark(["mine", ...captureTags(MARK).toReversed()]), MARK);
  const bare = { ...MARK, since: undefined, position: undefined };
  assert.deepEqual(readCaptureMark(captureTags(bare)), bare);
});

test("no tag has a comma, which restic takes for the end of one", () => {
  assert.ok(captureTags(MARK).every((tag) => !tag.includes(",")));
});

test("a snapshot that is no capture has no mark, and neither has one whose position was damaged", () => {
  assert.equal(readCaptureMark(["nightly"]), undefined);
  const tags = captureTags(MARK);
  for (const broken of ["lsn=0/G", "timeline=0", "system=x", "at=yesterday", "missing=-1"]) {
    const [name] = broken.split("=");
    const changed = tags.map((tag) => (tag.startsWith(`${name}=`) ? broken : tag));
    assert.equal(readCaptureMark(changed), undefined, broken);
  }
});
