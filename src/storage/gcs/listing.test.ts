import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { backendContext } from "../../../test/backend-context.ts";
import { GcsDouble } from "../../../test/gcs/double.ts";
import type { Bucket } from "../../../test/gcs/bucket.ts";
import { openGcsStorage } from "../gcs.ts";
import type { Storage } from "../storage.ts";

let double: GcsDouble;
before(async () => (double = await new GcsDouble().listen()));
after(() => double.close());

let buckets = 0;
async function bucketWith(
  names: Iterable<string>,
  service = double,
): Promise<{ bucket: Bucket; storage: Storage }> {
  const name = `list-${buckets++}`;
  const bucket = service.createBucket({ name });
  for (const each of names) {
    bucket.insert({ metadata: { name: each }, content: Buffer.from("x"), preconditions: {} });
  }
  const credentials = { kind: "anonymous" } as const;
  const options = { bucket: name, prefix: "f/", credentials, endpoint: service.endpoint };
  return { bucket, storage: await openGcsStorage(options, backendContext()) };
}

async function keysOf(storage: Storage, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of storage.list(prefix)) keys.push(key);
  return keys;
}

const hex = (i: number): string =>
  Math.imul(i, 0x9e3779b1).toString(16).replace("-", "").padStart(8, "0");

test("much is listed in spans: every object once, whatever its name", async () => {
  const packs = Array.from(
    { length: 20_000 },
    (_, i) => `f/data/${hex(i).slice(0, 2)}/${hex(i)}${i}`,
  );
  const strangers = [
    "f/data/zz/late",
    "f/data/README",
    "f/data/0",
    "f/data/ff",
    "f/dataless",
    "g/data/00/x",
  ];
  const { storage } = await bucketWith([...packs, ...strangers]);
  double.resetCounts();
  const keys = await keysOf(storage, "data/");
  const expected = [...packs, "f/data/zz/late", "f/data/README", "f/data/0", "f/data/ff"];
  assert.deepEqual(keys.toSorted(), expected.map((name) => name.slice(2)).toSorted());
  const requests = double.counts.byOperation["list"]!;
  assert.ok(requests >= 200 && requests <= 300, `${requests} requests`);
});

test("a few pages are listed in a few spans", async () => {
  const packs = Array.from(
    { length: 2_500 },
    (_, i) => `f/data/${hex(i).slice(0, 2)}/${hex(i)}${i}`,
  );
  const { storage } = await bucketWith(packs);
  double.resetCounts();
  assert.equal(new Set(await keysOf(storage, "data/")).size, 2_500);
  const requests = double.counts.byOperation["list"]!;
  assert.ok(requests <= 17, `${requests} requests`);
});

test("names that are no hex digits are listed page by page", async () => {
  const names = Array.from({ length: 2_100 }, (_, i) => `f/wals/segment-${i}`);
  const { storage } = await bucketWith(names);
  double.resetCounts();
  assert.equal(new Set(await keysOf(storage, "wals/")).size, 2_100);
  assert.equal(double.counts.byOperation["list"], 3);
});

test("a page that fails ends the list with its error, and a reader who leaves stops it", async () => {
  const packs = Array.from(
    { length: 5_000 },
    (_, i) => `f/data/${hex(i).slice(0, 2)}/${hex(i)}${i}`,
  );
  const { storage, bucket } = await bucketWith(packs);
  double.faults.plan({
    kind: "run",
    operation: "list",
    skip: 5,
    times: 1,
    run: () => bucket.settings.denied.add("storage.objects.list"),
  });
  await assert.rejects(keysOf(storage, "data/"), {
    code: "STORAGE_DENIED",
    hint: /storage\.objects\.list/,
  });
  bucket.settings.denied.clear();
  let seen = 0;
  for await (const object of storage.list("data/")) {
    assert.ok(object);
    if (++seen === 1500) break;
  }
  assert.equal(seen, 1500);
});

test("a reader who is slow makes the service wait, and misses nothing", async (context) => {
  // Evenly over all spans: an empty page is read at once.
  const packs = Array.from({ length: 60_000 }, (_, i) => {
    const name = (Math.imul(i, 0x9e3779b1) >>> 0).toString(16).padStart(8, "0");
    return `f/data/${name.slice(0, 2)}/${name}`;
  });
  // Its own: what the test before this one gave up may still be on its way.
  const service = await new GcsDouble().listen();
  context.after(() => service.close());
  const { storage } = await bucketWith(packs, service);
  // 257 pages in all: the first one, two for each connection, and one for each that was read by then.
  const MOST = 1 + 2 * storage.traits.connections + 5;
  const keys = new Set<string>();
  for await (const { key } of storage.list("data/")) {
    keys.add(key);
    if (keys.size !== 1_500) continue;
    await sleep(300);
    const requests = service.counts.byOperation["list"]!;
    assert.ok(requests <= MOST, `${requests} requests`);
  }
  assert.equal(keys.size, packs.length);
  service.resetCounts();
  let seen = 0;
  for await (const object of storage.list("data/")) {
    if (object && ++seen < 1_500) continue;
    await sleep(300);
    break;
  }
  await sleep(50);
  assert.ok(service.counts.byOperation["list"]! <= MOST);
});

test("a bucket that is gone is no empty list", async () => {
  const { storage, bucket } = await bucketWith([]);
  double.buckets.delete(bucket.settings.name);
  await assert.rejects(keysOf(storage, ""), {
    code: "STORAGE_NOT_FOUND",
    hint: /Create the bucket/,
  });
  await assert.rejects(storage.delete("data/ab/x"), { code: "STORAGE_NOT_FOUND" });
  await assert.rejects(storage.put("data/ab/x", new Uint8Array(1)), { code: "STORAGE_NOT_FOUND" });
});
