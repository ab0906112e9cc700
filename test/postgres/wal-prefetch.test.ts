// WAL fetched ahead: what is served from the spool is always what the archive holds, whatever lies in the spool; fetching
// ahead ends by itself and leaves nothing behind.

import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { gzipSync } from "node:zlib";
import { systemClock, systemRandom } from "../../src/base/clock.ts";
import { segmentName } from "../../src/barman/wal-name.ts";
import { archiveOf, type Archive } from "../../src/postgres/archive.ts";
import { prefetchWal } from "../../src/postgres/wal-prefetch.ts";
import { WalSpool } from "../../src/postgres/wal-spool.ts";
import { faulty } from "../../src/storage/faulty.ts";
import { forwarding } from "../../src/storage/forwarding.ts";
import { openMemoryStorage } from "../../src/storage/memory.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { runProgram } from "./program.ts";
import { makeSegment, MADE_SIZE, MADE_SYSTEM_ID } from "./segments.ts";
import { until } from "./servers.ts";

const folder = mkdtempSync(join(tmpdir(), "holdfast-prefetch-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const name = (segment: number, timeline = 1): string => segmentName(timeline, segment, MADE_SIZE);
const segment = (number: number): Buffer => makeSegment({ name: name(number) });

async function stored(segments: readonly number[], timeline = 1): Promise<Storage> {
  const storage = openMemoryStorage();
  for (const number of segments) {
    const each = name(number, timeline);
    const content = gzipSync(makeSegment({ name: each }));
    await storage.put(`one/wals/${each.slice(0, 16)}/${each}.gz`, content);
  }
  return storage;
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

interface Scene {
  readonly spool: WalSpool;
  readonly folder: string;
  /** What PostgreSQL does: asks for a segment. */
  readonly ask: (number: number, timeline?: number) => Promise<Buffer | undefined>;
  readonly run: (
    archive: Archive,
    options?: { idle?: number; count?: number; signal?: AbortSignal },
  ) => Promise<number>;
}

function scene(): Scene {
  const at = mkdtempSync(join(folder, "scene-"));
  const spools = join(at, "spool");
  const spool = new WalSpool({
    folder: spools,
    archive: "memory",
    server: "one",
    systemId: MADE_SYSTEM_ID,
    uid: process.getuid?.(),
    clock: systemClock,
    random: systemRandom,
  });
  const target = join(at, "RECOVERYXLOG");
  return {
    spool,
    folder: spools,
    ask: async (number, timeline = 1) => {
      rmSync(target, { force: true });
      const size = await spool.take(name(number, timeline), target);
      if (size === undefined) return undefined;
      await spool.want(name(number, timeline));
      return readFileSync(target);
    },
    run: async (archive, { idle = 20_000, count = 4, signal } = {}) =>
      await prefetchWal({
        archive,
        spool,
        count,
        segmentSize: MADE_SIZE,
        systemId: MADE_SYSTEM_ID,
        idle,
        clock: systemClock,
        signal,
      }),
  };
}

function open(storage: Storage): Archive {
  return archiveOf(storage, "one");
}

suite("fetching ahead", () => {
  test("gives every segment to the end of the archive, each fetched once, and ends with nothing left", async () => {
    const { ask, run, folder: spools, spool } = scene();
    let gets = 0;
    const storage = await stored(range(1, 40));
    const counting = forwarding(storage, {
      get: async (key, options) => {
        gets += 1;
        return await storage.get(key, options);
      },
    });
    await spool.want(name(0));
    const running = run(open(counting));
    for (const number of range(1, 40)) {
      const found = await until(`segment ${number}`, async () => await ask(number));
      assert.deepEqual(found, segment(number));
      const held = readdirSync(spool.folder).filter((each) => /^[0-9A-F]{24}$/.test(each));
      assert.ok(held.length <= 4, `${held.length} are held`);
    }
    assert.equal(await running, 40);
    assert.equal(gets, 40);
    assert.equal(existsSync(spools), false);
  });

  test("follows to where PostgreSQL goes on, on another timeline or elsewhere", async () => {
    const { ask, run, spool } = scene();
    const storage = await stored(range(1, 30));
    for (const number of range(20, 30)) {
      const each = name(number, 2);
      await storage.put(`one/wals/${each.slice(0, 16)}/${each}`, makeSegment({ name: each }));
    }
    await spool.want(name(0));
    const running = run(open(storage));
    await until("the first", async () => await ask(1));
    // It had to fetch that one itself.
    await spool.want(name(20, 2));
    const found = await until("timeline 2", async () => await ask(21, 2));
    assert.deepEqual(found, makeSegment({ name: name(21, 2) }));
    for (const number of range(22, 30))
      await until(`segment ${number}`, async () => await ask(number, 2));
    await running;
  });

  test("ends when nobody takes anything, when it is stopped, and when the spool is gone", async () => {
    for (const end of ["idle", "stop", "gone"]) {
      const { run, folder: spools, spool } = scene();
      await spool.want(name(0));
      const stop = new AbortController();
      const options = { signal: stop.signal, ...(end === "idle" && { idle: 1 }) };
      const running = run(open(await stored(range(1, 9))), options);
      if (end !== "idle") await until("a segment", async () => (await spool.look()).here.size > 0);
      if (end === "stop") stop.abort();
      if (end === "gone") rmSync(spools, { recursive: true });
      if (end === "stop") await assert.rejects(running, { code: "CANCELLED" });
      else await running;
      assert.equal(existsSync(spools), false, end);
    }
  });

  test("holds what is before a segment that cannot be had, and nothing of or behind it", async () => {
    const { ask, run, spool, folder: spools } = scene();
    const storage = await stored(range(1, 9));
    const broken = faulty(storage, [
      { on: "get", key: /03\.gz$/, times: 99, fault: { kind: "before" } },
    ]);
    await spool.want(name(0));
    const running = run(open(broken));
    for (const number of [1, 2])
      assert.ok(await until(`segment ${number}`, async () => await ask(number)));
    assert.equal(await ask(3), undefined);
    await running;
    assert.equal(existsSync(spools), false);
  });

  test("never holds a partial segment", async () => {
    const { ask, run, spool } = scene();
    const storage = await stored([1]);
    await storage.put(
      `one/wals/${name(2).slice(0, 16)}/${name(2)}.partial`,
      makeSegment({ name: name(2), pages: 3 }),
    );
    await spool.want(name(0));
    const running = run(open(storage));
    await until("the first", async () => (await spool.look()).here.has(name(1)));
    assert.deepEqual([...(await spool.look()).here], [name(1)]);
    assert.ok(await ask(1));
    assert.equal(await running, 1);
  });

  test("is done by one process at a time, and by another when that one died", async () => {
    const { run, spool } = scene();
    const storage = await stored(range(1, 9));
    const lease = await spool.lease();
    assert.ok(lease);
    assert.equal(await run(open(storage)), 0);
    writeFileSync(join(spool.folder, `${name(1)}.coming`), "");
    writeFileSync(join(spool.folder, `${name(1)}.tmp-00`), "");
    const past = new Date(Date.now() - 60_000);
    utimesSync(join(spool.folder, "fetching"), past, past);
    await spool.want(name(0));
    const running = run(open(storage), { idle: 1 });
    await running;
    assert.equal(await lease.renew(), false);
  });
});

suite("a spool", () => {
  async function filled(content: Uint8Array): Promise<Scene & { path: string }> {
    const made = scene();
    await made.spool.make();
    const path = join(made.spool.folder, name(1));
    writeFileSync(path, content, { mode: 0o600 });
    return { ...made, path };
  }

  test("serves a segment that is what its name says, once", async () => {
    const { ask } = await filled(segment(1));
    assert.deepEqual(await ask(1), segment(1));
    assert.equal(await ask(1), undefined);
  });

  test("serves nothing else, and throws it away", async () => {
    for (const content of [
      Buffer.alloc(0),
      segment(2),
      segment(1).subarray(0, MADE_SIZE - 1),
      Buffer.concat([segment(1), Buffer.alloc(1)]),
      makeSegment({ name: name(1), systemId: 5n }),
      Buffer.alloc(MADE_SIZE),
    ]) {
      const { ask, path } = await filled(content);
      assert.equal(await ask(1), undefined);
      assert.equal(existsSync(path), false);
    }
  });

  test("follows no link, and trusts no folder that others may write to", async () => {
    const { ask, path } = await filled(segment(1));
    rmSync(path);
    const elsewhere = join(folder, "elsewhere");
    writeFileSync(elsewhere, segment(1));
    symlinkSync(elsewhere, path);
    assert.equal(await ask(1), undefined);
    assert.ok(existsSync(elsewhere));
    const open = await filled(segment(1));
    chmodSync(open.spool.folder, 0o777);
    assert.equal(await open.spool.take(name(1), join(folder, "x")), undefined);
    await assert.rejects(open.spool.make(), /others may write to it/);
  });

  test("is another one for every archive, server and cluster", () => {
    const common = { folder, uid: 0, clock: systemClock, random: systemRandom };
    const folders = [
      { archive: "a", server: "one", systemId: 1n },
      { archive: "b", server: "one", systemId: 1n },
      { archive: "a", server: "two", systemId: 1n },
      { archive: "a", server: undefined, systemId: 1n },
      { archive: "a", server: "one", systemId: 2n },
    ].map((each) => new WalSpool({ ...common, ...each }).folder);
    assert.equal(new Set(folders).size, folders.length);
  });
});

test("the program starts fetching ahead for a recovery and not for others, and is gone with the archive's end", async () => {
  const at = mkdtempSync(join(folder, "program-"));
  const wals = join(at, "archive/one/wals", name(1).slice(0, 16));
  mkdirSync(wals, { recursive: true });
  for (const number of range(1, 12))
    writeFileSync(join(wals, `${name(number)}.gz`), gzipSync(segment(number)));
  const data = join(at, "data");
  mkdirSync(join(data, "global"), { recursive: true });
  mkdirSync(join(data, "pg_wal"));
  const control = Buffer.alloc(8192);
  control.writeBigUInt64LE(MADE_SYSTEM_ID);
  writeFileSync(join(data, "global/pg_control"), control);
  const spool = join(data, "pg_wal/holdfast-spool");
  const fetch = async (number: number, to: string): Promise<string> => {
    const words = ["pg", "wal-fetch", name(number), `pg_wal/${to}`, "-v"];
    const where = ["--archive", join(at, "archive"), "--server", "one"];
    const { status, stdout, stderr } = await runProgram([...words, ...where], { cwd: data });
    assert.deepEqual([status, stderr], [0, ""]);
    assert.deepEqual(readFileSync(join(data, "pg_wal", to)), segment(number));
    assert.equal(statSync(join(data, "pg_wal", to)).mode & 0o777, 0o600);
    return stdout;
  };
  await fetch(1, name(1));
  assert.equal(existsSync(spool), false);
  const told: string[] = [];
  for (const number of range(1, 12)) {
    told.push(await fetch(number, "RECOVERYXLOG"));
    if (number > 1) continue;
    await until("a segment to be fetched ahead", () =>
      Promise.resolve(
        readdirSync(spool, { recursive: true, encoding: "utf8" }).some((path) =>
          /\/[0-9A-F]{24}$/.test(path),
        ),
      ),
    );
  }
  assert.match(told.join(""), /fetched ahead/);
  await until("the spool to go", () => Promise.resolve(!existsSync(spool)));
});
