// Ways in which a capture could lose what an earlier one holds: one that could not be read, clocks that go back, several
// programs that capture at once.

import { mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import assert from "node:assert/strict";
import { listSnapshots } from "../../src/repository/snapshots.ts";
import type { Storage, StoredObject } from "../../src/storage/storage.ts";
import { CapturedStore, HASTY_CLOCK } from "./captured-store.ts";

let store: CapturedStore;

afterEach(() => store.remove());

/** The storage with some methods of another. */
function instead(storage: Storage, methods: Partial<Storage>): Storage {
  return new Proxy(storage, {
    get: (_, name: keyof Storage) => {
      const value: unknown = methods[name] ?? storage[name];
      return typeof value === "function" ? (value.bind(storage) as unknown) : value;
    },
  });
}

/** Takes away what index files there are; what puts them back. */
function hideIndex(root: string): () => void {
  const [index, hidden] = [join(root, "index"), join(root, "hidden")];
  mkdirSync(hidden);
  const names = readdirSync(index);
  for (const name of names) renameSync(join(index, name), join(hidden, name));
  return () => {
    for (const name of names) renameSync(join(hidden, name), join(index, name));
    rmSync(hidden, { recursive: true });
  };
}

test("a capture that could not be read is not replaced: it may be readable again", async () => {
  store = await CapturedStore.make();
  const gone = store.write("gone");
  const first = store.capture();
  await first.tick();
  await first.close();
  rmSync(store.path(gone));
  const unhide = hideIndex(join(store.root, "captures"));
  const second = store.capture();
  const kept = store.write("kept");
  await second.tick();
  store.write("more");
  await second.tick();
  await second.close();
  unhide();
  const all = await store.list();
  assert.equal(all.length, 2);
  assert.deepEqual(await store.names(all[0]), [gone]);
  // The next one has it all.
  const third = store.capture();
  store.write("last");
  await third.tick();
  await third.close();
  const [only, ...others] = await store.list();
  assert.deepEqual(others, []);
  const names = await store.names(only);
  assert.equal(names.length, 4);
  assert.ok(names.includes(gone) && names.includes(kept));
});

test("a capture that appears while another program begins is neither overlooked nor removed", async () => {
  // Committed between the moment at which the other one reads what there is, and its first capture.
  let between: (() => Promise<void>) | undefined;
  store = await CapturedStore.make({
    wrap: (storage) =>
      instead(storage, {
        async *list(prefix, options) {
          const all: StoredObject[] = [];
          for await (const object of storage.list(prefix, options)) all.push(object);
          if (prefix.startsWith("index")) {
            const work = between;
            between = undefined;
            await work?.();
          }
          yield* all;
        },
      }),
  });
  store.write("first");
  const one = store.capture();
  await one.tick();
  const other = store.capture({ hostname: "odoo-1" });
  const gone = store.write("gone");
  between = async () => {
    await one.tick();
    await one.close();
    rmSync(store.path(gone));
  };
  await other.tick();
  assert.equal(between, undefined);
  store.write("second");
  await other.tick();
  await other.close();
  const all = await store.list();
  const names = (await Promise.all(all.map((capture) => store.names(capture)))).flat();
  assert.ok(names.includes(gone));
});

test("a clock that goes back: the last capture of a period is still the newest by its time", async () => {
  let back = 0;
  const clock = {
    ...HASTY_CLOCK,
    now: () => HASTY_CLOCK.now() - back,
    nowNanoseconds: () => HASTY_CLOCK.nowNanoseconds() - BigInt(back) * 1_000_000n,
  };
  // Otherwise the older one would be gone before it can be taken for the newest.
  const wrap = (storage: Storage): Storage =>
    instead(storage, { delete: () => Promise.reject(new Error("not now")) });
  store = await CapturedStore.make({ clock, wrap });
  const one = store.write("one");
  const first = store.capture();
  await first.tick();
  await first.close();
  back = 3_600_000;
  const second = store.capture();
  const two = store.write("two");
  await second.tick();
  const three = store.write("three");
  await second.tick();
  await second.close();
  const newest = (await listSnapshots(store.captures)).at(-1);
  assert.deepEqual(await store.names(newest), [one, two, three].sort());
});
