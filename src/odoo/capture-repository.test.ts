import { test } from "node:test";
import assert from "node:assert/strict";
import { systemClock, systemRandom } from "../base/clock.ts";
import { initRepository } from "../repository/init.ts";
import { openRepository } from "../repository/open.ts";
import type { Machine } from "../repository/repository.ts";
import { openMemoryStorage } from "../storage/memory.ts";
import { captureLocationOf, ensureCaptureRepository } from "./capture-repository.ts";

const MACHINE: Machine = {
  clock: systemClock,
  random: systemRandom,
  hostname: "odoo-0",
  username: "odoo",
  uid: 101,
  gid: 101,
  pid: 4711,
  isAlive: () => true,
};

test("the sibling of every kind of location", () => {
  const siblings: [string, string][] = [
    ["/srv/backup/odoo", "/srv/backup/odoo-captures"],
    ["/srv/backup/odoo//", "/srv/backup/odoo-captures"],
    ["odoo", "odoo-captures"],
    ["local:/srv/a:b", "local:/srv/a:b-captures"],
    ["gs:bucket:/odoo", "gs:bucket:/odoo-captures"],
    ["gs:bucket:odoo/", "gs:bucket:odoo-captures"],
    ["gs://bucket/clusters/odoo", "gs://bucket/clusters/odoo-captures"],
    ["s3:s3.amazonaws.com/bucket/odoo", "s3:s3.amazonaws.com/bucket/odoo-captures"],
    ["s3:https://minio:9000/bucket/a/odoo/", "s3:https://minio:9000/bucket/a/odoo-captures"],
    ["s3://minio:9000/bucket/odoo", "s3://minio:9000/bucket/odoo-captures"],
    ["rest:https://user:pw@host:8000/odoo/", "rest:https://user:pw@host:8000/odoo-captures"],
    ["rest:http+unix:///run/rest.sock:/odoo/", "rest:http+unix:///run/rest.sock:/odoo-captures"],
    ["rclone:gcs:bucket/odoo", "rclone:gcs:bucket/odoo-captures"],
    ["rclone:gcs,token=a/b:bucket/odoo", "rclone:gcs,token=a/b:bucket/odoo-captures"],
    ["b2:bucket:odoo", "b2:bucket:odoo-captures"],
    ["azure:container:/odoo", "azure:container:/odoo-captures"],
    ["swift:container:/odoo", "swift:container:/odoo-captures"],
    ["sftp:user@host:/srv/odoo", "sftp:user@host:/srv/odoo-captures"],
    ["sftp://user@host:2222//srv/odoo", "sftp://user@host:2222//srv/odoo-captures"],
  ];
  for (const [location, sibling] of siblings) {
    assert.equal(captureLocationOf(location), sibling);
  }
});

test("beside a whole bucket or host there is no place", () => {
  const places = [
    "/",
    ".",
    "/srv/..",
    "gs:bucket:/",
    "gs://bucket",
    "gs://bucket/",
    "s3:s3.amazonaws.com/bucket",
    "s3:https://minio:9000/bucket/",
    "rest:https://user:geheim@host:8000/",
    "rest:http+unix:///run/rest.sock:/",
    "rclone:gcs:bucket",
    "rclone:gcs:",
    "b2:bucket",
  ];
  for (const location of places) {
    assert.throws(
      () => captureLocationOf(location),
      (error: Error & { code?: string; hint?: string }) => {
        assert.equal(error.code, "USAGE", location);
        assert.doesNotMatch(`${error.message} ${error.hint}`, /geheim/);
        return true;
      },
      location,
    );
  }
});

test("it is made once, with the password and the polynomial of the main repository", async () => {
  const password = "correct horse";
  const storage = openMemoryStorage();
  await initRepository({ storage, password, machine: MACHINE });
  const main = await openRepository({ storage, password, machine: MACHINE });
  const beside = openMemoryStorage();
  const options = { main, storage: beside, password, machine: MACHINE };
  const made = await ensureCaptureRepository(options);
  assert.equal(made.config.chunkerPolynomial, main.config.chunkerPolynomial);
  assert.notEqual(made.config.id, main.config.id);
  assert.notDeepEqual(made.key.encrypt, main.key.encrypt);
  const again = await ensureCaptureRepository(options);
  assert.equal(again.config.id, made.config.id);
});

test("the main repository itself is no place for captures, nor is one with another password", async () => {
  const password = "correct horse";
  const storage = openMemoryStorage();
  await initRepository({ storage, password, machine: MACHINE });
  const main = await openRepository({ storage, password, machine: MACHINE });
  await assert.rejects(ensureCaptureRepository({ main, storage, password, machine: MACHINE }), {
    code: "USAGE",
  });
  const beside = openMemoryStorage();
  await initRepository({ storage: beside, password: "another", machine: MACHINE });
  await assert.rejects(
    ensureCaptureRepository({ main, storage: beside, password, machine: MACHINE }),
    { code: "WRONG_PASSWORD" },
  );
});
