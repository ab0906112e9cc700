import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  damage,
  memoryRepository,
  storeIndex,
  storePack,
  storeSnapshot,
  treeOf,
} from "../../test/memory-repository.ts";
import type { MemoryRepository } from "../../test/memory-repository.ts";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { sha256Hex } from "../base/bytes.ts";
import type { IndexPack } from "../restic/index-file.ts";
import { faulty } from "../storage/faulty.ts";
import type { FaultRule } from "../storage/faulty.ts";
import { checkRepository } from "./check.ts";
import type { CheckOptions, CheckReport } from "./check.ts";
import { keyOf } from "./layout.ts";

const CONTENT = [seededBytes("a", 70_000), seededBytes("b", 500), Buffer.alloc(9000, "text ")];
const IDS = CONTENT.map(sha256Hex);

interface Sample extends MemoryRepository {
  data: IndexPack;
  trees: IndexPack;
  /** Two index files, one for each pack. */
  indexes: string[];
  snapshot: string;
}

/** A sound repository: a snapshot of /dir/a, /dir/b and /c, a pack of data, a pack of trees. */
async function sample(rules: readonly FaultRule[] = []): Promise<Sample> {
  const made = memoryRepository({ around: (storage) => faulty(storage, rules) });
  const { repository } = made;
  const blob = (plain: Buffer, i: number) => ({ type: "data", plain, compressed: i > 0 }) as const;
  const data = await storePack(repository, CONTENT.map(blob));
  const dir = treeOf({ a: [IDS[0]!], b: [IDS[1]!, IDS[0]!] });
  const root = treeOf({ c: [IDS[2]!], dir: { tree: sha256Hex(dir) }, empty: [] });
  const trees = await storePack(repository, [
    { type: "tree", plain: dir },
    { type: "tree", plain: root },
  ]);
  const indexes = [await storeIndex(repository, [data]), await storeIndex(repository, [trees])];
  const snapshot = await storeSnapshot(repository, sha256Hex(root));
  return { ...made, data, trees, indexes, snapshot };
}

function check(made: MemoryRepository, options: Partial<CheckOptions> = {}): Promise<CheckReport> {
  return checkRepository(made.repository, { readData: { mode: "all" }, workers: 1, ...options });
}

const codes = (report: CheckReport): string[] => report.findings.map(({ code }) => code).sort();

suite("a sound repository", () => {
  test("has no findings, and the report says what was looked at", async () => {
    const made = await sample();
    const report = await check(made, { workers: 2 });
    assert.deepEqual(report.findings, []);
    const bytes = [made.data, made.trees].map(
      ({ id }) => made.objects.get(keyOf("pack", id))!.length,
    );
    assert.deepEqual(report.covered, {
      indexFiles: 2,
      indexFilesLoaded: 2,
      packs: 2,
      packsStored: 2,
      snapshots: 1,
      trees: 2,
      blobs: 5,
      unusedBlobs: 0,
      packsRead: 2,
      packsToRead: 2,
      bytesRead: bytes[0]! + bytes[1]!,
      bytesToRead: bytes[0]! + bytes[1]!,
    });
  });

  test("without snapshots has unused blobs, which are no error", async () => {
    const made = await sample();
    made.objects.delete(keyOf("snapshot", made.snapshot));
    const report = await check(made, { readData: { mode: "none" } });
    assert.equal(report.numErrors, 0);
    assert.equal(report.covered.unusedBlobs, 5);
    assert.equal(report.covered.bytesRead, 0);
  });

  test("that is empty is sound", async () => {
    const report = await check(memoryRepository());
    assert.equal(report.numErrors, 0);
    assert.equal(report.covered.trees, 0);
  });

  test("reports every phase, and its end", async () => {
    const seen: Record<string, number> = {};
    let phase = "";
    await check(await sample(), {
      onPhase: (name) => (phase = name),
      onDone: (count) => (seen[phase] = (seen[phase] ?? 0) + count),
    });
    assert.deepEqual(seen, { snapshots: 1, index: 2, packs: 2, trees: 2, data: 2 });
  });
});

