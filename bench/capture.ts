// What continuous capture costs: `node scripts/run.mjs bench/capture.ts [--files N] [--ticks N] [--days N] [--database]`
//   quiet   CPU of a tick that finds nothing new in a filestore of 250,000 files
//           (with --database, of a server with a row for each of them: its own work is not counted)
//   new     bytes that are stored for 100 new files, beside their own
//   week    a simulated week of captures every 20 seconds on storage in memory, merged daily: objects, start, memory
// The filestore lies in a temporary folder, its full snapshot in a repository beside it.

import { createHash, randomBytes } from "node:crypto";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { thisMachine } from "../src/cli/machine.ts";
import { localZone, readOwnerNames } from "../src/files/metadata.ts";
import { Capture } from "../src/odoo/capture.ts";
import type { CaptureOptions, TickReport } from "../src/odoo/capture-events.ts";
import { initRepository } from "../src/repository/init.ts";
import { openRepository } from "../src/repository/open.ts";
import type { Machine, Repository } from "../src/repository/repository.ts";
import { openLocalStorage } from "../src/storage/local.ts";
import { openMemoryStorage } from "../src/storage/memory.ts";
import type { Storage } from "../src/storage/storage.ts";
import { connect, type Connection } from "../src/postgres/connection.ts";
import { FakeClock } from "../test/fake-clock.ts";
import { createOdooSchema } from "../test/odoo/odoo-schema.ts";
import { settingsOf } from "../test/postgres/base-backups.ts";
import { startTestServer, type TestServer } from "../test/postgres/servers.ts";

const { values: given } = parseArgs({
  options: {
    files: { type: "string", default: "250000" },
    ticks: { type: "string", default: "20" },
    days: { type: "string", default: "7" },
    database: { type: "boolean", default: false },
  },
});
const PASSWORD = "bench";
const DAY_MS = 86_400_000;
const EVERY_MS = 20_000;
/** Sizes as those of a real database of Odoo are spread: median 3.4 kB, mean 24 kB. */
const SIZES = [900, 1600, 3400, 3400, 18_000, 57_000, 92_000];

const root = mkdtempSync(join(tmpdir(), "holdfast-bench-capture-"));
const folder = join(root, "filestore", "odoo");
/** Time passes when it is told to, and the lock is refreshed by it. */
const clock = new (class extends FakeClock {
  /** Work takes its time all the same: how often all rows are compared hangs on how long that takes. */
  override monotonic(): number {
    return super.monotonic() + performance.now();
  }
})(Date.now());
const machine: Machine = { ...thisMachine(), clock };
/** With a row for each file that was made at the beginning. */
let server: TestServer | undefined;
const names: string[] = [];

function write(content: Uint8Array, age: number): number {
  const sha1 = createHash("sha1").update(content).digest("hex");
  const path = join(folder, sha1.slice(0, 2), sha1);
  if (age > 0) names.push(sha1);
  writeFileSync(path, content);
  if (age > 0) {
    const then = new Date(Date.now() - age);
    utimesSync(path, then, then);
  }
  return content.length;
}

function writeNew(count: number): number {
  let bytes = 0;
  for (let i = 0; i < count; i++) bytes += write(randomBytes(SIZES[i % SIZES.length]!), 0);
  return bytes;
}

async function open(storage: Storage): Promise<Repository> {
  return await openRepository({ storage, password: PASSWORD, machine });
}

function options(main: Repository, captures: Repository): CaptureOptions {
  return {
    main,
    captures,
    folder,
    database: "odoo",
    metadata: { owners: readOwnerNames(), withAtime: false, ...localZone() },
    hostname: "bench",
    programVersion: "holdfast bench",
    onEvent: () => {},
    connect: server && (async () => await connectTo(server!)),
  };
}

async function connectTo(one: TestServer): Promise<Connection> {
  return await connect({ settings: { ...settingsOf(one), database: "odoo" } });
}

/** A server whose rows refer to all files there are. */
async function startDatabase(): Promise<TestServer> {
  const started = await startTestServer({ settings: { max_wal_size: "4GB" } });
  await started.sql("CREATE DATABASE odoo");
  const connection = await connectTo(started);
  await createOdooSchema(connection);
  await connection.query("ALTER TABLE ir_attachment DISABLE TRIGGER ALL");
  for (let at = 0; at < names.length; at += 10_000) {
    const some = names.slice(at, at + 10_000).map((name) => `('${name}')`);
    await connection.query(`INSERT INTO ir_attachment (name, type, store_fname, checksum, file_size)
      SELECT 'file', 'binary', substr(h, 1, 2) || '/' || h, h, 64 FROM (VALUES ${some.join(",")}) s (h)`);
  }
  await connection.query("ANALYZE ir_attachment");
  await connection.close();
  return started;
}

