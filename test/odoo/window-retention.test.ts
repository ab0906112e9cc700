// Retention by window with real files: a filestore lives for ten days, is captured and snapshotted, and what the window does not
// need is removed and pruned each day. Every file that lay there at a moment of the window still comes out of the pool.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, unlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock, type Clock } from "../../src/base/clock.ts";
import { localZone, readOwnerNames } from "../../src/files/metadata.ts";
import { captureOnce } from "../../src/odoo/capture.ts";
import { openPool } from "../../src/odoo/pool.ts";
import { storePath } from "../../src/odoo/store-name.ts";
import type { InstanceAccess } from "../../src/plan/access.ts";
import { buildInstance } from "../../src/plan/build-tasks.ts";
import { readPlan } from "../../src/plan/read-plan.ts";
import type { DueTask } from "../../src/plan/task.ts";
import { pruneRepository } from "../../src/repository/prune.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { listSnapshots } from "../../src/repository/snapshots.ts";
import { memoryRepository, testMachine } from "../memory-repository.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const DAYS = 8;
const WINDOW = 3;

/** The system's clock, set to another time of the wall. */
function setClock(wall: { now: number }): Clock {
  return {
    ...systemClock,
    now: () => wall.now,
    nowNanoseconds: () => BigInt(wall.now) * 1_000_000n,
  };
}

interface Life {
  readonly born: number;
  gone: number;
}

void test("every moment of the window keeps its files, and older ones go", async () => {
  const root = mkdtempSync(join(tmpdir(), "holdfast-window-"));
  const folder = join(root, "odoo");
  mkdirSync(folder);
  // In the future: nothing can make a file's ctime another than now, and what is younger than a snapshot is carried on.
  const begin = Date.now() + DAY;
  const wall = { now: begin };
  const machine = testMachine({ clock: setClock(wall) });
  const { repository, objects } = memoryRepository({ machine });
  const { repository: captures, objects: captured } = memoryRepository({ machine });
  const lives = new Map<string, Life>();
  try {
    const plan = readPlan({
      text: `instances: [{ name: one, filestore: ${folder}, repository: { owned: true }, window: ${WINDOW}d, capture: {}, schedules: { snapshot: "@daily", expire: "@daily" } }]`,
      name: "plan.yaml",
      path: join(root, "plan.yaml"),
    });
    const access = accessTo(machine, { repository, captures });
    const [instance] = plan.instances;
    const built = buildInstance({
      instance: instance!,
      access,
      state: root,
      by: "a test",
      lanes: 1,
    });
    const run = async (name: DueTask["name"]): Promise<Record<string, unknown>> => {
      const task = built.tasks.find((one) => one.name === name)!;
      const { detail } = await task.run({ signal: new AbortController().signal, notice: () => {} });
      return { ...detail };
    };
    const attach = (): void => {
      const content = randomBytes(50);
      const sha1 = createHash("sha1").update(content).digest("hex");
      const path = join(folder, storePath(sha1));
      mkdirSync(join(path, ".."), { recursive: true });
      writeFileSync(path, content);
      const seconds = (wall.now - 2 * 60_000) / 1000;
      utimesSync(path, seconds, seconds);
      lives.set(sha1, { born: wall.now, gone: Infinity });
    };
    const capture = async (): Promise<void> => {
      await captureOnce({
        main: repository,
        captures,
        folder,
        database: "odoo",
        metadata: { owners: readOwnerNames(), withAtime: false, ...localZone() },
        hostname: machine.hostname,
        programVersion: "a test",
        onEvent: () => {},
      });
    };
    let random = 1;
    const chance = (part: number): boolean => {
      random = (random * 48_271) % 2_147_483_647;
      return random / 2_147_483_647 < part;
    };
    for (let hour = 0; hour < DAYS * 24; hour += 3) {
      wall.now = begin + hour * HOUR;
      attach();
      attach();
      await capture();
      wall.now += HOUR;
      // The collector takes what nobody refers to any more: at times before any full snapshot has seen it.
      for (const [sha1, life] of lives) {
        if (life.gone !== Infinity || !chance(0.25)) continue;
        unlinkSync(join(folder, storePath(sha1)));
        life.gone = wall.now;
      }
      if (hour % 24 !== 21) continue;
      wall.now += HOUR / 2;
      await run("snapshot");
      wall.now += HOUR / 4;
      await run("expire");
    }
    const start = wall.now - WINDOW * DAY;
    const before = { full: await count(repository), captures: await count(captures) };
    // A day later nothing of captures is too young to go.
    const { captures: removed } = await run("expire");
    assert.equal(removed, 0);
    for (const each of [repository, captures]) await prune(each);
    const pool = await openPool({
      sources: [
        { repository, kind: "snapshots" },
        { repository: captures, kind: "captures" },
      ],
      onDamage: (_, error) => assert.fail(error.message),
    });
    let gone = 0;
    for (const [sha1, life] of lives) {
      const { status } = await pool.read(sha1);
      if (life.gone > start) assert.equal(status, "found", `${sha1} ${JSON.stringify(life)}`);
      else if (status === "missing") gone++;
    }
    // Not everything that ever was is kept.
    assert.ok(gone > 20, `${gone} of ${lives.size} are gone`);
    assert.ok(before.full <= WINDOW + 2, `${before.full} full snapshots`);
    assert.ok(before.captures < 40, `${before.captures} captures`);
    assert.ok(objects.size > 0 && captured.size > 0);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

async function count(repository: Repository): Promise<number> {
  return (await listSnapshots(repository)).length;
}

async function prune(repository: Repository): Promise<void> {
  await pruneRepository(repository, {
    criteria: {
      maxUnused: { kind: "bytes", bytes: 0 },
      maxRepackBytes: Infinity,
      smallPackBytes: undefined,
      repackCacheableOnly: false,
      repackUncompressed: false,
    },
    packSize: 16 << 20,
    dryRun: false,
    workers: 1,
    lock: { retryFor: 0 },
    events: {},
    signal: undefined,
  });
}

function accessTo(
  machine: InstanceAccess["machine"],
  opened: { readonly repository: Repository; readonly captures: Repository },
): InstanceAccess {
  const none = (): never => assert.fail("nobody asks for this");
  return {
    machine,
    backup: {
      workers: 1,
      packSize: undefined,
      verify: true,
      programVersion: "a test",
      scanCacheFolder: undefined,
    },
    repository: () => Promise.resolve(opened.repository),
    captures: () => Promise.resolve(opened),
    repositoryLocation: () => Promise.resolve("memory"),
    archive: none,
    connect: none,
    databaseName: none,
    drill: none,
  };
}
