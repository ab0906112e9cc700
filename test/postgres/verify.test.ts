// Archives of real servers, whole and damaged in every way that we know of. PostgreSQL's own pg_verifybackup judges the
// same damage.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { formatHistory } from "../../src/barman/history.ts";
import { HoldfastError, isHoldfastError } from "../../src/base/errors.ts";
import { verifyArchive, type VerifyOptions, type VerifyReport } from "../../src/postgres/verify.ts";
import { forwarding } from "../../src/storage/forwarding.ts";
import { openMemoryStorage } from "../../src/storage/memory.ts";
import type { Storage } from "../../src/storage/storage.ts";
import {
  cut,
  edit,
  flip,
  flipCompressed,
  flipInside,
  foreign,
  infoOf,
  keyOf,
  rename,
  swapPages,
  withoutControl,
  type Objects,
} from "./damage.ts";
import { FIRST, makeScene, SUMMED, UNSUMMED, type Scene } from "./server-archive.ts";
import { skipWithoutServer } from "./servers.ts";
import { openStored, viewed } from "./stored-archive.ts";

/** The archive, untouched. */
const whole = new Map<string, Uint8Array>();
let scene: Scene;

const skip = skipWithoutServer(15);

suite("verify", { skip }, () => {
  before(async () => {
    scene = await makeScene();
    for (const [key, content] of scene.objects) whole.set(key, content);
  });
  after(() => scene.remove());

  test("a whole archive, with a viewer's rights", async () => {
    const report = await verify(whole);
    assert.deepEqual(verdicts(report), ["verified", "verified", "structure", "verified"]);
    assert.equal(report.wal.read, report.wal.objects);
    assert.ok(report.backups.every(({ files, bytes }) => files > 900 && bytes > 20_000_000));
    assert.match(report.backups[2]!.reason!, /no checksum/);
    const stored = [...whole].filter(([key]) => !/backup.info$/.test(key));
    assert.equal(
      report.bytesRead,
      stored.reduce((sum, [, { length }]) => sum + length, 0),
    );
  });

  test("one backup, or WAL only: the rest is not called verified", async () => {
    const one = await verify(whole, { backups: [SUMMED] });
    assert.deepEqual(
      one.backups.map(({ id, verdict }) => [id, verdict]),
      [[SUMMED, "verified"]],
    );
    assert.ok(one.wal.objects < segments().length && one.wal.read === one.wal.objects);
    const wal = await verify(whole, { walOnly: true });
    assert.deepEqual(verdicts(wal), ["unread", "unread", "unread", "verified"]);
    await assert.rejects(verify(whole, { backups: ["20200101T000000"] }), (error) =>
      isHoldfastError(error, "BACKUP_NOT_FOUND"),
    );
  });

  test("with a budget, what was not read is said to be unread", async () => {
    const report = await verify(whole, { budget: 1 });
    assert.deepEqual(verdicts(report).toSorted(), ["unread", "unread", "unread", "verified"]);
    const read = report.backups.find(({ verdict }) => verdict !== "unread")!;
    assert.equal(read.id, FIRST);
    assert.equal(report.wal.verdict, "unread");
    assert.equal(report.wal.reason, "the amount to be read was used up");
    assert.ok(report.wal.read > 0 && report.wal.read < report.wal.objects);
  });

  const tar = (id: string): string =>
    keyOf(id === SUMMED ? `base/${id}/data.tar` : `base/${id}/data.tar.gz`);
  const space = (id: string): string =>
    [...whole.keys()].find((key) => new RegExp(`base/${id}/\\d+\\.tar`).test(key))!;
  const manifest = (id: string): string => keyOf(`meta/${id}/backup_manifest`);

  for (const [damage, id, change, finding] of [
    [
      "a bit in a compressed tar",
      FIRST,
      (all: Objects) => flipCompressed(all, tar(FIRST)),
      /data\.tar\.gz|checksum/,
    ],
    [
      "a tar that was cut off",
      FIRST,
      (all: Objects) => cut(all, tar(FIRST), 0.9),
      /data\.tar\.gz.*(?:cut|end)/,
    ],
    [
      "a plain tar that was cut off",
      SUMMED,
      (all: Objects) => cut(all, tar(SUMMED), 0.9),
      /cut off/,
    ],
    [
      "a tar without its last member and end",
      SUMMED,
      (all: Objects) => withoutControl(all, tar(SUMMED)),
      /cut off/,
    ],
    [
      "a bit in a file of a plain tar",
      SUMMED,
      (all: Objects) => flipInside(all, tar(SUMMED), "base/1/1259"),
      /"base\/1\/1259" has the SHA256 checksum/,
    ],
    [
      "a bit in a file, compressed again",
      FIRST,
      (all: Objects) => flipInside(all, tar(FIRST), "base/1/1259"),
      /"base\/1\/1259" has the CRC32C checksum/,
    ],
    [
      "a file of a tablespace",
      FIRST,
      (all: Objects) => flipInside(all, space(FIRST), "PG_15"),
      /"pg_tblspc\/\d+\/PG_15.*checksum/,
    ],
    [
      "a tablespace that is gone",
      FIRST,
      (all: Objects) => all.delete(space(FIRST)),
      /\d+\.tar is missing/,
    ],
    [
      "a tablespace of another backup",
      FIRST,
      (all: Objects) => all.set(space(FIRST), gzipSync(Buffer.alloc(1024))),
      /"pg_tblspc\/\d+\/PG_15.* is missing/,
    ],
    [
      "a tar of another backup",
      FIRST,
      (all: Objects) => all.set(tar(FIRST), all.get(tar(UNSUMMED))!),
      /its backup_label begins at/,
    ],
    [
      "the same without checksums",
      UNSUMMED,
      (all: Objects) => all.set(tar(UNSUMMED), all.get(tar(FIRST))!),
      /its backup_label begins at/,
    ],
    [
      "a file too many",
      SUMMED,
      (all: Objects) => rename(all, tar(SUMMED), "base/1/1259", "base/1/9251"),
      /"base\/1\/9251" is not in the manifest/,
    ],
    [
      "a path that leads out",
      SUMMED,
      (all: Objects) => rename(all, tar(SUMMED), "base/1/1259", "../../1259\0"),
      /leads out/,
    ],
    [
      "a manifest with a changed byte",
      SUMMED,
      (all: Objects) => flip(all, manifest(SUMMED), 0.5),
      /its checksum is/,
    ],
    [
      "the manifest of another backup",
      SUMMED,
      (all: Objects) => all.set(manifest(SUMMED), all.get(manifest(FIRST))!),
      /its manifest is of other WAL/,
    ],
    [
      "a part too many",
      FIRST,
      (all: Objects) => all.set(keyOf(`base/${FIRST}/data.tar.bz2`), Buffer.from("no")),
      /are the same part/,
    ],
    [
      "a hole in the parts",
      FIRST,
      (all: Objects) =>
        all.set(keyOf(`base/${FIRST}/data_0002.tar.gz`), gzipSync(Buffer.alloc(1024))),
      /data_0001\.tar is missing/,
    ],
    [
      "a backup.info of another cluster",
      FIRST,
      (all: Objects) => edit(all, FIRST, { systemId: "7" }),
      /cluster/,
    ],
    [
      "a backup.info of another version",
      FIRST,
      (all: Objects) => edit(all, FIRST, { version: 160003 }),
      /PostgreSQL "15"/,
    ],
    [
      "a backup.info that is cut off",
      FIRST,
      (all: Objects) => cut(all, keyOf(`base/${FIRST}/backup.info`), 0.5),
      /backup\.info/,
    ],
    [
      "the control file",
      UNSUMMED,
      (all: Objects) => flipInside(all, tar(UNSUMMED), "global/pg_control"),
      /pg_control.*checksum/,
    ],
  ] as const) {
    test(`found: ${damage}`, async () => {
      const all = new Map(whole);
      change(all);
      const report = await verify(all, { backups: [id] });
      const [backup] = report.backups;
      assert.equal(backup!.verdict, "damaged", JSON.stringify(backup));
      assert.ok(
        backup!.findings.some((found) => finding.test(found)),
        backup!.findings.join("\n"),
      );
    });
  }

  const segments = (): string[] =>
    [...whole.keys()].filter((key) => /wals\/.*\/[0-9A-F]{24}\.gz$/.test(key)).toSorted();
  const unzipped = (key: string): Buffer => gunzipSync(whole.get(key)!);
  const rezip = (all: Objects, key: string, content: Uint8Array): Objects =>
    all.set(key, gzipSync(content, { level: 1 }));

  for (const [damage, change, finding] of [
    ["a bit in its compression", flipCompressed, /gzip|WAL/],
    ["cut off", (all: Objects, key: string) => cut(all, key, 0.5), /gzip/],
    [
      "too short",
      (all: Objects, key: string) => rezip(all, key, unzipped(key).subarray(0, 1 << 20)),
      /1048576 bytes/,
    ],
    [
      "another segment",
      (all: Objects, key: string) => all.set(key, whole.get(segments()[0]!)!),
      /begins at/,
    ],
    [
      "another page in the middle",
      (all: Objects, key: string) => rezip(all, key, swapPages(unzipped(key))),
      /page at/,
    ],
    [
      "another server's",
      (all: Objects, key: string) => rezip(all, key, foreign(unzipped(key))),
      /system identifier/,
    ],
    [
      "no WAL at all",
      (all: Objects, key: string) => rezip(all, key, Buffer.alloc(16 << 20)),
      /begin/,
    ],
  ] as const) {
    test(`found in a segment: ${damage}`, async () => {
      const all = new Map(whole);
      const { beginWal } = infoOf(all, SUMMED);
      change(
        all,
        segments().find((key) => key.includes(beginWal!))!,
      );
      const report = await verify(all, { walOnly: true });
      assert.equal(report.wal.verdict, "damaged");
      assert.ok(
        report.wal.findings.some((found) => finding.test(found)),
        report.wal.findings.join("\n"),
      );
      const backup = report.backups.find(({ id }) => id === SUMMED)!;
      assert.deepEqual([backup.verdict, backup.findings.length], ["damaged", 1]);
    });
  }

  test("found: a segment that is lost, a history that contradicts, a label that is none", async () => {
    const all = new Map(whole);
    const { endWal } = infoOf(all, UNSUMMED);
    const lost = segments().find((key) => key.includes(endWal!))!;
    all.delete(lost);
    const label = [...all.keys()].find((key) => key.endsWith(".backup.gz"))!;
    rezip(all, label, Buffer.from("nothing"));
    const fork = (at: bigint): Buffer => formatHistory([{ timeline: 1, at, reason: "" }]);
    all.set(keyOf("wals/00000002.history"), fork(100n));
    const more = formatHistory([
      { timeline: 1, at: 200n, reason: "" },
      { timeline: 2, at: 300n, reason: "" },
    ]);
    all.set(keyOf("wals/00000003.history"), more);
    const { wal } = await verify(all, { walOnly: true, now: Date.now() + 86_400_000 });
    assert.equal(wal.verdict, "damaged");
    const found = wal.findings.join("\n");
    assert.match(found, /is not the label of a backup/);
    assert.match(found, /timeline 2 .*but in/);
    assert.match(found, new RegExp(`${endWal!}.*missing`));
  });

  test("what may not be read is unread, and not damaged", async () => {
    const denying = (pattern: RegExp): Storage => {
      const memory = openMemoryStorage({ objects: new Map(whole) });
      return forwarding(memory, {
        get: async (key, options) => {
          if (pattern.test(key)) throw new HoldfastError("STORAGE_DENIED", `${key} is denied`);
          return await memory.get(key, options);
        },
      });
    };
    const tarDenied = await verify(denying(new RegExp(tar(FIRST))));
    assert.deepEqual(verdicts(tarDenied), ["unread", "verified", "structure", "verified"]);
    assert.deepEqual(tarDenied.denied, [tar(FIRST).slice(3)]);
    const infoDenied = await verify(denying(new RegExp(`${FIRST}/backup.info`)));
    assert.deepEqual(verdicts(infoDenied), ["unread", "verified", "structure", "unread"]);
    const walDenied = await verify(denying(/wals/));
    assert.deepEqual(verdicts(walDenied), ["unread", "unread", "unread", "unread"]);
  });

  test("pg_verifybackup judges the same", () => {
    for (const change of [undefined, flipInside, rename]) {
      const all = new Map(whole);
      if (change === flipInside) flipInside(all, tar(FIRST), "base/1/1259");
      if (change === rename) rename(all, tar(FIRST), "base/1/1259", "base/1/9251");
      const folder = mkdtempSync(join(tmpdir(), "holdfast-verify-"));
      try {
        const unpack = (key: string, into: string): void => {
          mkdirSync(into, { recursive: true });
          execFileSync("tar", ["-xzf", "-", "-C", into], { input: all.get(key)! });
        };
        unpack(tar(FIRST), folder);
        const oid = /(\d+)\.tar/.exec(space(FIRST))![1]!;
        rmSync(join(folder, "pg_tblspc", oid), { force: true });
        unpack(space(FIRST), join(folder, "pg_tblspc", oid));
        writeFileSync(join(folder, "backup_manifest"), all.get(manifest(FIRST))!);
        const { status, stderr } = spawnSync(
          join(scene.server.programs, "pg_verifybackup"),
          ["-n", folder],
          { encoding: "utf8" },
        );
        assert.equal(status === 0, change === undefined, stderr);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    }
  });
});

async function verify(
  objects: Objects | Storage,
  options: Partial<VerifyOptions> = {},
): Promise<VerifyReport> {
  const storage =
    objects instanceof Map ? openMemoryStorage({ objects: new Map(objects) }) : objects;
  return await verifyArchive({
    archive: openStored(viewed(storage)),
    now: Date.now(),
    shuffle: (items) => [...items],
    ...options,
  });
}

/** Of the backups in the order of their ids, and of the WAL. */
function verdicts({ backups, wal }: VerifyReport): string[] {
  return [...backups.map(({ verdict }) => verdict), wal.verdict];
}
