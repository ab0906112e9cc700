import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import {
  isBackupId,
  isServerName,
  newBackupId,
  objectPath,
  readObjectName,
  serverNames,
} from "./layout.ts";
import type { ObjectName, TarName } from "./layout.ts";

const ID = "20261123T101530";

test("objects of every kind", () => {
  const tar = (
    oid: number | null,
    part: number,
    compression: "gzip" | "bzip2" | "snappy" | "lz4" | "zstd" | null,
  ): TarName => ({
    kind: "tar",
    backupId: ID,
    oid,
    part,
    compression,
  });
  const cases: [path: string, name: Exclude<ObjectName, { kind: "foreign" }>][] = [
    [`base/${ID}/backup.info`, { kind: "info", backupId: ID }],
    [`base/${ID}/backup_label`, { kind: "label", backupId: ID }],
    [`base/${ID}/data.tar`, tar(null, 0, null)],
    [`base/${ID}/data.tar.gz`, tar(null, 0, "gzip")],
    [`base/${ID}/data.tar.bz2`, tar(null, 0, "bzip2")],
    [`base/${ID}/data.tar.snappy`, tar(null, 0, "snappy")],
    [`base/${ID}/data.tar.lz4`, tar(null, 0, "lz4")],
    [`base/${ID}/data.tar.zst`, tar(null, 0, "zstd")],
    [`base/${ID}/data_0001.tar.gz`, tar(null, 1, "gzip")],
    [`base/${ID}/data_12345.tar`, tar(null, 12345, null)],
    [`base/${ID}/16385.tar`, tar(16385, 0, null)],
    [`base/${ID}/16385_0002.tar.snappy`, tar(16385, 2, "snappy")],
    [`base/${ID}/annotations/keep`, { kind: "annotation", backupId: ID, key: "keep" }],
    [`base/${ID}/backup_manifest`, { kind: "sidecar", backupId: ID, name: "backup_manifest" }],
    [`meta/${ID}/backup_manifest`, { kind: "meta", backupId: ID, name: "backup_manifest" }],
    [`meta/${ID}/a/b`, { kind: "meta", backupId: ID, name: "a/b" }],
    [`base/${ID}/a/b/c`, { kind: "sidecar", backupId: ID, name: "a/b/c" }],
    [
      "wals/0000000A.history",
      { kind: "wal", wal: { kind: "history", timeline: 10, compression: null } },
    ],
    [
      "wals/0000000100000000/000000010000000000000001.zst",
      {
        kind: "wal",
        wal: {
          kind: "segment",
          name: "000000010000000000000001",
          timeline: 1,
          compression: "zstd",
        },
      },
    ],
  ];
  for (const [path, name] of cases) {
    assert.deepEqual(readObjectName(path), name);
    assert.equal(objectPath(name), path);
  }
});

test("what is almost a tar is a sidecar, and what is not of the layout is foreign", () => {
  for (const name of [
    "data_x.json",
    "data.tar.xz",
    "data.tar.gz.gz",
    "data_1.tar",
    "data_00001.tar",
    "data_0000.tar",
    "data.tar\n",
    "0.tar",
    "016385.tar",
    "4294967296.tar",
    "-1.tar",
    "backup.info.tmp",
  ])
    assert.equal(readObjectName(`base/${ID}/${name}`).kind, "sidecar", name);
  for (const path of [
    "",
    "/",
    "base",
    "base/",
    `base/${ID}`,
    `base/${ID}/`,
    `base//backup.info`,
    "base/latest/backup.info",
    `base/${ID}\n/backup.info`,
    `base/../${ID}/backup.info`,
    "wals",
    "wals/",
    "wals/000000010000000000000001",
    "wals/0000000100000001/000000010000000000000001",
    "wals/0000000100000000/x/000000010000000000000001",
    "wals/../0000000100000000/000000010000000000000001",
    "wals/0000000A/0000000A.history",
    "wals/0000000100000000/000000010000000000000001.tmp",
    `Base/${ID}/backup.info`,
    "meta/x",
  ])
    assert.equal(readObjectName(path).kind, "foreign", path);
});

test("a path that is understood is written the same, whatever it is made of", () => {
  const piece = fc.constantFrom(
    "base",
    "wals",
    ID,
    "data",
    ".tar",
    ".gz",
    "_0001",
    "16385",
    "backup.info",
    "annotations",
    "keep",
    "/",
    "/",
    "/",
    "..",
    "",
    "\n",
    "\0",
    "0000000100000000",
    "000000010000000000000001",
    ".partial",
    "00000002.history",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 9 }), (pieces) => {
      const path = pieces.join("");
      const name = readObjectName(path);
      if (name.kind !== "foreign") assert.equal(objectPath(name), path);
    }),
    { numRuns: 10_000 },
  );
});

test("servers are found below a destination path, at whatever depth their names say", () => {
  const wal = "wals/0000000100000000/000000010000000000000001.gz";
  assert.deepEqual(
    serverNames([
      `odoo-db/base/${ID}/backup.info`,
      `odoo-db/${wal}`,
      `wal-only/${wal}`,
      `tar-only/base/${ID}/data.tar`,
      "histories/wals/00000002.history",
      `base/base/${ID}/data.tar.gz`,
      // Not servers:
      `base/${ID}/backup.info`,
      wal,
      `../${wal}`,
      `./${wal}`,
      `/${wal}`,
      `a\\b/${wal}`,
      `a\n/${wal}`,
      `nested/server/${wal}`,
      `photos/base/${ID}/holiday.jpg`,
      "photos/wals/whale.jpg",
      "README",
      "",
    ]),
    ["base", "histories", "odoo-db", "tar-only", "wal-only"],
  );
  assert.deepEqual(serverNames([]), []);
});

test("names of servers are one part of a path", () => {
  for (const name of ["odoo-db", "a.b", "...", "π", "a b"]) assert.ok(isServerName(name), name);
  for (const name of ["", ".", "..", "a/b", "a\\b", "a\0", "a\n", "\x7f", "x".repeat(256)])
    assert.ok(!isServerName(name));
});

test("ids of backups only ever go up", () => {
  const now = new Date("2026-11-23T10:15:30.999Z");
  assert.ok(isBackupId(ID));
  for (const text of [
    "",
    "20261123T10153",
    "20261123T1015300",
    "20261123t101530",
    `${ID}\n`,
    "2026-11-23T10:15",
  ])
    assert.ok(!isBackupId(text), text);
  assert.equal(newBackupId(now, undefined), ID);
  assert.equal(newBackupId(now, "20261123T101529"), ID);
  assert.equal(newBackupId(now, ID), "20261123T101531");
  assert.equal(newBackupId(now, "20261231T235959"), "20270101T000000");
  assert.throws(() => newBackupId(now, "99991231T235959"), { code: "BARMAN_NAME_INVALID" });
  const milliseconds = fc.integer({ min: 0, max: 4_000_000_000_000 });
  fc.assert(
    fc.property(fc.array(milliseconds, { minLength: 1, maxLength: 20 }), (times) => {
      let newest: string | undefined;
      for (const time of times) {
        const id = newBackupId(new Date(time), newest);
        assert.ok(isBackupId(id) && (newest === undefined || id > newest));
        newest = id;
      }
    }),
    { numRuns: 1000 },
  );
});
