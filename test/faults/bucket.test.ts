// Whole backups and restores on a bucket that fails in every way there is: the outcome is a repository in which every byte
// is right, or one clear error and nothing lost that was acknowledged.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { systemClock } from "../../src/base/clock.ts";
import type { Clock } from "../../src/base/clock.ts";
import { openRepository } from "../../src/repository/open.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { listSnapshots } from "../../src/repository/snapshots.ts";
import { openGcsStorage } from "../../src/storage/gcs.ts";
import type { GoogleCredentials } from "../../src/storage/gcs.ts";
import { retrying } from "../../src/storage/retrying.ts";
import type { RetryingOptions } from "../../src/storage/retrying.ts";
import { backendContext } from "../backend-context.ts";
import { FakeClock } from "../fake-clock.ts";
import type { Bucket, BucketSettings } from "../gcs/bucket.ts";
import { GcsDouble } from "../gcs/double.ts";
import type { FaultKind } from "../gcs/faults.ts";
import { createQuickRepository } from "../interop/quick-repository.ts";
import { backUpPaths, checkAll, MACHINE, restoreTo } from "./engine.ts";
import { plantTree } from "./source-tree.ts";
import { assertSameTree, openWorkbench, PASSWORD } from "./workbench.ts";

const KEY = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k";

const bench = await openWorkbench({ after });
const source = bench.at("source");
let double: GcsDouble;
let account: string;
let restores = 0;
before(async () => {
  plantTree(source, { large: 9_000_000, many: 40, links: "utf-8" });
  double = await new GcsDouble({ authenticate: true }).listen();
  account = double.access.createAccount("backup@p.example", `${double.endpoint}/token`);
});
after(() => double.close());

let buckets = 0;
/** A bucket with an empty repository in it. */
async function makeBucket(settings: Partial<BucketSettings> = {}): Promise<Bucket> {
  double.faults.clear();
  double.keys.set(KEY, { location: "EUROPE-WEST1", state: "ENABLED", granted: true });
  const name = `faults-${buckets++}`;
  const bucket = double.createBucket({ limitWrites: false, ...settings, name });
  const folder = bench.at(name);
  await createQuickRepository(folder, PASSWORD);
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const object = { name: path.slice(folder.length + 1) };
    bucket.insert({ metadata: object, content: readFileSync(path), preconditions: {} });
  }
  return bucket;
}

async function openBucket(
  bucket: Bucket,
  retry: Partial<RetryingOptions> = {},
  kmsKeyName?: string,
): Promise<Repository> {
  const credentials: GoogleCredentials = { kind: "file", value: account, source: "the test" };
  const place = { bucket: bucket.settings.name, prefix: "", endpoint: double.endpoint };
  const options = new Map([["gs.allow-credentials", "token-uri"]]);
  const context = backendContext({ options, silence: 2_000 });
  const raw = await openGcsStorage({ ...place, credentials, kmsKeyName }, context);
  const quick = { clock: systemClock, delayFirst: 1, delayMax: 4, attemptsMax: 12 };
  const storage = retrying(raw, { ...quick, ...retry });
  return await openRepository({ storage, password: PASSWORD, machine: MACHINE });
}

/** Everything in the bucket is sound, and comes back as it was. */
async function assertSound(bucket: Bucket, snapshots: number): Promise<void> {
  double.faults.clear();
  const repository = await openBucket(bucket);
  const report = await checkAll(repository);
  assert.deepEqual([report.numErrors, report.covered.snapshots], [0, snapshots]);
  if (snapshots === 0) return;
  const target = bench.at(`restored ${restores++}`);
  const { failures } = await restoreTo(repository, `latest:${source}`, target);
  assert.equal(failures, 0);
  assertSameTree(target, source);
}

test("weather: every few requests something else goes wrong", async () => {
  const bucket = await makeBucket();
  const repository = await openBucket(bucket);
  const kinds: FaultKind[] = ["drop", "lose-reply", "tear", "duplicate", "corrupt", "status"];
  const plan = (): void => {
    for (let i = 0; i < 60; i++) {
      double.faults.plan({
        kind: kinds[i % kinds.length]!,
        status: i % 4 === 3 ? 429 : 503,
        skip: i,
        times: 1,
      });
    }
  };
  plan();
  const struck = double.faults.struck;
  await backUpPaths(repository, [source], { packSize: 1 << 20 });
  assert.ok(double.faults.struck > struck + 10, `${double.faults.struck - struck} faults`);
  await assertSound(bucket, 1);
  plan();
  const target = bench.at("restored in bad weather");
  // A corrupt answer is fetched again by whoever finds it; the retries of the storage cannot know.
  const { failures } = await restoreTo(await openBucket(bucket), `latest:${source}`, target);
  assert.equal(failures, 0);
  assertSameTree(target, source);
});

