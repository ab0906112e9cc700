// Real servers archive through `pg wal-push` while they are written to, and others recover through `pg wal-fetch`: to a local
// archive and to a server of S3. What was committed and archived is there, and a hole in the log never opens the database.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { walkPages } from "../../src/barman/wal-header.ts";
import { segmentName, segmentNumber } from "../../src/barman/wal-name.ts";
import { skipWithout } from "../peers.ts";
import { startVersitygw } from "../s3/versitygw.ts";
import { s3Environment } from "./barman-cloud.ts";
import { HOLDFAST } from "./program.ts";
import { removeAll } from "./restored.ts";
import {
  MAJORS,
  serverOwnedFolder,
  skipWithoutServer,
  startTestServer,
  until,
  type Major,
  type TestServer,
} from "./servers.ts";

interface Site {
  /** As --archive names it. */
  readonly location: string;
  /** Folder in which the objects of the server are files. */
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
}

const NODE = { HOLDFAST_NODE: process.execPath, PATH: "/usr/bin:/bin" };

function command(verb: string, { location }: Site, more = ""): string {
  return `${HOLDFAST} pg ${verb} --archive ${location} --server one ${more}`;
}

/** A primary that archives to `site`. */
async function startPrimary(
  site: Site,
  options: { major?: Major; segmentMegabytes?: number } = {},
): Promise<TestServer> {
  return await startTestServer({
    ...options,
    archiveCommand: command("wal-push %p", site),
    environment: { ...NODE, ...site.environment },
    settings: { wal_keep_size: "1GB" },
  });
}

const copies: string[] = [];
after(() => {
  removeAll(...copies);
});

/** A copy of the data directory, taken as backups are. */
async function copyOf(server: TestServer): Promise<string> {
  const folder = serverOwnedFolder("copy");
  copies.push(folder);
  const to = join(folder, "data");
  const start =
    server.major >= 15 ? "pg_backup_start('copy', true)" : "pg_start_backup('copy', true, false)";
  const stop = server.major >= 15 ? "pg_backup_stop()" : "pg_stop_backup(false)";
  // The session has to be the same, and one statement after the other.
  const { Client } = await import("pg");
  const client = new Client(server.connection());
  await client.connect();
  try {
    await client.query(`SELECT ${start}`);
    execFileSync("cp", ["-a", server.dataDirectory, to]);
    const { rows } = await client.query<{ labelfile: string }>(`SELECT * FROM ${stop}`);
    for (const name of ["postmaster.pid", "postmaster.opts"])
      rmSync(join(to, name), { force: true });
    rmSync(join(to, "pg_wal"), { recursive: true });
    execFileSync("mkdir", ["-m", "700", join(to, "pg_wal")]);
    writeFileSync(join(to, "backup_label"), rows[0]!.labelfile);
    writeFileSync(join(to, "recovery.signal"), "");
    const { account } = server;
    if (account) execFileSync("chown", ["-R", `${account.uid}:${account.gid}`, to]);
  } finally {
    await client.end();
  }
  return to;
}

