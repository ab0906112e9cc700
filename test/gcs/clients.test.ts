// The double against clients that know the real service: restic's own gs: backend, rclone with restic above it, and
// Google's client for Node.
// What they accept, the double may say; what they get wrong on a strict bucket, it must refuse.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import { Storage } from "@google-cloud/storage";
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
  const { stdout } = await execute(restic.path, args, { env, cwd: source, timeout: 180_000 });
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

suite("rclone with a service account", { skip: rclone.skip }, () => {
  test("exchanges its assertion for a token, and is refused without one", async () => {
    const strict = await new GcsDouble({ authenticate: true }).listen();
    try {
      strict.createBucket({ name: "accounts" });
      const account = strict.access.createAccount("backup@p.example", `${strict.endpoint}/token`);
      const copy = (credentials: Environment): Promise<unknown> =>
        execute(
          rclone.path,
          ["copy", join(source, "large"), "gcs:accounts/copy", "--retries", "1"],
          {
            env: {
              PATH: process.env["PATH"],
              HOME: folder,
              RCLONE_CONFIG: "/dev/null",
              RCLONE_CONFIG_GCS_TYPE: "google cloud storage",
              RCLONE_CONFIG_GCS_ENDPOINT: `${strict.endpoint}/storage/v1/`,
              RCLONE_CONFIG_GCS_BUCKET_POLICY_ONLY: "true",
              ...credentials,
            },
          },
        );
      await copy({ RCLONE_CONFIG_GCS_SERVICE_ACCOUNT_CREDENTIALS: account });
      assert.equal(strict.access.exchanged, 1);
      assert.ok(strict.buckets.get("accounts")!.peek("copy/large"));
      await assert.rejects(copy({ RCLONE_CONFIG_GCS_ANONYMOUS: "true" }), /Invalid Credentials/);
      const stranger = new GcsDouble().access.createAccount("x@y", `${strict.endpoint}/token`);
      await assert.rejects(
        copy({ RCLONE_CONFIG_GCS_SERVICE_ACCOUNT_CREDENTIALS: stranger }),
        /invalid_grant/,
      );
    } finally {
      await strict.close();
    }
  });
});

suite("Google's own client", () => {
  const connect = (): Storage =>
    new Storage({ apiEndpoint: double.endpoint, projectId: "p", useAuthWithCustomEndpoint: false });

  test("writes, reads, lists and deletes, with its checksums", async () => {
    double.createBucket({ name: "npm" });
    const bucket = connect().bucket("npm");
    const body = randomBytes(3_000_000);
    await bucket.file("simple").save(body, { resumable: false, validation: "crc32c" });
    await bucket.file("resumed").save(body, { resumable: true, validation: "crc32c" });
    for (const name of ["simple", "resumed"]) {
      const [content] = await bucket.file(name).download({ validation: "crc32c" });
      assert.ok(content.equals(body));
      const [part] = await bucket
        .file(name)
        .download({ start: 1000, end: 1999, validation: false });
      assert.ok(part.equals(body.subarray(1000, 2000)));
    }
    const [files] = await bucket.getFiles({ maxResults: 1, autoPaginate: true });
    assert.ok(files.length >= 1);
    await bucket.file("simple").delete();
    const [exists] = await bucket.file("simple").exists();
    assert.equal(exists, false);
  });

  test("is refused a second creation, and brings a deleted object back", async () => {
    double.createBucket({ name: "npm-more", limitWrites: false });
    const bucket = connect().bucket("npm-more");
    const once = { resumable: false, preconditionOpts: { ifGenerationMatch: 0 } };
    await bucket.file("once").save("1", once);
    await assert.rejects(bucket.file("once").save("2", once), { code: 412 });
    const [{ generation }] = await bucket.file("once").getMetadata();
    await bucket.file("once").delete();
    const [deleted] = await bucket.getFiles({ softDeleted: true });
    assert.deepEqual(
      deleted.map(({ name }) => name),
      ["once"],
    );
    await bucket.file("once").restore({ generation: Number(generation) });
    const [content] = await bucket.file("once").download();
    assert.equal(content.toString(), "1");
  });

  test("is told the bucket's settings and the key of an object", async () => {
    const key = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/npm";
    double.keys.set(key, { location: "EUROPE-WEST1", state: "ENABLED", granted: true });
    double.createBucket({ name: "npm-key", retentionSeconds: 60 });
    const bucket = connect().bucket("npm-key");
    await bucket
      .file("sealed")
      .save("1", { resumable: false, metadata: {}, kmsKeyName: key } as never);
    const [metadata] = await bucket.getMetadata();
    assert.equal(metadata.retentionPolicy?.retentionPeriod, "60");
    await assert.rejects(bucket.file("sealed").delete(), /retention policy/);
  });
});
