// Repositories damaged in every way that restic's own fixtures know, and some more: our check calls each by its name and agrees
// with restic's about whether it is one; and what our repairs leave is what restic's leave, down to the ids of trees.

import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { after, before, suite, test } from "node:test";
import { join } from "node:path";
import type { Id } from "../../src/base/bytes.ts";
import type { CheckReport } from "../../src/repository/check.ts";
import type { FindingCode } from "../../src/repository/check-findings.ts";
import { loadIndex } from "../../src/repository/index-loader.ts";
import type { BlobPlace, BlobType } from "../../src/repository/blob-index.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { listSnapshots } from "../../src/repository/snapshots.ts";
import * as damage from "../fixtures/damage.ts";
import { backUpPaths, checkAll, openAt } from "../faults/engine.ts";
import { openWorkbench } from "../faults/workbench.ts";
import { skipWithout } from "../peers.ts";
import { seededBytes } from "../seeded-bytes.ts";

const bench = await openWorkbench({ after });

interface Damage {
  /** Does the damage; the packs that a person would name to `repair packs`. */
  harm: (repository: Repository, location: string) => Promise<Id[]> | Promise<void> | void;
  /** What our check calls it, at least. */
  findings: readonly FindingCode[];
  /** Commands that repair it; PACKS stands for the packs. */
  repair: readonly (readonly string[])[];
  /** Nothing is lost. */
  isWhole: boolean;
}

const INDEX = ["repair", "index"];
const PACKS = ["repair", "packs", "PACKS"];
const SNAPSHOTS = ["repair", "snapshots", "--forget"];

/** A blob of the newest snapshot and of no older one. */
async function newest(repository: Repository, type: BlobType): Promise<BlobPlace & { id: Id }> {
  const { index } = await loadIndex(repository);
  const { snapshot } = (await listSnapshots(repository)).at(-1)!;
  const [root] = index.places("tree", snapshot.tree);
  if (type === "tree") return { ...root!, id: snapshot.tree };
  for (let entry = 0; entry < index.count; entry++) {
    const place = index.place(entry);
    // The second backup's only content is one file of this size.
    if (!index.isTree(entry) && index.plainLength(entry) === 9001) {
      return { ...place, id: index.idAt(entry) };
    }
  }
  throw new Error("no such blob");
}

/** The packs of the largest number of blobs of a kind. */
async function packsOf(repository: Repository, type: BlobType): Promise<BlobPlace[]> {
  const { index } = await loadIndex(repository);
  const places = Array.from({ length: index.count }, (_, entry) => index.place(entry));
  return places.filter((place) => place.type === type);
}

