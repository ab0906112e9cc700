// What `pg wal-push` promises: 0 only when the content is durable under its name, nothing replaced, no other server's WAL let
// in, no partial segment beside a whole one; whatever is repeated, raced or killed.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { gunzipSync, gzipSync, zstdCompressSync } from "node:zlib";
import { formatBackupInfo } from "../../src/barman/backup-info.ts";
import { archiveOf, type Archive } from "../../src/postgres/archive.ts";
import { IDENTITY_PATH } from "../../src/postgres/archive-identity.ts";
import { fetchWal, requireWalName } from "../../src/postgres/wal-fetch.ts";
import { pushWal, type PushedWal } from "../../src/postgres/wal-push.ts";
import { parseWalCompression } from "../../src/postgres/wal-codec.ts";
import { openMemoryStorage } from "../../src/storage/memory.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { doneInfo } from "../barman/archives.ts";
import { makeSegment, MADE_SIZE, MADE_SYSTEM_ID } from "./segments.ts";
import { retaining } from "./stored-archive.ts";

const folder = mkdtempSync(join(tmpdir(), "holdfast-push-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const NAME = "0000000200000001000000AB";
const IN_FOLDER = "wals/0000000200000001";
const SEGMENT = makeSegment({ name: NAME });
const OTHER = makeSegment({ name: NAME, seed: 1 });
const HISTORY = "1\t0/500000\tno recovery target specified\n";

/** A file called `name` with that content. */
function file(name: string, content: string | Uint8Array): string {
  const path = join(mkdtempSync(join(folder, "source-")), name);
  writeFileSync(path, content);
  return path;
}

function open(storage: Storage = openMemoryStorage()): Archive {
  return archiveOf(storage, "one");
}

async function push(
  archive: Archive,
  content: Uint8Array | string,
  name = NAME,
): Promise<PushedWal> {
  return await pushWal({ archive, path: file(name, content) });
}

async function paths(archive: Archive): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of archive.storage.list("wals")) found.push(key);
  return found.toSorted();
}

async function served(archive: Archive, name = NAME): Promise<Buffer | undefined> {
  const found = await fetchWal({ archive, name: requireWalName(name) });
  return found && Buffer.from(found.content);
}

suite("a segment", () => {
  test("is stored once, and the same again is success", async () => {
    const archive = open();
    const first = await push(archive, SEGMENT);
    const object = `${IN_FOLDER}/${NAME}.gz`;
    const expected = {
      name: NAME,
      kind: "segment",
      object,
      bytes: MADE_SIZE,
      removed: [],
      left: [],
    };
    assert.deepEqual(first, { ...expected, isNew: true });
    await push(archive, SEGMENT);
    assert.deepEqual(await paths(archive), [object]);
    assert.deepEqual(gunzipSync(await archive.storage.get(object)), SEGMENT);
    assert.equal(
      Buffer.from(await archive.storage.get(IDENTITY_PATH)).toString(),
      `{"systemId":"${MADE_SYSTEM_ID}"}\n`,
    );
  });

  test("that is there already, with whatever compression, is the same or is refused", async () => {
    for (const [suffix, compress] of [
      ["", (bytes: Buffer) => bytes],
      [".gz", (bytes: Buffer) => gzipSync(bytes, { level: 9 })],
      [".zst", (bytes: Buffer) => zstdCompressSync(bytes)],
    ] as const) {
      const archive = open();
      const path = `${IN_FOLDER}/${NAME}${suffix}`;
      await archive.storage.put(path, compress(SEGMENT));
      const same = await push(archive, SEGMENT);
      assert.deepEqual([same.isNew, same.object], [false, path]);
      await assert.rejects(push(archive, OTHER), { code: "WAL_DIFFERS" });
      assert.deepEqual(await paths(archive), [path]);
      assert.deepEqual(await served(archive), SEGMENT);
    }
  });

  test("is refused where a damaged object has its name", async () => {
    const archive = open();
    await archive.storage.put(`${IN_FOLDER}/${NAME}.gz`, gzipSync(SEGMENT).subarray(0, 1000));
    await assert.rejects(push(archive, SEGMENT), { code: "WAL_DIFFERS" });
  });

  test("that is not what its name says never leaves", async () => {
    const archive = open();
    for (const content of [
      new Uint8Array(0),
      Buffer.alloc(MADE_SIZE),
      SEGMENT.subarray(0, MADE_SIZE - 1),
      Buffer.concat([SEGMENT, Buffer.alloc(1)]),
      makeSegment({ name: "0000000200000001000000AC" }),
      makeSegment({ name: NAME, timeline: 3 }),
    ]) {
      await assert.rejects(push(archive, content), { code: "WAL_INVALID" });
    }
    assert.deepEqual(await paths(archive), []);
    await assert.rejects(push(archive, SEGMENT, "base.tar"), { code: "USAGE" });
    await assert.rejects(push(archive, SEGMENT, `${NAME}.gz`), { code: "USAGE" });
    await assert.rejects(pushWal({ archive, path: join(folder, NAME) }), {
      code: "SOURCE_MISSING",
    });
  });

  test("of 64 megabytes, and the first of a new timeline, are stored as others are", async () => {
    const archive = open();
    const large = makeSegment({ name: NAME.replace("AB", "2B"), size: 64 << 20 });
    await push(archive, large, NAME.replace("AB", "2B"));
    assert.deepEqual(await served(archive, NAME.replace("AB", "2B")), large);
    const copied = makeSegment({ name: NAME, timeline: 1 });
    await push(archive, copied);
    assert.deepEqual(await served(archive), copied);
  });
});