suite("index", () => {
  test("a damaged file is reported, and the others are used", async () => {
    const made = await sample();
    damage(made.objects, keyOf("index", made.indexes[0]!), 40);
    const report = await check(made);
    assert.deepEqual(codes(report), [
      "BLOB_MISSING",
      "BLOB_MISSING",
      "INDEX_DAMAGED",
      "PACK_UNINDEXED",
    ]);
    assert.equal(report.suggestRepairIndex, true);
    assert.equal(report.covered.indexFilesLoaded, 1);
    assert.equal(report.covered.trees, 2);
    // One error for the file, and one for each use of a blob.
    assert.equal(report.numErrors, 1 + 4);
  });

  test("a pack listed twice is a hint", async () => {
    const made = await sample();
    await storeIndex(made.repository, [made.data, made.trees]);
    const report = await check(made);
    assert.deepEqual(codes(report), ["PACK_DUPLICATE", "PACK_DUPLICATE"]);
    assert.equal(report.numErrors, 0);
    assert.equal(report.suggestRepairIndex, true);
    assert.equal(report.covered.packsRead, 2);
    assert.equal(report.covered.blobs, 5);
  });

  test("a pack whose blobs are split over files is an error, but all its blobs are known", async () => {
    const made = await sample();
    made.objects.delete(keyOf("index", made.indexes[0]!));
    const { id, blobs } = made.data;
    await storeIndex(made.repository, [{ id, blobs: blobs.slice(0, 1) }]);
    await storeIndex(made.repository, [{ id, blobs: blobs.slice(1) }]);
    const report = await check(made);
    assert.deepEqual(codes(report), ["PACK_SPLIT"]);
    assert.deepEqual(report.brokenPacks, [id]);
  });

  test("a mixed pack is a hint", async () => {
    const made = memoryRepository();
    const tree = treeOf({ b: [IDS[1]!] });
    const pack = await storePack(made.repository, [
      { type: "data", plain: CONTENT[1]! },
      { type: "tree", plain: tree },
      { type: "data", plain: CONTENT[0]! },
    ]);
    await storeIndex(made.repository, [pack]);
    await storeSnapshot(made.repository, sha256Hex(tree));
    const report = await check(made);
    assert.deepEqual(codes(report), ["PACK_MIXED"]);
    assert.equal(report.suggestPrune, true);
    assert.equal(report.covered.trees, 1);
    assert.equal(report.covered.unusedBlobs, 1);
  });
});

suite("packs", () => {
  test("one that is missing is an error", async () => {
    const made = await sample();
    made.objects.delete(keyOf("pack", made.data.id));
    const report = await check(made);
    assert.deepEqual(codes(report), ["PACK_MISSING"]);
    assert.deepEqual(report.brokenPacks, [made.data.id]);
    assert.equal(report.covered.packsToRead, 1);
  });

  test("one of the wrong size is an error", async () => {
    const made = await sample();
    const key = keyOf("pack", made.data.id);
    made.objects.set(key, made.objects.get(key)!.slice(0, -1));
    const report = await check(made, { readData: { mode: "none" } });
    assert.deepEqual(codes(report), ["PACK_SIZE"]);
    assert.deepEqual(report.brokenPacks, [made.data.id]);
  });

  test("one in no index is a hint", async () => {
    const made = await sample();
    await storePack(made.repository, [{ type: "data", plain: Buffer.from("new") }]);
    const report = await check(made);
    assert.deepEqual(codes(report), ["PACK_UNINDEXED"]);
    assert.equal(report.numErrors, 0);
    assert.equal(report.suggestPrune, true);
  });

  test("a changed byte anywhere is found by reading, and only by reading", async () => {
    const made = await sample();
    const key = keyOf("pack", made.data.id);
    const whole = made.objects.get(key)!;
    const { length } = whole;
    // Nonce, content and tag of the first blob, then later blobs, the header and its length.
    for (const at of [0, 20, 70_020, 70_300, length - 50, length - 1]) {
      damage(made.objects, key, at);
      const report = await check(made);
      assert.deepEqual(codes(report), ["PACK_DAMAGED"], `byte ${at}`);
      assert.deepEqual(report.brokenPacks, [made.data.id]);
      made.objects.set(key, whole);
    }
    damage(made.objects, key, 20);
    assert.equal((await check(made, { readData: { mode: "none" } })).numErrors, 0);
  });

  test("an index that differs from the header is found", async () => {
    const made = await sample();
    made.objects.delete(keyOf("index", made.indexes[0]!));
    const { id, blobs } = made.data;
    const [first, ...others] = blobs;
    const other = sha256Hex(Buffer.from("other"));
    await storeIndex(made.repository, [{ id, blobs: [{ ...first!, id: other }, ...others] }]);
    const report = await check(made);
    assert.deepEqual(codes(report), ["BLOB_MISSING", "PACK_DAMAGED"]);
    const finding = report.findings.find(({ code }) => code === "PACK_DAMAGED")!;
    assert.match(finding.details.join("\n"), /1 differ/);
    assert.match(finding.details.join("\n"), new RegExp(`1 of 3 blobs do not open: ${other}`));
  });

  test("gaps between blobs are found", async () => {
    const made = memoryRepository();
    const pack = await storePack(made.repository, [
      { type: "data", plain: Buffer.alloc(100) },
      { type: "data", plain: Buffer.from("x") },
    ]);
    // The lengths still add up to the size of the file.
    const [first, second] = pack.blobs;
    const moved = { ...second!, offset: second!.offset + 3, length: second!.length };
    await storeIndex(made.repository, [{ id: pack.id, blobs: [first!, moved] }]);
    const report = await check(made);
    assert.deepEqual(codes(report), ["PACK_DAMAGED"]);
    assert.match(report.findings[0]!.details.join(), /a gap of 3 bytes at 132/);
  });

  test("a fault on the way is told apart from damage", async () => {
    const pack = /^data\//;
    // The first reading is for the trees, the second and third are for the data.
    for (const skip of [0, 1, 2]) {
      const once: FaultRule = { on: "get", key: pack, skip, fault: { kind: "damaged" } };
      const report = await check(await sample([once]));
      assert.deepEqual(codes(report), ["READ_UNSTABLE"]);
      assert.equal(report.numErrors, 1);
      assert.deepEqual(report.brokenPacks, []);
    }
  });
});

