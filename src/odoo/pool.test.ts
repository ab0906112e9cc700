import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { suite, test } from "node:test";
import { sha256Hex, type Id } from "../base/bytes.ts";
import { keyOf } from "../repository/layout.ts";
import type { Repository } from "../repository/repository.ts";
import {
  damage,
  memoryRepository,
  storeIndex,
  storePack,
  storeSnapshot,
  treeOf,
  type MemoryRepository,
} from "../../test/memory-repository.ts";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { openPool, SMALL_BYTES, type Pool, type PoolAnswer } from "./pool.ts";
import { Sha1Set } from "./sha1-set.ts";

const sha1 = (content: Uint8Array): string => createHash("sha1").update(content).digest("hex");

/** Files of a snapshot: name to the pieces of its content. */
type Files = Record<string, readonly Uint8Array[]>;

/** Stores a snapshot with all its files below one folder; its pack and its id. */
async function store(
  repository: Repository,
  files: Files,
  time: string,
): Promise<{ pack: Id; snapshot: Id }> {
  const pieces = new Map(
    Object.values(files)
      .flat()
      .map((piece) => [sha256Hex(piece), piece]),
  );
  const ids = (name: string): Id[] => files[name]!.map((piece) => sha256Hex(piece));
  const tree = treeOf(Object.fromEntries(Object.keys(files).map((name) => [name, ids(name)])));
  const root = treeOf({ ab: { tree: sha256Hex(tree) } });
  const data = await storePack(
    repository,
    [...pieces.values()].map((plain) => ({ type: "data" as const, plain })),
  );
  const trees = await storePack(repository, [
    { type: "tree", plain: tree },
    { type: "tree", plain: root },
  ]);
  await storeIndex(repository, [data, trees]);
  return { pack: data.id, snapshot: await storeSnapshot(repository, sha256Hex(root), { time }) };
}

const named = (...contents: Uint8Array[]): Files =>
  Object.fromEntries(contents.map((content) => [sha1(content), [content]]));

interface Sources {
  readonly snapshots: MemoryRepository;
  readonly captures: MemoryRepository;
  readonly told: string[];
}

const makeSources = (): Sources => ({
  snapshots: memoryRepository(),
  captures: memoryRepository(),
  told: [],
});

async function open({ snapshots, captures, told }: Sources, wanted?: string[]): Promise<Pool> {
  const set = wanted && new Sha1Set();
  for (const name of wanted ?? []) set!.add(name);
  return await openPool({
    sources: [
      { repository: snapshots.repository, kind: "snapshots" },
      { repository: captures.repository, kind: "captures" },
    ],
    wanted: set,
    onDamage: (what) => void told.push(what),
  });
}

async function contentOf(answer: PoolAnswer): Promise<Buffer> {
  assert.equal(answer.status, "found");
  const pieces: Uint8Array[] = [];
  if (answer.status === "found") for await (const piece of answer.content()) pieces.push(piece);
  return Buffer.concat(pieces);
}

