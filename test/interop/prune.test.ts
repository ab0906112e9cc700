// Our prune beside restic's, on repositories that real restic made: the same plan, number by number and pack by pack, and
// afterwards a repository that restic finds nothing to complain about and nothing to prune in.

import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { Output } from "../../src/cli/output.ts";
import { pruneCriteria } from "../../src/cli/prune-options.ts";
import type { PruneFlags } from "../../src/cli/prune-options.ts";
import { PruneReporter } from "../../src/cli/prune-report.ts";
import type { Context } from "../../src/cli/command.ts";
import { pruneRepository } from "../../src/repository/prune.ts";
import type { PruneOptions, PruneResult } from "../../src/repository/prune.ts";
import { PACK_SIZE_DEFAULT } from "../../src/repository/writer.ts";
import { peer } from "../peers.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { resticFolder } from "./restic-folder.ts";
import type { ResticFolder } from "./restic-folder.ts";

/** Everything that changes what is chosen: as options of restic, and as our flags. */
const CHOICES: readonly [words: readonly string[], flags: Partial<PruneFlags>][] = [
  [[], {}],
  [["--max-unused", "0"], { maxUnused: "0" }],
  [["--max-unused", "20%"], { maxUnused: "20%" }],
  [["--max-unused", "200K"], { maxUnused: "200K" }],
  [["--max-unused", "unlimited"], { maxUnused: "unlimited" }],
  [["--max-repack-size", "0", "--max-unused", "0"], { maxRepackSize: "0", maxUnused: "0" }],
  [["--repack-cacheable-only"], { repackCacheableOnly: true }],
  [["--repack-smaller-than", "1M"], { repackSmallerThan: "1M" }],
];

function criteriaOf(flags: Partial<PruneFlags>): PruneOptions["criteria"] {
  const settings = { compression: "auto", packSize: undefined };
  return pruneCriteria({ maxUnused: "5%", ...flags }, { settings } as Context);
}

/** Our prune of the folder's repository, and what it says with -v. */
async function ours(
  folder: ResticFolder,
  flags: Partial<PruneFlags>,
  dryRun: boolean,
): Promise<{ result: PruneResult; lines: string[] }> {
  let text = "";
  const stdout = { write: (data: string | Uint8Array) => (text += String(data)) };
  const output = new Output({ stdout, stderr: stdout, verbosity: 2 });
  const reporting = { output, clock: systemClock, framesPerSecond: 0, dryRun };
  const reporter = new PruneReporter(reporting);
  const result = await pruneRepository(await folder.open(), {
    criteria: criteriaOf(flags),
    packSize: PACK_SIZE_DEFAULT,
    dryRun,
    workers: 1,
    lock: {},
    events: reporter.events,
  });
  reporter.finish();
  output.flush();
  return { result, lines: linesOf(text) };
}

/** What both say alike: without times, blank lines, and the order of packs in a list. */
function linesOf(text: string): string[] {
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("Repeated prune dry-runs"))
    .map((line) => line.replace(/^\[\d+:\d+\]/, "[]"))
    .map((line) =>
      line.startsWith("{") ? line.slice(1, -1).split(" ").toSorted().join(" ") : line,
    );
}

/** Makes a history: backups of changing files, of which some are forgotten. Every file has a size of its own. */
function makeHistory(folder: ResticFolder, seed: number): void {
  const random = seededBytes(seed, 4096);
  let at = 0;
  const draw = (below: number): number => (random[at++ % random.length]! * 251 + at) % below;
  const snapshots = 5 + draw(5);
  for (let round = 0; round < snapshots; round++) {
    for (let i = 0; i < 3 + draw(6); i++) {
      const directory = join(folder.source, `d${draw(4)}`);
      mkdirSync(directory, { recursive: true });
      const length = 1000 + draw(250) * 400 + i * 7 + round;
      writeFileSync(join(directory, `f${draw(30)}`), seededBytes(seed * 1000 + at, length));
    }
    const gone = readdirSync(folder.source);
    if (draw(4) === 0) rmSync(join(folder.source, gone[0]!), { recursive: true });
    folder.restic("backup", "source", "--quiet", "--tag", draw(2) === 0 ? "stays" : "goes");
  }
  folder.restic("forget", "--quiet", "--tag", "goes", "--keep-last", "1");
}

