// Our check beside restic's, on repositories that real restic made and that were damaged in every way: both find an
// error or neither does, and both call the same packs broken.

import assert from "node:assert/strict";
import { cpSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { checkRepository } from "../../src/repository/check.ts";
import type { CheckReport } from "../../src/repository/check.ts";
import { peer } from "../peers.ts";
import { fillSource, resticFolder } from "./restic-folder.ts";
import type { ResticFolder } from "./restic-folder.ts";

interface ResticSummary {
  num_errors: number;
  broken_packs: string[] | null;
  suggest_repair_index: boolean;
  suggest_prune: boolean;
}

/** Files of a kind, as paths, in a fixed order. */
function files(root: string, kind: string): string[] {
  return readdirSync(join(root, kind), { recursive: true, encoding: "utf8" })
    .filter((name) => /[0-9a-f]{64}$/.test(name))
    .sort()
    .map((name) => join(root, kind, name));
}

function rewrite(path: string, change: (bytes: Buffer) => Uint8Array): void {
  const bytes = change(readFileSync(path));
  rmSync(path);
  writeFileSync(path, bytes);
}

const flip =
  (at: number) =>
  (bytes: Buffer): Buffer => {
    bytes[at < 0 ? bytes.length + at : at]! ^= 0x20;
    return bytes;
  };

/** What is done to the repository in `root`. Every pack is harmed, so that it does not matter which holds what. */
const HARMS: Record<string, (root: string) => void> = {
  nothing: () => {},
  "a pack's first byte changed": (root) => rewrite(files(root, "data")[0]!, flip(0)),
  "a byte inside every pack changed": (root) => {
    for (const path of files(root, "data")) rewrite(path, flip(100));
  },
  "every header changed": (root) => {
    for (const path of files(root, "data")) rewrite(path, flip(-20));
  },
  "every header's length changed": (root) => {
    for (const path of files(root, "data")) rewrite(path, flip(-4));
  },
  "a pack cut short": (root) => rewrite(files(root, "data")[0]!, (bytes) => bytes.subarray(0, -5)),
  "a pack longer": (root) => {
    rewrite(files(root, "data")[0]!, (bytes) => Buffer.concat([bytes, Buffer.alloc(7)]));
  },
  "a pack gone": (root) => rmSync(files(root, "data")[1]!),
  "all packs gone": (root) => {
    for (const path of files(root, "data")) rmSync(path);
  },
  "an index gone": (root) => rmSync(files(root, "index")[0]!),
  "a snapshot gone": (root) => rmSync(files(root, "snapshots")[0]!),
  "a snapshot changed": (root) => rewrite(files(root, "snapshots")[0]!, flip(30)),
  "an index changed": (root) => rewrite(files(root, "index")[1]!, flip(50)),
};

suite("check", { skip: peer("restic-newest").skip }, () => {
  let folder: ResticFolder;
  let template: string;

  before(async () => {
    folder = await resticFolder("restic-newest");
    template = join(folder.path, "template");
    fillSource(folder);
    folder.restic("backup", "source");
    writeFileSync(join(folder.source, "later"), "later");
    folder.restic("backup", "source");
    cpSync(folder.repository, template, { recursive: true });
  });
  after(() => folder[Symbol.dispose]());

  /** Both checks of the repository as it is now. */
  async function both(mode: "none" | "all"): Promise<{ ours: CheckReport; theirs: ResticSummary }> {
    const words = ["check", "--json", "--no-cache", ...(mode === "all" ? ["--read-data"] : [])];
    const { stdout, status } = folder.tryRestic(...words);
    const line = stdout.split("\n").find((text) => text.includes('"message_type":"summary"'));
    const theirs = JSON.parse(line!) as ResticSummary;
    // A damaged snapshot is no error in this count, but it is in the exit status.
    if (status !== 0) theirs.num_errors ||= 1;
    const ours = await checkRepository(await folder.open(), { readData: { mode }, workers: 1 });
    return { ours, theirs };
  }

  for (const [what, harm] of Object.entries(HARMS)) {
    test(`agrees with restic's: ${what}`, async () => {
      rmSync(folder.repository, { recursive: true });
      cpSync(template, folder.repository, { recursive: true });
      harm(folder.repository);
      for (const mode of ["none", "all"] as const) {
        const { ours, theirs } = await both(mode);
        const found = JSON.stringify([mode, theirs, ours.findings], null, 1);
        assert.equal(ours.numErrors > 0, theirs.num_errors > 0, found);
        assert.equal(ours.suggestRepairIndex, theirs.suggest_repair_index, found);
        // restic stops at a damaged index; we go on with the others, and see what they leave unexplained.
        if (what === "an index changed") continue;
        assert.equal(ours.suggestPrune, theirs.suggest_prune, found);
        // Versions of restic differ in whether a pack that is gone is one to repair; it is.
        const gone = ours.findings.flatMap(({ code, packs }) =>
          code === "PACK_MISSING" ? packs : [],
        );
        const broken = new Set(ours.brokenPacks);
        for (const pack of theirs.broken_packs ?? []) assert.ok(broken.has(pack), found);
        // Trees are read without reading all data too: then we know of packs that restic does not name yet.
        if (mode === "none") continue;
        const named = new Set([...(theirs.broken_packs ?? []), ...gone]);
        assert.deepEqual([...broken].sort(), [...named].sort(), found);
      }
    });
  }

  test("needs no exclusive lock: it runs beside a restic that works", async () => {
    rmSync(folder.repository, { recursive: true });
    cpSync(template, folder.repository, { recursive: true });
    const repository = await folder.open();
    const lock = {
      time: new Date().toISOString(),
      exclusive: false,
      hostname: "h",
      username: "u",
      pid: 1,
    };
    await repository.save("lock", Buffer.from(JSON.stringify(lock)));
    assert.notEqual(folder.tryRestic("check").status, 0, "restic refuses");
    const report = await checkRepository(repository, { readData: { mode: "all" }, workers: 2 });
    assert.equal(report.numErrors, 0);
    assert.equal(report.covered.snapshots, 2);
  });
});