suite("the archive of another server", () => {
  const foreign = makeSegment({ name: "000000020000000100000001", systemId: 77n });

  test("is told by what the first push wrote down", async () => {
    const archive = open();
    await push(archive, foreign, "000000020000000100000001");
    await assert.rejects(push(archive, SEGMENT), {
      code: "ARCHIVE_FOREIGN",
      message: /identifier 77/,
    });
  });

  test("is told by its newest backup, and by its WAL, where nothing is written down", async () => {
    const info = doneInfo({ first: 2, time: Date.UTC(2026, 10, 1), more: { systemId: "77" } });
    const [backed, archived, mixed] = [open(), open(), open()];
    await backed.storage.put("base/20261101T000000/backup.info", formatBackupInfo(info));
    await assert.rejects(push(backed, SEGMENT), { code: "ARCHIVE_FOREIGN" });
    await archived.storage.put(
      "wals/0000000200000001/000000020000000100000001.zst",
      zstdCompressSync(foreign),
    );
    await assert.rejects(push(archived, SEGMENT), { code: "ARCHIVE_FOREIGN" });
    // What is damaged says nothing, and is passed over.
    await mixed.storage.put("base/20261101T000000/backup.info", Buffer.from("status=?"));
    await mixed.storage.put(
      "wals/0000000200000001/000000020000000100000001",
      Buffer.alloc(MADE_SIZE),
    );
    await mixed.storage.put("wals/0000000200000001/000000020000000100000002", foreign);
    await assert.rejects(push(mixed, SEGMENT), { code: "ARCHIVE_FOREIGN" });
    for (const archive of [backed, archived, mixed]) {
      assert.ok(!(await paths(archive)).some((path) => path.includes(NAME)));
      await assert.rejects(archive.storage.get(IDENTITY_PATH), { code: "STORAGE_NOT_FOUND" });
    }
  });

  test("takes no history either, where the server is known", async () => {
    const archive = open();
    await push(archive, foreign, "000000020000000100000001");
    const path = file("00000002.history", HISTORY);
    await assert.rejects(pushWal({ archive, path, systemId: MADE_SYSTEM_ID }), {
      code: "ARCHIVE_FOREIGN",
    });
    await pushWal({ archive, path, systemId: 77n });
  });
});