function assertNothingLeft(folder: ResticFolder): void {
  const check = folder.restic("check", "--read-data");
  assert.match(check, /no errors were found/);
  assert.doesNotMatch(check, /not referenced|in several indexes/);
}

suite("prune", { skip: peer("restic-newest").skip }, () => {
  for (const seed of [1, 4]) {
    test(`plans what restic plans, history ${seed}`, async () => {
      using folder = await resticFolder("restic-newest");
      makeHistory(folder, seed);
      for (const [words, flags] of CHOICES) {
        const theirs = folder.restic("prune", "--dry-run", "--verbose", ...words);
        const { lines } = await ours(folder, flags, true);
        assert.deepEqual(lines, linesOf(theirs), words.join(" "));
      }
      // Which of several equal packs fit under this limit is chance, in restic too.
      const limited = await ours(folder, { maxRepackSize: "300K", maxUnused: "0" }, true);
      const { repack } = limited.result.statistics.bytes;
      assert.ok(repack > 0 && repack < 300 << 10);
      const snapshots = folder.restic("snapshots", "--json");
      const { result } = await ours(folder, { maxUnused: "0" }, false);
      assert.ok(result.packsRemoved > 0);
      assertNothingLeft(folder);
      assert.equal(folder.restic("snapshots", "--json"), snapshots);
      const again = await ours(folder, { maxUnused: "0" }, true);
      assert.equal(again.result.statistics.bytes.remainingUnused, 0);
      assert.equal(again.result.statistics.packs.removeTotal, 0);
    });
  }

  suite("on copies of one repository", () => {
    let folder: ResticFolder;
    let template: string;

    before(async () => {
      folder = await resticFolder("restic-newest");
      template = join(folder.path, "template");
      makeHistory(folder, 7);
      cpSync(folder.repository, template, { recursive: true });
    });
    after(() => folder[Symbol.dispose]());

    function renew(): void {
      rmSync(folder.repository, { recursive: true });
      cpSync(template, folder.repository, { recursive: true });
    }

    function files(kind: string): string[] {
      const root = join(folder.repository, kind);
      const names = readdirSync(root, { recursive: true, encoding: "utf8" });
      return names.filter((name) => /[0-9a-f]{64}$/.test(name)).map((name) => join(root, name));
    }

    test("leaves restic nothing to prune, and restic's leaves us nothing", async () => {
      renew();
      await ours(folder, { maxUnused: "0" }, false);
      const theirs = folder.restic("prune", "--max-unused", "0", "--verbose");
      assert.match(theirs, /^to repack: +0 blobs/m);
      assert.match(theirs, /^total prune: +0 blobs/m);
      renew();
      folder.restic("prune", "--max-unused", "0");
      const { result } = await ours(folder, { maxUnused: "0" }, false);
      const { packsWritten, packsRemoved } = result;
      assert.deepEqual({ packsWritten, packsRemoved }, { packsWritten: 0, packsRemoved: 0 });
    });

    test("copies of blobs: counted as restic counts them, and one of each is kept", async () => {
      renew();
      const hidden = join(folder.path, "hidden");
      mkdirSync(hidden);
      for (const [i, path] of files("index").entries()) renameSync(path, join(hidden, String(i)));
      folder.restic("backup", "source", "--quiet", "--force");
      const names = readdirSync(join(template, "index")).toSorted();
      for (const name of names) {
        cpSync(join(template, "index", name), join(folder.repository, "index", name));
      }
      rmSync(hidden, { recursive: true });
      const counts = (lines: readonly string[]): string[] =>
        lines.filter((line) => /^(used|duplicates|unused|total):/.test(line));
      const theirs = linesOf(folder.restic("prune", "--dry-run", "--verbose"));
      const { lines, result } = await ours(folder, { maxUnused: "0" }, false);
      assert.ok(result.statistics.blobs.duplicate > 0);
      assert.deepEqual(counts(lines), counts(theirs));
      assertNothingLeft(folder);
      const again = await ours(folder, { maxUnused: "0" }, true);
      assert.equal(again.result.statistics.blobs.duplicate, 0);
    });

    test("packs in no index go", async () => {
      renew();
      folder.restic("forget", "--quiet", "--group-by", "", "--keep-last", "1");
      const theirs = linesOf(folder.restic("prune", "--dry-run", "--verbose"));
      const stranger = join(folder.repository, "data", "ab");
      mkdirSync(stranger, { recursive: true });
      writeFileSync(join(stranger, "ab".padEnd(64, "0")), seededBytes(9, 5000));
      const { result, lines } = await ours(folder, {}, true);
      assert.equal(result.statistics.packs.unreferenced, 1);
      assert.equal(result.statistics.bytes.unreferenced, 5000);
      assert.notDeepEqual(lines, theirs);
      assert.deepEqual(lines, linesOf(folder.restic("prune", "--dry-run", "--verbose")));
      await ours(folder, {}, false);
      assertNothingLeft(folder);
    });

    test("what restic refuses to prune, we refuse, and change nothing", async () => {
      for (const harm of ["missing", "larger", "index"] as const) {
        renew();
        const victims = harm === "index" ? files("index") : files("data");
        for (const path of victims) {
          if (harm === "larger") {
            rmSync(path);
            writeFileSync(path, seededBytes(1, 100));
          } else rmSync(path);
          break;
        }
        // A pack that nobody needs may be missing; take them all away to hit one that somebody does.
        if (harm !== "index") for (const path of victims.slice(1)) rmSync(path);
        const before = [...files("index"), ...files("data")];
        assert.notEqual(folder.tryRestic("prune").status, 0, harm);
        await assert.rejects(ours(folder, {}, false), { code: "PRUNE_REFUSED" }, harm);
        assert.deepEqual([...files("index"), ...files("data")], before);
      }
    });

    test("a pack that is gone and that nobody needs is forgotten", async () => {
      renew();
      const plan = linesOf(folder.restic("prune", "--dry-run", "--verbose"));
      const removed =
        plan[plan.indexOf("Would have removed the following no longer used packs:") + 1]!;
      const [gone = ""] = removed.split(" ");
      assert.match(gone, /^[0-9a-f]{8}$/);
      rmSync(files("data").find((path) => path.includes(`/${gone}`))!);
      const { lines } = await ours(folder, {}, false);
      assert.ok(lines.some((line) => line.startsWith(`will forget missing pack file ${gone}`)));
      assertNothingLeft(folder);
    });
  });

  for (const version of [1, 2] as const) {
    test(`the oldest restic reads what is left, format ${version}`, async (t) => {
      const oldest = peer("restic-oldest");
      if (oldest.skip !== false) return t.skip(oldest.skip);
      using folder = await resticFolder("restic-oldest", { version });
      makeHistory(folder, 10 + version);
      const { result } = await ours(folder, { maxUnused: "0" }, false);
      assert.ok(result.packsWritten > 0);
      assertNothingLeft(folder);
    });
  }

  test("what is not compressed is compressed on request, once", async () => {
    using folder = await resticFolder("restic-newest");
    writeFileSync(join(folder.source, "text"), "compressible ".repeat(20_000));
    writeFileSync(join(folder.source, "noise"), seededBytes(1, 50_000));
    folder.restic("backup", "source", "--compression", "off", "--quiet");
    const words = ["prune", "--dry-run", "--verbose", "--repack-uncompressed"];
    const { lines } = await ours(folder, { repackUncompressed: true }, true);
    assert.deepEqual(lines, linesOf(folder.restic(...words)));
    await ours(folder, { repackUncompressed: true }, false);
    assertNothingLeft(folder);
    assert.match(folder.restic(...words), /^to repack: +0 blobs/m);
    const again = await ours(folder, { repackUncompressed: true }, true);
    assert.equal(again.result.statistics.packs.repack, 0);
    assert.equal(again.result.statistics.bytes.uncompressed, 0);
  });
});
