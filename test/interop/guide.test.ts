// The repository of the backup guide that the product was asked to implement: `rclone:gcs:BUCKET/filestore`, configured by
// RCLONE_CONFIG_GCS_* in a secret, on a bucket under a customer's key with uniform access. Real restic with real rclone, and
// Holdfast without either, work on it in turns; so do restic's own gs: backend and ours.

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { appendFileSync, readFileSync, readdirSync } from "node:fs";
import { after, before, suite, test } from "node:test";
import { plantTree } from "../faults/source-tree.ts";
import { assertSameTree, openWorkbench } from "../faults/workbench.ts";
import type { Run } from "../faults/workbench.ts";
import { GcsDouble } from "../gcs/double.ts";
import { peer, skipWithout } from "../peers.ts";

const KEY = "projects/hayden/locations/europe-west1/keyRings/backup/cryptoKeys/backup-encryption";
const BUCKET = "hayden-odoo-backups";
const rclone = peer("rclone");

const bench = await openWorkbench({ after });
let double: GcsDouble;
let account: string;
before(async () => {
  plantTree(bench.at("source"), { large: 20_000_000, many: 40, links: "utf-8" });
  double = await new GcsDouble({ authenticate: true }).listen();
  double.keys.set(KEY, { location: "EUROPE-WEST1", state: "ENABLED", granted: true });
  double.createBucket({ name: BUCKET, uniformAccess: true, defaultKmsKeyName: KEY });
  account = double.access.createAccount(
    "odoo-pg-backup@hayden.iam.gserviceaccount.com",
    `${double.endpoint}/token`,
  );
});
after(() => double.close());

/** The guide's secret, with the address of the double in place of Google's. */
function guide(): Record<string, string> {
  return {
    RESTIC_REPOSITORY: `rclone:gcs:${BUCKET}/filestore`,
    RESTIC_PASSWORD: "bG9uZyByYW5kb20gcGFzc3dvcmQ=",
    RCLONE_CONFIG_GCS_TYPE: "google cloud storage",
    RCLONE_CONFIG_GCS_SERVICE_ACCOUNT_CREDENTIALS: account,
    RCLONE_CONFIG_GCS_BUCKET_POLICY_ONLY: "true",
    RCLONE_CONFIG_GCS_ENDPOINT: `${double.endpoint}/storage/v1/`,
    RCLONE_CONFIG: "/dev/null",
    // The double gives its tokens out itself.
    HOLDFAST_GS_ALLOW_CREDENTIALS: "token-uri",
    // Nothing may be found by accident.
    PATH: "/usr/bin:/bin",
  };
}

function gs(): Record<string, string> {
  double.access.tokens.set("access", Date.now() + 3_600_000);
  return {
    RESTIC_REPOSITORY: `gs:${BUCKET}:/direct`,
    RESTIC_PASSWORD: "x",
    GOOGLE_ACCESS_TOKEN: "access",
    STORAGE_EMULATOR_HOST: double.host,
  };
}

/** Both programs on one repository, in turns: each reads, extends and checks what the other wrote. */
async function alternate(env: Record<string, string>, options: readonly string[]): Promise<void> {
  const cwd = bench.at("source");
  const theirs = (...words: string[]): Promise<Run> =>
    bench.restic("newest", [...options, ...words], { cwd, env });
  const ours = (...words: string[]): Promise<Run> => bench.holdfast(words, { cwd, env, status: 0 });
  const grow = (line: string): void => appendFileSync(bench.at("source", "grows"), `${line}\n`);

  grow("one");
  await theirs("init");
  await theirs("backup", ".");
  assert.match((await ours("check", "--read-data")).stdout, /no errors were found/);
  grow("two");
  assert.match((await ours("backup", ".")).stdout, /using parent snapshot/);
  await theirs("check", "--read-data");
  grow("three");
  await theirs("backup", ".");
  await theirs("forget", "--keep-last", "2", "--prune");
  grow("four");
  await ours("backup", ".");
  await ours("check", "--read-data");
  await theirs("check", "--read-data");
  const listed = JSON.parse((await ours("snapshots", "--json")).stdout) as unknown[];
  assert.deepEqual(
    listed.length,
    (JSON.parse((await theirs("snapshots", "--json")).stdout) as unknown[]).length,
  );
  const [one, other] = [
    bench.at(`ours ${env["RESTIC_REPOSITORY"]!.length}`),
    bench.at(`theirs ${env["RESTIC_REPOSITORY"]!.length}`),
  ];
  await ours("restore", "latest", "--target", one);
  await theirs("restore", "latest", "--target", other);
  assertSameTree(one, cwd);
  assertSameTree(other, cwd);
}

