// What something between here and Cloud Storage may answer in its place: never an empty list, never an object that is
// absent, never a defect of ours.

import assert from "node:assert/strict";
import type { RequestListener } from "node:http";
import { after, suite, test } from "node:test";
import { backendContext } from "../backend-context.ts";
import { closeWires, serve } from "../wire.ts";
import { openGcsStorage } from "../../src/storage/gcs.ts";
import type { Storage } from "../../src/storage/storage.ts";

after(closeWires);

async function storageOn(listener: RequestListener): Promise<Storage> {
  const endpoint = await serve((request, response) => {
    request.resume();
    request.on("end", () => listener(request, response));
  });
  const credentials = { kind: "anonymous" } as const;
  return openGcsStorage({ bucket: "bucket", prefix: "", credentials, endpoint }, backendContext());
}

const always = (value: unknown): Promise<Storage> =>
  storageOn((_, response) => void response.end(JSON.stringify(value)));

async function keysOf(storage: Storage): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of storage.list("")) keys.push(key);
  return keys;
}

suite("a success that is none", () => {
  const unavailable = { code: "STORAGE_UNAVAILABLE", retryable: true, message: /the answer is no/ };
  const list = { kind: "storage#objects" };

  for (const answer of [
    null,
    [],
    7,
    {},
    { error: { message: "x" } },
    { items: [] },
    { kind: "storage#object", name: "a", size: "1" },
    { ...list, items: {} },
    { ...list, items: [null] },
    { ...list, items: [{ name: 7, size: "1" }] },
    { ...list, items: [{ name: "a" }] },
    { ...list, items: [{ name: "a", size: "many" }] },
    { ...list, items: [{ name: "a", size: "1e3" }] },
    { ...list, nextPageToken: 7 },
  ]) {
    test(`is no list: ${JSON.stringify(answer)}`, async () => {
      await assert.rejects(keysOf(await always(answer)), unavailable);
    });
  }

  for (const answer of [
    null,
    [],
    "text",
    {},
    { error: { message: "x" } },
    { name: "a", size: "" },
    { name: "a", size: "-1" },
    { name: "a", size: "99999999999999999999" },
    { name: "a", size: "1", crc32c: 7 },
    { name: "a", size: "1", generation: "x" },
  ]) {
    test(`is no object: ${JSON.stringify(answer)}`, async () => {
      const storage = await always(answer);
      await assert.rejects(storage.stat("a"), unavailable);
      await assert.rejects(storage.put("a", Buffer.from("x")), unavailable);
    });
  }

  test("is no bucket", async () => {
    await assert.rejects((await always(null)).inspect!(), unavailable);
  });

  test("a list with nothing in it is one", async () => {
    assert.deepEqual(await keysOf(await always(list)), []);
    assert.deepEqual(await keysOf(await always({ ...list, items: [], nextPageToken: "" })), []);
  });
});
