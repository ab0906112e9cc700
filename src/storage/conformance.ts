// The storage contract as tests: every backend and every decorator passes this one suite.
// It is part of the tests, not of the package. What it asserts is written in src/storage/storage.ts; a doubt about
// the contract is settled there first.

import assert from "node:assert/strict";
import { describe } from "node:test";
import { equalBytes } from "../base/bytes.ts";
import { mapLimit } from "../base/concurrency.ts";
import {
  collect,
  failsWith,
  keysOf,
  MIB,
  pattern,
  sameBytes,
  storageTest,
} from "./conformance/expectations.ts";
import type { Open } from "./conformance/expectations.ts";
import { deletions } from "./conformance/deletions.ts";
import { replacements } from "./conformance/replacements.ts";
import { uploads } from "./conformance/uploads.ts";
import type { GetOptions, StoredObject } from "./storage.ts";

export interface ConformanceOptions {
  /** Objects in the long list; more than two pages of the usual thousand by default. */
  listCount?: number;
  /** False for a storage that has no startUpload. */
  uploads?: boolean;
  /** False for a service that shows an object while it is written. */
  atomicPuts?: boolean;
}

const SIZES = [0, 1, 4095, 4096, 4097, MIB - 1, MIB, MIB + 1, 16 * MIB + 5];

/** Registers the suite for one kind of storage; `open` gives an empty one each time. */
export function storageConformance(
  name: string,
  open: Open,
  options: ConformanceOptions = {},
): void {
  describe(`${name} keeps the storage contract`, () => {
    bodies(open);
    createOnly(open);
    ranges(open);
    absence(open);
    lists(open, options.listCount ?? 2100);
    if (options.atomicPuts !== false) unfinished(open);
    concurrency(open);
    cancellation(open);
    misuse(open);
    deletions(open);
    replacements(open);
    if (options.uploads !== false) uploads(open);
  });
}

function bodies(open: Open): void {
  storageTest("bodies of unusual sizes come back as they were", open, async ({ storage }) => {
    for (const size of SIZES) {
      const body = pattern(size, size);
      await storage.put(`data/${size}`, body);
      assert.equal((await storage.stat(`data/${size}`)).size, size);
      sameBytes(await storage.get(`data/${size}`), body);
    }
  });
  storageTest("views of shared memory at any offset", open, async ({ storage }) => {
    const memory = new Uint8Array(new SharedArrayBuffer(2 * MIB + 8192));
    memory.set(pattern(memory.length, 7));
    const before = Uint8Array.from(memory);
    for (const offset of [0, 1, 511, 4096]) {
      for (const size of [0, 4097, MIB, MIB + 4097]) {
        const key = `data/${offset}-${size}`;
        await storage.put(key, memory.subarray(offset, offset + size));
        sameBytes(await storage.get(key), before.subarray(offset, offset + size));
      }
    }
    sameBytes(memory, before);
  });
  storageTest("the body's memory is free once put resolved", open, async ({ storage }) => {
    const memory = pattern(MIB + 4097, 1);
    const expected = Uint8Array.from(memory);
    await storage.put("data/reused", memory);
    memory.fill(0);
    for (let i = 0; i < 2; i += 1) {
      const bytes = await storage.get("data/reused");
      sameBytes(bytes, expected);
      bytes.fill(0);
    }
  });
  storageTest("objects outlive the connection", open, async ({ storage, reopen }) => {
    await storage.put("config", pattern(155, 2));
    await storage.put("data/ab/abcd", pattern(MIB + 1, 3));
    const again = await (reopen?.() ?? storage);
    sameBytes(await again.get("config"), pattern(155, 2));
    sameBytes(await again.get("data/ab/abcd"), pattern(MIB + 1, 3));
    assert.equal(again.location, storage.location);
  });
}

