// `pg wal-push` that is killed, repeated and raced: what was acknowledged is there, nothing is replaced, and there is never a
// moment at which neither the whole segment nor its beginning can be had.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { archiveOf, type Archive } from "../../src/postgres/archive.ts";
import { fetchWal, requireWalName } from "../../src/postgres/wal-fetch.ts";
import { pushWal } from "../../src/postgres/wal-push.ts";
import { faulty } from "../../src/storage/faulty.ts";
import { openLocalStorage } from "../../src/storage/local.ts";
import { openMemoryStorage } from "../../src/storage/memory.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { runProgram, startProgram } from "./program.ts";
import { makeSegment } from "./segments.ts";

const folder = mkdtempSync(join(tmpdir(), "holdfast-push-faults-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const NAME = "0000000200000001000000AB";
const IN_FOLDER = "wals/0000000200000001";
const SEGMENT = makeSegment({ name: NAME });

/** A file called `name` with that content. */
function file(name: string, content: Uint8Array): string {
  const path = join(mkdtempSync(join(folder, "source-")), name);
  writeFileSync(path, content);
  return path;
}

function open(storage: Storage): Archive {
  return archiveOf(storage, "one");
}

async function push(archive: Archive, content: Uint8Array, name = NAME): Promise<void> {
  await pushWal({ archive, path: file(name, content) });
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

suite("a push that dies or is repeated", () => {
  /** Runs `work` with the storage dying at every call in turn, before it or after it took effect. */
  async function dyingEverywhere(
    work: (archive: Archive, storage: Storage) => Promise<void>,
    prepare: (archive: Archive) => Promise<void>,
    check: (archive: Archive) => Promise<void>,
  ): Promise<void> {
    for (const when of ["before", "after"] as const) {
      let deaths = 0;
      for (let skip = 0; skip < 9; skip++) {
        const storage = openMemoryStorage();
        await prepare(open(storage));
        const dying = faulty(storage, [{ skip, fault: { kind: "kill", when } }]);
        const died = await work(open(dying), storage).then(
          () => false,
          () => true,
        );
        if (died) deaths += 1;
        await check(open(storage));
        await work(open(storage), storage);
        await check(open(storage));
        assert.deepEqual(await paths(open(storage)), [`${IN_FOLDER}/${NAME}.gz`]);
      }
      assert.ok(deaths >= 4, `${deaths} deaths`);
    }
  }

  test("leaves the beginning until the whole is there", async () => {
    const begun = makeSegment({ name: NAME, pages: 4 });
    await dyingEverywhere(
      async (archive) => await push(archive, SEGMENT),
      async ({ storage }) => await storage.put(`${IN_FOLDER}/${NAME}.partial.gz`, gzipSync(begun)),
      async (archive) => {
        const found = await served(archive);
        assert.ok(found?.equals(begun) || found?.equals(SEGMENT));
      },
    );
  });

  test("in real processes, killed anywhere: what was acknowledged is there, and a retry succeeds", async () => {
    const at = join(folder, "killed");
    mkdirSync(at);
    const names = Array.from({ length: 8 }, (_, i) => `00000001000000000000000${i}`);
    for (const [i, name] of names.entries()) {
      const path = file(name, makeSegment({ name, size: 16 << 20 }));
      const words = ["pg", "wal-push", path, "--archive", at, "--server", "one"];
      const { child, ended } = startProgram(words);
      // The times of a push are spread over the kills: starting, reading, storing.
      await Promise.race([ended, sleep(40 + 30 * i)]);
      for (const each of processesBelow(child.pid!)) kill(each);
      const { status } = await ended;
      const archive = open(await openLocalStorage({ root: at }));
      if (status === 0) assert.ok(await served(archive, name));
      const again = await runProgram(words);
      assert.deepEqual([again.status, again.stderr], [0, ""]);
      assert.deepEqual(await served(archive, name), readFileSync(path));
    }
    const archive = open(await openLocalStorage({ root: at }));
    assert.equal((await paths(archive)).length, names.length);
  });

  test("to a place that is not there makes none, and without a server goes nowhere", async () => {
    const path = file(NAME, SEGMENT);
    const at = join(folder, "unmounted");
    const words = ["pg", "wal-push", path, "--archive", at];
    const missing = await runProgram([...words, "--server", "one"]);
    assert.equal(missing.status, 1);
    assert.match(missing.stderr, /unmounted/);
    assert.equal(existsSync(at), false);
    mkdirSync(at);
    const nameless = await runProgram(words);
    assert.equal(nameless.status, 1);
    assert.match(nameless.stderr, /no server of the archive is named/);
    assert.equal((await runProgram([...words, "--server", "one"])).status, 0);
  });

  test("racing processes with the same content all succeed, with other content only one", async () => {
    const at = join(folder, "raced");
    mkdirSync(at);
    const words = (path: string): string[] => [
      "pg",
      "wal-push",
      path,
      "--archive",
      at,
      "--server",
      "one",
    ];
    const same = Array.from({ length: 4 }, () => file(NAME, SEGMENT));
    const runs = await Promise.all(same.map((path) => runProgram(words(path))));
    assert.deepEqual(
      runs.map(({ status, stderr }) => [status, stderr]),
      same.map(() => [0, ""]),
    );
    const next = "0000000200000001000000AC";
    const others = [0, 1, 2, 3].map((seed) => file(next, makeSegment({ name: next, seed })));
    const statuses = await Promise.all(others.map((path) => runProgram(words(path))));
    assert.deepEqual(statuses.map(({ status }) => String(status)).toSorted(), ["0", "1", "1", "1"]);
    const archive = open(await openLocalStorage({ root: at }));
    const winner = others[statuses.findIndex(({ status }) => status === 0)]!;
    assert.deepEqual(await served(archive, next), readFileSync(winner));
    for (const { status, stderr } of statuses)
      if (status === 1) assert.match(stderr, /holds other content/);
  });

  test("a partial and the whole one, racing, leave the whole one alone", async () => {
    for (let hold = 0; hold < 8; hold++) {
      const storage = openMemoryStorage();
      let release = (): void => {};
      const until = new Promise<void>((resolve) => (release = resolve));
      const slow = faulty(storage, [{ skip: hold, fault: { kind: "hold", until } }]);
      const begun = makeSegment({ name: NAME, pages: 4 });
      const partly = push(open(slow), begun, `${NAME}.partial`);
      await push(open(storage), SEGMENT);
      release();
      await partly;
      assert.deepEqual(await paths(open(storage)), [`${IN_FOLDER}/${NAME}.gz`], `held at ${hold}`);
    }
  });
});

/** It may have ended by itself meanwhile. */
function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, "ESRCH");
  }
}

/** A process and all that it started. */
function processesBelow(pid: number): number[] {
  let children: string;
  try {
    children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  } catch {
    return [];
  }
  const below = children.split(" ").filter((text) => text.trim() !== "");
  return [pid, ...below.flatMap((text) => processesBelow(Number(text)))];
}
