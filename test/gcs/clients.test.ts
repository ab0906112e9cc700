// The double against clients that know the real service: restic's own gs: backend, and rclone with restic above it.
// What they accept, the double may say; what they get wrong on a strict bucket, it must refuse.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import { plantTree } from "../faults/source-tree.ts";
import { assertSameTree } from "../faults/workbench.ts";
import { peer } from "../peers.ts";
import { GcsDouble } from "./double.ts";

const restic = peer("restic-newest");
const rclone = peer("rclone");
const execute = promisify(execFile);

let folder: string;
let source: string;
let double: GcsDouble;
let restores = 0;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "holdfast-gcs-"));
  source = join(folder, "source");
  plantTree(source, { large: 20_000_000, links: "utf-8" });
  double = await new GcsDouble().listen();
});
after(async () => {
  await double.close();
  rmSync(folder, { recursive: true, force: true });
});

type Environment = Readonly<Record<string, string>>;

async function resticWith(environment: Environment, ...args: string[]): Promise<string> {
  const env = {
    PATH: process.env["PATH"],
    HOME: folder,
    RESTIC_PASSWORD: "right",
    RESTIC_CACHE_DIR: join(folder, "cache"),
    ...environment,
  };
  const { stdout } = await execute(restic.path, args, { env, cwd: source, timeout: 20_000 });
  return stdout;
}

/** A repository's whole life: made, filled, checked, restored, thinned out. */
async function live(environment: Environment): Promise<void> {
  await resticWith(environment, "init");
  await resticWith(environment, "backup", ".");
  await resticWith(environment, "backup", ".", "--force");
  await resticWith(environment, "check", "--read-data");
  const target = join(folder, `restored ${restores++}`);
  await resticWith(environment, "restore", "latest", "--target", target);
  assertSameTree(target, source);
  await resticWith(environment, "forget", "--keep-last", "1", "--prune");
  await resticWith(environment, "check", "--read-data");
}

suite("restic's gs: backend", { skip: restic.skip }, () => {
  const environment = (bucket: string): Environment => ({
    STORAGE_EMULATOR_HOST: double.host,
    GOOGLE_ACCESS_TOKEN: "any",
    GOOGLE_PROJECT_ID: "project",
    RESTIC_REPOSITORY: `gs:${bucket}:/filestore`,
  });

  test("lives on the double", async () => {
    double.createBucket({ name: "restic" });
    double.resetCounts();
    await live(environment("restic"));
    assert.equal(double.counts.byOperation["unknown"], undefined);
  });

  test("lives on a bucket under a customer's key", async () => {
    const key = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k";
    double.keys.set(key, { location: "EUROPE-WEST1", state: "ENABLED", granted: true });
    const bucket = double.createBucket({ name: "cmek", defaultKmsKeyName: key });
    await resticWith(environment("cmek"), "init");
    await resticWith(environment("cmek"), "backup", ".");
    await resticWith(environment("cmek"), "check", "--read-data");
    assert.equal(bucket.peek("filestore/config")?.kmsKeyName, `${key}/cryptoKeyVersions/1`);
    double.keys.get(key)!.state = "DISABLED";
    const answer = await fetch(`${double.endpoint}/cmek/filestore/config`);
    assert.equal(answer.status, 400);
    assert.match(await answer.text(), /current state is: DISABLED/);
  });

  test("is refused what it may not do", async () => {
    double.createBucket({ name: "denied", denied: new Set(["storage.objects.create"]) });
    // It tries for a quarter of an hour.
    const init = resticWith(environment("denied"), "init");
    await assert.rejects(init, /storage\.objects\.create/);
  });
});

suite("rclone's Cloud Storage backend", { skip: restic.skip || rclone.skip }, () => {
  const environment = (bucket: string): Environment => ({
    RCLONE_CONFIG: "/dev/null",
    RCLONE_CONFIG_GCS_TYPE: "google cloud storage",
    RCLONE_CONFIG_GCS_ANONYMOUS: "true",
    RCLONE_CONFIG_GCS_ENDPOINT: `${double.endpoint}/storage/v1/`,
    RCLONE_CONFIG_GCS_BUCKET_POLICY_ONLY: "true",
    RESTIC_REPOSITORY: `rclone:gcs:${bucket}/filestore`,
  });
  const options = ["-o", `rclone.program=${rclone.skip === false ? rclone.path : ""}`];

  test("restic lives on it", async () => {
    double.createBucket({ name: "rclone" });
    double.resetCounts();
    const withRclone = { ...environment("rclone"), RESTIC_PROGRESS_FPS: "0" };
    await resticWith(withRclone, "init", ...options);
    await resticWith(withRclone, "backup", ".", "--pack-size", "32", ...options);
    await resticWith(withRclone, "check", "--read-data", ...options);
    assert.equal(double.counts.byOperation["unknown"], undefined);
    assert.ok((double.counts.byOperation["piece"] ?? 0) > 0, "a large pack is resumable");
  });

  test("its default ACL is refused where access is uniform", async () => {
    double.createBucket({ name: "uniform" });
    const { RCLONE_CONFIG_GCS_BUCKET_POLICY_ONLY: _, ...withAcl } = environment("uniform");
    await assert.rejects(
      execute(rclone.path, ["copy", join(source, "large"), "gcs:uniform/copy", "--retries", "1"], {
        env: { PATH: process.env["PATH"], HOME: folder, ...withAcl },
      }),
      /uniform bucket-level access/,
    );
  });
});