function createOnly(open: Open): void {
  const variants: [string, Uint8Array, Uint8Array][] = [
    ["another byte", pattern(5000, 1), pattern(5000, 1).with(4999, 0)],
    ["a shorter body", pattern(5000, 1), pattern(5000, 1).subarray(0, 4999)],
    ["a longer body", pattern(5000, 1).subarray(0, 4999), pattern(5000, 1)],
    ["an empty body", pattern(1, 1), new Uint8Array(0)],
    ["a body in place of an empty one", new Uint8Array(0), pattern(1, 1)],
    ["a large body", pattern(2 * MIB, 1), pattern(2 * MIB, 1).with(2 * MIB - 1, 0)],
  ];
  storageTest("the same object again is success, another is refused", open, async ({ storage }) => {
    for (const [what, first, second] of variants) {
      const key = `data/${what.replaceAll(" ", "-")}`;
      await storage.put(key, first);
      await storage.put(key, Uint8Array.from(first));
      await failsWith("STORAGE_EXISTS", key, storage.put(key, second));
      sameBytes(await storage.get(key), first);
    }
    assert.equal((await collect(storage.list(""))).length, variants.length);
  });
  storageTest("a deleted name is free for other content", open, async ({ storage }) => {
    await storage.put("locks/a", pattern(10, 1));
    await storage.delete("locks/a");
    await storage.put("locks/a", pattern(10, 2));
    sameBytes(await storage.get("locks/a"), pattern(10, 2));
  });
}

function ranges(open: Open): void {
  const size = 10_000;
  const body = pattern(size, 4);
  storageTest("ranges are exact", open, async ({ storage }) => {
    await storage.put("data/x", body);
    const wanted: GetOptions[] = [
      { offset: 0, length: 1 },
      { offset: 4095, length: 2 },
      { offset: size - 1, length: 1 },
      { length: size },
      { offset: 1 },
      { offset: size },
      { offset: size, length: 0 },
      { offset: 5, length: 0 },
    ];
    for (const range of wanted) {
      const { offset = 0, length = size - offset } = range;
      sameBytes(await storage.get("data/x", range), body.subarray(offset, offset + length));
    }
  });
  storageTest("get fills the given memory and nothing beyond it", open, async ({ storage }) => {
    await storage.put("data/x", body);
    for (const buffer of [new ArrayBuffer(300), new SharedArrayBuffer(300)]) {
      const memory = new Uint8Array(buffer).fill(0xaa);
      const into = memory.subarray(50, 250);
      const result = await storage.get("data/x", { offset: 33, length: 100, into });
      assert.equal(result.buffer, buffer);
      assert.deepEqual([result.byteOffset, result.length], [50, 100]);
      sameBytes(result, body.subarray(33, 133));
      const untouched = [...memory.subarray(0, 50), ...memory.subarray(150)];
      assert.ok(untouched.every((byte) => byte === 0xaa));
    }
  });
  storageTest("a range beyond the end is an error, not a short read", open, async ({ storage }) => {
    await storage.put("data/x", body);
    await storage.put("data/empty", new Uint8Array(0));
    const beyond: GetOptions[] = [
      { offset: size, length: 1 },
      { offset: size - 1, length: 2 },
      { length: size + 1 },
      { length: 3 * MIB },
      { offset: size + 1 },
      { offset: size + 1, length: 0 },
      { offset: 0, length: size + 1, into: new Uint8Array(size + 1) },
    ];
    for (const range of beyond) {
      await failsWith("STORAGE_FAILED", "data/x", storage.get("data/x", range));
    }
    await failsWith("STORAGE_FAILED", "data/empty", storage.get("data/empty", { length: 1 }));
    assert.equal((await storage.get("data/empty")).length, 0);
  });
}

function absence(open: Open): void {
  storageTest("what does not exist is told as such", open, async ({ storage }) => {
    const into = new Uint8Array(1);
    for (const key of ["config", "data/ab/absent"]) {
      await failsWith("STORAGE_NOT_FOUND", key, storage.get(key));
      await failsWith("STORAGE_NOT_FOUND", key, storage.get(key, { length: 1, into }));
      await failsWith("STORAGE_NOT_FOUND", key, storage.get(key, { offset: 5, length: 0 }));
      await failsWith("STORAGE_NOT_FOUND", key, storage.stat(key));
      await storage.delete(key);
    }
    assert.deepEqual(await collect(storage.list("")), []);
    assert.deepEqual(await collect(storage.list("data/")), []);
  });
  storageTest("a prefix of other keys is no object", open, async ({ storage }) => {
    await storage.put("data/ab/x", pattern(1, 1));
    for (const key of ["data", "data/ab"]) {
      await failsWith("STORAGE_NOT_FOUND", key, storage.get(key));
      await failsWith("STORAGE_NOT_FOUND", key, storage.get(key, { length: 1 }));
      await failsWith("STORAGE_NOT_FOUND", key, storage.stat(key));
      await storage.delete(key);
    }
    await failsWith("STORAGE_NOT_FOUND", "data/ab/x/y", storage.get("data/ab/x/y"));
    await storage.delete("data/ab/x/y");
    assert.deepEqual(await keysOf(storage, ""), ["data/ab/x"]);
  });
  storageTest("delete is idempotent and seen at once", open, async ({ storage }) => {
    await storage.put("snapshots/a", pattern(100, 1));
    await storage.put("snapshots/b", pattern(100, 2));
    await storage.delete("snapshots/a");
    await storage.delete("snapshots/a");
    await failsWith("STORAGE_NOT_FOUND", "snapshots/a", storage.get("snapshots/a"));
    if (storage.traits.strongLists) {
      assert.deepEqual(await keysOf(storage, "snapshots/"), ["snapshots/b"]);
    }
  });
}

