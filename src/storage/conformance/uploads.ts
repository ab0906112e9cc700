// The part of the storage contract about bodies that come in pieces.

import assert from "node:assert/strict";
import { putStream } from "../put-stream.ts";
import { failsWith, keysOf, pattern, sameBytes, storageTest } from "./expectations.ts";
import type { Open } from "./expectations.ts";

/** Registers the tests of startUpload. */
export function uploads(open: Open): void {
  storageTest("streams of unusual lengths are stored whole", open, async ({ storage }) => {
    const { pieceBytes } = await startAndAbort(storage, "data/probe");
    const sizes = [0, 1, pieceBytes - 1, pieceBytes, pieceBytes + 1, 3 * pieceBytes + 17];
    for (const size of sizes) {
      const body = pattern(size, size);
      assert.equal(await putStream(storage, `base/${size}`, divided(body, 100_003)), size);
      assert.equal((await storage.stat(`base/${size}`)).size, size);
      sameBytes(await storage.get(`base/${size}`), body);
    }
    assert.equal((await keysOf(storage, "")).length, sizes.length);
  });
  storageTest("pieces written twice count once, and appear late", open, async ({ storage }) => {
    const upload = await storage.startUpload!("base/x");
    const body = pattern(2 * upload.pieceBytes + 5, 3);
    const piece = (i: number): Uint8Array =>
      body.subarray(i * upload.pieceBytes, (i + 1) * upload.pieceBytes);
    await upload.write(0, piece(0));
    await upload.write(0, piece(0));
    await upload.write(1, piece(1));
    assert.deepEqual(await keysOf(storage, ""), []);
    await failsWith("STORAGE_NOT_FOUND", "base/x", storage.get("base/x"));
    await upload.finish(2, piece(2));
    await upload.finish(2, piece(2));
    sameBytes(await storage.get("base/x"), body);
    await failsWith("STORAGE_EXISTS", "base/x", putStream(storage, "base/x", [pattern(9, 9)]));
    sameBytes(await storage.get("base/x"), body);
  });
  storageTest("the first of two uploads of one name wins", open, async ({ storage }) => {
    const [first, second] = [
      await storage.startUpload!("base/x"),
      await storage.startUpload!("base/x"),
    ];
    await first.finish(0, pattern(5, 1));
    await failsWith("STORAGE_EXISTS", "base/x", second.finish(0, pattern(6, 2)));
    await second.abort();
    sameBytes(await storage.get("base/x"), pattern(5, 1));
  });
  storageTest("a stream that fails leaves nothing", open, async ({ storage }) => {
    const { pieceBytes } = await startAndAbort(storage, "data/probe");
    const failing = function* (): Generator<Uint8Array> {
      yield pattern(pieceBytes + 1, 1);
      throw new Error("the source broke");
    };
    await assert.rejects(putStream(storage, "base/x", failing()), /the source broke/);
    assert.deepEqual(await keysOf(storage, ""), []);
    await putStream(storage, "base/x", [pattern(2, 2)]);
    const options = { signal: AbortSignal.abort() };
    await failsWith("CANCELLED", "", putStream(storage, "base/y", [pattern(2, 2)], options));
    await failsWith("BUG", "", putStream(storage, "../y", [pattern(2, 2)]));
  });
  storageTest("a stream is stopped while its source is silent", open, async ({ storage }) => {
    const stop = new AbortController();
    const silent = async function* (): AsyncGenerator<Uint8Array> {
      yield pattern(10, 1);
      setImmediate(() => stop.abort());
      await new Promise(() => {});
    };
    const { signal } = stop;
    await failsWith("CANCELLED", "", putStream(storage, "base/x", silent(), { signal }));
    assert.deepEqual(await keysOf(storage, ""), []);
  });
}

async function startAndAbort(
  storage: Parameters<typeof putStream>[0],
  key: string,
): Promise<{ pieceBytes: number }> {
  const upload = await storage.startUpload!(key);
  await upload.abort();
  return upload;
}

function* divided(body: Uint8Array, bytes: number): Generator<Uint8Array> {
  for (let at = 0; at < body.length; at += bytes) yield body.subarray(at, at + bytes);
}
