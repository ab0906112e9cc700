// What something between here and Cloud Storage may answer in its place: never an empty list, never an object that is
// absent, never a defect of ours.

import assert from "node:assert/strict";
import type { RequestListener } from "node:http";
import { after, suite, test } from "node:test";
import { backendContext } from "../backend-context.ts";
import { closeWires, serve } from "../wire.ts";
import { openGcsStorage } from "../../src/storage/gcs.ts";
import { retrying } from "../../src/storage/retrying.ts";
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

suite("a 404 that is not of the service", () => {
  const failed = {
    code: "STORAGE_FAILED",
    retryable: false,
    hint: /Is that address Cloud Storage/,
  };
  for (const [type, body] of [
    ["text/html", "<html><h1>404 Not Found</h1>nginx</html>"],
    ["text/plain", "404 page not found"],
    ["text/plain", ""],
    ["application/json", "null"],
    ["application/json", '{"error":"Not Found"}'],
    ["application/json", '{"error":null}'],
    ["application/json", '{"detail":"Not Found"}'],
  ] as const) {
    test(`says nothing of an object: ${type} ${body}`, async () => {
      const storage = await storageOn((_, response) =>
        response.writeHead(404, { "content-type": type }).end(body),
      );
      await assert.rejects(storage.stat("a"), failed);
      await assert.rejects(storage.get("a"), failed);
      await assert.rejects(storage.get("a", { offset: 1, length: 2 }), failed);
      await assert.rejects(storage.delete("a"), failed);
      await assert.rejects(storage.deleteMany(["a", "b"]), failed);
      await assert.rejects(storage.put("a", Buffer.from("x")), failed);
      await assert.rejects(keysOf(storage), failed);
    });
  }

  test("within a batch is none either", async () => {
    const part =
      "Content-Type: application/http\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n<html>gone</html>\r\n";
    const storage = await storageOn((request, response) => {
      const isBatch = request.url!.startsWith("/batch");
      const headers = { "content-type": "multipart/mixed; boundary=b" };
      if (isBatch) response.writeHead(200, headers).end(`--b\r\n${part}--b\r\n${part}--b--\r\n`);
      else response.writeHead(404).end("<html>gone</html>");
    });
    await assert.rejects(storage.deleteMany(["a", "b"]), failed);
  });

  test("in the service's own words is absence", async () => {
    const error = { code: 404, message: "No such object: bucket/a", errors: [] };
    for (const body of [
      JSON.stringify({ error }),
      "<?xml version='1.0' encoding='UTF-8'?><Error><Code>NoSuchKey</Code><Message>x</Message></Error>",
      "No such object: bucket/a",
    ]) {
      const storage = await storageOn((_, response) => response.writeHead(404).end(body));
      const absent = { code: "STORAGE_NOT_FOUND" };
      await assert.rejects(storage.stat("a"), absent);
      await assert.rejects(storage.get("a"), absent);
      await storage.delete("a");
      await storage.deleteMany(["a", "b"]);
    }
  });
});

suite("what was stored as something else", () => {
  /** Answers every write with a checksum that is not the content's, and tells what it was asked. */
  async function liar(resource: object): Promise<{ storage: Storage; asked: string[] }> {
    const asked: string[] = [];
    const raw = await storageOn((request, response) => {
      const url = new URL(request.url!, `http://${request.headers.host}`);
      const { searchParams: query } = url;
      asked.push(`${request.method} ${url.pathname} ${query.get("ifGenerationMatch") ?? ""}`);
      if (query.get("uploadType") === "resumable")
        response.setHeader("location", `${url.origin}/s`);
      if (request.method === "DELETE") response.writeHead(204);
      response.end(request.method === "DELETE" ? "" : JSON.stringify(resource));
    });
    const { retry } = backendContext();
    return { storage: retrying(raw, retry), asked };
  }
  const wrong = { name: "a", size: "5", crc32c: "AAAAAA==" };

  test("is judged once after an upload in pieces, and only that generation is removed", async () => {
    const { storage, asked } = await liar({ ...wrong, generation: "17" });
    const upload = await storage.startUpload!("a");
    const damaged = { code: "STORAGE_FAILED", retryable: false, message: /damaged/ };
    await assert.rejects(upload.finish(0, Buffer.from("hello")), damaged);
    await assert.rejects(upload.finish(0, Buffer.from("hello")), damaged);
    await upload.abort();
    assert.deepEqual(asked, [
      "POST /upload/storage/v1/b/bucket/o 0",
      "PUT /s ",
      "DELETE /storage/v1/b/bucket/o/a 17",
    ]);
  });

  test("is removed by its generation after every write, and left where it has none", async () => {
    const { storage, asked } = await liar({ ...wrong, generation: "17" });
    const unavailable = { code: "STORAGE_UNAVAILABLE", message: /damaged/ };
    await assert.rejects(storage.put("a", Buffer.from("hello")), unavailable);
    const removals = asked.filter((each) => each.startsWith("DELETE"));
    assert.ok(removals.length > 0);
    for (const each of removals) assert.equal(each, "DELETE /storage/v1/b/bucket/o/a 17");
    const other = await liar(wrong);
    await assert.rejects(other.storage.put("a", Buffer.from("hello")), unavailable);
    assert.ok(!other.asked.some((each) => each.startsWith("DELETE")));
  });
});

test("each request of a batch names the project that pays", async () => {
  let batch = "";
  const endpoint = await serve((request, response) => {
    request.on("data", (data: Buffer) => (batch += data.toString()));
    request.on("end", () => {
      const part = "Content-Type: application/http\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\r\n";
      const headers = { "content-type": "multipart/mixed; boundary=b" };
      response.writeHead(200, headers).end(`--b\r\n${part}--b\r\n${part}--b--\r\n`);
    });
  });
  const credentials = { kind: "anonymous" } as const;
  const options = { bucket: "bucket", prefix: "", credentials, endpoint, userProject: "payer:1" };
  const storage = await openGcsStorage(options, backendContext());
  await storage.deleteMany(["a", "b"]);
  const paths = [...batch.matchAll(/^DELETE (\S+)/gm)].map(([, path]) => path);
  const place = "/storage/v1/b/bucket/o";
  assert.deepEqual(paths, [`${place}/a?userProject=payer%3A1`, `${place}/b?userProject=payer%3A1`]);
});