suite("histories and labels", () => {
  test("are stored as they are, once", async () => {
    const archive = open();
    const label = "START WAL LOCATION: 1/AB000028 (file 0000000200000001000000AB)\n";
    for (const [name, content, path] of [
      ["00000002.history", HISTORY, "wals/00000002.history"],
      [`${NAME}.00000028.backup`, label, `${IN_FOLDER}/${NAME}.00000028.backup`],
    ] as const) {
      for (const _ of [1, 2]) assert.equal((await push(archive, content, name)).object, path);
      assert.equal(Buffer.from(await archive.storage.get(path)).toString(), content);
      await assert.rejects(
        push(archive, content.replace("1", "2").replace("START", "START"), name),
      );
      assert.equal(Buffer.from(await archive.storage.get(path)).toString(), content);
    }
  });

  test("that Barman stored compressed are the same, or refused", async () => {
    const archive = open();
    await archive.storage.put("wals/00000002.history.gz", gzipSync(HISTORY));
    assert.equal(
      (await push(archive, HISTORY, "00000002.history")).object,
      "wals/00000002.history.gz",
    );
    const other = HISTORY.replace("0/500000", "0/600000");
    await assert.rejects(push(archive, other, "00000002.history"), { code: "WAL_DIFFERS" });
  });

  test("that are none are refused", async () => {
    const archive = open();
    await assert.rejects(push(archive, "", "00000002.history"), { code: "BARMAN_HISTORY_DAMAGED" });
    await assert.rejects(push(archive, "x", `${NAME}.00000028.backup`), { code: "WAL_INVALID" });
    assert.deepEqual(await paths(archive), []);
  });
});

suite("a partial segment", () => {
  const partial = (pages: number, seed?: number): Buffer =>
    makeSegment({ name: NAME, pages, ...(seed !== undefined && { seed }) });
  const PARTIAL = `${NAME}.partial`;

  test("grows and never shrinks", async () => {
    const archive = open();
    await push(archive, partial(9), PARTIAL);
    assert.equal((await push(archive, partial(5), PARTIAL)).isNew, false);
    assert.deepEqual(await served(archive), partial(9));
    // What a promoted server archives has what was in the file before behind its end.
    const promoted = partial(20);
    makeSegment({ name: NAME.replace("AB", "A1") }).copy(promoted, 20 * 8192, 20 * 8192);
    assert.equal((await push(archive, promoted, PARTIAL)).isNew, true);
    assert.deepEqual(await served(archive), promoted);
    assert.deepEqual(await paths(archive), [`${IN_FOLDER}/${PARTIAL}.gz`]);
  });

  test("of another log is refused", async () => {
    const archive = open();
    await push(archive, partial(9), PARTIAL);
    await assert.rejects(push(archive, partial(20, 1), PARTIAL), { code: "WAL_DIFFERS" });
    await push(archive, SEGMENT);
    await assert.rejects(push(archive, partial(9, 1), PARTIAL), { code: "WAL_DIFFERS" });
    assert.deepEqual(await served(archive), SEGMENT);
  });

  test("is not stored beside the whole one, and is removed when that comes", async () => {
    const archive = open();
    for (const suffix of ["", ".gz", ".zst"]) {
      const content = suffix === ".gz" ? gzipSync(partial(3)) : zstdCompressSync(partial(3));
      await archive.storage.put(
        `${IN_FOLDER}/${PARTIAL}${suffix}`,
        suffix === "" ? partial(3) : content,
      );
    }
    const { removed } = await push(archive, SEGMENT);
    assert.deepEqual(removed.length, 3);
    const { object, isNew } = await push(archive, partial(3), PARTIAL);
    assert.deepEqual([object, isNew], [`${IN_FOLDER}/${NAME}.gz`, false]);
    assert.deepEqual(await paths(archive), [`${IN_FOLDER}/${NAME}.gz`]);
  });

  test("that the storage will not delete is told, and stops the archive only where it would be served", async () => {
    for (const [compression, served] of [
      ["gzip:1", false],
      ["none", true],
    ] as const) {
      const storage = openMemoryStorage();
      const archive = open(retaining(storage, /partial/));
      await archive.storage.put(`${IN_FOLDER}/${PARTIAL}`, partial(3));
      const options = {
        archive,
        path: file(NAME, SEGMENT),
        compression: parseWalCompression(compression, ""),
      };
      if (served) await assert.rejects(pushWal(options), { code: "STORAGE_DENIED" });
      else assert.deepEqual((await pushWal(options)).left, [`${IN_FOLDER}/${PARTIAL}`]);
    }
  });
});
