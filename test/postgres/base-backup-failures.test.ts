// Everything that can go wrong on the way of a base backup, on real servers: one clear error each, and no backup that looks
// as if it were one.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { createServer, connect as dial, type AddressInfo, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { loadCatalogue } from "../../src/postgres/archive.ts";
import {
  backUpServer,
  makeFolderArchive,
  objectsOf,
  readInfo,
  type FolderArchive,
} from "./base-backups.ts";
import { startProgram } from "./program.ts";
import { skipWithoutServer, startTestServer, until, type TestServer } from "./servers.ts";

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

describe("a backup that cannot be made", { skip: skipWithoutServer(15) }, () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ tcp: true });
    await server.sql(
      "CREATE TABLE kept AS SELECT i, md5(i::text) AS t FROM generate_series(1, 200000) i",
    );
  });
  after(async () => await server.stop());

  test("because no WAL comes: it fails in time and says why", async () => {
    const archive = await folderArchive();
    const waits: string[] = [];
    const events = { waiting: (missing: string) => void waits.push(missing) };
    await assert.rejects(backUpServer(server, archive, { walPatience: 300, events }), {
      code: "WAL_MISSING",
      message: /archive_mode is off/,
    });
    const info = readInfo(archive);
    assert.deepEqual([info.status, info.endTime, info.endWal], ["FAILED", null, waits[0]]);
    assert.match(info.error ?? "", /archive_mode is off/);
  });

  test("because the connection breaks in the middle: what was begun is taken back", async () => {
    const archive = await folderArchive();
    const cutting = await startCutter(server.port, 8_000_000);
    try {
      await assert.rejects(
        backUpServer({ host: "127.0.0.1", port: cutting.port }, archive, { partBytes: 2 ** 21 }),
        { code: "POSTGRES_UNREACHABLE", retryable: true },
      );
    } finally {
      cutting.close();
    }
    const info = readInfo(archive);
    assert.deepEqual([info.status, info.endTime, info.endLsn], ["FAILED", null, null]);
    assert.match(info.error ?? "", /connection/);
    // The parts that are there are whole.
    const [id] = (await loadCatalogue(archive.archive, { now: Date.now() })).backups.map(
      (backup) => backup.id,
    );
    for (const name of objectsOf(archive, id!).filter((each) => each.endsWith(".tar.gz")))
      execFileSync("tar", ["-tf", join(archive.folder, "pg", "base", id!, name)]);
  });

  test("because it is stopped: the archive says so, and the server is left alone", async () => {
    const archive = await folderArchive();
    const stop = new AbortController();
    const events = { started: (): void => stop.abort() };
    await assert.rejects(backUpServer(server, archive, { signal: stop.signal, events }), {
      code: "CANCELLED",
    });
    assert.equal(readInfo(archive).status, "FAILED");
    await until("the server to end its side", async () => {
      const rows = await server.sql("SELECT 1 FROM pg_stat_replication");
      return rows.length === 0;
    });
  });

  test("because the program is told to stop: it says so in the archive, and ends as a program that was stopped", async () => {
    const archive = await folderArchive();
    const words = ["pg", "backup", `--archive=${archive.folder}`, "--server=pg", "--max-rate=1M"];
    const { child, ended } = startProgram([
      ...words,
      `--dbname=host=${server.host} port=${server.port} user=postgres dbname=postgres`,
    ]);
    await until("the first bytes to come", async () => {
      const names = await Promise.resolve(objectsBelow(archive));
      return names.some((name) => name.includes("/data.tar.gz"));
    });
    child.kill("SIGINT");
    const { status, stdout, stderr } = await ended;
    assert.equal(status, 130, stderr);
    assert.match(stdout, /^backup \d{8}T\d{6} of about/);
    assert.equal(readInfo(archive).status, "FAILED");
    assert.match(readInfo(archive).error ?? "", /stopped/);
  });

  test("because the program is killed: nothing in the archive looks like a backup", async () => {
    const archive = await folderArchive();
    const { child, ended } = startProgram([
      "pg",
      "backup",
      `--archive=${archive.folder}`,
      "--server=pg",
      "--max-rate=4M",
      "--part-size=1M",
      `--dbname=host=${server.host} port=${server.port} user=postgres dbname=postgres`,
    ]);
    await until("a part to be stored", async () => {
      const names = await Promise.resolve(objectsBelow(archive));
      return names.some((name) => name.endsWith(".tar.gz"));
    });
    child.kill("SIGKILL");
    assert.equal((await ended).signal, "SIGKILL");
    const { backups, orphans } = await loadCatalogue(archive.archive, { now: Date.now() });
    assert.deepEqual(backups, []);
    assert.ok(orphans.some(({ path, why }) => path.endsWith("/data.tar.gz") && why === "no-info"));
    // The next one is not in its way, and takes another id.
    await assert.rejects(backUpServer(server, archive, { walPatience: 0 }), {
      code: "WAL_MISSING",
    });
    const later = await loadCatalogue(archive.archive, { now: Date.now() });
    assert.deepEqual(
      later.backups.map(({ state }) => state),
      ["failed"],
    );
  });

  test("because the archive is another cluster's: nothing is written", async () => {
    const archive = await folderArchive();
    await using other = await startTestServer({ archiveCommand: archive.archiveCommand });
    await backUpServer(other, archive);
    const before = objectsBelow(archive);
    await assert.rejects(backUpServer(server, archive), { code: "ARCHIVE_FOREIGN" });
    assert.deepEqual(objectsBelow(archive), before);
  });

  test("because the WAL there is another cluster's, also without any backup", async () => {
    const archive = await folderArchive();
    await using other = await startTestServer({ archiveCommand: archive.archiveCommand });
    await other.sql("CREATE TABLE t AS SELECT 1");
    await other.sql("SELECT pg_switch_wal()");
    await until("WAL in the archive", async () => {
      const names = await Promise.resolve(objectsBelow(archive));
      return names.some((name) => name.includes("wals/"));
    });
    await assert.rejects(backUpServer(server, archive), { code: "ARCHIVE_FOREIGN" });
  });

  test("because the storage refuses: that is what is told", async () => {
    const archive = await folderArchive();
    const { storage } = archive.archive;
    const full = new Error("no space");
    const failing = {
      ...archive.archive,
      storage: Object.assign(Object.create(storage) as typeof storage, {
        startUpload: async () => await Promise.reject(full),
        list: storage.list.bind(storage),
        put: storage.put.bind(storage),
        get: storage.get.bind(storage),
      }),
    };
    await assert.rejects(backUpServer(server, { archive: failing }), full);
    assert.equal(readInfo(archive).status, "FAILED");
  });
});

