// The storage contract on Cloud Storage: on our double, also under a customer's key, and on somebody else's emulator.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { backendContext } from "../backend-context.ts";
import { GcsDouble } from "../gcs/double.ts";
import { startFakeGcsServer } from "../gcs/fake-gcs-server.ts";
import type { FakeGcsServer } from "../gcs/fake-gcs-server.ts";
import { peer } from "../peers.ts";
import { systemClock } from "../../src/base/clock.ts";
import { storageConformance } from "../../src/storage/conformance.ts";
import type { OpenedStorage } from "../../src/storage/conformance/expectations.ts";
import { openGcsStorage } from "../../src/storage/gcs.ts";
import type { GcsOptions } from "../../src/storage/gcs.ts";
import { retrying } from "../../src/storage/retrying.ts";
import type { Storage } from "../../src/storage/storage.ts";

const KEY = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k";

let double: GcsDouble;
let buckets = 0;

before(async () => {
  double = await new GcsDouble().listen();
  double.keys.set(KEY, { location: "EUROPE-WEST1", state: "ENABLED", granted: true });
});
after(async () => {
  await double.close();
});

function openBucket(bucket: string, options: Partial<GcsOptions> = {}): Promise<Storage> {
  const credentials = { kind: "anonymous" } as const;
  const { endpoint } = double;
  const all = { bucket, prefix: "filestore/", credentials, endpoint, ...options };
  return openGcsStorage(all, backendContext());
}

async function openFresh(
  settings?: Parameters<GcsDouble["createBucket"]>[0],
  options: Partial<GcsOptions> = {},
): Promise<OpenedStorage> {
  const name = `bucket-${buckets++}`;
  const bucket = double.createBucket({ ...settings, name });
  // What lies beside the storage must never be seen through it.
  for (const stranger of ["other/config", "filestore-captures/config", "filestorf"]) {
    bucket.insert({ metadata: { name: stranger }, content: Buffer.from("x"), preconditions: {} });
  }
  const reopen = (): Promise<Storage> => openBucket(name, options);
  return { storage: await reopen(), cleanup: () => Promise.resolve(), reopen };
}

storageConformance("gcs", () => openFresh({ name: "", limitWrites: false }));
storageConformance("gcs at the root of a bucket under a customer's key", async () => {
  const name = `bucket-${buckets++}`;
  double.createBucket({ name, uniformAccess: true });
  const options = { prefix: "", kmsKeyName: KEY };
  const reopen = (): Promise<Storage> => openBucket(name, options);
  // One write of a name a second: the rest is for whoever retries.
  const storage = retrying(await reopen(), { clock: systemClock, delayFirst: 300 });
  return { storage, cleanup: () => Promise.resolve(), reopen };
});

const server = peer("fake-gcs-server");
suite("on fake-gcs-server", { skip: server.skip }, () => {
  let fake: FakeGcsServer;
  before(async () => (fake = await startFakeGcsServer(server.path)));
  after(() => fake.stop());
  storageConformance("gcs", async () => {
    const name = `bucket-${buckets++}`;
    await fake.createBucket(name);
    const reopen = (): Promise<Storage> => openBucket(name, { endpoint: fake.endpoint });
    return { storage: await reopen(), cleanup: () => Promise.resolve(), reopen };
  });
  test("what the service did not encrypt with the required key is refused and removed", async () => {
    await fake.createBucket("cmek");
    const { endpoint } = fake;
    const storage = await openBucket("cmek", { endpoint, kmsKeyName: KEY });
    const put = storage.put("data/ab/ab12", new Uint8Array(10));
    await assert.rejects(put, { code: "STORAGE_WRONG_KEY" });
    await assert.rejects(storage.stat("data/ab/ab12"), { code: "STORAGE_NOT_FOUND" });
  });
});

suite("gcs", () => {
  test("one request an object", async () => {
    const { storage } = await openFresh();
    double.resetCounts();
    await storage.put("data/ab/ab12", new Uint8Array(1000));
    await storage.get("data/ab/ab12", { offset: 5, length: 10 });
    assert.deepEqual(double.counts.byOperation, { insert: 1, media: 1 });
  });
});
