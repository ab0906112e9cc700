// `copy` and `init --copy-chunker-params` beside real restic: what one program copied the other takes for copied, output and
// snapshots are the same, and every byte of every copy is sound, whatever formats, keys and compressions it goes through.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { checkRepository } from "../../src/repository/check.ts";
import { loadIndex } from "../../src/repository/index-loader.ts";
import { openRepository } from "../../src/repository/open.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { listSnapshots } from "../../src/repository/snapshots.ts";
import { openLocalStorage } from "../../src/storage/local.ts";
import { PASSWORD, assertSameTree, openWorkbench } from "../faults/workbench.ts";
import type { Run, RunOptions } from "../faults/workbench.ts";
import { plantTree } from "../faults/source-tree.ts";
import { testMachine } from "../memory-repository.ts";
import { skipWithout } from "../peers.ts";
import { startRestServer } from "../rest/server.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { createQuickRepository } from "./quick-repository.ts";

const bench = await openWorkbench({ after });
const OTHER = "another password";
const FROM = { RESTIC_FROM_REPOSITORY: bench.repository, RESTIC_FROM_PASSWORD: PASSWORD };
let targets = 0;

interface Target {
  path: string;
  ours(words: readonly string[], options?: RunOptions): Promise<Run>;
  restic(words: readonly string[], options?: RunOptions): Promise<Run>;
  open(): Promise<Repository>;
}

/** A new empty repository to copy into, which opens with another password. */
async function newTarget(version: 1 | 2 = 2): Promise<Target> {
  const path = bench.at(`target ${++targets}`);
  await createQuickRepository(path, OTHER, version);
  const options = (more: RunOptions = {}): RunOptions => {
    const env = { ...FROM, ...more.env };
    return { repository: path, password: OTHER, status: 0, ...more, env };
  };
  return {
    path,
    ours: (words, more) => bench.holdfast(words, options(more)),
    restic: (words, more) => bench.restic("newest", words, options(more)),
    open: () => openAt(path, OTHER),
  };
}

async function openAt(path: string, password: string): Promise<Repository> {
  const storage = await openLocalStorage({ root: path });
  return openRepository({ storage, password, machine: testMachine() });
}

/** What of a snapshot a copy keeps. */
async function facts(repository: Repository): Promise<string[]> {
  const found = await listSnapshots(repository);
  return found.map(({ id, snapshot }) =>
    JSON.stringify({ ...snapshot, parent: null, original: snapshot.original ?? id }),
  );
}

async function assertSound(target: Target): Promise<void> {
  const report = await checkRepository(await target.open(), {
    readData: { mode: "all" },
    workers: 1,
  });
  assert.deepEqual(report.findings, []);
  await target.restic(["check", "--read-data"]);
}

/** Ids and times of progress are nobody's to foresee, and restic counts the packs of each snapshot. */
function comparable(text: string): string[] {
  return text
    .replace(/\b(?:[0-9a-f]{64}|[0-9a-f]{8})\b/g, "<id>")
    .split("\n")
    .filter((line) => !line.endsWith(" packs copied"))
    .toSorted();
}

async function ids(): Promise<string[]> {
  return (await listSnapshots(await openAt(bench.repository, PASSWORD))).map(({ id }) => id);
}

