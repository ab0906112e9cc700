// Base backups of real servers of every major version, restored by nothing but `tar` and PostgreSQL itself.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  chownSync,
  openSync,
  readSync,
  writeSync,
  closeSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Progress } from "../../src/base/progress.ts";
import { loadCatalogue } from "../../src/postgres/archive.ts";
import { connect } from "../../src/postgres/connection.ts";
import {
  backUpServer,
  makeFolderArchive,
  objectsOf,
  readInfo,
  settingsOf,
  startOnBackup,
  unpackBackup,
  type FolderArchive,
} from "./base-backups.ts";
import {
  MAJORS,
  serverOwnedFolder,
  skipWithoutServer,
  startTestServer,
  until,
  type TestServer,
} from "./servers.ts";

/** Removed when all tests are over. */
const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

async function folderArchive(): Promise<FolderArchive> {
  const made = await makeFolderArchive();
  folders.push(made.folder);
  return made;
}

function folderOf(server: TestServer, name: string): string {
  const folder = join(server.folder, name);
  mkdirSync(folder);
  if (server.account) chownSync(folder, server.account.uid, server.account.gid);
  return folder;
}

for (const major of MAJORS) {
  describe(`base backups of PostgreSQL ${major}`, { skip: skipWithoutServer(major) }, () => {
    let archive: FolderArchive;
    let server: TestServer;

    before(async () => {
      archive = await folderArchive();
      server = await startTestServer({ major, archiveCommand: archive.archiveCommand });
      await server.sql(`CREATE TABLESPACE beside LOCATION '${folderOf(server, "beside")}'`);
      await server.sql(
        "CREATE TABLE kept AS SELECT i, md5(i::text) AS t FROM generate_series(1, 60000) i",
      );
      await server.sql(
        "CREATE TABLE apart TABLESPACE beside AS SELECT generate_series(1, 20000) AS i",
      );
    });
    after(async () => await server.stop());

    test("a quiet database: restored by tar, approved by pg_verifybackup, started", async () => {
      const progress = new Progress();
      const result = await backUpServer(server, archive, { partBytes: 2 ** 22, progress });
      const info = readInfo(archive, result.id);
      assert.equal(info.status, "DONE");
      assert.deepEqual(
        info.tablespaces?.map(({ name, location }) => [name, location]),
        [["beside", join(server.folder, "beside")]],
      );
      assert.ok(result.parts > 4, `${result.parts} parts`);
      assert.equal(objectsOf(archive, result.id).length, result.parts + 1);
      assert.ok(progress.bytesDone >= result.bytes && progress.bytesTotal > 0);

      const data = unpackBackup(archive, result.id);
      folders.push(dirname(data));
      assert.equal(statSync(data).mode & 0o777, 0o700);
      // The one of 15 knows manifests up to 16's; what comes later is proved by the code that reads manifests.
      if (major <= 16) {
        const program = "/usr/lib/postgresql/15/bin/pg_verifybackup";
        const said = execFileSync(program, ["--no-parse-wal", data], { encoding: "utf8" });
        assert.match(said, /successfully verified/);
      }
      const restored = await startOnBackup(data, archive, { major });
      try {
        await until("recovery to end", async () => {
          const [row] = await restored.sql<{ open: boolean }>(
            "SELECT NOT pg_is_in_recovery() AS open",
          );
          return row!.open;
        });
        const sums =
          "SELECT count(*)::int AS n, md5(string_agg(t, ',' ORDER BY i)) AS sum FROM kept";
        assert.deepEqual(await restored.sql(sums), await server.sql(sums));
        const counted = await restored.sql<{ n: number }>("SELECT count(*)::int AS n FROM apart");
        assert.equal(counted[0]!.n, 20000);
      } finally {
        await restored.stop();
      }
    });

    test("without compression and in one part, under a role that may do nothing but replicate", async () => {
      await server.sql(
        "CREATE ROLE copier LOGIN REPLICATION; REVOKE CONNECT ON DATABASE postgres FROM public",
      );
      const warnings: string[] = [];
      const result = await backUpServer(server, archive, {
        level: 0,
        settings: { user: "copier" },
        events: { warning: (text) => warnings.push(text) },
      });
      const info = readInfo(archive, result.id);
      assert.equal(info.status, "DONE");
      assert.equal(info.compression, null);
      assert.equal(info.pgdata, null);
      const [oid] = await server.sql<{ oid: number }>(
        "SELECT oid::int FROM pg_tablespace WHERE spcname = 'beside'",
      );
      assert.deepEqual(
        objectsOf(archive, result.id),
        [`${oid!.oid}.tar`, "backup.info", "data.tar"].toSorted(),
      );
      assert.deepEqual(
        info.tablespaces?.map(({ name }) => name),
        [String(oid!.oid)],
      );
      assert.match(warnings.join("\n"), /no SQL on this server/);
    });

    test("two at once have two ids, and the catalogue finds both restorable", async () => {
      const both = await Promise.all([
        backUpServer(server, archive),
        backUpServer(server, archive),
      ]);
      assert.notEqual(both[0].id, both[1].id);
      const { backups, problems } = await loadCatalogue(archive.archive, { now: Date.now() });
      assert.deepEqual(problems, []);
      for (const { id } of both) {
        const found = backups.find((backup) => backup.id === id);
        assert.deepEqual(found?.flaws, []);
      }
    });

    test("of a standby, whose primary is made to finish the segment", async () => {
      await using standby = await startStandby(server);
      await server.sql("CREATE TABLE late AS SELECT 1");
      await server.sql("CHECKPOINT");
      let isWaiting = false;
      const result = await backUpServer(standby, archive, {
        events: {
          waiting: () => {
            if (!isWaiting) void server.sql("SELECT pg_switch_wal()");
            isWaiting = true;
          },
        },
      });
      assert.equal(readInfo(archive, result.id).status, "DONE");
      assert.match(readInfo(archive, result.id).backupLabel ?? "", /BACKUP FROM: standby/);
    });

    test("pages that do not match their checksums: everything is kept, and nothing is called done", async () => {
      await server.sql("CREATE TABLE hurt AS SELECT generate_series(1, 5000) AS i");
      await server.sql("CHECKPOINT");
      const [row] = await server.sql<{ path: string }>(
        "SELECT pg_relation_filepath('hurt') AS path",
      );
      const path = join(server.dataDirectory, row!.path);
      flip(path, 8192 + 4000);
      try {
        const warnings: string[] = [];
        const events = { warning: (text: string) => void warnings.push(text) };
        const before = new Set(
          (await loadCatalogue(archive.archive, { now: Date.now() })).backups.map(({ id }) => id),
        );
        await assert.rejects(backUpServer(server, archive, { events }), { code: "PAGES_DAMAGED" });
        assert.match(warnings.join("\n"), new RegExp(row!.path.replaceAll("/", "\\/")));
        const { backups } = await loadCatalogue(archive.archive, { now: Date.now() });
        const [made] = backups.filter(({ id }) => !before.has(id));
        const info = readInfo(archive, made!.id);
        assert.equal(info.status, "FAILED");
        assert.equal(info.endTime, null);
        assert.match(info.error ?? "", /checksum/);
        assert.ok(objectsOf(archive, made!.id).includes("data.tar.gz"));
      } finally {
        flip(path, 8192 + 4000);
      }
    });
  });
}