suite("snapshots and trees", () => {
  test("a damaged snapshot is reported, and the others are checked", async () => {
    const made = await sample();
    damage(made.objects, keyOf("snapshot", made.snapshot), 30);
    const report = await check(made);
    assert.deepEqual(codes(report), ["SNAPSHOT_DAMAGED"]);
    assert.deepEqual(report.brokenSnapshots, [made.snapshot]);
  });

  test("a snapshot whose tree is in no index is reported", async () => {
    const made = await sample();
    const id = await storeSnapshot(made.repository, sha256Hex(Buffer.from("gone")));
    const report = await check(made);
    assert.deepEqual(codes(report), ["TREE_MISSING"]);
    assert.deepEqual(report.findings[0]!.snapshots, [id]);
  });

  test("every kind of broken entry is reported", async () => {
    const made = memoryRepository();
    const gone = sha256Hex(Buffer.from("gone"));
    const zero = "0".repeat(64);
    const tree = treeOf({
      lost: [gone, gone],
      nolist: null,
      nosub: { tree: null },
      null: [zero],
      sub: { tree: gone },
    });
    await storeIndex(made.repository, [
      await storePack(made.repository, [{ type: "tree", plain: tree }]),
    ]);
    await storeSnapshot(made.repository, sha256Hex(tree));
    const report = await check(made);
    const faults = report.findings.flatMap(({ code, what, details, count }) => [
      `${code} ${count}`,
      ...(details.length > 0 ? details : [what.slice(what.indexOf(": ") + 2)]),
    ]);
    assert.deepEqual(faults, [
      "BLOB_MISSING 2",
      `file "lost" needs blob ${gone}, which is in no index`,
      `file "lost" needs blob ${gone}, which is in no index`,
      "TREE_DAMAGED 3",
      'file "nolist" has no list of blobs',
      'directory "nosub" has no listing',
      'file "null" has a blob with a null id',
      "TREE_MISSING 1",
      `directory "sub" needs listing ${gone}, which is in no index`,
    ]);
    assert.equal(report.numErrors, 6);
  });

  test("trees that are no trees, or lead elsewhere, are reported", async () => {
    const made = memoryRepository();
    const name = (text: string): Buffer =>
      Buffer.from(`{"nodes":[{"name":"${text}","type":"file","content":[]}]}\n`);
    const trees = [Buffer.from("{}"), name("../x"), name(""), Buffer.from('{"nodes":[{]}')];
    const pack = await storePack(
      made.repository,
      trees.map((plain) => ({ type: "tree", plain })),
    );
    await storeIndex(made.repository, [pack]);
    for (const tree of trees) await storeSnapshot(made.repository, sha256Hex(tree));
    const report = await check(made);
    assert.equal(codes(report).filter((code) => code === "TREE_HOSTILE").length, 1);
    assert.equal(codes(report).filter((code) => code === "TREE_DAMAGED").length, 3);
  });

  test("a damaged tree with a sound copy is walked, and its pack reported", async () => {
    const made = await sample();
    const root = made.trees.blobs[1]!;
    damage(made.objects, keyOf("pack", made.trees.id), root.offset + 20);
    const dir = treeOf({ a: [IDS[0]!], b: [IDS[1]!, IDS[0]!] });
    const plain = treeOf({ c: [IDS[2]!], dir: { tree: sha256Hex(dir) }, empty: [] });
    assert.equal(sha256Hex(plain), root.id);
    // Whichever copy is met first, all trees are reached.
    const copy = await storePack(made.repository, [{ type: "tree", plain }]);
    await storeIndex(made.repository, [copy]);
    const report = await check(made, { readData: { mode: "none" } });
    assert.equal(report.covered.trees, 2);
    assert.ok(codes(report).every((code) => code === "BLOB_DAMAGED"));
    const all = await check(made);
    assert.ok(codes(all).includes("PACK_DAMAGED"));
    assert.deepEqual(all.brokenPacks, [made.trees.id]);
  });

  test("a damaged tree without a copy is reported once, and the walk goes on", async () => {
    const made = await sample();
    damage(made.objects, keyOf("pack", made.trees.id), 20);
    const report = await check(made, { readData: { mode: "none" } });
    assert.deepEqual(codes(report), ["BLOB_DAMAGED"]);
    assert.equal(report.covered.trees, 1);
    assert.match(
      report.findings[0]!.what,
      new RegExp(`tree ${made.trees.blobs[0]!.id} does not open`),
    );
  });

  test("only the chosen snapshots are walked, and only their packs read", async () => {
    const made = await sample();
    const other = treeOf({ b: [IDS[1]!] });
    const pack = await storePack(made.repository, [{ type: "tree", plain: other }]);
    await storeIndex(made.repository, [pack]);
    const id = await storeSnapshot(made.repository, sha256Hex(other), { hostname: "elsewhere" });
    for (const snapshots of [{ ids: [id.slice(0, 12)] }, { filter: { hosts: ["elsewhere"] } }]) {
      const { covered, numErrors } = await check(made, { snapshots });
      assert.equal(numErrors, 0);
      assert.deepEqual([covered.snapshots, covered.trees, covered.packsRead], [1, 1, 2]);
      assert.equal(covered.unusedBlobs, undefined);
    }
    const none = check(made, { snapshots: { ids: ["0123456789"] } });
    await assert.rejects(none, (error) => isHoldfastError(error, "SNAPSHOT_NOT_FOUND"));
  });
});

suite("what keeps a check from being made", () => {
  test("a pack that cannot be fetched is an error, and not called broken", async () => {
    const rule: FaultRule = {
      on: "get",
      key: /^data\//,
      skip: 1,
      times: 1,
      fault: { kind: "before", error: new HoldfastError("STORAGE_DENIED", "no") },
    };
    const report = await check(await sample([rule]));
    assert.deepEqual(codes(report), ["PACK_UNREADABLE"]);
    assert.deepEqual(report.brokenPacks, []);
    assert.equal(report.covered.packsRead, report.covered.packsToRead - 1);
  });

  test("a storage that does not answer ends it", async () => {
    const made = await sample([
      { on: "get", key: /^data\//, times: 99, fault: { kind: "before" } },
    ]);
    await assert.rejects(check(made), (error) => isHoldfastError(error, "STORAGE_UNAVAILABLE"));
  });

  test("cancelling ends it", async () => {
    const stop = new AbortController();
    const checking = check(await sample(), {
      signal: stop.signal,
      onPhase: (phase) => phase === "data" && stop.abort(),
    });
    await assert.rejects(checking, (error) => isHoldfastError(error, "CANCELLED"));
  });
});