/** Writes until `segments` more of them are in the archive; how many rows are in the table then. */
async function load(server: TestServer, site: Site, segments: number): Promise<number> {
  await server.sql("CREATE TABLE IF NOT EXISTS rows (id serial, filler text)");
  let last = "";
  for (let i = 0; i < segments; i++) {
    await server.sql(
      "INSERT INTO rows (filler) SELECT md5(random()::text) FROM generate_series(1, 3000)",
    );
    const [row] = await server.sql<{ name: string }>(
      "SELECT pg_walfile_name(pg_switch_wal()) AS name",
    );
    last = row!.name;
  }
  await until(
    `${last} in the archive`,
    () => Promise.resolve(stored(site).some((name) => name.startsWith(last))),
    60_000,
  ).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${server.log()}`);
  });
  const [count] = await server.sql<{ count: string }>("SELECT count(*) FROM rows");
  return Number(count!.count);
}

/** Names of the segments that are stored, sorted. */
function stored({ folder }: Site): string[] {
  if (!existsSync(join(folder, "wals"))) return [];
  return readdirSync(join(folder, "wals"), { recursive: true, encoding: "utf8" })
    .map((path) => path.slice(path.lastIndexOf("/") + 1))
    .filter((name) => /^[0-9A-F]{24}\.gz$/.test(name))
    .toSorted();
}

/** Starts a server on `data` that recovers from `site`. Resolves when it has; rejects with its log when it ended. */
async function recover(
  primary: TestServer,
  data: string,
  site: Site,
  more = "",
): Promise<TestServer> {
  const lines = [
    "archive_mode = off",
    `restore_command = '${command("wal-fetch %f %p", site, more)}'`,
  ];
  appendFileSync(join(data, "postgresql.conf"), `${lines.join("\n")}\n`);
  const server = await startTestServer({
    major: primary.major,
    dataDirectory: data,
    environment: { ...NODE, ...site.environment },
  });
  try {
    await until("the end of the recovery", async () => {
      if (!server.isRunning()) throw new Error(server.log());
      const [row] = await server
        .sql<{ busy: boolean }>("SELECT pg_is_in_recovery() AS busy")
        .catch(() => []);
      return row?.busy === false;
    });
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

async function withLocal(work: (site: Site) => Promise<void>): Promise<void> {
  const location = serverOwnedFolder("archive");
  try {
    await work({ location, folder: join(location, "one"), environment: {} });
  } finally {
    rmSync(location, { recursive: true, force: true });
  }
}

/** PostgreSQL's own reader of WAL finds records from the first segment that is archived to the last, where it is here. */
function requireReadable({ programs }: TestServer, site: Site): void {
  const waldump = join(programs, "pg_waldump");
  if (!existsSync(waldump)) return;
  const folder = mkdtempSync(join(tmpdir(), "holdfast-waldump-"));
  try {
    const files = stored(site);
    for (const file of files) {
      const path = join(site.folder, "wals", file.slice(0, 16), file);
      writeFileSync(join(folder, file.slice(0, 24)), gunzipSync(readFileSync(path)));
    }
    const ends = [files[0]!, files.at(-1)!].map((file) => file.slice(0, 24));
    // It fails where a record does not follow from the one before.
    const records = execFileSync(waldump, ["-p", folder, ...ends], { maxBuffer: 1 << 28 });
    assert.ok(records.toString().split("desc: COMMIT").length > files.length - 2);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

for (const major of MAJORS) {
  suite(`PostgreSQL ${major}`, { skip: skipWithoutServer(major) }, () => {
    test("archives under load, segment for segment as in pg_wal, and recovers all of it", async () => {
      await withLocal(async (site) => {
        await using primary = await startPrimary(site, { major });
        const data = await copyOf(primary);
        const rows = await load(primary, site, 12);
        for (const file of stored(site)) {
          const name = file.slice(0, 24);
          const content = gunzipSync(
            readFileSync(join(site.folder, "wals", name.slice(0, 16), file)),
          );
          assert.deepEqual(
            content,
            readFileSync(join(primary.dataDirectory, "pg_wal", name)),
            name,
          );
          const { header } = walkPages(content, { name, source: name, whole: true });
          const [{ system_identifier: id }] = (await primary.sql<{ system_identifier: string }>(
            "SELECT system_identifier::text FROM pg_control_system()",
          )) as [{ system_identifier: string }];
          assert.deepEqual([header.major, String(header.systemId)], [major, id]);
        }
        await primary.halt();
        requireReadable(primary, site);
        await using recovered = await recover(primary, data, site, `-v >> ${data}/fetched`);
        const [count] = await recovered.sql<{ count: string }>("SELECT count(*) FROM rows");
        assert.equal(Number(count!.count), rows);
        // The log is followed by a process beside the server, which leaves nothing behind.
        assert.match(readFileSync(join(data, "fetched"), "utf8"), /[0-9A-F]{24}: fetched ahead/);
        const spool = join(data, "pg_wal/holdfast-spool");
        await until("the spool to go", () => Promise.resolve(!existsSync(spool)));
      });
    });

    test("stops with an error where WAL is missing or damaged, and goes on when it is there", async () => {
      await withLocal(async (site) => {
        await using primary = await startPrimary(site, { major, segmentMegabytes: 1 });
        const data = await copyOf(primary);
        const rows = await load(primary, site, 8);
        await primary.halt();
        const names = stored(site);
        const victim = names[names.length - 4]!;
        const path = join(site.folder, "wals", victim.slice(0, 16), victim);
        const content = readFileSync(path);
        // What is not there is no end of the log either while there is more behind it.
        rmSync(path);
        await assert.rejects(
          recover(primary, data, site, "--timeout 3s"),
          /the log has a hole: [^]*could not restore file/,
        );
        assert.ok(existsSync(join(data, "recovery.signal")), "the recovery is not over");
        // Nor is a damaged object.
        writeFileSync(path, content.subarray(0, content.length / 2));
        await assert.rejects(recover(primary, data, site), /could not restore file/);
        assert.ok(existsSync(join(data, "recovery.signal")), "the recovery is not over");
        rmSync(path);
        writeFileSync(path, content);
        const { account } = primary;
        if (account) execFileSync("chown", [`${account.uid}:${account.gid}`, path]);
        await using recovered = await recover(primary, data, site);
        const [count] = await recovered.sql<{ count: string }>("SELECT count(*) FROM rows");
        assert.equal(Number(count!.count), rows);
      });
    });
  });
}

test(
  "a server of S3 as the archive, with segments of 64 megabytes",
  { skip: skipWithoutServer() || skipWithout("versitygw") },
  async () => {
    const s3 = await startVersitygw();
    try {
      const bucket = s3.makeBucket();
      const site: Site = {
        location: `s3:${s3.endpoint}/${bucket}/base`,
        folder: join(s3.folderOf(bucket), "base/one"),
        environment: s3Environment(s3),
      };
      await using primary = await startPrimary(site, { segmentMegabytes: 64 });
      const data = await copyOf(primary);
      const rows = await load(primary, site, 3);
      const [first] = stored(site);
      assert.equal(
        segmentName(1, segmentNumber(first!.slice(0, 24), 64 << 20), 64 << 20),
        first!.slice(0, 24),
      );
      await primary.halt();
      await using recovered = await recover(primary, data, site);
      const [count] = await recovered.sql<{ count: string }>("SELECT count(*) FROM rows");
      assert.equal(Number(count!.count), rows);
    } finally {
      await s3.stop();
    }
  },
);