function lists(open: Open, count: number): void {
  storageTest("a long list has every object once, with its size", open, async ({ storage }) => {
    const expected = Array.from({ length: count }, (_, i): StoredObject => {
      const name = i.toString(16).padStart(4, "0");
      return { key: `data/${name.slice(2)}/${name}`, size: i % 7 };
    });
    await mapLimit(expected, storage.traits.connections, async ({ key, size }) => {
      await storage.put(key, pattern(size, size));
    });
    const listed = await collect(storage.list("data/"));
    assert.deepEqual(
      new Map(listed.map(({ key, size }) => [key, size])),
      new Map(expected.map(({ key, size }) => [key, size])),
    );
    assert.equal(listed.length, count);
    let seen = 0;
    for await (const { key } of storage.list("data/")) {
      await storage.delete(key);
      if ((seen += 1) === 50) break;
    }
    assert.equal((await collect(storage.list("data/"))).length, count - 50);
  });
  storageTest("what comes behind a key is listed, whatever else is", open, async ({ storage }) => {
    const keys = ["a/1", "b/1", "b/2", "b/2.x", "b/3", "b1", "c/1"];
    for (const key of keys) await storage.put(key, pattern(3, 3));
    const listed = await collect(storage.list("b", { after: "b/2" }));
    const behind = listed.map(({ key }) => key).filter((key) => key > "b/2");
    assert.deepEqual(behind.toSorted(), ["b/2.x", "b/3"]);
    assert.ok(listed.every(({ key }) => key.startsWith("b/")));
  });
  storageTest("a prefix means whole segments", open, async ({ storage }) => {
    const keys = ["config", "data/ab/1", "data/ab/c/2", "data/abc/3", "data.old/4", "data/ab.5"];
    for (const key of keys) await storage.put(key, pattern(3, 3));
    assert.deepEqual(await keysOf(storage, ""), keys.toSorted());
    assert.deepEqual(await keysOf(storage, "data/ab/"), ["data/ab/1", "data/ab/c/2"]);
    assert.deepEqual(await keysOf(storage, "data/ab"), ["data/ab/1", "data/ab/c/2"]);
    assert.deepEqual(await keysOf(storage, "data/ab/c"), ["data/ab/c/2"]);
    const data = ["data/ab.5", "data/ab/1", "data/ab/c/2", "data/abc/3"];
    assert.deepEqual(await keysOf(storage, "data"), data);
    assert.deepEqual(await keysOf(storage, "config"), []);
    assert.deepEqual(await keysOf(storage, "dat"), []);
  });
}

function unfinished(open: Open): void {
  storageTest("an unfinished object is never listed or read", open, async ({ storage }) => {
    const body = pattern(16 * MIB + 5, 9);
    let settled = false;
    const putting = storage.put("data/ab/large", body).finally(() => (settled = true));
    while (!settled) {
      for await (const object of storage.list("")) {
        assert.deepEqual([object.key, object.size], ["data/ab/large", body.length]);
        sameBytes(await storage.get("data/ab/large"), body);
      }
    }
    await putting;
    assert.deepEqual(await keysOf(storage, ""), ["data/ab/large"]);
  });
}

