// The guide's Secret, as the mover's environment has it: `rclone:gcs:` without rclone, on a bucket under a customer's key. Real restic
// with real rclone reads what the mover stored, and the mover restores what they stored.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, suite, test } from "node:test";
import { assertSameTree } from "../faults/workbench.ts";
import { GcsDouble } from "../gcs/double.ts";
import { peer, skipWithout } from "../peers.ts";
import { codesOf, openMoverBench } from "./mover-bench.ts";

const KEY = "projects/acme/locations/europe-west1/keyRings/backup/cryptoKeys/odoo";
const BUCKET = "acme-odoo-backups";

suite("a mover on the guide's repository", { skip: skipWithout("restic-newest", "rclone") }, () => {
  let double: GcsDouble;
  let account: string;
  before(async () => {
    double = await new GcsDouble({ authenticate: true }).listen();
    double.keys.set(KEY, { location: "EUROPE-WEST1", state: "ENABLED", granted: true });
    double.createBucket({ name: BUCKET, uniformAccess: true });
    account = double.access.createAccount(
      "backup@acme.iam.gserviceaccount.com",
      `${double.endpoint}/token`,
    );
  });
  after(() => double.close());

  test("backs up under the key that the Secret names, and restores", async (t) => {
    const bench = await openMoverBench(t);
    bench.plant({ "fs/aa/file": "content", "fs/bb/other": "more" });
    const repository = `rclone:gcs:${BUCKET}/filestore`;
    const env = {
      RCLONE_CONFIG_GCS_TYPE: "google cloud storage",
      RCLONE_CONFIG_GCS_SERVICE_ACCOUNT_CREDENTIALS: account,
      RCLONE_CONFIG_GCS_BUCKET_POLICY_ONLY: "true",
      RCLONE_CONFIG_GCS_ENDPOINT: `${double.endpoint}/storage/v1/`,
      RCLONE_CONFIG: "/dev/null",
      HOLDFAST_GS_KMS_KEY: KEY,
      // The double gives its tokens out itself.
      HOLDFAST_GS_ALLOW_CREDENTIALS: "token-uri",
      PATH: "/usr/bin:/bin",
    };
    const made = await bench.mover(["backup", "--prune"], { repository, env });
    assert.equal(made.status, 0, made.stderr);
    for (const { kmsKeyName } of double.buckets.get(BUCKET)!.all(false)) {
      assert.equal(kmsKeyName, `${KEY}/cryptoKeyVersions/1`);
    }
    const { HOLDFAST_GS_KMS_KEY: _, ...plain } = env;
    const rclone = ["-o", `rclone.program=${peer("rclone").path}`];
    const { stdout } = await bench.restic("newest", [...rclone, "snapshots", "--json"], {
      repository,
      env: plain,
    });
    assert.match(stdout, /"hostname":"volsync"/);
    await bench.restic("newest", [...rclone, "check", "--read-data"], { repository, env: plain });
    const out = bench.at("out");
    mkdirSync(out);
    const restored = await bench.mover(["restore"], { repository, env: { ...env, DATA_DIR: out } });
    assert.equal(restored.status, 0);
    assertSameTree(out, bench.data);
  });

  test("a bucket that is not there, or refuses us, is no reason to make a repository", async (t) => {
    const bench = await openMoverBench(t);
    bench.plant({ a: "a" });
    const env = {
      RCLONE_CONFIG_GCS_TYPE: "google cloud storage",
      RCLONE_CONFIG_GCS_SERVICE_ACCOUNT_CREDENTIALS: account,
      RCLONE_CONFIG_GCS_ENDPOINT: `${double.endpoint}/storage/v1/`,
      RCLONE_CONFIG: "/dev/null",
      HOLDFAST_GS_ALLOW_CREDENTIALS: "token-uri",
    };
    for (const words of [["backup"], ["restore"]]) {
      const absent = await bench.mover(words, { repository: "rclone:gcs:no-such-bucket/x", env });
      assert.equal(absent.verdict.result, "failed");
      assert.deepEqual(absent.verdict.snapshot, undefined);
      assert.doesNotMatch(absent.stdout, /created restic repository/);
      const secret = (JSON.parse(account) as { private_key: string }).private_key.split("\n")[3]!;
      assert.ok(!`${absent.stdout}${absent.stderr}`.includes(secret));
    }
    const refused = await bench.mover(["backup"], {
      repository: `rclone:gcs:${BUCKET}/filestore`,
      env: { ...env, HOLDFAST_GS_ALLOW_CREDENTIALS: "" },
    });
    assert.equal(refused.status, 78);
    assert.deepEqual(codesOf(refused), ["CREDENTIALS_INVALID"]);
  });
});