async function countObjects(storage: Storage): Promise<{ objects: number; bytes: number }> {
  let [objects, bytes] = [0, 0];
  for await (const { size } of storage.list("")) {
    objects++;
    bytes += size;
  }
  return { objects, bytes };
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

async function measured<T>(
  work: () => Promise<T>,
): Promise<{ result: T; cpu: number; wall: number }> {
  const [before, began] = [process.cpuUsage(), performance.now()];
  const result = await work();
  const { user, system } = process.cpuUsage(before);
  return { result, cpu: (user + system) / 1000, wall: performance.now() - began };
}

function makeFilestore(files: number): void {
  for (let i = 0; i < 256; i++) {
    mkdirSync(join(folder, i.toString(16).padStart(2, "0")), { recursive: true });
  }
  const bytes = Buffer.alloc(64);
  for (let i = 0; i < files; i++) {
    bytes.writeUInt32LE(i);
    write(bytes, 3_600_000);
  }
}

async function makeMain(): Promise<Repository> {
  const path = join(root, "main");
  mkdirSync(path);
  const storage = await openLocalStorage({ root: path, create: true, random: machine.random });
  await initRepository({ storage, password: PASSWORD, machine });
  const environment = { ...process.env, RESTIC_REPOSITORY: path, RESTIC_PASSWORD: PASSWORD };
  const program = join(import.meta.dirname, "../bin/holdfast");
  execFileSync(program, ["backup", "--quiet", "--no-cache", folder], { env: environment });
  return await open(storage);
}

async function quiet(main: Repository, ticks: number): Promise<void> {
  const storage = openMemoryStorage();
  await initRepository({ storage, password: PASSWORD, machine });
  const capture = new Capture(options(main, await open(storage)));
  const first = await measured(() => capture.tick());
  console.log(
    `start   ${first.result.known} names known, ${seconds(first.wall)}, CPU ${seconds(first.cpu)}`,
  );
  await clock.advance(EVERY_MS);
  await capture.tick();
  const all: number[] = [];
  for (let i = 0; i < ticks; i++) {
    await clock.advance(EVERY_MS);
    all.push((await measured(() => capture.tick())).cpu);
  }
  const mean = all.reduce((sum, one) => sum + one, 0) / all.length;
  all.sort((a, b) => a - b);
  console.log(
    `quiet   CPU a tick: mean ${mean.toFixed(1)} ms, median ${all[all.length >> 1]!.toFixed(1)} ms, most ${all.at(-1)!.toFixed(1)} ms`,
  );
  for (let round = 0; round < 5; round++) {
    await clock.advance(EVERY_MS);
    const bytes = writeNew(100);
    const { result, cpu, wall } = await measured(() => capture.tick());
    console.log(
      `new     ${result.newFiles} files of ${megabytes(bytes)}: ${megabytes(result.storedBytes)} stored (factor ${(result.storedBytes / bytes).toFixed(2)}), ${seconds(wall)}, CPU ${seconds(cpu)}`,
    );
  }
  await capture.close();
}

/** Six new files a tick for eight hours a day, one a quarter of an hour in the night. */
async function week(main: Repository, days: number): Promise<void> {
  const storage = openMemoryStorage();
  await initRepository({ storage, password: PASSWORD, machine });
  let capture = new Capture(options(main, await open(storage)));
  let [most, ticks] = [0, 0];
  let last: TickReport | undefined;
  for (let day = 1; day <= days; day++) {
    const { cpu } = await measured(async () => {
      for (let at = 0; at < DAY_MS; at += EVERY_MS, ticks++) {
        const isBusy = at < DAY_MS / 3;
        const count = isBusy ? (ticks % 10 === 0 ? 6 : 0) : ticks % 45 === 0 ? 1 : 0;
        if (count > 0) writeNew(count);
        await clock.advance(EVERY_MS);
        last = await capture.tick();
      }
    });
    const { objects } = await countObjects(storage);
    most = Math.max(most, objects);
    const merged = await measured(() => capture.mergePacks());
    const after = await countObjects(storage);
    console.log(
      `day ${day}   ${last!.files} files, CPU ${seconds(cpu)}; ${objects} objects, merged in ${seconds(merged.wall)} to ${after.objects} of ${megabytes(after.bytes)}; memory ${megabytes(process.memoryUsage.rss())}`,
    );
  }
  await capture.close();
  capture = new Capture(options(main, await open(storage)));
  const start = await measured(() => capture.tick());
  await capture.close();
  console.log(
    `week    ${ticks} ticks, at most ${most} objects; a new process starts in ${seconds(start.wall)}, memory ${megabytes(process.memoryUsage.rss())}`,
  );
}

try {
  makeFilestore(Number(given.files));
  const main = await makeMain();
  if (given.database) server = await startDatabase();
  await quiet(main, Number(given.ticks));
  if (Number(given.days) > 0) await week(main, Number(given.days));
} finally {
  await server?.stop();
  rmSync(root, { recursive: true, force: true });
}