void suite("copy", { skip: skipWithout("restic-newest") }, () => {
  before(async () => {
    const source = bench.at("source");
    plantTree(source);
    writeFileSync(join(source, "large"), seededBytes(1, 11 << 20));
    writeFileSync(join(source, "zeros"), Buffer.alloc(3 << 20));
    writeFileSync(join(source, "text"), "the same words again and again\n".repeat(40_000));
    await bench.restic("newest", ["backup", source, "--host", "h1", "--tag", "a,b"], { status: 0 });
    writeFileSync(join(source, "more"), seededBytes(2, 100_000));
    await bench.holdfast(["backup", source, "--host", "h2", "--exclude", "zeros"], { status: 0 });
    rmSync(join(source, "large"));
    writeFileSync(join(source, "more"), seededBytes(3, 50_000));
    await bench.holdfast(["backup", source, "--host", "h2"], { status: 0 });
    await bench.restic("newest", ["tag", "--add", "tagged", "latest"], { status: 0 });
  });

  for (const words of [
    ["copy"],
    ["copy", "-q"],
    ["copy", "latest", "-v"],
    ["copy", "--tag", "a", "--tag", "tagged"],
    ["copy", "--host", "nobody"],
    ["copy", "latest", "--host", "h1"],
  ]) {
    void test(`${words.join(" ")}: the same output and snapshots as restic`, async () => {
      const [one, two] = [await newTarget(), await newTarget()];
      const theirs = await one.restic(words);
      const mine = await two.ours(words);
      assert.deepEqual(comparable(mine.stdout), comparable(theirs.stdout));
      assert.deepEqual(await facts(await two.open()), await facts(await one.open()));
      await assertSound(two);
      // Each takes the other's copies for copies.
      const [again, reverse] = [await one.ours(words), await two.restic(words)];
      assert.deepEqual(comparable(again.stdout), comparable(reverse.stdout));
      assert.equal((await facts(await one.open())).length, (await facts(await two.open())).length);
    });
  }

  void test("a copy restores as its source does, also a copy of a copy and by restic", async () => {
    const [one, two] = [await newTarget(), await newTarget()];
    await one.ours(["copy"]);
    const from = { RESTIC_FROM_REPOSITORY: one.path, RESTIC_FROM_PASSWORD: OTHER };
    await two.restic(["copy"], { env: from });
    const back = bench.at("back");
    await one.ours(["restore", `latest:${bench.at("source")}`, "--target", back]);
    assertSameTree(back, bench.at("source"));
    rmSync(back, { recursive: true });
    await two.restic(["restore", `latest:${bench.at("source")}`, "--target", back]);
    assertSameTree(back, bench.at("source"));
    assert.deepEqual(
      await facts(await two.open()),
      await facts(await openAt(bench.repository, PASSWORD)),
      "the original is that of the first repository",
    );
  });

  for (const [version, compression] of [
    [1, "auto"],
    [2, "off"],
    [2, "max"],
  ] as const) {
    void test(`into format ${version} with compression ${compression}, and back`, async () => {
      const [one, two] = [await newTarget(version), await newTarget()];
      await one.ours(["copy", "--compression", compression]);
      await assertSound(one);
      const { index } = await loadIndex(await one.open());
      const compressed = { data: 0, tree: 0 };
      for (let entry = 0; entry < index.count; entry++) {
        const { type, uncompressedLength } = index.place(entry);
        if (uncompressedLength > 0) compressed[type]++;
      }
      assert.equal(compressed.data > 0, compression === "max");
      assert.equal(compressed.tree > 0, version === 2);
      const from = { RESTIC_FROM_REPOSITORY: one.path, RESTIC_FROM_PASSWORD: OTHER };
      await two.ours(["copy"], { env: from });
      await assertSound(two);
      const original = await facts(await openAt(bench.repository, PASSWORD));
      assert.deepEqual(await facts(await two.open()), original);
    });
  }

  void test("what is compressed goes over as it is, and packs are few", async () => {
    const one = await newTarget();
    await one.ours(["copy"]);
    const source = await openAt(bench.repository, PASSWORD);
    const stored = async (repository: Repository): Promise<Map<string, number>> => {
      const { index } = await loadIndex(repository);
      return new Map(
        Array.from({ length: index.count }, (_, entry) => [
          index.idAt(entry),
          index.storedLength(entry),
        ]),
      );
    };
    const [here, there] = [await stored(source), await stored(await one.open())];
    for (const [id, length] of there) {
      // What restic compressed although it got no smaller may be stored plain.
      assert.ok(length <= here.get(id)!, id);
    }
    assert.ok((await (await one.open()).list("pack")).length <= 3);
  });

  void test("from a folder to a REST server, and back", async (t) => {
    const skip = skipWithout("rest-server");
    if (skip !== false) return t.skip(skip);
    const server = await startRestServer();
    try {
      const remote = `rest:${server.location("/copies/")}`;
      const there = { repository: remote, password: OTHER, status: 0 };
      const env = { ...FROM, RESTIC_FROM_REPOSITORY: "" };
      const from = ["--from-repo", bench.repository];
      await bench.holdfast(["init", "--copy-chunker-params", ...from], { ...there, env });
      await bench.holdfast(["copy", ...from], { ...there, env });
      await bench.restic("newest", ["check", "--read-data"], there);
      const one = await newTarget();
      const back = { RESTIC_FROM_REPOSITORY: remote, RESTIC_FROM_PASSWORD: OTHER };
      await one.ours(["copy"], { env: back });
      assert.deepEqual(
        await facts(await one.open()),
        await facts(await openAt(bench.repository, PASSWORD)),
      );
      await assertSound(one);
    } finally {
      await server.close();
    }
  });

  void test("a damaged pack: other copies are used, or the copy ends and goes on later", async () => {
    const damaged = bench.at("damaged");
    execFileSync("cp", ["-a", bench.repository, damaged]);
    const repository = await openAt(damaged, PASSWORD);
    const { index } = await loadIndex(repository);
    let largest = 0;
    for (let entry = 0; entry < index.count; entry++) {
      if (index.storedLength(entry) > index.storedLength(largest)) largest = entry;
    }
    const { pack } = index.place(largest);
    const path = join(damaged, "data", pack.slice(0, 2), pack);
    renameSync(path, bench.at("pack"));
    const one = await newTarget();
    const env = { RESTIC_FROM_REPOSITORY: damaged };
    const failed = await one.ours(["copy", "--json"], { env, status: 1 });
    assert.match(failed.stderr, /data blob [0-9a-f]{64}: pack /);
    assert.deepEqual(await facts(await one.open()), [], "no snapshot without its content");
    renameSync(bench.at("pack"), path);
    await one.ours(["copy"], { env });
    await assertSound(one);
  });

  void test("a snapshot without its listing is left out, and so is who shares it", async () => {
    const broken = bench.at("broken");
    execFileSync("cp", ["-a", bench.repository, broken]);
    const repository = await openAt(broken, PASSWORD);
    const { index } = await loadIndex(repository);
    const [first] = await listSnapshots(repository);
    const root = index.places("tree", first!.snapshot.tree)[0]!;
    const path = join(broken, "data", root.pack.slice(0, 2), root.pack);
    rmSync(path);
    const one = await newTarget();
    const run = await one.ours(["copy"], { env: { RESTIC_FROM_REPOSITORY: broken }, status: 3 });
    assert.match(run.stderr, /snapshot [0-9a-f]{8} is not copied: tree .* does not open/);
    const copied = await facts(await one.open());
    assert.ok(copied.length < 3);
    await assertSound(one);
  });

  void test("init --copy-chunker-params: files are cut alike, so nothing is stored twice", async () => {
    const path = bench.at("alike");
    const words = ["init", "--copy-chunker-params", "--from-repo", bench.repository];
    const env = { RESTIC_FROM_PASSWORD: PASSWORD };
    const run = await bench.holdfast(words, { repository: path, password: OTHER, env, status: 0 });
    assert.match(run.stdout, /^ with chunker parameters copied from secondary repository$/m);
    const source = await openAt(bench.repository, PASSWORD);
    const target = await openAt(path, OTHER);
    assert.equal(target.config.chunkerPolynomial, source.config.chunkerPolynomial);
    assert.notDeepEqual(target.key, source.key);
    const named = ["init", "--from-repo", bench.repository];
    const refused = await bench.holdfast(named, { repository: `${path}2`, password: OTHER, env });
    assert.equal(refused.status, 1);
    assert.deepEqual(readdirSync(bench.folder).includes("alike2"), false);
  });

  void test("the source is locked for reading, unless --no-lock; the target always", async () => {
    const one = await newTarget();
    const lock = (where: string): Promise<Run> =>
      bench.holdfast(["tag", "--add", "x", "nothing"], { repository: where });
    await lock(bench.repository);
    const [id] = await ids();
    await one.ours(["copy", id!, "--no-lock", "--from-key-hint", "0000"]);
    assert.equal((await facts(await one.open())).length, 1);
    assert.deepEqual(await (await one.open()).list("lock"), []);
    assert.deepEqual(await (await openAt(bench.repository, PASSWORD)).list("lock"), []);
  });

  void test("what is missing is said before anything is asked", async () => {
    const one = await newTarget();
    const none = { RESTIC_FROM_REPOSITORY: "" };
    const usage = await one.ours(["copy"], { env: none, status: 1 });
    assert.match(usage.stderr, /Please specify a source repository location \(--from-repo/);
    await one.ours(["copy", "--from-repo", bench.at("nowhere")], { status: 10 });
    await one.ours(["copy"], { env: { RESTIC_FROM_PASSWORD: "wrong" }, status: 12 });
  });
});
