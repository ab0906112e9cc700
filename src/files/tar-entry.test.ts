// That whole archives are restic's is proved by test/interop/dump-archive.test.ts; here is what few files bring about.

import { suite, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { TAR_BLOCK, encodeTarEntry, tarPadding } from "./tar-entry.ts";
import type { TarEntry } from "./tar-entry.ts";

const entry = (more: Partial<TarEntry>): TarEntry => ({
  name: "a",
  type: "file",
  mode: 0o644,
  uid: 0,
  gid: 0,
  user: "",
  group: "",
  size: 0,
  mtime: 0,
  linkTarget: "",
  attributes: [],
  ...more,
});

/** The records of the extended header, undefined without one. */
function recordsOf(bytes: Buffer): Record<string, string> | undefined {
  if (bytes.length === TAR_BLOCK) return undefined;
  assert.equal(bytes.toString("latin1", 156, 157), "x");
  const size = Number.parseInt(bytes.toString("latin1", 124, 135), 8);
  const records: Record<string, string> = {};
  let rest = bytes.toString("latin1", TAR_BLOCK, TAR_BLOCK + size);
  while (rest !== "") {
    const length = Number.parseInt(rest, 10);
    const [, key = "", value = ""] = /^\d+ ([^=]+)=([^]*)\n$/.exec(rest.slice(0, length))!;
    records[key] = value;
    rest = rest.slice(length);
  }
  assert.equal(bytes.length, 2 * TAR_BLOCK + size + tarPadding(size));
  return records;
}

suite("the header of a tar entry", () => {
  test("is one block when all fits", () => {
    const bytes = encodeTarEntry(
      entry({ name: "d/", type: "dir", mode: 0o1777, user: "root", mtime: 0o777 }),
    );
    assert.equal(bytes.length, TAR_BLOCK);
    assert.equal(bytes.toString("latin1", 0, 3), "d/\0");
    assert.equal(bytes.toString("latin1", 100, 108), "0001777\0");
    assert.equal(bytes.toString("latin1", 136, 148), "00000000777\0");
    assert.equal(bytes.toString("latin1", 156, 157), "5");
    const sum = bytes.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 0x20 : byte), 0);
    assert.equal(Number.parseInt(bytes.toString("latin1", 148, 154), 8), sum);
  });

  test("divides a long name at a slash", () => {
    const [prefix, name] = ["p".repeat(155), "n".repeat(100)];
    const bytes = encodeTarEntry(entry({ name: `${prefix}/${name}` }));
    assert.equal(bytes.length, TAR_BLOCK);
    assert.equal(bytes.toString("latin1", 0, 100), name);
    assert.equal(bytes.toString("latin1", 345, 500), prefix);
  });

  test("takes an extended one for what does not fit", () => {
    const name = "n".repeat(101);
    assert.deepEqual(recordsOf(encodeTarEntry(entry({ name }))), { path: name });
    assert.deepEqual(recordsOf(encodeTarEntry(entry({ name: "\xc3\xa4" }))), { path: "\xc3\xa4" });
    assert.deepEqual(
      recordsOf(
        encodeTarEntry(entry({ uid: 2 ** 21, gid: 2 ** 21 - 1, size: 2 ** 33, mtime: -5 })),
      ),
      { mtime: "-5", size: String(2 ** 33), uid: String(2 ** 21) },
    );
    const attributes = [["user.a", "\0b\n"]] as const;
    assert.deepEqual(recordsOf(encodeTarEntry(entry({ attributes }))), {
      "SCHILY.xattr.user.a": "\0b\n",
    });
    const linkTarget = "\xff".repeat(3);
    assert.deepEqual(recordsOf(encodeTarEntry(entry({ type: "symlink", linkTarget }))), {
      linkpath: linkTarget,
    });
  });

  test("counts the length of a record with the digits of the length", () => {
    const text = fc.string({
      unit: fc.constantFrom("a", "/", "\xe4"),
      minLength: 85,
      maxLength: 1100,
    });
    fc.assert(
      fc.property(text, (linkTarget) => {
        const records = recordsOf(encodeTarEntry(entry({ type: "symlink", linkTarget })));
        assert.equal(records?.["linkpath"] ?? linkTarget, linkTarget);
      }),
    );
  });
});