async function startStandby(primary: TestServer): Promise<TestServer> {
  const folder = serverOwnedFolder("standby");
  folders.push(folder);
  const data = join(folder, "data");
  const { major, host, port, account } = primary;
  // Made by what it stands for: our own connection, with a slot of its own for nothing but this.
  const archive = await makeFolderArchive();
  folders.push(archive.folder);
  const settings = settingsOf(primary);
  const connection = await connect({ settings, replication: true });
  await connection.close();
  const stop = new AbortController();
  await assert.rejects(
    backUpServer(primary, archive, {
      signal: stop.signal,
      events: { waiting: () => stop.abort() },
    }),
  );
  const id = objectsIn(join(archive.folder, "pg", "base"))[0]!;
  const unpacked = unpackBackup(archive, id);
  folders.push(dirname(unpacked));
  execFileSync("mv", [unpacked, data]);
  const lines = `primary_conninfo = 'host=${host} port=${port} user=postgres'\narchive_mode = off\n`;
  execFileSync("sh", [
    "-c",
    `printf '%s' "$1" >> "$2/postgresql.conf"; touch "$2/standby.signal"`,
    "sh",
    lines,
    data,
  ]);
  if (account) execFileSync("chown", ["-hR", `${account.uid}:${account.gid}`, data]);
  return await startTestServer({ major, dataDirectory: data });
}

function objectsIn(folder: string): string[] {
  return execFileSync("ls", [folder], { encoding: "utf8" }).split("\n").filter(Boolean);
}

/** Turns one byte of a file into another one, or back. */
function flip(path: string, at: number): void {
  const file = openSync(path, "r+");
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, at);
  byte[0]! ^= 0xff;
  writeSync(file, byte, 0, 1, at);
  closeSync(file);
}
