// What the double promises about the JSON API, asked by plain requests: of the double, and of somebody else's emulator
// as well, so that both our readings of the documentation must agree.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, suite, test } from "node:test";
import { peer } from "../peers.ts";
import { GcsDouble } from "./double.ts";
import { startFakeGcsServer } from "./fake-gcs-server.ts";
import type { FakeGcsServer } from "./fake-gcs-server.ts";

interface Resource {
  name: string;
  size: string;
  generation: string;
  md5Hash: string;
  nextPageToken?: string;
  items?: Resource[];
  prefixes?: string[];
}

const md5 = (text: string): string => createHash("md5").update(text).digest("base64");

/** `statusQueries`: fake-gcs-server takes a question about an upload for its end. */
function contract(endpoint: () => string, options: { statusQueries: boolean }): void {
  const bucket = "contract";
  const objects = (): string => `${endpoint()}/storage/v1/b/${bucket}/o`;
  const objectUrl = (name: string, query = ""): string =>
    `${objects()}/${encodeURIComponent(name)}${query}`;
  const insert = (name: string, content: string, query = "", extra: object = {}) => {
    const metadata = JSON.stringify({ name, ...extra });
    const body =
      `--b\r\nContent-Type: application/json\r\n\r\n${metadata}\r\n` +
      `--b\r\nContent-Type: application/octet-stream\r\n\r\n${content}\r\n--b--\r\n`;
    return fetch(`${endpoint()}/upload/storage/v1/b/${bucket}/o?uploadType=multipart${query}`, {
      method: "POST",
      headers: { "content-type": "multipart/related; boundary=b" },
      body,
    });
  };
  const list = async (query: string): Promise<Resource> =>
    (await (await fetch(`${objects()}?${query}`)).json()) as Resource;

  test("a multipart upload answers with size, hash and generation", async () => {
    const answer = await insert("simple/a", "hello", "", { md5Hash: md5("hello") });
    assert.equal(answer.status, 200);
    const resource = (await answer.json()) as Resource;
    assert.equal(resource.name, "simple/a");
    assert.equal(resource.size, "5");
    assert.equal(resource.md5Hash, md5("hello"));
    assert.match(resource.generation, /^\d+$/);
    const got = (await (await fetch(objectUrl("simple/a"))).json()) as Resource;
    assert.equal(got.generation, resource.generation);
  });

  test("a wrong hash is refused and stores nothing", async () => {
    const answer = await insert("wrong", "hello", "", { md5Hash: md5("other") });
    assert.equal(answer.status, 400);
    assert.equal((await fetch(objectUrl("wrong"))).status, 404);
  });

  test("generation 0 means: only where there is none", async () => {
    assert.equal((await insert("once", "1", "&ifGenerationMatch=0")).status, 200);
    assert.equal((await insert("once", "2", "&ifGenerationMatch=0")).status, 412);
    assert.equal(await (await fetch(objectUrl("once", "?alt=media"))).text(), "1");
  });

  test("ranges: parts, the end, and beyond it", async () => {
    await insert("range", "0123456789");
    const read = (range: string): Promise<Response> =>
      fetch(objectUrl("range", "?alt=media"), { headers: { range } });
    const part = await read("bytes=2-4");
    assert.equal(part.status, 206);
    assert.equal(part.headers.get("content-range"), "bytes 2-4/10");
    assert.equal(await part.text(), "234");
    assert.equal(await (await read("bytes=7-")).text(), "789");
    const clipped = await read("bytes=7-100");
    assert.equal(await clipped.text(), "789");
    assert.equal(clipped.headers.get("content-range"), "bytes 7-9/10");
    assert.equal((await read("bytes=10-12")).status, 416);
  });

  test("lists: prefix, delimiter, pages, a start and an end", async () => {
    for (const name of ["list/a", "list/b/1", "list/b/2", "list/c", "list2"])
      await insert(name, name);
    const names = (page: Resource): string[] => (page.items ?? []).map((item) => item.name);
    assert.deepEqual(names(await list("prefix=list/")), [
      "list/a",
      "list/b/1",
      "list/b/2",
      "list/c",
    ]);
    const flat = await list("prefix=list/&delimiter=/");
    assert.deepEqual([names(flat), flat.prefixes], [["list/a", "list/c"], ["list/b/"]]);
    const first = await list("prefix=list/&maxResults=3");
    assert.equal(names(first).length, 3);
    const second = await list(`prefix=list/&maxResults=3&pageToken=${first.nextPageToken}`);
    assert.deepEqual([...names(first), ...names(second)].length, 4);
    assert.equal(second.nextPageToken, undefined);
    const span = await list("prefix=list/&startOffset=list/b&endOffset=list/c");
    assert.deepEqual(names(span), ["list/b/1", "list/b/2"]);
  });

  test("a resumable upload goes on from where it stands", async () => {
    const start = `${endpoint()}/upload/storage/v1/b/${bucket}/o?uploadType=resumable&name=resumed`;
    const opened = await fetch(start, { method: "POST", body: "{}" });
    const session = opened.headers.get("location")!;
    const piece = "x".repeat(256 << 10);
    const send = (range: string, body: string): Promise<Response> =>
      fetch(session, {
        method: "PUT",
        headers: { "content-range": range },
        body,
        redirect: "manual",
      });
    const held = await send(`bytes 0-${piece.length - 1}/*`, piece);
    assert.equal(held.status, 308);
    assert.equal(held.headers.get("range"), `bytes=0-${piece.length - 1}`);
    const total = piece.length + 3;
    if (options.statusQueries) {
      for (const range of [`bytes */${total}`, "bytes */*"]) {
        const asked = await send(range, "");
        assert.equal(asked.status, 308);
        assert.equal(asked.headers.get("range"), `bytes=0-${piece.length - 1}`);
      }
    }
    const done = await send(`bytes ${piece.length}-${total - 1}/${total}`, "end");
    assert.equal(done.status, 200);
    assert.equal(((await done.json()) as Resource).size, String(total));
  });

  test("a batch deletes several, and answers for each", async () => {
    await insert("batch-a", "a");
    const parts = ["batch-a", "batch-none"].map(
      (name, i) =>
        `--b\r\nContent-Type: application/http\r\nContent-ID: <x+${i}>\r\n\r\n` +
        `DELETE /storage/v1/b/${bucket}/o/${name} HTTP/1.1\r\n\r\n\r\n`,
    );
    const answer = await fetch(`${endpoint()}/batch/storage/v1`, {
      method: "POST",
      headers: { "content-type": "multipart/mixed; boundary=b" },
      body: `${parts.join("")}--b--\r\n`,
    });
    assert.equal(answer.status, 200);
    const statuses = [...(await answer.text()).matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(
      ([, code]) => code,
    );
    assert.match(statuses.join(), /^20[04],404$/);
    assert.equal((await fetch(objectUrl("batch-a"))).status, 404);
  });

  test("what is not there is 404, twice deleted as well", async () => {
    await insert("gone", "x");
    const remove = async (): Promise<number> =>
      (await fetch(objectUrl("gone"), { method: "DELETE" })).status;
    assert.ok([200, 204].includes(await remove()));
    assert.equal(await remove(), 404);
    assert.equal((await fetch(objectUrl("gone", "?alt=media"))).status, 404);
  });
}

suite("the double", () => {
  let double: GcsDouble;
  before(async () => {
    double = await new GcsDouble().listen();
    double.createBucket({ name: "contract" });
  });
  after(() => double.close());
  contract(() => double.endpoint, { statusQueries: true });
});

const server = peer("fake-gcs-server");
suite("fake-gcs-server", { skip: server.skip }, () => {
  let fake: FakeGcsServer;
  before(async () => {
    fake = await startFakeGcsServer(server.path);
    await fake.createBucket("contract");
  });
  after(() => fake.stop());
  contract(() => fake.endpoint, { statusQueries: false });
});
