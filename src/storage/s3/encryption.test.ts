import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { failureOf, openOn, useDouble } from "../../../test/s3/on-double.ts";
import { pattern } from "../conformance/expectations.ts";

const double = useDouble();

void suite("encryption by the service", () => {
  const key = "arn:aws:kms:eu-central-1:111122223333:key/right";
  const told = (id: string): Record<string, string> => ({
    "x-amz-server-side-encryption": "aws:kms",
    "x-amz-server-side-encryption-aws-kms-key-id": id,
  });

  test("is asked for with the key", async () => {
    double.writeHeaders = told(key);
    const { storage } = await openOn(double, { kmsKeyId: key });
    await storage.put("config", pattern(9, 1));
    const { headers } = double.seen.find(({ method }) => method === "PUT")!;
    assert.equal(headers["x-amz-server-side-encryption"], "aws:kms");
    assert.equal(headers["x-amz-server-side-encryption-aws-kms-key-id"], key);
  });

  const others: Record<string, string>[] = [told(key.replace("right", "wrong")), {}];
  for (const headers of [...others, { "x-amz-server-side-encryption": "AES256" }]) {
    test(`an object is taken away again: ${JSON.stringify(headers)}`, async () => {
      double.writeHeaders = headers;
      const { storage } = await openOn(double, { kmsKeyId: key });
      const failure = await failureOf(storage.put("config", pattern(9, 1)));
      assert.deepEqual([failure.code, failure.retryable], ["STORAGE_WRONG_KEY", false]);
      assert.equal(double.objects.size, 0);
      const upload = await storage.startUpload!("base/x");
      const writing = upload.write(0, new Uint8Array(upload.pieceBytes));
      assert.equal((await failureOf(writing)).code, "STORAGE_WRONG_KEY");
      assert.ok(!double.seen.some(({ query }) => query.has("partNumber")), "nothing was sent");
    });
  }

  test("an id without its ARN is the same key, an alias is believed", async () => {
    double.writeHeaders = told(key);
    for (const kmsKeyId of ["right", "alias/odoo"]) {
      const { storage } = await openOn(double, { kmsKeyId });
      await storage.put(`data/${kmsKeyId.length}`, pattern(9, 1));
    }
  });

  test("storage classes are for packs and archives alone", async () => {
    const { storage } = await openOn(double, { storageClass: "STANDARD_IA" });
    for (const name of ["config", "keys/a", "data/ab/abcd", "server/base/x"]) {
      await storage.put(name, pattern(9, 1));
    }
    const cold = double.seen.filter(({ headers }) => headers["x-amz-storage-class"] !== undefined);
    const paths = new Set(cold.map(({ path }) => path));
    assert.deepEqual([...paths], ["/bucket/data/ab/abcd", "/bucket/server/base/x"]);
  });
});