describe(
  "a database on which the server's settings leave no room",
  { skip: skipWithoutServer(15) },
  () => {
    const cases = [
      {
        name: "wal_level",
        settings: { wal_level: "minimal", max_wal_senders: 0 },
        code: "POSTGRES_SETTING",
      },
      { name: "max_wal_senders", settings: { max_wal_senders: 0 }, code: "POSTGRES_SETTING" },
    ];
    for (const { name, settings, code } of cases) {
      test(`${name}: one error that names it`, async () => {
        await using server = await startTestServer({ settings });
        await assert.rejects(
          backUpServer(server, await folderArchive()),
          (error: Error & { code: string; hint: string }) =>
            error.code === code &&
            `${error.message} ${error.hint}`.includes(name === "wal_level" ? "wal_senders" : name),
        );
      });
    }
  },
);

function objectsBelow({ folder }: FolderArchive): string[] {
  return execFileSync("find", [folder, "-type", "f"], { encoding: "utf8" })
    .split("\n")
    .filter((name) => name !== "" && !name.includes("/wals/"))
    .concat(
      execFileSync("find", [folder, "-path", "*wals/*", "-type", "f"], { encoding: "utf8" })
        .split("\n")
        .filter(Boolean),
    )
    .toSorted();
}

/** Passes on to a port of this machine, and hangs up after so many bytes of what comes back on one connection. */
async function startCutter(
  port: number,
  bytes: number,
): Promise<{ port: number; close: () => void }> {
  const sockets = new Set<Socket>();
  const listener = createServer((client) => {
    const upstream = dial(port, "127.0.0.1");
    let passed = 0;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream);
    upstream.on("data", (chunk) => {
      passed += chunk.length;
      if (passed > bytes) client.destroy();
      else if (!client.write(chunk)) {
        upstream.pause();
        client.once("drain", () => upstream.resume());
      }
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  return {
    port: (listener.address() as AddressInfo).port,
    close: () => {
      for (const socket of sockets) socket.destroy();
      listener.close();
    },
  };
}
