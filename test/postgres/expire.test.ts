// What `expire` takes from an archive, where it is refused and where it dies.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { isHoldfastError } from "../../src/base/errors.ts";
import { formatBackupInfo } from "../../src/barman/backup-info.ts";
import { parseRetentionPolicy } from "../../src/barman/retention.ts";
import { loadCatalogue } from "../../src/postgres/archive.ts";
import { expire, previewExpire, requireDeletable } from "../../src/postgres/expire.ts";
import { keepBackup } from "../../src/postgres/keep.ts";
import type { ExpireReport } from "../../src/postgres/expire.ts";
import { faulty } from "../../src/storage/faulty.ts";
import { forwarding } from "../../src/storage/forwarding.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { Archive, DAY, doneInfo, idAt, START, walPath } from "../barman/archives.ts";
import { openStored, retaining, storageOf } from "./stored-archive.ts";

const LAST = 20;
const NOW = START + 30 * DAY;
const at = (segment: number): number => START + segment * DAY;
const FAILED = { status: "FAILED", error: "no space left", endTime: null } as const;
const [OLD, INCREMENT, NEW, BROKEN] = [4, 6, 15, 2].map((segment) => idAt(at(segment))) as [
  string,
  string,
  string,
  string,
];

/** An old backup with an increment, a new one, one that failed, one that was cut off, and a partial too many. */
function example(): Archive {
  const archive = new Archive().wal({ first: 0, last: LAST, time: at });
  archive.backup(doneInfo({ first: 2, time: at(2), more: FAILED }), { id: BROKEN });
  archive.backup(doneInfo({ first: 4, time: at(4) }));
  archive.put(`meta/${OLD}/backup_manifest`, at(4), 300);
  const extra = new Map([["parent_backup_id", OLD]]);
  archive.backup(doneInfo({ first: 6, time: at(6), more: { extra } }));
  archive.backup(doneInfo({ first: 15, time: at(15) }));
  archive.put("base/20261103T000000/data.tar.gz", at(2), 10);
  return archive.put(walPath(1, 18, ".partial"), at(18), 16 << 20);
}

const SETTINGS = { policy: parseRetentionPolicy("REDUNDANCY 1", "policy") };

async function run(storage: Storage): Promise<ExpireReport> {
  const archive = openStored(storage);
  const shown = await previewExpire({ ...SETTINGS, archive, now: NOW });
  return await expire({ ...SETTINGS, archive, shown, now: () => NOW });
}

async function pathsIn(storage: Storage): Promise<string[]> {
  const paths: string[] = [];
  for await (const { key } of storage.list("pg")) paths.push(key.slice("pg/".length));
  return paths.toSorted();
}

