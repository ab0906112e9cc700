import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { BackupManifest, ManifestFile } from "../../barman/backup-manifest.ts";
import type { TarMember } from "../../barman/tar-header.ts";
import { ContentCheck } from "./content-check.ts";

/** CRC-32C of "123456789", as published, in the order of a little-endian machine's memory. */
const NINE: ManifestFile = { size: 9, algorithm: "CRC32C", checksum: "839206e3" };

function manifest(files: Record<string, ManifestFile>): BackupManifest {
  return {
    version: 1,
    systemId: undefined,
    files: new Map(Object.entries(files)),
    walRanges: [],
    checksum: "",
  };
}

function received(): ContentCheck {
  const check = new ContentCheck();
  for (const [path, oid] of [
    ["global/1", null],
    ["./base/2", null],
    ["PG_15_2022/5/3", 16385],
  ] as const) {
    const member = { path, type: "file", size: 9 } as TarMember;
    check.begin();
    check.content(Buffer.from("1234"));
    check.content(Buffer.from("56789"));
    check.end(member, oid);
  }
  check.begin();
  check.end({ path: "base", type: "directory", size: 0 } as TarMember, null);
  return check;
}

const all = { "global/1": NINE, "base/2": NINE, "pg_tblspc/16385/PG_15_2022/5/3": NINE };

describe("what came against the manifest", () => {
  test("files of the data directory and of tablespaces agree", () => {
    const check = received();
    assert.equal(check.count, 3);
    check.compare(manifest(all));
  });

  const { "base/2": _, ...less } = all;
  const cases: [string, Record<string, ManifestFile>, RegExp][] = [
    [
      "another size",
      { ...all, "base/2": { ...NINE, size: 10 } },
      /"base\/2" has 9 bytes, the manifest says 10/,
    ],
    [
      "another checksum",
      { ...all, "base/2": { ...NINE, checksum: "e3069283" } },
      /"base\/2" has the CRC32C checksum/,
    ],
    [
      "another kind of checksum",
      { ...all, "base/2": { size: 9, algorithm: "NONE", checksum: "" } },
      /has the NONE checksum/,
    ],
    ["a file that is missing", { ...all, "base/3": NINE }, /"base\/3" is missing/],
    ["a file that is too much", less, /"base\/2" is not in the manifest/],
  ];
  for (const [name, files, message] of cases) {
    test(`${name} is damage`, () => {
      assert.throws(() => received().compare(manifest(files)), { code: "BACKUP_DAMAGED", message });
    });
  }

  test("of many differences the first are named, and the rest counted", () => {
    const many = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`x/${i}`, NINE]));
    assert.throws(() => received().compare(manifest({ ...all, ...many })), {
      message: /"x\/4" is missing, and 15 more$/,
    });
  });
});
