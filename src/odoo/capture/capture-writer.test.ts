import { createHash, randomBytes } from "node:crypto";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { createQuickRepository } from "../../../test/interop/quick-repository.ts";
import { openTestRepository, PASSWORD } from "../../../test/odoo/captured-store.ts";
import { BlobReader } from "../../repository/blob-reader.ts";
import { loadIndex } from "../../repository/index-loader.ts";
import type { Repository } from "../../repository/repository.ts";
import { cutPoints } from "../../restic/chunker.ts";
import { encodeTree } from "../../restic/tree.ts";
import { createNode } from "../../restic/tree-node.ts";
import { CaptureWriter, WriterMemory } from "./capture-writer.ts";

let folder: string;
let repository: Repository;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "holdfast-writer-"));
  await createQuickRepository(join(folder, "repository"), PASSWORD);
  repository = await openTestRepository(join(folder, "repository"));
});
after(() => rmSync(folder, { recursive: true }));

async function open(): Promise<CaptureWriter> {
  const { index } = await loadIndex(repository);
  return new CaptureWriter({ repository, index, memory: new WriterMemory() });
}

async function addFile(writer: CaptureWriter, content: Uint8Array, sha1?: string) {
  const path = join(folder, "file");
  writeFileSync(path, content);
  const descriptor = openSync(path, "r");
  try {
    const name = sha1 ?? createHash("sha1").update(content).digest("hex");
    return await writer.addFile(descriptor, name);
  } finally {
    closeSync(descriptor);
  }
}

async function read(content: readonly string[]): Promise<Buffer> {
  const reader = new BlobReader(repository, (await loadIndex(repository)).index);
  return Buffer.concat(await Promise.all(content.map((id) => reader.read("data", id))));
}

test("files are cut where restic cuts them, whatever their size, and so is content in pieces", async () => {
  const writer = await open();
  for (const size of [0, 1, 524_287, 9 << 20, (9 << 20) + 1, 25_000_000]) {
    const content = randomBytes(size);
    const stored = await addFile(writer, content);
    const cuts = cutPoints(content, repository.config.chunkerPolynomial);
    assert.equal(stored!.size, size);
    assert.equal(stored!.content.length, cuts.length, `${size}`);
    const pieces = [
      content.subarray(0, 7),
      content.subarray(7, 300_000),
      content.subarray(300_000),
    ];
    assert.deepEqual(await writer.addContent(pieces), stored);
    await writer.settle();
    assert.ok(content.equals(await read(stored!.content)));
  }
});

test("nothing of a file with another SHA-1 is stored, and content that repeats is stored once", async () => {
  const writer = await open();
  const content = randomBytes(100_000);
  assert.equal(await addFile(writer, content, "00".repeat(20)), undefined);
  const large = randomBytes(10 << 20);
  assert.equal(await addFile(writer, large, "00".repeat(20)), undefined);
  assert.equal(writer.counts.dataBlobs, 0);
  const stored = await addFile(writer, content);
  await addFile(writer, content);
  assert.equal(writer.counts.dataBlobs, 1);
  await writer.settle();
  const next = await open();
  assert.deepEqual(await addFile(next, content), stored);
  assert.equal(next.counts.dataBlobs, 0);
});

test("trees of every size, and data between them", async () => {
  const writer = await open();
  const nodes = Array.from({ length: 40_000 }, (_, i) =>
    createNode({
      name: createHash("sha1").update(`${i}`).digest("hex"),
      type: "file",
      content: ["ab".repeat(32)],
    }),
  ).sort((a, b) => (a.name < b.name ? -1 : 1));
  const trees = [encodeTree([]), encodeTree(nodes.slice(0, 10)), encodeTree(nodes)];
  assert.ok(trees[2]!.length > 8 << 20, "one that no pack buffer holds");
  const ids: string[] = [];
  for (const tree of trees) {
    ids.push(await writer.addTree(tree));
    await addFile(writer, randomBytes(6 << 20));
  }
  await writer.settle();
  const reader = new BlobReader(repository, (await loadIndex(repository)).index);
  for (const [i, id] of ids.entries())
    assert.deepEqual(Buffer.from(await reader.read("tree", id)), trees[i]);
});
