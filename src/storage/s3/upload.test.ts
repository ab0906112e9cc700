import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { TestContextFields } from "../../../test/s3/context.ts";
import { failureOf, openOn, useDouble } from "../../../test/s3/on-double.ts";
import { pattern, sameBytes } from "../conformance/expectations.ts";

const double = useDouble();

void suite("lost replies", () => {
  /** Loses the answer to the first request that `matches`, which was served. */
  const losing = (matches: (kind: string, url: URL) => boolean): TestContextFields => ({
    around: (transport) => {
      let isLost = false;
      return {
        close: () => transport.close(),
        request: async (request) => {
          const answer = await transport.request(request);
          if (isLost || !matches(request.method, request.url)) return answer;
          isLost = true;
          throw Object.assign(new Error("lost"), { code: "ECONNRESET" });
        },
      };
    },
  });

  test("a completion is known by its upload", async () => {
    const isCompletion = (method: string, url: URL): boolean =>
      method === "POST" && url.searchParams.has("uploadId");
    const { storage } = await openOn(double, {}, losing(isCompletion));
    const upload = await storage.startUpload!("base/x");
    const piece = new Uint8Array(upload.pieceBytes);
    await upload.write(0, piece);
    await failureOf(upload.finish(1, pattern(7, 1)));
    await upload.finish(1, pattern(7, 1));
    await upload.finish(1, pattern(7, 1));
    assert.equal((await storage.stat("base/x")).size, piece.length + 7);
    assert.equal((await failureOf(storage.startUpload!("base/x"))).code, "STORAGE_EXISTS");
  });

  test("so is a body of one piece", async () => {
    const { storage } = await openOn(
      double,
      {},
      losing((method) => method === "PUT"),
    );
    const upload = await storage.startUpload!("base/x");
    await failureOf(upload.finish(0, pattern(7, 1)));
    await upload.finish(0, pattern(7, 1));
    sameBytes(await storage.get("base/x"), pattern(7, 1));
  });

  test("another object of that name is not", async () => {
    const { storage } = await openOn(double);
    const upload = await storage.startUpload!("base/x");
    await upload.write(0, new Uint8Array(upload.pieceBytes));
    double.objects.set("base/x", { body: Buffer.alloc(3), headers: {} });
    const failure = await failureOf(upload.finish(1, pattern(7, 1)));
    assert.equal(failure.code, "STORAGE_EXISTS");
  });
});

test("a body that is known to be small comes in smaller pieces, as many as the service takes", async () => {
  const { storage } = await openOn(double);
  const pieceOf = async (bytesMax?: number): Promise<number> =>
    (await storage.startUpload!("base/y", { bytesMax })).pieceBytes;
  const usual = await pieceOf();
  const small = await pieceOf(2 ** 30);
  assert.ok(small < usual);
  assert.equal(await pieceOf(10_000 * small), small);
  assert.equal(await pieceOf(10_000 * small + 1), usual);
});
