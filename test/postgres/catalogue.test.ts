// The commands that look at an archive, with a viewer's rights: over a storage that refuses every change, and with objects
// that may not be read.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { suite, test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { HoldfastError, isHoldfastError } from "../../src/base/errors.ts";
import { formatBackupInfo } from "../../src/barman/backup-info.ts";
import { takeStock } from "../../src/cli/archive-stock.ts";
import { keepBackup } from "../../src/postgres/keep.ts";
import { loadCatalogue } from "../../src/postgres/archive.ts";
import { forwarding } from "../../src/storage/forwarding.ts";
import { Archive, doneInfo, ID, simple, START, stored, walPath } from "../barman/archives.ts";
import { startProgram } from "./program.ts";
import { openStored, storageOf, viewed } from "./stored-archive.ts";

const CONTEXT = { clock: systemClock, signal: new AbortController().signal };

suite("looking at an archive", () => {
  test("changes nothing, and asks for nothing that a viewer may not", async () => {
    const { inventory } = await takeStock(CONTEXT, openStored(viewed(storageOf(simple()))));
    assert.deepEqual(
      inventory.catalogue.backups.map(({ id, flaws }) => [id, flaws]),
      [[ID, []]],
    );
    assert.equal(inventory.catalogue.windows.length, 1);
  });

  test("shows the rest of what it may not read, and says so", async () => {
    const archive = simple();
    archive.history(2, stored(30), [1, 0x1e000000n]);
    const late = archive.backup(doneInfo({ first: 20, time: stored(20) }), { keep: "full" });
    const storage = storageOf(archive);
    const denied = [`pg/base/${late}/backup.info`, "pg/wals/00000002.history"];
    const denying = forwarding(viewed(storage), {
      get: async (key, options) => {
        if (denied.includes(key)) throw new HoldfastError("STORAGE_DENIED", `${key} is denied`);
        return await storage.get(key, options);
      },
    });
    const { inventory } = await takeStock(CONTEXT, openStored(denying));
    const { backups, problems } = inventory.catalogue;
    assert.deepEqual(
      backups.map(({ id, state, keep }) => [id, state, keep]),
      [
        [ID, "done", undefined],
        [late, "unreadable", "full"],
      ],
    );
    assert.deepEqual(
      problems.map(({ code, message }) => [code, message]),
      denied.map((key) => ["INCOMPLETE", `${key.slice("pg/".length)} was not read`]),
    );
  });

  test("where nothing lies there is no archive", async () => {
    await assert.rejects(takeStock(CONTEXT, openStored(storageOf(new Archive()))), (error) =>
      isHoldfastError(error, "ARCHIVE_NOT_FOUND"),
    );
  });
});