const DAMAGES: Record<string, Damage> = {
  "missing pack of content": {
    harm: async (repository) => {
      const { pack } = await newest(repository, "data");
      damage.missingPack(repository, pack);
    },
    findings: ["PACK_MISSING"],
    repair: [INDEX, SNAPSHOTS],
    isWhole: false,
  },
  "missing pack of directories": {
    harm: async (repository) => {
      const { pack } = await newest(repository, "tree");
      damage.missingPack(repository, pack);
    },
    findings: ["PACK_MISSING"],
    repair: [INDEX, SNAPSHOTS],
    isWhole: false,
  },
  "missing blob": {
    harm: async (repository) => {
      const { id } = await newest(repository, "data");
      await damage.missingBlob(repository, id);
    },
    findings: ["BLOB_MISSING"],
    repair: [INDEX],
    isWhole: true,
  },
  "missing index file": {
    harm: (repository) => damage.missingIndexFile(repository),
    findings: ["PACK_UNINDEXED"],
    repair: [INDEX],
    isWhole: true,
  },
  "missing index": {
    harm: (_, location) => damage.missingIndex(location),
    findings: ["TREE_MISSING", "PACK_UNINDEXED"],
    repair: [INDEX],
    isWhole: true,
  },
  "truncated index": {
    harm: (_, location) => damage.truncatedIndex(location),
    findings: ["INDEX_DAMAGED"],
    repair: [INDEX],
    isWhole: true,
  },
  "flipped bit in an index": {
    harm: (_, location) => damage.flippedIndexByte(location),
    findings: ["INDEX_DAMAGED"],
    repair: [INDEX],
    isWhole: true,
  },
  "modified index": {
    harm: (repository) => damage.modifiedIndex(repository),
    findings: ["PACK_DAMAGED"],
    repair: [["repair", "index", "--read-all-packs"]],
    isWhole: true,
  },
  "unreferenced pack": {
    harm: async (repository) => {
      await damage.unreferencedPack(repository);
    },
    findings: ["PACK_UNINDEXED"],
    repair: [["prune"]],
    isWhole: true,
  },
  "duplicate packs": {
    harm: (repository) => damage.duplicatePacks(repository),
    findings: ["PACK_DUPLICATE"],
    repair: [INDEX],
    isWhole: true,
  },
  "swapped packs": {
    harm: async (repository) => {
      const [tree] = await packsOf(repository, "tree");
      const [data] = await packsOf(repository, "data");
      damage.swappedPacks(repository, tree!.pack, data!.pack);
      return [tree!.pack, data!.pack];
    },
    findings: ["PACK_SIZE"],
    repair: [INDEX, PACKS],
    isWhole: true,
  },
  "truncated header": {
    harm: async (repository) => {
      const { pack } = await newest(repository, "data");
      damage.truncatedPackHeader(repository, pack);
      return [pack];
    },
    findings: ["PACK_SIZE"],
    repair: [PACKS],
    isWhole: true,
  },
  "flipped bit in content": {
    harm: async (repository) => {
      const place = await newest(repository, "data");
      damage.flippedBlobByte(repository, place);
      return [place.pack];
    },
    findings: ["PACK_DAMAGED"],
    repair: [PACKS, SNAPSHOTS],
    isWhole: false,
  },
  "flipped bit in a directory": {
    harm: async (repository) => {
      const place = await newest(repository, "tree");
      damage.flippedBlobByte(repository, place);
      return [place.pack];
    },
    findings: ["BLOB_DAMAGED"],
    repair: [PACKS, SNAPSHOTS],
    isWhole: false,
  },
  "truncated pack": {
    harm: async (repository) => {
      const places = await packsOf(repository, "data");
      const last = places.toSorted((a, b) => b.offset - a.offset)[0]!;
      damage.truncatedPack(repository, last);
      return [last.pack];
    },
    findings: ["PACK_SIZE"],
    repair: [PACKS, SNAPSHOTS],
    isWhole: false,
  },
  "empty pack": {
    harm: async (repository) => {
      const { pack } = await newest(repository, "data");
      damage.emptyPack(repository, pack);
    },
    findings: ["PACK_SIZE"],
    repair: [INDEX, SNAPSHOTS],
    isWhole: false,
  },
};

/** What is alike in the output of both: without ids, times, and the order of snapshots. */
function alike(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.replace(/^\[\d+:\d+\]/, "[]").replace(/[0-9a-f]{8,64}/g, "ID"))
    .filter((line) => line !== "" && !/^saved \d+ blobs|indexes processed$|old indexes/.test(line))
    .toSorted();
}

