// A file that the source has spoiled is good in the backups alone. The window must not take the last copy away while rows may
// still refer to it.

import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import assert from "node:assert/strict";
import type { InstanceAccess } from "../../src/plan/access.ts";
import { buildInstance } from "../../src/plan/build-tasks.ts";
import { readPlan } from "../../src/plan/read-plan.ts";
import { listSnapshots } from "../../src/repository/snapshots.ts";
import { CapturedStore } from "./captured-store.ts";

let store: CapturedStore;

afterEach(() => store.remove());

/** Removes what a window of a day does not need ten days later; what was noticed. */
async function expire(): Promise<string[]> {
  const plan = readPlan({
    text: `instances: [{ name: one, filestore: ${store.folder}, repository: { owned: true }, window: 1d, capture: {}, schedules: { snapshot: "@daily", expire: "@daily" } }]`,
    name: "plan.yaml",
    path: join(store.root, "plan.yaml"),
  });
  const none = (): never => assert.fail("nobody asks for this");
  const { machine } = store.main;
  const { clock } = machine;
  const later = { ...clock, now: () => clock.now() + 10 * 86_400_000 };
  const access: InstanceAccess = {
    machine: { ...machine, clock: later },
    backup: {
      workers: 1,
      packSize: undefined,
      verify: true,
      programVersion: "a test",
      scanCacheFolder: undefined,
    },
    repository: () => Promise.resolve(store.main),
    captures: () => Promise.resolve({ repository: store.main, captures: store.captures }),
    repositoryLocation: none,
    archive: none,
    connect: none,
    databaseName: none,
    drill: none,
  };
  const { tasks } = buildInstance({
    instance: plan.instances[0]!,
    access,
    state: store.root,
    by: "a test",
    lanes: 1,
  });
  const notices: string[] = [];
  await tasks
    .find(({ name }) => name === "expire")!
    .run({
      signal: new AbortController().signal,
      notice: (text) => void notices.push(text),
    });
  return notices;
}

test("old snapshots stay while they may have the only good copy of a file", async () => {
  store = await CapturedStore.make();
  const sha1 = store.write("a contract");
  store.age(sha1);
  const { id: good } = await store.backUp();
  const capture = store.capture();
  await capture.tick();
  // As a program that encrypts what it finds does.
  writeFileSync(store.path(sha1), "something else");
  await store.backUp();
  await capture.tick();
  capture.fullSnapshotMade();
  await capture.tick();
  const has = async (): Promise<boolean> =>
    (await listSnapshots(store.main)).some(({ id }) => id === good);
  assert.match((await expire()).join("\n"), /1 file is good in the backups alone/);
  assert.equal(await has(), true);
  rmSync(store.path(sha1));
  store.write("a contract");
  await capture.tick();
  await capture.close();
  assert.deepEqual(await expire(), []);
  assert.equal(await has(), false);
});
