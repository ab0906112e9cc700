import assert from "node:assert/strict";
import { test } from "node:test";
import { testContext } from "../../../test/s3/context.ts";
import type { WireRequest } from "../http/transport.ts";
import { openS3Storage } from "../s3.ts";
import type { S3Options } from "../s3.ts";

const credentials = { kind: "keys", accessKeyId: "AKIDTEST", secretAccessKey: "secret" } as const;

/** The request that a put makes, which goes nowhere. */
async function requestOf(fields: Partial<S3Options>): Promise<WireRequest> {
  const seen: WireRequest[] = [];
  const context = testContext({
    openSockets: () => ({
      request: (request) => {
        seen.push(request);
        const status = request.method === "HEAD" ? 404 : 200;
        return Promise.resolve({ status, headers: { etag: '"x"' }, body: new Uint8Array(0) });
      },
      close: () => Promise.resolve(),
    }),
  });
  const options = { bucket: "bucket", prefix: "file store/", credentials, ...fields };
  const storage = await openS3Storage(options, context);
  await storage.put("data/a+b", body);
  await storage.close();
  return seen.at(-1)!;
}

const body = new Uint8Array(new SharedArrayBuffer(100_000));

test("addresses are those of Amazon, whatever the process's environment says", async () => {
  process.env["AWS_ENDPOINT_URL"] = process.env["AWS_ENDPOINT_URL_S3"] = "http://127.0.0.1:1";
  process.env["AWS_REGION"] = "of-the-process";
  try {
    const cases: [Partial<S3Options>, string][] = [
      [{}, "https://bucket.s3.us-east-1.amazonaws.com/"],
      [{ region: "eu-central-1" }, "https://bucket.s3.eu-central-1.amazonaws.com/"],
      [{ region: "cn-north-1" }, "https://bucket.s3.cn-north-1.amazonaws.com.cn/"],
      [{ pathStyle: true }, "https://s3.us-east-1.amazonaws.com/bucket/"],
      // Its certificate covers one name before its own.
      [{ bucket: "with.dots" }, "https://s3.us-east-1.amazonaws.com/with.dots/"],
      [{ endpoint: "https://host:9000" }, "https://host:9000/bucket/"],
      [{ endpoint: "http://[::1]:9000" }, "http://[::1]:9000/bucket/"],
      [{ endpoint: "https://host", pathStyle: false }, "https://bucket.host/"],
    ];
    for (const [fields, address] of cases) {
      const { url } = await requestOf(fields);
      assert.equal(`${url.origin}${url.pathname}`, `${address}file%20store/data/a%2Bb`);
    }
  } finally {
    for (const name of ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION"]) {
      delete process.env[name];
    }
  }
});

test("a body reaches the wire as the memory it is, signed by the hash it is summed up by", async () => {
  const { body: sent, headers = {}, method } = await requestOf({});
  assert.equal(method, "PUT");
  assert.equal(sent![0], body);
  const checksum = Buffer.from(String(headers["x-amz-checksum-sha256"]), "base64").toString("hex");
  assert.equal(headers["x-amz-content-sha256"], checksum);
  assert.equal(headers["if-none-match"], "*");
  assert.match(String(headers["authorization"]), /if-none-match.*x-amz-checksum-sha256/);
});

test("unsigned requests have no signature", async () => {
  const { headers = {} } = await requestOf({ credentials: { kind: "anonymous" } });
  assert.equal(headers["authorization"], undefined);
});