test("an outage of ten minutes in the middle of a backup is ridden out", async () => {
  const bucket = await makeBucket();
  const clock = new FakeClock();
  let until = Infinity;
  double.faults.plan({
    kind: "run",
    operation: "insert",
    skip: 4,
    times: 1,
    run: () => {
      until = clock.monotonic() + 10 * 60_000;
      double.faults.plan({ kind: "drop" });
    },
  });
  const retry = {
    clock: clock as Clock,
    delayFirst: 1_000,
    delayMax: 60_000,
    attemptsMax: Infinity,
  };
  const repository = await openBucket(bucket, retry);
  let isDone = false;
  const time = (async () => {
    // Seconds pass in milliseconds, as long as anybody waits.
    while (!isDone) {
      await pause(2);
      await clock.advance(2_000);
      if (clock.monotonic() >= until) double.faults.clear();
    }
  })();
  await backUpPaths(repository, [source], { packSize: 1 << 20 }).finally(() => (isDone = true));
  await time;
  assert.ok(clock.monotonic() >= until, "the outage has passed");
  await assertSound(bucket, 1);
});

test("tokens that are revoked in the middle of a backup are replaced", async () => {
  const bucket = await makeBucket();
  const repository = await openBucket(bucket, { attemptsMax: 1 });
  const before = double.access.exchanged;
  for (const skip of [2, 5]) {
    double.faults.plan({
      kind: "run",
      operation: "insert",
      skip,
      times: 1,
      run: () => double.access.tokens.clear(),
    });
  }
  await backUpPaths(repository, [source], { packSize: 1 << 20 });
  assert.ok(double.access.exchanged >= before + 2);
  await assertSound(bucket, 1);
});

test("a key that is disabled in the middle ends the backup with what to do, and loses nothing", async () => {
  const bucket = await makeBucket();
  await backUpPaths(await openBucket(bucket, {}, KEY), [source]);
  double.faults.plan({
    kind: "run",
    operation: "insert",
    skip: 3,
    times: 1,
    run: () => (double.keys.get(KEY)!.state = "DISABLED"),
  });
  const more = [source, bench.at("repository")];
  const second = backUpPaths(await openBucket(bucket, {}, KEY), more, {
    force: true,
    packSize: 1 << 20,
  });
  await assert.rejects(second, { code: "STORAGE_DENIED", hint: /Enable the key version/ });
  double.keys.get(KEY)!.state = "ENABLED";
  const snapshots = await listSnapshots(await openBucket(bucket));
  assert.equal(snapshots.length, 1);
  await assertSound(bucket, 1);
});

const KEPT: [string, Partial<BucketSettings>, RegExp][] = [
  [
    "without the right to delete",
    { denied: new Set(["storage.objects.delete"]) },
    /storage\.objects\.delete/,
  ],
  [
    "under a locked retention policy",
    { retentionSeconds: 3600, retentionLocked: true },
    /retention policy/,
  ],
];
for (const [name, settings, reason] of KEPT) {
  test(`a bucket ${name}: backups succeed, and say which lock stays and why`, async () => {
    const bucket = await makeBucket(settings);
    for (let i = 1; i <= 2; i++) {
      const { notices } = await backUpPaths(await openBucket(bucket), [source]);
      assert.match(notices.join("\n"), /unable to remove lock/);
      assert.match(notices.join("\n"), reason);
    }
    await assertSound(bucket, 2);
  });
}

test("with soft delete and versions, what was removed stays restorable and is seen by nobody", async () => {
  const bucket = await makeBucket({ softDeleteSeconds: 86_400, versioning: true });
  await backUpPaths(await openBucket(bucket), [source]);
  assert.deepEqual(
    bucket.all(true).map(({ name }) => name.split("/")[0]),
    ["locks"],
  );
  await assertSound(bucket, 1);
});

test("a bucket that vanishes is an error that names it", async () => {
  const bucket = await makeBucket();
  const repository = await openBucket(bucket);
  double.buckets.delete(bucket.settings.name);
  await assert.rejects(backUpPaths(repository, [source]), {
    code: "STORAGE_NOT_FOUND",
    hint: new RegExp(`Create the bucket ${bucket.settings.name}`),
  });
});