suite("expire", () => {
  test("takes what is obsolete and what is left over, and nothing else", async () => {
    const storage = storageOf(example());
    const before = await pathsIn(storage);
    const { backups, objects, bytes, refusals } = await run(storage);
    const after = await pathsIn(storage);
    assert.deepEqual(backups, [BROKEN, "20261103T000000", OLD, INCREMENT].toSorted());
    assert.deepEqual(refusals, []);
    assert.equal(objects, before.length - after.length);
    assert.ok(bytes > 16 << 20);
    assert.deepEqual(after, [
      `base/${NEW}/backup.info`,
      `base/${NEW}/data.tar.gz`,
      ...[15, 16, 17, 18, 19, 20].map((segment) => walPath(1, segment, ".gz")),
    ]);
    assert.deepEqual(await run(storage), { backups: [], objects: 0, bytes: 0, refusals: [] });
  });

  test("a preview deletes nothing", async () => {
    const storage = storageOf(example());
    const before = await pathsIn(storage);
    await previewExpire({ ...SETTINGS, archive: openStored(storage), now: NOW });
    assert.deepEqual(await pathsIn(storage), before);
  });

  test("whenever it dies, every backup that is still done can be restored, and a second run ends the work", async () => {
    const end = storageOf(example());
    await run(end);
    for (let calls = 0, died = true; died; calls++) {
      const storage = storageOf(example());
      const dying = faulty(storage, [
        { on: "delete", skip: calls, fault: { kind: "kill", when: "after" } },
      ]);
      // One object after the other, so that it may die between any two.
      const oneByOne = forwarding(dying, {
        deleteMany: async (keys, options) => {
          for (const key of keys) await dying.delete(key, options);
        },
      });
      died = await run(oneByOne).then(
        () => false,
        () => true,
      );
      const catalogue = await loadCatalogue(openStored(storage), { now: NOW });
      for (const { id, state, parent, flaws } of catalogue.backups) {
        if (state !== "done") continue;
        assert.deepEqual(
          flaws,
          parent === undefined ? [] : [`it is an increment of ${parent}, to be combined first`],
          id,
        );
        if (parent !== undefined) assert.ok(catalogue.backups.some((one) => one.id === parent));
      }
      await run(storage);
      assert.deepEqual(await pathsIn(storage), await pathsIn(end));
      assert.ok(died || calls > 20);
    }
  });

  test("what the storage will not delete stays whole, and the rest goes", async () => {
    const storage = storageOf(example());
    const { backups, refusals } = await run(
      retaining(storage, new RegExp(`base/${INCREMENT}/backup.info`)),
    );
    assert.deepEqual(backups, [BROKEN, "20261103T000000"].toSorted());
    assert.deepEqual(
      refusals.map(({ backup, path }) => [backup, path]),
      [[INCREMENT, `base/${INCREMENT}/backup.info`]],
    );
    const { backups: left } = await loadCatalogue(openStored(storage), { now: NOW });
    // What it is built on stays with it, and all WAL of both.
    assert.deepEqual(
      left.map(({ id, flaws }) => [id, flaws.length]),
      [
        [OLD, 0],
        [INCREMENT, 1],
        [NEW, 0],
      ],
    );
    const paths = await pathsIn(storage);
    assert.ok(paths.includes(walPath(1, 4, ".gz")) && !paths.includes(walPath(1, 3, ".gz")));
  });

  test("snapshots of disks are not left without what names them", async () => {
    const archive = new Archive().wal({ first: 0, last: LAST, time: at });
    const snapshots = { snapshotsInfo: "{'provider': 'gcp'}" };
    const id = archive.backup(doneInfo({ first: 4, time: at(4), more: snapshots }), { tars: [] });
    archive.put(`base/${id}/backup_label`, at(4), 200);
    const failed = { ...FAILED, ...snapshots };
    archive.backup(doneInfo({ first: 3, time: at(3), more: failed }), { tars: [] });
    archive.backup(doneInfo({ first: 15, time: at(15) }));
    const storage = storageOf(archive);
    const before = await pathsIn(storage);
    const { backups } = await run(storage);
    assert.deepEqual(backups, []);
    assert.deepEqual(
      before.filter((path) => !/0000000[0-3]\.gz$/.test(path)),
      await pathsIn(storage),
    );
  });

  test("WAL under retention stays from there on", async () => {
    const storage = storageOf(example());
    const { refusals, backups } = await run(retaining(storage, /000000010000000000000007/));
    assert.equal(refusals.length, 1);
    assert.equal(backups.length, 4);
    const wal = (await pathsIn(storage)).filter((path) => path.startsWith("wals/"));
    assert.deepEqual(
      wal,
      Array.from({ length: 14 }, (_, i) => walPath(1, i + 7, ".gz")),
    );
  });

  test("without the right to delete anything, everything is as before", async () => {
    const storage = storageOf(example());
    const before = await pathsIn(storage);
    const { objects, refusals } = await run(retaining(storage, /./));
    assert.equal(objects, 0);
    assert.ok(refusals.length >= 4);
    assert.deepEqual(await pathsIn(storage), before);
  });

  test("a backup that is kept, or comes to its end, while the plan is looked at stays", async () => {
    const storage = storageOf(example());
    const archive = openStored(storage);
    const shown = await previewExpire({ ...SETTINGS, archive, now: NOW });
    await storage.put(`pg/base/${OLD}/annotations/keep`, Buffer.from("full"));
    const late = formatBackupInfo(doneInfo({ first: 3, time: at(3) }));
    await storage.put("pg/base/20261103T000000/backup.info", late);
    const { backups } = await expire({ ...SETTINGS, archive, shown, now: () => NOW });
    assert.deepEqual(backups, [BROKEN]);
    const paths = await pathsIn(storage);
    assert.ok(paths.includes(`base/${OLD}/data.tar.gz`));
    assert.ok(paths.includes("base/20261103T000000/data.tar.gz"));
    assert.ok(paths.includes(walPath(1, 4, ".gz")));
  });

  test("the same between the last look and the deletion itself", async () => {
    const storage = storageOf(example());
    let looks = 0;
    const racing = forwarding(storage, {
      list: async function* (prefix, options) {
        yield* storage.list(prefix, options);
        looks++;
        if (looks !== 2) return;
        await storage.put(`pg/base/${OLD}/annotations/keep`, Buffer.from("full"));
        const late = formatBackupInfo(doneInfo({ first: 3, time: at(3) }));
        await storage.put("pg/base/20261103T000000/backup.info", late);
      },
    });
    const { backups, refusals } = await run(racing);
    assert.equal(looks, 2);
    assert.deepEqual(backups, [BROKEN, INCREMENT]);
    assert.deepEqual(
      refusals.map(({ backup, message }) => [backup, message]),
      [
        [OLD, "it is kept now"],
        ["20261103T000000", "it is a backup now"],
      ],
    );
    const paths = await pathsIn(storage);
    assert.ok(paths.includes(`base/${OLD}/data.tar.gz`) && paths.includes(walPath(1, 4, ".gz")));
    assert.ok(paths.includes("base/20261103T000000/data.tar.gz"));
    // What the one that came to its end needs, nobody had looked at.
    assert.ok(paths.includes(walPath(1, 3, ".gz")));
  });

  test("a backup that is kept in the moment of the deletion is there afterwards, with what it needs", async () => {
    const storage = storageOf(example());
    const racing = forwarding(storage, {
      deleteMany: async (keys, options) => {
        if (keys.includes(`pg/base/${OLD}/backup.info`)) {
          const mark = { archive: openStored(storage), id: OLD, mark: "full", now: NOW } as const;
          assert.equal(await keepBackup(mark), undefined);
        }
        await storage.deleteMany(keys, options);
      },
    });
    const { refusals, backups } = await run(racing);
    assert.deepEqual(
      refusals.map(({ backup, message }) => [backup, message]),
      [[OLD, "it is kept now"]],
    );
    assert.ok(!backups.includes(OLD));
    const catalogue = await loadCatalogue(openStored(storage), { now: NOW });
    const kept = catalogue.backups.find(({ id }) => id === OLD);
    assert.deepEqual([kept?.keep, kept?.flaws], ["full", []]);
  });

  test("a backup that goes while it is marked is not called kept", async () => {
    const storage = storageOf(example());
    const racing = forwarding(storage, {
      put: async (key, body, options) => {
        await storage.delete(`pg/base/${OLD}/backup.info`);
        return await storage.put(key, body, options);
      },
    });
    await assert.rejects(
      keepBackup({ archive: openStored(racing), id: OLD, mark: "full", now: NOW }),
      (error) => isHoldfastError(error, "BACKUP_NOT_FOUND"),
    );
  });

  test("an archive with a field that nobody knows, or with what cannot be read, is refused", async () => {
    for (const [content, code] of [
      [
        formatBackupInfo(
          doneInfo({ first: 8, time: at(8), more: { extra: new Map([["zz", "1"]]) } }),
        ),
        "ARCHIVE_FOREIGN",
      ],
      [Buffer.from("no field\n"), "BARMAN_INFO_DAMAGED"],
    ] as const) {
      const storage = storageOf(example());
      await storage.put(`pg/base/${idAt(at(8))}/backup.info`, content);
      const before = await pathsIn(storage);
      await assert.rejects(
        run(storage),
        (error) => isHoldfastError(error, code) && error.hint !== undefined,
      );
      const archive = openStored(storage);
      const preview = await previewExpire({ ...SETTINGS, archive, now: NOW });
      assert.throws(
        () => requireDeletable(preview, archive),
        (error) => isHoldfastError(error, code),
      );
      assert.deepEqual(preview.steps, []);
      assert.deepEqual(await pathsIn(storage), before);
    }
  });
});
