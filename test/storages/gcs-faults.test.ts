// Every way in which a request, an answer or a permission can fail: the outcome is right bytes or one clear error.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { backendContext } from "../backend-context.ts";
import { FakeClock } from "../fake-clock.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { GcsDouble } from "../gcs/double.ts";
import type { Bucket, BucketSettings } from "../gcs/bucket.ts";
import type { Fault } from "../gcs/faults.ts";
import { systemClock } from "../../src/base/clock.ts";
import { openGcsStorage } from "../../src/storage/gcs.ts";
import type { GcsOptions } from "../../src/storage/gcs.ts";
import { putStream } from "../../src/storage/put-stream.ts";
import { retrying } from "../../src/storage/retrying.ts";
import type { StorageRetry } from "../../src/storage/retrying.ts";
import type { Storage } from "../../src/storage/storage.ts";

const KEY = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k";
const BODY = seededBytes("faults", 3_000_000);
const MIB = 1 << 20;

let double: GcsDouble;
before(async () => (double = await new GcsDouble().listen()));
after(() => double.close());

interface Place {
  bucket: Bucket;
  storage: Storage;
  retries: StorageRetry[];
}

let buckets = 0;
async function place(
  settings: Partial<BucketSettings> = {},
  options: Partial<GcsOptions> = {},
  silence = 20_000,
): Promise<Place> {
  double.faults.clear();
  double.faults.struck = 0;
  double.keys.set(KEY, { location: "EUROPE-WEST1", state: "ENABLED", granted: true });
  const name = `faults-${buckets++}`;
  const bucket = double.createBucket({ limitWrites: false, ...settings, name });
  const credentials = { kind: "anonymous" } as const;
  const all = { bucket: name, prefix: "f/", credentials, endpoint: double.endpoint, ...options };
  const retries: StorageRetry[] = [];
  const storage = retrying(await openGcsStorage(all, backendContext({ silence })), {
    clock: systemClock,
    delayFirst: 1,
    delayMax: 5,
    attemptsMax: 6,
    onRetry: (event) => retries.push(event),
  });
  return { bucket, storage, retries };
}

const FAULTS: Fault[] = [
  { kind: "drop" },
  { kind: "lose-reply" },
  { kind: "tear" },
  { kind: "duplicate" },
  { kind: "stall", delay: 1500 },
  { kind: "status", status: 429, retryAfter: 0 },
  { kind: "status", status: 408 },
  { kind: "status", status: 500 },
  { kind: "status", status: 503, retryAfter: 0 },
  { kind: "status", status: 504 },
];