function concurrency(open: Open): void {
  storageTest("64 puts at once", open, async ({ storage }) => {
    const numbers = Array.from({ length: 64 }, (_, i) => i);
    await Promise.all(numbers.map((i) => storage.put(`data/${i % 8}/${i}`, pattern(5000 + i, i))));
    for (const i of numbers) {
      sameBytes(await storage.get(`data/${i % 8}/${i}`), pattern(5000 + i, i));
    }
    assert.equal((await collect(storage.list("data"))).length, 64);
  });
  storageTest(
    "racing puts: one content wins, only others are refused",
    open,
    async ({ storage }) => {
      for (const size of [100, MIB + 100]) {
        const key = `data/race-${size}`;
        // Eight writers with two contents: the losers are exactly those with the content that lost.
        const racers = Array.from({ length: 8 }, (_, i) => pattern(size, i % 2));
        const results = await Promise.allSettled(racers.map((body) => storage.put(key, body)));
        const winner = await storage.get(key);
        for (const [i, result] of results.entries()) {
          const won = equalBytes(winner, racers[i] ?? winner);
          assert.equal(result.status, won ? "fulfilled" : "rejected");
          if (result.status === "rejected") {
            await failsWith("STORAGE_EXISTS", key, Promise.reject(result.reason as Error));
          }
        }
        assert.equal(results.filter(({ status }) => status === "fulfilled").length, 4);
      }
      assert.equal((await collect(storage.list(""))).length, 2);
    },
  );
}

function cancellation(open: Open): void {
  storageTest("an aborted signal stops every call before it acts", open, async ({ storage }) => {
    await storage.put("data/kept", pattern(10, 1));
    const options = { signal: AbortSignal.abort() };
    const calls = [
      storage.put("data/new", pattern(10, 1), options),
      storage.get("data/kept", options),
      storage.stat("data/kept", options),
      collect(storage.list("data/", options)),
      storage.delete("data/kept", options),
    ];
    for (const result of await Promise.allSettled(calls)) {
      assert.equal(result.status, "rejected");
      assert.equal((result.reason as { code?: string }).code, "CANCELLED");
    }
    assert.deepEqual(await keysOf(storage, ""), ["data/kept"]);
  });
  storageTest("an abort during a put leaves all of it or nothing", open, async ({ storage }) => {
    const body = pattern(3 * MIB + 1, 2);
    const controller = new AbortController();
    const putting = storage.put("data/x", body, { signal: controller.signal });
    controller.abort();
    const [result] = await Promise.allSettled([putting]);
    const listed = await collect(storage.list(""));
    if (result.status === "fulfilled") sameBytes(await storage.get("data/x"), body);
    else await failsWith("CANCELLED", "", Promise.reject(result.reason as Error));
    if (listed.length > 0) {
      const sizes = listed.map(({ key, size }) => [key, size]);
      assert.deepEqual(sizes, [["data/x", body.length]]);
    }
    await storage.put("data/x", body);
  });
  storageTest("an abort ends a list that is under way", open, async ({ storage }) => {
    for (let i = 0; i < 100; i += 1) await storage.put(`data/${i % 10}/${i}`, pattern(1, 1));
    const controller = new AbortController();
    const listing = async (): Promise<void> => {
      for await (const object of storage.list("", { signal: controller.signal })) {
        assert.ok(object.key);
        controller.abort();
      }
    };
    await failsWith("CANCELLED", "", listing());
  });
}

function misuse(open: Open): void {
  storageTest("wrong keys and ranges are defects of the caller", open, async ({ storage }) => {
    await storage.put("data/x", pattern(10, 1));
    const keys = ["", "/config", "data/", "data//x", "data/../x", ".", "..", "a\\b", "a\nb", "é"];
    for (const key of [...keys, "data/x-tmp-1234"]) {
      await failsWith("BUG", "", storage.put(key, pattern(1, 1)));
      await failsWith("BUG", "", storage.get(key));
      await failsWith("BUG", "", storage.stat(key));
      await failsWith("BUG", "", storage.delete(key));
    }
    for (const prefix of ["/", "/data", "../", "data//", "a\\b"]) {
      await failsWith("BUG", "", collect(storage.list(prefix)));
    }
    const into = new Uint8Array(5);
    const wrong: GetOptions[] = [{ offset: -1 }, { length: -1 }, { offset: 0.5 }, { length: NaN }];
    for (const range of [...wrong, { into }, { length: 6, into }]) {
      await failsWith("BUG", "data/x", storage.get("data/x", range));
    }
    assert.deepEqual(await keysOf(storage, ""), ["data/x"]);
  });
}
