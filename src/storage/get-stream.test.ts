import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isHoldfastError } from "../base/errors.ts";
import { faulty } from "./faulty.ts";
import { forwarding } from "./forwarding.ts";
import { getStream } from "./get-stream.ts";
import { openMemoryStorage } from "./memory.ts";

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

test("all bytes in their order, whatever the pieces", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 60 }),
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 0, max: 4 }),
      async (body, pieceBytes, count) => {
        const storage = openMemoryStorage({ objects: new Map([["a", body]]) });
        const options = { size: body.length, pieceBytes, ahead: count };
        assert.deepEqual(await collect(getStream(storage, "a", options)), Buffer.from(body));
      },
    ),
  );
});

test("no more than asked for is under way, and nothing when the reader stops", async () => {
  const body = new Uint8Array(100);
  const memory = openMemoryStorage({ objects: new Map([["a", body]]) });
  let [running, most, total] = [0, 0, 0];
  const storage = forwarding(memory, {
    get: async (key, options) => {
      most = Math.max(most, ++running);
      total++;
      try {
        return await memory.get(key, options);
      } finally {
        running--;
      }
    },
  });
  for await (const piece of getStream(storage, "a", { size: 100, pieceBytes: 10, ahead: 2 })) {
    assert.equal(piece.length, 10);
    if (total > 4) break;
  }
  assert.equal(running, 0);
  assert.ok(most <= 3 && total < 10, `${most} at once, ${total} in all`);
});

test("an object that is gone, shorter or fails in the middle is an error", async () => {
  const memory = openMemoryStorage({ objects: new Map([["a", new Uint8Array(50)]]) });
  const read = (key: string, size: number, storage = memory): Promise<Buffer> =>
    collect(getStream(storage, key, { size, pieceBytes: 10 }));
  await assert.rejects(read("b", 10), (error) => isHoldfastError(error, "STORAGE_NOT_FOUND"));
  await assert.rejects(read("a", 51), (error) => isHoldfastError(error, "STORAGE_FAILED"));
  const failing = faulty(memory, [{ on: "get", skip: 3, fault: { kind: "before" } }]);
  await assert.rejects(read("a", 50, failing), (error) =>
    isHoldfastError(error, "STORAGE_UNAVAILABLE"),
  );
});
