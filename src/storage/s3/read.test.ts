import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { saidError } from "../../../test/s3/double.ts";
import { failureOf, openOn, sayOnce, useDouble } from "../../../test/s3/on-double.ts";
import { MIB, pattern, sameBytes } from "../conformance/expectations.ts";

const double = useDouble();

void suite("bodies that break off", () => {
  const body = pattern(3 * MIB + 11, 5);
  const etag = '"the-tag"';
  const cut = (bytes: number): void => {
    double.answer = ({ method, headers }) => {
      if (method !== "GET") return undefined;
      const from = Number(/bytes=(\d+)/.exec(headers.range ?? "")?.[1] ?? 0);
      if (from > 0 && headers["if-match"] !== etag) return saidError(412, "PreconditionFailed", "");
      const rest = Buffer.from(body.subarray(from));
      const contentRange = `bytes ${from}-${body.length - 1}/${body.length}`;
      const status = headers.range === undefined ? 200 : 206;
      const told = { etag, ...(status === 206 && { "content-range": contentRange }) };
      return { status, headers: told, body: rest, ...(rest.length > bytes && { cutAfter: bytes }) };
    };
  };

  test("are continued where they broke", async () => {
    const { storage } = await openOn(double);
    cut(MIB);
    sameBytes(await storage.get("data/x"), body);
    assert.equal(double.seen.length, 4);
    const into = new Uint8Array(new SharedArrayBuffer(body.length));
    sameBytes(await storage.get("data/x", { length: body.length, into }), body);
  });

  test("are given up without progress, and may be tried again", async () => {
    const { storage } = await openOn(double);
    cut(0);
    const failure = await failureOf(storage.get("data/x"));
    assert.deepEqual([failure.code, failure.retryable], ["STORAGE_UNAVAILABLE", true]);
  });

  test("are begun anew when the object was replaced meanwhile", async () => {
    const { storage } = await openOn(double);
    double.objects.set("data/x", { body: Buffer.from(body), headers: {} });
    sayOnce(double, {
      status: 200,
      headers: { etag: '"old"' },
      body: Buffer.from(body),
      cutAfter: MIB,
    });
    const failure = await failureOf(storage.get("data/x"));
    assert.deepEqual([failure.code, failure.retryable], ["STORAGE_UNAVAILABLE", true]);
    assert.match(failure.message, /replaced/);
  });

  test("a short object is no short read", async () => {
    const { storage } = await openOn(double);
    const headers = { "content-range": "bytes 0-99/100" };
    sayOnce(double, { status: 206, headers, body: Buffer.alloc(100) });
    const failure = await failureOf(storage.get("data/x", { length: 101 }));
    assert.deepEqual([failure.code, failure.retryable], ["STORAGE_FAILED", false]);
    assert.match(failure.message, /truncated/);
  });
});
