import { test } from "node:test";
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { createNode } from "../restic/tree-node.ts";
import { readFileContent } from "./file-content.ts";

/** A repository whose blobs arrive when the test says so. */
function createReader() {
  const waiting = new Map<string, PromiseWithResolvers<Uint8Array>>();
  let most = 0;
  const read = (_type: string, id: string): Promise<Uint8Array> => {
    const blob = Promise.withResolvers<Uint8Array>();
    waiting.set(id, blob);
    most = Math.max(most, waiting.size);
    return blob.promise.finally(() => waiting.delete(id));
  };
  return {
    reader: { read },
    arrive: (id: string) => waiting.get(id)?.resolve(Buffer.from(id)),
    fail: (id: string) => waiting.get(id)?.reject(new Error(`no ${id}`)),
    most: () => most,
  };
}

const node = (content: string[]) => createNode({ name: "f", type: "file", content });

test("pieces come in order, however they arrive, and never more are fetched than asked for", async () => {
  const { reader, arrive, most } = createReader();
  const pieces: string[] = [];
  const content = readFileContent({ reader, node: node(["a", "b", "c", "d"]), ahead: 2 });
  const reading = (async () => {
    for await (const piece of content) pieces.push(Buffer.from(piece).toString());
  })();
  for (const id of ["b", "a", "d", "c"]) {
    await setImmediate();
    arrive(id);
  }
  await setImmediate();
  for (const id of ["c", "d"]) arrive(id);
  await reading;
  assert.deepEqual(pieces, ["a", "b", "c", "d"]);
  assert.equal(most(), 2);
});

test("an empty file has no pieces", async () => {
  const { reader } = createReader();
  const content = readFileContent({ reader, node: node([]), ahead: 4 });
  assert.equal((await content.next()).done, true);
});

test("a piece that cannot be read ends the content where it should have been", async () => {
  const { reader, arrive, fail } = createReader();
  const content = readFileContent({ reader, node: node(["a", "b", "c"]), ahead: 3 });
  const first = content.next();
  await setImmediate();
  fail("b");
  arrive("a");
  arrive("c");
  assert.equal(Buffer.from((await first).value as Uint8Array).toString(), "a");
  await assert.rejects(content.next(), /no b/);
});