suite("passing faults are ridden out", () => {
  for (const fault of FAULTS) {
    const name = `${fault.kind}${fault.status === undefined ? "" : ` ${fault.status}`}`;
    test(`${name}, of every request`, async () => {
      const { bucket, storage } = await place({}, {}, 500);
      const strike = (operation: string, times = fault.kind === "stall" ? 1 : 2): void => {
        double.faults.clear();
        double.faults.struck = 0;
        double.faults.plan({ ...fault, operation, times });
      };
      strike("insert");
      await storage.put("data/ab/x", BODY);
      assert.ok(double.faults.struck > 0);
      assert.ok(bucket.peek("f/data/ab/x")!.content.equals(BODY));
      strike("media");
      assert.ok(BODY.equals(await storage.get("data/ab/x")));
      const into = new Uint8Array(MIB);
      strike("media");
      await storage.get("data/ab/x", { offset: 77, length: MIB, into });
      assert.ok(BODY.subarray(77, 77 + MIB).equals(into));
      strike("get");
      assert.equal((await storage.stat("data/ab/x")).size, BODY.length);
      strike("list");
      const keys: string[] = [];
      for await (const { key } of storage.list("")) keys.push(key);
      assert.deepEqual(keys, ["data/ab/x"]);
      strike("resumable", 1);
      await putStream(storage, "base/x", [BODY.subarray(0, MIB)]);
      strike("piece");
      const large = Buffer.concat([BODY, BODY, BODY, BODY, BODY, BODY]);
      await putStream(storage, "base/y", [large]);
      assert.ok(bucket.peek("f/base/y")!.content.equals(large));
      strike("delete");
      await storage.delete("data/ab/x");
      strike("batch");
      await storage.deleteMany(["base/x", "base/y", "base/z"]);
      assert.equal(bucket.peek("f/base/x"), undefined);
      assert.equal(bucket.peek("f/data/ab/x"), undefined);
    });
  }

  test("an answer damaged on its way is no object that is believed", async () => {
    const { storage, bucket } = await place();
    // The body of an insert's answer is JSON: a turned bit makes it another hash, or no JSON.
    double.faults.plan({ kind: "corrupt", operation: "insert", times: 3 });
    await storage.put("data/ab/x", BODY);
    assert.ok(bucket.peek("f/data/ab/x")!.content.equals(BODY));
  });

  test("a torn read goes on where it broke", async () => {
    const { storage } = await place();
    await storage.put("data/ab/x", BODY);
    double.resetCounts();
    double.faults.plan({ kind: "tear", operation: "media", times: 4 });
    assert.ok(BODY.equals(await storage.get("data/ab/x")));
    const { byOperation, bytesOut } = double.counts;
    assert.equal(byOperation["media"], 5);
    // Each request asked for what was missing: half, then half of the rest, and so on.
    assert.ok(bytesOut < 2.1 * BODY.length, `${bytesOut} bytes`);
  });

  test("a torn read of an object that was replaced meanwhile is never a mix", async () => {
    const { storage, bucket } = await place();
    await storage.put("data/ab/x", BODY);
    double.faults.plan({ kind: "tear", operation: "media", times: 1 });
    double.faults.plan({
      kind: "run",
      operation: "media",
      times: 1,
      run: () =>
        bucket.insert({
          metadata: { name: "f/data/ab/x" },
          content: Buffer.alloc(BODY.length),
          preconditions: {},
        }),
    });
    const read = await storage.get("data/ab/x").catch((error: { code: string }) => error.code);
    if (read instanceof Uint8Array) assert.ok(new Set(read).size === 1);
    else assert.equal(read, "STORAGE_NOT_FOUND");
  });

  test("an outage of ten minutes is ridden out, with fewer and fewer questions", async () => {
    const { bucket } = await place();
    const clock = new FakeClock();
    const credentials = { kind: "anonymous" } as const;
    const options = { bucket: bucket.settings.name, prefix: "", credentials };
    const raw = await openGcsStorage({ ...options, endpoint: double.endpoint }, backendContext());
    const attempts: number[] = [];
    const storage = retrying(raw, {
      clock,
      onRetry: ({ delay }) => {
        attempts.push(clock.monotonic());
        setImmediate(() => void clock.advance(delay));
      },
    });
    double.faults.plan({
      kind: "status",
      status: 503,
      times: 16,
    });
    await storage.put("data/ab/x", BODY);
    assert.ok(bucket.peek("data/ab/x")!.content.equals(BODY));
    assert.equal(attempts.length, 16);
    assert.ok(attempts.at(-1)! >= 10 * 60_000, `${attempts.at(-1)} ms`);
  });

  test("a pause that the service asks for is kept", async () => {
    const { storage, retries } = await place();
    double.faults.plan({ kind: "status", status: 429, retryAfter: 1, times: 1 });
    await storage.put("data/ab/x", BODY);
    assert.deepEqual(
      retries.map(({ delay }) => delay),
      [1000],
    );
  });
});

