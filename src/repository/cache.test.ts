import assert from "node:assert/strict";
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { damage, memoryRepository, storeIndex, storePack } from "../../test/memory-repository.ts";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { sha256Hex } from "../base/bytes.ts";
import { faulty } from "../storage/faulty.ts";
import type { FaultyStorage } from "../storage/faulty.ts";
import { openCache } from "./cache.ts";
import type { Cache } from "./cache.ts";
import { checkRepository } from "./check.ts";
import { loadIndex } from "./index-loader.ts";
import { keyOf } from "./layout.ts";

const root = mkdtempSync(join(tmpdir(), "holdfast-cache-"));
after(() => rmSync(root, { recursive: true }));

let folders = 0;
const REPOSITORY = "ab".repeat(32);
const NOW = Date.UTC(2026, 0, 31);

/** A cache in a new folder. */
async function fresh(): Promise<{ folder: string; cache: Cache }> {
  const folder = join(root, String(folders++));
  return { folder, cache: (await openCache(folder, REPOSITORY, NOW))! };
}

const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8", withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();

test("lies as restic's does", async () => {
  const { folder, cache } = await fresh();
  const bytes = seededBytes("file", 100);
  const id = sha256Hex(bytes);
  for (const kind of ["index", "snapshot", "pack"] as const) await cache.put(kind, id, bytes);
  const at = (name: string): string => `${REPOSITORY}/${name}/${id.slice(0, 2)}/${id}`;
  assert.deepEqual(filesIn(folder), [
    "CACHEDIR.TAG",
    at("data"),
    at("index"),
    at("snapshots"),
    `${REPOSITORY}/version`,
  ]);
  assert.equal(readFileSync(join(folder, REPOSITORY, "version"), "utf8"), "1");
  assert.match(
    readFileSync(join(folder, "CACHEDIR.TAG"), "utf8"),
    /^Signature: 8a477f597d28d172789f06886806bc55\n/,
  );
  assert.equal(statSync(join(folder, REPOSITORY)).mode & 0o077, 0, "nobody else may look in");
  assert.deepEqual(Buffer.from((await cache.get("index", id))!), bytes);
});

test("keeps no locks and no keys", async () => {
  const { folder, cache } = await fresh();
  const bytes = seededBytes("secret", 50);
  for (const kind of ["lock", "key"] as const) {
    await cache.put(kind, sha256Hex(bytes), bytes);
    assert.equal(await cache.get(kind, sha256Hex(bytes)), undefined);
  }
  assert.equal(filesIn(folder).length, 2);
});

test("a damaged file is never believed, and goes", async () => {
  const { folder, cache } = await fresh();
  const bytes = seededBytes("file", 1000);
  const id = sha256Hex(bytes);
  const path = join(folder, REPOSITORY, "index", id.slice(0, 2), id);
  for (const damaged of [bytes.subarray(0, 999), Buffer.alloc(1000), Buffer.alloc(0)]) {
    await cache.put("index", id, bytes);
    writeFileSync(path, damaged);
    assert.equal(await cache.get("index", id), undefined);
    assert.equal(existsSync(path), false);
  }
});

test("drops what is removed, or no longer there", async () => {
  const { cache } = await fresh();
  const all = [1, 2, 3, 4].map((seed) => seededBytes(seed, 10));
  for (const bytes of all) await cache.put("pack", sha256Hex(bytes), bytes);
  const [a, b, c, d] = all.map(sha256Hex);
  await cache.remove("pack", a!);
  await cache.keepOnly("pack", new Set([a!, b!, c!]));
  const left = await Promise.all([a, b, c, d].map((id) => cache.get("pack", id!)));
  assert.deepEqual(
    left.map((bytes) => bytes !== undefined),
    [false, true, true, false],
  );
  await cache.keepOnly("index", new Set());
  await cache.remove("index", a!);
});

test("many at once do not get in each other's way", async () => {
  const { folder, cache } = await fresh();
  const bytes = seededBytes("large", 1 << 20);
  const id = sha256Hex(bytes);
  await Promise.all(Array.from({ length: 8 }, () => cache.put("pack", id, bytes)));
  assert.ok((await cache.get("pack", id))!.length === bytes.length);
  assert.equal(filesIn(folder).length, 3, "no temporary file is left");
});

test("a folder that cannot be used is no cache, and one that breaks is a slow one", async () => {
  const file = join(root, "file");
  writeFileSync(file, "in the way");
  assert.equal(await openCache(file, REPOSITORY, NOW), undefined);
  const { folder, cache } = await fresh();
  rmSync(folder, { recursive: true });
  writeFileSync(folder, "in the way");
  const bytes = seededBytes("file", 10);
  await cache.put("index", sha256Hex(bytes), bytes);
  assert.equal(await cache.get("index", sha256Hex(bytes)), undefined);
  await cache.keepOnly("index", new Set());
});

test("a repository asks the storage once for what it then has", async () => {
  const { cache } = await fresh();
  let storage: FaultyStorage;
  const made = memoryRepository({ cache, around: (inner) => (storage = faulty(inner, [])) });
  const plain = (n: number): { type: "tree"; plain: Buffer } => ({
    type: "tree",
    plain: seededBytes(n, 9),
  });
  const pack = await storePack(made.repository, [plain(1), plain(2)]);
  const index = await storeIndex(made.repository, [pack]);
  const gets = (): number => storage.calls.filter((call) => call.startsWith("get")).length;
  await loadIndex(made.repository);
  assert.equal(gets(), 0, "what was written is cached as well");
  await made.repository.loadRaw("pack", pack.id);
  await made.repository.loadRaw("pack", pack.id);
  assert.equal(gets(), 1);

  // When the index and pack are gone from the repository, they go from the cache too.
  await made.repository.remove("index", index);
  await storeIndex(made.repository, [await storePack(made.repository, [plain(3)])]);
  await loadIndex(made.repository);
  assert.equal(await cache.get("index", index), undefined);
  assert.equal(await cache.get("pack", pack.id), undefined);
});

test("a check does not believe the cache", async () => {
  const { cache } = await fresh();
  const made = memoryRepository({ cache });
  const pack = await storePack(made.repository, [{ type: "data", plain: Buffer.from("content") }]);
  const index = await storeIndex(made.repository, [pack]);
  const options = { readData: { mode: "none" }, workers: 1 } as const;
  assert.equal((await checkRepository(made.repository, options)).numErrors, 0);
  damage(made.objects, keyOf("index", index), 30);
  const { findings } = await checkRepository(made.repository, options);
  assert.deepEqual(
    findings.map(({ code }) => code),
    ["INDEX_DAMAGED", "PACK_UNINDEXED"],
  );
});

test("opening a cache marks it as used", async () => {
  const { folder } = await fresh();
  assert.equal(statSync(join(folder, REPOSITORY)).mtimeMs, NOW);
});