suite("the pool", () => {
  const [one, two, three] = ["one", "two", "three"].map((name) => seededBytes(name, 5000)) as [
    Buffer,
    Buffer,
    Buffer,
  ];

  test("captures come before snapshots, and newer ones before older ones", async () => {
    const sources = makeSources();
    const full = await store(sources.snapshots.repository, named(one, two), "2026-01-03T00:00:00Z");
    const older = await store(sources.captures.repository, named(one), "2026-01-01T00:00:00Z");
    await store(sources.captures.repository, named(three), "2026-01-02T00:00:00Z");
    const pool = await open(sources, [sha1(one), sha1(two)]);
    assert.deepEqual(
      pool.copies(sha1(one)).map(({ kind, snapshot }) => [kind, snapshot]),
      [
        ["captures", older.snapshot],
        ["snapshots", full.snapshot],
      ],
    );
    assert.deepEqual(await contentOf(await pool.read(sha1(one))), one);
    assert.equal(pool.copies(sha1(two))[0]!.kind, "snapshots");
    assert.equal(pool.has(sha1(three)), false, "nobody wanted it");
    assert.equal((await pool.read(sha1(three))).status, "missing");
  });

  test("no more snapshots are walked than it takes, and all of them for what is not found", async () => {
    const sources = makeSources();
    for (const [content, day] of [
      [one, 1],
      [two, 2],
      [three, 3],
    ] as const)
      await store(sources.snapshots.repository, named(content), `2026-01-0${day}T00:00:00Z`);
    assert.equal((await open(sources, [sha1(three)])).walked.walked, 1);
    assert.equal((await open(sources, [sha1(three), sha1(two)])).walked.walked, 2);
    assert.equal((await open(sources, [sha1(Buffer.from("absent"))])).walked.walked, 3);
    assert.equal((await open(sources)).names.size, 3);
  });

  test("a torn copy is passed over for a good one in a snapshot that was not walked yet", async () => {
    const sources = makeSources();
    const name = sha1(one);
    await store(sources.snapshots.repository, named(one), "2026-01-01T00:00:00Z");
    const torn = { [name]: [one.subarray(0, 1000)] };
    await store(sources.snapshots.repository, torn, "2026-01-02T00:00:00Z");
    const pool = await open(sources, [name]);
    assert.equal(pool.copies(name).length, 1);
    const answer = await pool.read(name);
    assert.deepEqual(await contentOf(answer), one);
    assert.equal(answer.status === "found" && answer.badCopies, 1);
    assert.equal(pool.copies(name).length, 2);
  });

  test("several torn copies at once: each waits for the snapshot that is being walked for another", async () => {
    const sources = makeSources();
    const contents = Array.from({ length: 6 }, (_, i) => seededBytes(`torn ${i}`, 3000));
    await store(sources.snapshots.repository, named(...contents), "2026-01-01T00:00:00Z");
    const torn = Object.fromEntries(
      contents.map((content) => [sha1(content), [content.subarray(0, 1000)]]),
    );
    await store(sources.snapshots.repository, torn, "2026-01-02T00:00:00Z");
    const names = contents.map(sha1);
    const pool = await open(sources, names);
    const answers = await Promise.all(names.map((name) => pool.read(name)));
    assert.deepEqual(
      answers.map(({ status }) => status),
      names.map(() => "found"),
    );
  });

  test("only torn copies are corrupt, and never given", async () => {
    const sources = makeSources();
    const name = sha1(one);
    await store(sources.captures.repository, { [name]: [two] }, "2026-01-01T00:00:00Z");
    await store(sources.snapshots.repository, { [name]: [] }, "2026-01-02T00:00:00Z");
    const pool = await open(sources, [name]);
    assert.deepEqual([(await pool.read(name)).status, sources.told.length], ["corrupt", 2]);
  });

  test("a damaged blob: the same content elsewhere, or corrupt", async () => {
    const sources = makeSources();
    const { pack } = await store(
      sources.captures.repository,
      named(one, two),
      "2026-01-02T00:00:00Z",
    );
    await store(sources.snapshots.repository, named(one), "2026-01-01T00:00:00Z");
    damage(sources.captures.objects, keyOf("pack", pack), 100);
    const size = sources.captures.objects.get(keyOf("pack", pack))!.length;
    damage(sources.captures.objects, keyOf("pack", pack), Math.floor(size / 2) + 1000);
    const pool = await open(sources, [sha1(one), sha1(two)]);
    const answers = new Map<string, PoolAnswer>();
    await pool.readMany([sha1(one), sha1(two)], (name, answer) => void answers.set(name, answer));
    assert.deepEqual(await contentOf(answers.get(sha1(one))!), one);
    assert.equal(answers.get(sha1(two))!.status, "corrupt");
  });

  test("blobs that no index has are no copy", async () => {
    const sources = makeSources();
    const root = treeOf({ [sha1(one)]: [sha256Hex(one)] });
    const trees = await storePack(sources.snapshots.repository, [{ type: "tree", plain: root }]);
    await storeIndex(sources.snapshots.repository, [trees]);
    await storeSnapshot(sources.snapshots.repository, sha256Hex(root));
    const pool = await open(sources, [sha1(one)]);
    assert.equal(pool.has(sha1(one)), false);
    assert.equal((await pool.read(sha1(one))).status, "corrupt");
  });

  test("damaged trees and snapshots are told, and end nothing", async () => {
    const sources = makeSources();
    const { snapshot } = await store(
      sources.snapshots.repository,
      named(two),
      "2026-01-02T00:00:00Z",
    );
    await store(sources.snapshots.repository, named(one), "2026-01-01T00:00:00Z");
    const gone = await storeSnapshot(sources.snapshots.repository, "0".repeat(64));
    damage(sources.snapshots.objects, keyOf("snapshot", snapshot), 50);
    const pool = await open(sources);
    assert.equal(pool.has(sha1(one)), true);
    assert.equal(pool.has(sha1(two)), false);
    assert.deepEqual(sources.told.toSorted(), [
      `snapshot ${snapshot}`,
      `tree ${"0".repeat(64)} of snapshot ${gone}`,
    ]);
  });

  test("a large file is verified first and streamed then; a large wrong one is corrupt", async () => {
    const sources = makeSources();
    const pieces = [seededBytes("a", SMALL_BYTES), seededBytes("b", 1000)];
    const name = sha1(Buffer.concat(pieces));
    const wrong = sha1(Buffer.from("not that"));
    const files = { [name]: pieces, [wrong]: pieces };
    await store(sources.snapshots.repository, files, "2026-01-01T00:00:00Z");
    const pool = await open(sources, [name, wrong]);
    const answers = new Map<string, PoolAnswer>();
    await pool.readMany([name, wrong], (each, answer) => void answers.set(each, answer));
    const answer = answers.get(name)!;
    assert.equal(answer.status === "found" && answer.bytes, undefined);
    assert.ok((await contentOf(answer)).equals(Buffer.concat(pieces)));
    assert.equal(answers.get(wrong)!.status, "corrupt");
  });

  test("many files at once: each once, whatever the order of the packs", async () => {
    const sources = makeSources();
    const contents = Array.from({ length: 500 }, (_, i) =>
      seededBytes(`file ${i}`, (i * 37) % 4000),
    );
    const [some, others] = [contents.slice(0, 300), contents.slice(300)];
    await store(sources.snapshots.repository, named(...some), "2026-01-01T00:00:00Z");
    await store(sources.captures.repository, named(...others), "2026-01-01T00:00:00Z");
    const names = [...new Set(contents.map(sha1)), sha1(Buffer.from("absent"))];
    const pool = await open(sources, names);
    const seen = new Map<string, string>();
    await pool.readMany(names, async (name, answer) => {
      assert.ok(!seen.has(name));
      seen.set(name, answer.status === "found" ? sha1(await contentOf(answer)) : answer.status);
    });
    for (const name of names.slice(0, -1)) assert.equal(seen.get(name), name);
    assert.equal(seen.get(names.at(-1)!), "missing");
  });
});