suite("pg list and pg info as programs", () => {
  const onDisk = (archive: Archive, servers: readonly string[]): string => {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-archive-"));
    for (const server of servers) {
      for (const { path, size } of archive.objects) {
        const file = join(folder, server, path);
        mkdirSync(dirname(file), { recursive: true });
        writeFileSync(file, archive.contents.get(path) ?? new Uint8Array(size));
      }
    }
    return folder;
  };
  const snapshotOf = (folder: string): [string, number][] =>
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .map((path): [string, number] => [path, statSync(join(folder, path)).mtimeMs])
      .toSorted(([a], [b]) => (a < b ? -1 : 1));

  test("status 0 when all could be read, 3 when not, and no file is touched", async () => {
    for (const [broken, status] of [
      [false, 0],
      [true, 3],
    ] as const) {
      const archive = simple();
      if (broken) archive.put("base/20261103T000000/backup.info", START, Buffer.from("no field\n"));
      const folder = onDisk(archive, ["one", "two"]);
      try {
        const before = snapshotOf(folder);
        for (const words of [
          ["list", "--server", "one"],
          ["info", "--server", "two"],
          ["info"],
          ["info", "--json"],
          ["list", "--server", "two", "--json"],
        ]) {
          const options = { env: { HOLDFAST_ARCHIVE: folder, TZ: "UTC" } };
          const run = await startProgram(["pg", ...words], options).ended;
          assert.equal(run.status, status, `${words.join(" ")}: ${run.stderr}`);
          if (words.includes("--json")) {
            const message = JSON.parse(run.stdout) as { message_type: string };
            assert.match(message.message_type, /^pg_(?:archive|backups)$/);
          } else assert.match(run.stdout, words.length === 1 ? /2 servers/ : new RegExp(ID));
          if (broken && words[0] === "list" && !words.includes("--json"))
            assert.match(run.stderr, /backup\.info:1: [^]*hint: /);
        }
        assert.deepEqual(snapshotOf(folder), before);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    }
  });

  test("several servers, or none, are an error with its way out", async () => {
    const folder = onDisk(simple(), ["one", "two"]);
    try {
      const options = { env: { HOLDFAST_ARCHIVE: folder } };
      const several = await startProgram(["pg", "list"], options).ended;
      assert.equal(several.status, 1);
      assert.match(several.stderr, /hint: Choose one with --server: one, two\./);
      for (const words of [["info"], ["list"], ["verify"], ["expire", "--redundancy", "1"]]) {
        const none = await startProgram(["pg", ...words, "--server", "three"], options).ended;
        assert.equal(none.status, 1, words[0]);
        assert.match(none.stderr, /there is no archive at .*three\nhint: /);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("a backup that was asked for by name and cannot be verified is no success", async () => {
    const archive = new Archive();
    const more = { status: "FAILED", error: "no space left" } as const;
    const failed = archive.backup(doneInfo({ first: 20, time: stored(20), more }));
    const folder = onDisk(archive, ["one"]);
    try {
      const options = { env: { HOLDFAST_ARCHIVE: folder } };
      const { status, stderr } = await startProgram(["pg", "verify", "--backup", failed], options)
        .ended;
      assert.match(stderr, new RegExp(`backup ${failed} was not verified: it is FAILED`));
      assert.equal(status, 3);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

suite("keeping a backup", () => {
  test("writes Barman's mark, changes it, takes it away", async () => {
    const storage = storageOf(simple());
    const archive = openStored(storage);
    const keep = (mark: "full" | "standalone" | "release"): Promise<string | undefined> =>
      keepBackup({ archive, id: ID, mark, now: stored(40) });
    const marked = async (): Promise<string> =>
      Buffer.from(await storage.get(`pg/base/${ID}/annotations/keep`)).toString();
    assert.equal(await keep("full"), undefined);
    assert.equal(await marked(), "full");
    assert.equal(await keep("full"), "full");
    assert.equal(await keep("standalone"), "full");
    assert.equal(await marked(), "standalone");
    const { backups } = await loadCatalogue(archive, { now: stored(40) });
    assert.equal(backups[0]!.keep, "standalone");
    assert.equal(await keep("release"), "standalone");
    await assert.rejects(marked(), (error) => isHoldfastError(error, "STORAGE_NOT_FOUND"));
    assert.equal(await keep("release"), undefined);
  });

  test("only one that is there and done", async () => {
    const failed = { status: "FAILED", error: "x", endTime: null } as const;
    const info = formatBackupInfo(doneInfo({ first: 20, time: stored(20), more: failed }));
    const id = "20261105T000000";
    const archive = openStored(
      storageOf(simple().put(`base/${id}/backup.info`, stored(20), info).remove(walPath(9, 9))),
    );
    const keep = (one: string): Promise<unknown> =>
      keepBackup({ archive, id: one, mark: "full", now: stored(40) });
    await assert.rejects(keep(id), (error) => isHoldfastError(error, "USAGE"));
    await assert.rejects(keep("../../x"), (error) => isHoldfastError(error, "BACKUP_NOT_FOUND"));
  });
});