suite("what no waiting mends is one clear error", () => {
  const cases: [string, Partial<BucketSettings>, (storage: Storage) => Promise<unknown>, object][] =
    [
      [
        "no right to create",
        { denied: new Set(["storage.objects.create"]) },
        (storage) => storage.put("config", BODY),
        { code: "STORAGE_DENIED", message: /write config/, hint: /Grant storage\.objects\.create/ },
      ],
      [
        "no right to read",
        { denied: new Set(["storage.objects.get"]) },
        (storage) => storage.get("config"),
        { code: "STORAGE_DENIED", hint: /Grant storage\.objects\.get/ },
      ],
      [
        "no right to delete",
        { denied: new Set(["storage.objects.delete"]) },
        (storage) => storage.delete("config"),
        { code: "STORAGE_DENIED", hint: /Grant storage\.objects\.delete/ },
      ],
      [
        "no right to delete many",
        { denied: new Set(["storage.objects.delete"]) },
        async (storage) => {
          await storage.put("data/ab/x", BODY);
          await storage.deleteMany(["data/ab/w", "data/ab/x"]);
        },
        { code: "STORAGE_DENIED", hint: /Grant storage\.objects\.delete/ },
      ],
      [
        "no right to list",
        { denied: new Set(["storage.objects.list"]) },
        async (storage) => {
          for await (const object of storage.list("")) assert.fail(object.key);
        },
        { code: "STORAGE_DENIED", hint: /Grant storage\.objects\.list/ },
      ],
      [
        "a retention policy",
        { retentionSeconds: 3600, retentionLocked: true },
        async (storage) => {
          await storage.put("locks/x", BODY);
          await storage.delete("locks/x");
        },
        { code: "STORAGE_DENIED", message: /delete locks\/x/, hint: /retention policy/ },
      ],
    ];
  for (const [name, settings, work, expected] of cases) {
    test(name, async () => {
      const { storage, retries } = await place(settings);
      await assert.rejects(work(storage), { retryable: false, ...expected });
      assert.equal(retries.length, 0);
    });
  }

  test("a hold on the object", async () => {
    const { storage, bucket } = await place();
    await storage.put("locks/x", BODY);
    bucket.peek("f/locks/x")!.temporaryHold = true;
    await assert.rejects(storage.delete("locks/x"), { code: "STORAGE_DENIED", hint: /hold/ });
  });

  test("a key that is disabled in the middle of a run", async () => {
    const { storage } = await place({}, { kmsKeyName: KEY });
    await storage.put("data/ab/x", BODY);
    double.keys.get(KEY)!.state = "DISABLED";
    const expected = { code: "STORAGE_DENIED", hint: /Enable the key version/, retryable: false };
    await assert.rejects(storage.get("data/ab/x"), expected);
    await assert.rejects(storage.put("data/ab/y", BODY), expected);
    await assert.rejects(putStream(storage, "base/y", [BODY]), expected);
    // What needs no key still works.
    assert.equal((await storage.stat("data/ab/x")).size, BODY.length);
    await storage.delete("data/ab/x");
  });

  test("a key that may not be used, and one of another place", async () => {
    const { storage } = await place({}, { kmsKeyName: KEY });
    double.keys.get(KEY)!.granted = false;
    const put = storage.put("data/ab/x", BODY);
    await assert.rejects(put, { code: "STORAGE_DENIED", hint: /cryptoKeyEncrypterDecrypter/ });
    Object.assign(double.keys.get(KEY)!, { granted: true, location: "US" });
    const elsewhere = storage.put("data/ab/x", BODY);
    await assert.rejects(elsewhere, { code: "STORAGE_DENIED", hint: /location of the bucket/ });
  });

  test("an object that exists under another key than the required one", async () => {
    const { storage, bucket } = await place({}, { kmsKeyName: KEY });
    bucket.insert({ metadata: { name: "f/config" }, content: BODY, preconditions: {} });
    await assert.rejects(storage.put("config", BODY), {
      code: "STORAGE_WRONG_KEY",
      message: /no customer-managed key/,
    });
    assert.ok(bucket.peek("f/config"), "what others stored is left alone");
  });

  test("what others made of a name since is not removed with what we made", async () => {
    const other = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/other";
    const { storage, bucket } = await place({ defaultKmsKeyName: other }, { kmsKeyName: KEY });
    double.keys.set(other, { location: "EUROPE-WEST1", state: "ENABLED", granted: true });
    const insert = (content: Buffer): void =>
      void bucket.insert({ metadata: { name: "f/config" }, content, preconditions: {} });
    // The service ignores the key that was asked for, and somebody replaces the object at once.
    const original = bucket.insert.bind(bucket);
    bucket.insert = (insertion) => original({ ...insertion, kmsKeyName: other });
    double.faults.plan({
      kind: "run",
      operation: "delete",
      times: 1,
      run: () => insert(Buffer.from("theirs")),
    });
    await assert.rejects(storage.put("config", BODY), { code: "STORAGE_WRONG_KEY" });
    assert.equal(bucket.peek("f/config")?.content.toString(), "theirs");
  });

  test("deleted objects stay restorable, and are told so", async () => {
    const { storage } = await place({ softDeleteSeconds: 7 * 86_400, versioning: true });
    await storage.put("locks/x", BODY);
    await storage.delete("locks/x");
    await assert.rejects(storage.stat("locks/x"), { code: "STORAGE_NOT_FOUND" });
    const facts = new Map((await storage.inspect!()).map(({ name, value }) => [name, value]));
    assert.equal(facts.get("soft-delete"), "7 days");
    assert.equal(facts.get("versioning"), "on");
    assert.equal(facts.get("encryption-key"), "Google's own");
  });

  test("without the right to see the bucket its settings are unknown, not absent", async () => {
    const { storage } = await place({ denied: new Set(["storage.buckets.get"]) });
    const facts = await storage.inspect!();
    const soft = facts.find(({ name }) => name === "soft-delete")!;
    assert.equal(soft.value, undefined);
    assert.match(soft.note!, /storage\.buckets\.get/);
  });

  test("an upload whose session is forgotten ends, and leaves nothing", async () => {
    const { storage, bucket } = await place();
    const upload = await storage.startUpload!("base/x");
    double.uploads.forgetAll();
    const writing = upload.write(0, new Uint8Array(upload.pieceBytes));
    await assert.rejects(writing, { code: "STORAGE_FAILED", message: /forgotten/ });
    assert.equal(bucket.peek("f/base/x"), undefined);
  });
});
