import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, test } from "node:test";
import { zstdCompressSync } from "node:zlib";
import { FAULTS } from "./data-set/filestore.ts";
import { plainSizes } from "./data-set/plain.ts";
import { seededRandom } from "./data-set/random.ts";
import { changeDataSet, generateDataSet } from "./data-set.ts";

const root = mkdtempSync(join(tmpdir(), "holdfast-data-set-"));
after(() => rmSync(root, { recursive: true, force: true }));

/** Path, size, time and content of every file below `folder`, as one digest. */
function digestOf(folder: string): string {
  const digest = createHash("sha256");
  for (const path of filesOf(folder)) {
    const { size, mtimeMs } = statSync(path);
    digest.update(`${path.slice(folder.length)} ${size} ${mtimeMs}\n`).update(readFileSync(path));
  }
  return digest.digest("hex");
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
}

test("one seed makes one tree, another seed another", () => {
  const make = (name: string, seed: string): string => {
    const out = join(root, name);
    generateDataSet({ out, profile: "files", files: 300, bytes: 3e6, seed });
    return digestOf(out);
  };
  const first = make("first", "1");
  assert.equal(make("second", "1"), first);
  assert.notEqual(make("third", "2"), first);
});

test("a plain set has the files, bytes and compressibility asked for", () => {
  const out = join(root, "plain");
  const options = { out, profile: "files", files: 400, bytes: 4e6, incompressible: 0.5 };
  const made = generateDataSet(options);
  const files = filesOf(out);
  assert.equal(made.files, 400);
  assert.equal(files.length, 400);
  assert.ok(Math.abs(made.bytes - 4e6) < 4e6 * 0.01, `${made.bytes}`);
  const noisy = files.filter((path) => {
    const body = readFileSync(path);
    return body.length > 500 && zstdCompressSync(body).length > body.length * 0.9;
  });
  assert.ok(noisy.length > 120 && noisy.length < 280, `${noisy.length} of 400 do not compress`);
});

test("mixed sizes add up, and include files above 20 MB when there is room", () => {
  const options = { files: 20_000, bytes: 2e9, sizes: "mixed", incompressible: 1 } as const;
  const sizes = plainSizes(options, seededRandom("sizes"));
  const sum = sizes.reduce((total, size) => total + size, 0);
  assert.equal(sizes.length, 20_000);
  assert.ok(Math.abs(sum - 2e9) < 2e7, `${sum}`);
  assert.ok(sizes.some((size) => size > 20e6));
});

test("filestore names are the SHA-1 of the content, except where a fault was asked for", () => {
  const out = join(root, "filestore");
  const made = generateDataSet({ out, profile: "S", files: 240, bytes: 8e6, faults: 24 });
  const onDisk = new Map(filesOf(out).map((path) => [basename(path), readFileSync(path)]));
  const seen = new Set<string>();
  for (const { sha1, size, fault } of made.entries) {
    const body = onDisk.get(sha1);
    if (fault) seen.add(fault);
    if (fault === "missing") {
      assert.equal(body, undefined);
      continue;
    }
    assert.ok(body, sha1);
    const intact = createHash("sha1").update(body).digest("hex") === sha1 && body.length === size;
    assert.equal(intact, fault === undefined || fault === "orphan", `${sha1} ${fault}`);
  }
  assert.deepEqual([...seen].toSorted(), [...FAULTS].toSorted());
});

test("a change rewrites a share of the files, with other content and a later time", () => {
  const out = join(root, "changed");
  generateDataSet({ out, profile: "small", files: 500, bytes: 5e5 });
  const before = new Map(filesOf(out).map((path) => [path, statSync(path).mtimeMs]));
  const { files } = changeDataSet(out, 0.1, "change");
  const changed = filesOf(out).filter((path) => statSync(path).mtimeMs > before.get(path)!);
  assert.equal(changed.length, files);
  assert.ok(files > 20 && files < 90, `${files} of 500`);
  assert.equal(filesOf(out).length, 500);
});
