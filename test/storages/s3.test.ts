// The storage contract and what goes beyond it on a real S3 server, versitygw.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { inspect } from "node:util";
import { peer } from "../peers.ts";
import { testContext } from "../s3/context.ts";
import { startVersitygw } from "../s3/versitygw.ts";
import type { S3Server } from "../s3/versitygw.ts";
import { isHoldfastError } from "../../src/base/errors.ts";
import type { HoldfastError } from "../../src/base/errors.ts";
import { storageConformance } from "../../src/storage/conformance.ts";
import { collect, keysOf, pattern, sameBytes } from "../../src/storage/conformance/expectations.ts";
import { openRcloneStorage } from "../../src/storage/rclone.ts";
import { openS3Storage } from "../../src/storage/s3.ts";
import type { S3Options } from "../../src/storage/s3.ts";

const { skip } = peer("versitygw");

/** What `call` fails with. */
async function failureOf(call: Promise<unknown>): Promise<HoldfastError> {
  const error = await call.then(
    () => assert.fail("it succeeded"),
    (failure: unknown) => failure,
  );
  assert.ok(isHoldfastError(error), inspect(error));
  return error;
}

void suite("versitygw", { skip }, () => {
  let server: S3Server;
  before(async () => {
    server = await startVersitygw({ versioning: true });
  });
  after(() => server.stop());

  const optionsOf = (bucket: string, fields: Partial<S3Options> = {}): S3Options => ({
    bucket,
    prefix: "",
    endpoint: server.endpoint,
    credentials: {
      kind: "keys",
      accessKeyId: server.accessKeyId,
      secretAccessKey: server.secretAccessKey,
    },
    ...fields,
  });

  storageConformance("s3 on versitygw", async () => {
    const options = optionsOf(server.makeBucket(), { prefix: "file store/" });
    const open = () => openS3Storage(options, testContext());
    return { storage: await open(), cleanup: () => Promise.resolve(), reopen: open };
  });

  test("a remote of rclone's is reached natively, with the key that we are told of", async () => {
    const env = {
      RCLONE_CONFIG: "/dev/null",
      RCLONE_CONFIG_BOX_TYPE: "s3",
      RCLONE_CONFIG_BOX_PROVIDER: "Other",
      RCLONE_CONFIG_BOX_ENDPOINT: server.endpoint,
      RCLONE_CONFIG_BOX_ACCESS_KEY_ID: server.accessKeyId,
      RCLONE_CONFIG_BOX_SECRET_ACCESS_KEY: server.secretAccessKey,
    };
    const bucket = server.makeBucket();
    const context = testContext({ env });
    const storage = await openRcloneStorage(`box:${bucket}/filestore`, context);
    await storage.put("data/a", pattern(1000, 1));
    sameBytes(await storage.get("data/a"), pattern(1000, 1));
    assert.deepEqual(context.notices, ["rclone remote box: read natively (S3)"]);
    await storage.close();
    // versitygw encrypts nothing, which must not go unnoticed where a key is required.
    const keyed = testContext({ env, options: { "s3.kms-key": "arn:aws:kms:eu-west-1:1:key/k" } });
    const strict = await openRcloneStorage(`box:${bucket}/keyed`, keyed);
    const { code } = await failureOf(strict.put("data/a", pattern(1000, 1)));
    assert.ok(code === "STORAGE_WRONG_KEY" || code === "STORAGE_FAILED", code);
    assert.deepEqual(await keysOf(strict, ""), []);
    await strict.close();
  });

  test("every request is counted as what it is for", async () => {
    const context = testContext();
    const storage = await openS3Storage(optionsOf(server.makeBucket()), context);
    await storage.put("locks/a", pattern(100, 1));
    await storage.put("data/a", pattern(1000, 1));
    await storage.put("data/a", pattern(1000, 1));
    await storage.get("data/a");
    await collect(storage.list(""));
    await storage.deleteMany(["data/a", "locks/a"]);
    const { requests, received } = context.meter.read();
    // The first put was looked up and repeated, the last one refused and compared by its checksum.
    assert.deepEqual(requests, { stat: 2, put: 4, get: 1, list: 1, delete: 1 });
    assert.ok(received >= 1000);
    await storage.close();
  });

  test("wrong credentials are told as such, and not repeated", async () => {
    const bucket = server.makeBucket();
    const secretAccessKey = "another secret nobody may see";
    const { accessKeyId } = server;
    const cases = [
      { accessKeyId, secretAccessKey, hint: /secret does not belong/ },
      { accessKeyId: "AKIDUNKNOWN", secretAccessKey, hint: /does not know the key/ },
    ];
    for (const { hint, ...keys } of cases) {
      const options = optionsOf(bucket, { credentials: { kind: "keys", ...keys } });
      const storage = await openS3Storage(options, testContext());
      for (const call of [
        () => storage.get("data/x"),
        () => storage.stat("data/x"),
        () => storage.put("data/x", pattern(9, 1)),
        () => collect(storage.list("")),
        () => storage.delete("data/x"),
        () => storage.deleteMany(["data/x"]),
      ]) {
        const failure = await failureOf(call());
        assert.deepEqual([failure.code, failure.retryable], ["STORAGE_DENIED", false]);
        assert.match(failure.hint ?? "", hint);
        const text = inspect(failure, { depth: 12, showHidden: true });
        assert.ok(!text.includes(secretAccessKey) && !text.includes(keys.accessKeyId), text);
      }
      await storage.close();
    }
  });

  test("requests without a signature are refused", async () => {
    const options = optionsOf(server.makeBucket(), { credentials: { kind: "anonymous" } });
    const storage = await openS3Storage(options, testContext());
    assert.equal((await failureOf(collect(storage.list("")))).code, "STORAGE_DENIED");
    await storage.close();
  });

  test("a missing bucket is an error, and made by init alone", async () => {
    const options = optionsOf("missing-bucket", { prefix: "below/" });
    const storage = await openS3Storage(options, testContext());
    for (const call of [
      () => collect(storage.list("")),
      () => storage.get("config"),
      () => storage.put("config", pattern(9, 1)),
    ]) {
      const failure = await failureOf(call());
      assert.equal(failure.code, "STORAGE_NOT_FOUND");
      assert.match(failure.hint ?? "", /bucket's name/);
    }
    await storage.close();
    const context = testContext({ create: true });
    for (let i = 0; i < 2; i += 1) {
      const made = await openS3Storage(options, context);
      await made.put("config", pattern(9, 1));
      assert.deepEqual(await keysOf(made, ""), ["config"]);
      await made.close();
    }
    assert.deepEqual(context.notices, ["made the bucket missing-bucket"]);
  });

  test("what others put there under names that are no keys is not listed", async () => {
    const sdk = await import("@aws-sdk/client-s3");
    const bucket = server.makeBucket();
    const { accessKeyId, secretAccessKey, endpoint } = server;
    const client = new sdk.S3Client({
      endpoint,
      region: "us-east-1",
      forcePathStyle: true,
      credentials: { accessKeyId, secretAccessKey },
    });
    for (const Key of ["data/é", "data/x-tmp-12ab", "data/folder/", "data/a+b%20c d", "other/x"]) {
      await client.send(new sdk.PutObjectCommand({ Bucket: bucket, Key, Body: "" }));
    }
    client.destroy();
    const storage = await openS3Storage(optionsOf(bucket), testContext());
    assert.deepEqual(await keysOf(storage, "data"), ["data/a+b%20c d"]);
    assert.deepEqual(await keysOf(storage, ""), ["data/a+b%20c d", "other/x"]);
    await storage.close();
  });

  test("the bucket tells about itself, also as one with old versions", async () => {
    const sdk = await import("@aws-sdk/client-s3");
    const bucket = server.makeBucket();
    const storage = await openS3Storage(optionsOf(bucket), testContext());
    const facts = async (): Promise<Record<string, string | undefined>> => {
      const found = await storage.inspect!();
      for (const { value, note } of found) assert.ok(value !== undefined || note !== undefined);
      return Object.fromEntries(found.map(({ name, value }) => [name, value]));
    };
    assert.deepEqual(Object.keys(await facts()), [
      "region",
      "encryption-key",
      "versioning",
      "object-lock",
    ]);
    assert.equal((await facts())["versioning"], "off");
    const { accessKeyId, secretAccessKey, endpoint } = server;
    const client = new sdk.S3Client({
      endpoint,
      region: "us-east-1",
      forcePathStyle: true,
      credentials: { accessKeyId, secretAccessKey },
    });
    const VersioningConfiguration = { Status: "Enabled" } as const;
    await client.send(
      new sdk.PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration }),
    );
    client.destroy();
    assert.equal((await facts())["versioning"], "enabled");
    await storage.put("data/x", pattern(9, 1));
    await storage.put("data/x", pattern(9, 1));
    await storage.delete("data/x");
    assert.deepEqual(await keysOf(storage, ""), []);
    // This server takes the mark of the deletion for an object.
    assert.equal((await failureOf(storage.put("data/x", pattern(9, 2)))).retryable, true);
    await storage.put("data/x", pattern(9, 2));
    sameBytes(await storage.get("data/x"), pattern(9, 2));
    await storage.deleteMany(["data/x"]);
    assert.deepEqual(await keysOf(storage, ""), []);
    await storage.close();
  });
});