void suite("damage", { skip: skipWithout("restic-newest") }, () => {
  const [ours, theirs] = [bench.at("ours"), bench.at("theirs")];
  let trees: Id[];

  before(async () => {
    for (let i = 0; i < 8; i++) {
      const folder = bench.at("source", `d${i % 2}`);
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, `f${i}`), seededBytes(i, 5000 + i));
    }
    const repository = await openAt(bench.repository);
    await backUpPaths(repository, [bench.at("source")]);
    writeFileSync(bench.at("source", "d1", "later"), seededBytes(99, 9001));
    await backUpPaths(repository, [bench.at("source")]);
    trees = await treesOf(bench.repository);
  });

  async function treesOf(location: string): Promise<Id[]> {
    const repository = await openAt(location);
    const found = await listSnapshots(repository, { onDamage: () => {} });
    return found.map(({ snapshot }) => snapshot.tree).toSorted();
  }

  /** The same damaged repository twice. */
  async function harm(how: Damage["harm"]): Promise<Id[]> {
    for (const place of [ours, theirs]) rmSync(place, { recursive: true, force: true });
    cpSync(bench.repository, ours, { recursive: true });
    const packs = (await how(await openAt(ours), ours)) ?? [];
    cpSync(ours, theirs, { recursive: true });
    return packs;
  }

  const check = async (location: string): Promise<CheckReport> => checkAll(await openAt(location));

  for (const [name, { harm: how, findings, repair, isWhole }] of Object.entries(DAMAGES)) {
    void test(name, async () => {
      const packs = await harm(how);
      const report = await check(ours);
      const codes = new Set(report.findings.map(({ code }) => code));
      for (const code of findings) {
        assert.ok(codes.has(code), `${code} is not in ${[...codes].join()}`);
      }
      const options = { repository: theirs, cwd: bench.folder };
      const seen = await bench.restic("newest", ["check", "--read-data"], {
        ...options,
        status: null,
      });
      assert.equal(report.numErrors > 0, seen.status !== 0, seen.stdout + seen.stderr);

      for (const command of repair) {
        const words = command.flatMap((word) => (word === "PACKS" ? packs : [word]));
        // restic would save directories from its cache.
        const his = await bench.restic("newest", [...words, "--no-cache"], options);
        for (const copy of readdirSync(bench.folder)) {
          if (copy.startsWith("pack-")) rmSync(bench.at(copy));
        }
        const mine = await bench.holdfast(words, { ...options, repository: ours, status: 0 });
        for (const copy of readdirSync(bench.folder)) {
          if (copy.startsWith("pack-")) rmSync(bench.at(copy));
        }
        if (command !== repair[0] || command[0] === "prune") continue;
        assert.deepEqual(alike(mine.stdout), alike(his.stdout), words.join(" "));
      }
      assert.equal((await check(ours)).numErrors, 0);
      const still = await bench.restic("newest", ["check", "--read-data"], { repository: ours });
      assert.match(still.stdout, /no errors were found/);
      assert.deepEqual(await treesOf(ours), await treesOf(theirs));
      assert.equal(JSON.stringify(await treesOf(ours)) === JSON.stringify(trees), isWhole);
    });
  }

  void test("mixed packs of format 1 are a hint, and prune divides them", async (t) => {
    const old = await openWorkbench({ after: (work) => t.after(work) }, 1);
    const repository = await openAt(old.repository);
    await backUpPaths(repository, [bench.at("source")]);
    await damage.mixedPacks(repository);
    const report = await check(old.repository);
    assert.equal(report.numErrors, 0, JSON.stringify(report.findings));
    assert.deepEqual(
      report.findings.map(({ code }) => code),
      ["PACK_MIXED"],
    );
    await old.restic("newest", ["check", "--read-data"]);
    await old.holdfast(["prune"], { status: 0 });
    assert.deepEqual((await check(old.repository)).findings, []);
    await old.restic("newest", ["check", "--read-data"]);
  });

  void test("a dry run of repairing snapshots says the same and changes nothing", async () => {
    await harm(DAMAGES["missing pack of content"]!.harm);
    await bench.restic("newest", INDEX, { repository: theirs });
    await bench.holdfast(INDEX, { repository: ours, status: 0 });
    for (const words of [
      ["repair", "snapshots", "--dry-run"],
      ["repair", "snapshots", "--dry-run", "--forget"],
    ]) {
      const his = await bench.restic("newest", words, { repository: theirs });
      const mine = await bench.holdfast(words, { repository: ours, status: 0 });
      assert.deepEqual(alike(mine.stdout), alike(his.stdout));
    }
    assert.deepEqual(await treesOf(ours), trees);
    // Without --forget both are there, the new one marked.
    await bench.restic("newest", ["repair", "snapshots"], { repository: theirs });
    await bench.holdfast(["repair", "snapshots"], { repository: ours, status: 0 });
    assert.deepEqual(await treesOf(ours), await treesOf(theirs));
    const found = await listSnapshots(await openAt(ours));
    assert.deepEqual(
      found.flatMap(({ snapshot }) => snapshot.tags),
      ["repaired"],
    );
  });

  void test("a snapshot that cannot be read is named, and goes when it is asked for", async () => {
    await harm((_, location) => damage.flippedSnapshotByte(location));
    const options = { repository: ours };
    const names = readdirSync(join(ours, "snapshots"));
    const told = await bench.holdfast(["repair", "snapshots"], { ...options, status: 1 });
    assert.match(told.stderr, new RegExp(names[0]!));
    const words = ["repair", "snapshots", "--forget", names[0]!];
    const dry = await bench.holdfast([...words, "--dry-run"], { ...options, status: 0 });
    assert.match(dry.stdout, /would remove unreadable snapshot/);
    await bench.holdfast(words, { ...options, status: 0 });
    assert.deepEqual(readdirSync(join(ours, "snapshots")), names.slice(1));
  });

  void test("recover finds what a forgotten snapshot held, as restic's does", async () => {
    await harm(async (repository) => {
      const last = (await listSnapshots(repository)).at(-1)!;
      await repository.remove("snapshot", last.id);
    });
    const his = await bench.restic("newest", ["recover"], { repository: theirs });
    const mine = await bench.holdfast(["recover"], { repository: ours, status: 0 });
    assert.deepEqual(alike(mine.stdout), alike(his.stdout));
    for (const location of [ours, theirs]) {
      const listed = await bench.restic("newest", ["ls", "latest"], { repository: location });
      assert.match(listed.stdout, /\/d1\/later$/m);
    }
    const paths = async (location: string): Promise<string[]> => {
      const { stdout } = await bench.restic("newest", ["ls", "latest"], { repository: location });
      return stdout.split("\n").filter((line) => line.startsWith("/"));
    };
    assert.deepEqual(await paths(ours), await paths(theirs));
    const [recovered] = (await listSnapshots(await openAt(ours))).slice(-1);
    assert.deepEqual(
      [recovered!.snapshot.paths, recovered!.snapshot.tags],
      [["/recover"], ["recovered"]],
    );
    assert.equal((await check(ours)).numErrors, 0);
    const again = await bench.holdfast(["recover"], { repository: ours, status: 0 });
    assert.match(again.stdout, /found 0 unreferenced roots\nno snapshot to write/);
  });

  void test("recover leaves out what cannot be read", async () => {
    await harm(async (repository) => {
      const last = (await listSnapshots(repository)).at(-1)!;
      damage.flippedBlobByte(repository, await newest(repository, "tree"));
      await repository.remove("snapshot", last.id);
    });
    const mine = await bench.holdfast(["recover"], { repository: ours, status: 0 });
    assert.match(mine.stderr, /unable to load tree/);
    const report = await checkAll(await openAt(ours));
    assert.deepEqual(
      report.findings.filter(({ severity }) => severity === "error").map(({ code }) => code),
      ["PACK_DAMAGED"],
    );
  });

  void test("repair packs keeps a copy of what it removes, and never over another", async () => {
    const packs = await harm(DAMAGES["truncated header"]!.harm);
    const options = { repository: ours, cwd: bench.folder };
    const copy = bench.at(`pack-${packs[0]}`);
    writeFileSync(copy, "an earlier copy");
    const refused = await bench.holdfast(["repair", "packs", ...packs], { ...options, status: 1 });
    assert.match(refused.stderr, /no copy of the pack can be kept/);
    assert.ok((await check(ours)).numErrors > 0, "nothing was changed");
    rmSync(copy);
    await bench.holdfast(["repair", "packs", ...packs], { ...options, status: 0 });
    rmSync(copy);
    const words = ["repair", "packs", "0123"];
    const wrong = await bench.holdfast(words, { ...options, status: 1 });
    assert.match(wrong.stderr, /not the whole id of a pack/);
  });
});