suite("the guide's repository", { skip: skipWithout("restic-newest", "rclone") }, () => {
  test("restic with rclone, and Holdfast with neither, in turns", async () => {
    await alternate(guide(), ["-o", `rclone.program=${rclone.path}`]);
    const stored = double.buckets.get(BUCKET)!.all(false);
    assert.ok(stored.length > 10);
    for (const { kmsKeyName } of stored) assert.equal(kmsKeyName, `${KEY}/cryptoKeyVersions/1`);
  });

  test("made by Holdfast in the first place, taken over by restic", async () => {
    const env = { ...guide(), RESTIC_REPOSITORY: `rclone:gcs:${BUCKET}/ours` };
    const cwd = bench.at("source");
    await bench.holdfast(["init"], { cwd, env, status: 0 });
    const run = await bench.holdfast(["backup", ".", "-v"], { cwd, env, status: 0 });
    assert.match(run.stdout, /rclone remote gcs: read natively \(Google Cloud Storage\)/);
    assert.match(run.stdout, /Storage: \d+ requests/);
    const options = ["-o", `rclone.program=${rclone.path}`];
    await bench.restic("newest", [...options, "check", "--read-data"], { cwd, env });
  });

  test("nothing that is printed or seen in the process list holds a secret", async () => {
    const cwd = bench.at("source");
    const secret = JSON.parse(account) as { private_key: string; private_key_id: string };
    const marks = [secret.private_key.split("\n")[3]!, secret.private_key_id, "bG9uZyByYW5kb20"];
    const env = guide();
    const commandLines: string[] = [];
    const look = (pid: number | undefined): void => {
      for (const name of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
        try {
          const line = readFileSync(`/proc/${name}/cmdline`, "latin1");
          if (Number(name) === pid || line.includes("holdfast")) commandLines.push(line);
        } catch {
          // It has ended meanwhile.
        }
      }
    };
    const broken = {
      ...env,
      RCLONE_CONFIG_GCS_SERVICE_ACCOUNT_CREDENTIALS: account.replace("-----BEGIN", "-----BEGIM"),
    };
    const refused = { ...env, HOLDFAST_GS_ALLOW_CREDENTIALS: "" };
    const absent = { ...env, RESTIC_REPOSITORY: "rclone:gcs:no-such-bucket/x" };
    const runs: [string[], Record<string, string>][] = [
      [["snapshots", "-vv", "--json"], env],
      [["backup", ".", "-vv", "--json"], env],
      [["doctor", "storage", "--json"], env],
      [["snapshots", "-vv"], { ...broken, HOLDFAST_DEBUG: "1" }],
      [["snapshots", "-vv"], refused],
      [["snapshots", "-vv", "--json"], absent],
      [["snapshots"], { ...env, RESTIC_PASSWORD: "bG9uZyByYW5kb20-wrong" }],
    ];
    const printed: string[] = [];
    for (const [words, variables] of runs) {
      const onStart = ({ pid }: ChildProcess): void => look(pid);
      // Stack traces are asked for in one of them, so the workbench's own look is not wanted.
      const run = await bench
        .holdfast(words, { cwd, env: variables, onStart })
        .catch((error: Error) => error);
      printed.push(run instanceof Error ? run.message : run.stdout + run.stderr);
    }
    assert.ok(commandLines.length > 0);
    for (const text of [...printed, ...commandLines]) {
      for (const mark of marks) assert.ok(!text.includes(mark), text.slice(0, 2000));
    }
    assert.match(printed[4]!, /signed assertion/);
  });
});

suite("restic's own gs: backend and ours", { skip: skipWithout("restic-newest") }, () => {
  test("in turns on one repository", async () => {
    await alternate(gs(), []);
  });
});
