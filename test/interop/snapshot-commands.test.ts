// Commands about snapshots, compared with real restic: the same words to both. What only reads runs on one repository, and
// must print the same letter by letter; what changes something runs on copies of it, which must be the same afterwards.

import { execFile } from "node:child_process";
import {
  cp,
  link,
  mkdir,
  mkdtemp,
  readdir,
  rm,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import assert from "node:assert/strict";
import { peer } from "../peers.ts";
import { createQuickRepository } from "./quick-repository.ts";

const restic = peer("restic-newest");
const PROGRAM = join(import.meta.dirname, "..", "..", "bin", "holdfast");

interface Outcome {
  stdout: string;
  stderr: string;
  status: number;
}

let folder: string;
let copies = 0;
/** What words in capitals stand for: ids of this repository. */
const names = new Map<string, string>();

function run(program: string, words: readonly string[], repository = "repo") {
  return new Promise<Outcome>((resolve) => {
    const env = {
      PATH: process.env["PATH"],
      HOLDFAST_NODE: process.execPath,
      HOME: join(folder, "home"),
      TZ: "Europe/Berlin",
      RESTIC_REPOSITORY: join(folder, repository),
      RESTIC_PASSWORD: "right",
    };
    const options = { cwd: folder, env, maxBuffer: 2 ** 26 };
    execFile(program, words, options, (error, stdout, stderr) => {
      const status = typeof error?.code === "number" ? error.code : error ? -1 : 0;
      resolve({ stdout, stderr, status });
    });
  });
}

async function succeed(program: string, ...words: string[]): Promise<string> {
  const { stdout, stderr, status } = await run(program, words);
  assert.equal(status, 0, `${words.join(" ")}: ${stderr}`);
  return stdout;
}

/** Words between spaces, with "~" for an argument that is empty, and the names of ids. */
function wordsOf(line: string): string[] {
  return line
    .split(" ")
    .map((word) =>
      word === "~" ? "" : word.replace(/[A-Z]{4,}/g, (name) => names.get(name) ?? name),
    );
}

const OLD = "0a".repeat(32);

/** A folder of caches: an old one, one that is used, what a check left behind, and what is no cache. */
async function makeCaches(name: string): Promise<void> {
  const caches = [OLD, "0b".repeat(32), "restic-check-cache-123", "stranger"];
  for (const [i, cache] of caches.entries()) {
    const path = join(folder, name, cache);
    await mkdir(join(path, "index", "ab"), { recursive: true });
    await writeFile(join(path, "index", "ab", "file"), Buffer.alloc(1000 * (i + 1)));
    const used = Date.now() / 1000 - [45.5, 0.2, 10.5, 90][i]! * 86_400;
    await utimes(path, used, used);
  }
}

before(async () => {
  if (restic.skip !== false) return;
  folder = await mkdtemp(join(tmpdir(), "holdfast-snapshot-commands-"));
  await createQuickRepository(join(folder, "repo"), "right");
  const data = (...path: string[]): string => join(folder, "data", ...path);
  await mkdir(data("sub", "deep"), { recursive: true });
  await mkdir(data("empty"));
  await writeFile(data("a.txt"), "hello");
  await writeFile(data("Readme.TXT"), "read me");
  await writeFile(data("sub", "größe <&>.bin"), Buffer.alloc(3_000_000, 7));
  await writeFile(data("sub", "copy.bin"), Buffer.alloc(3_000_000, 7));
  await writeFile(data("sub", "deep", "nothing"), "");
  await writeFile(Buffer.from(`${folder}/data/sub/raw\xff\t`, "latin1"), "raw");
  await symlink("a.txt", data("link"));
  await symlink(Buffer.from("to\xfe", "latin1"), data("rawlink"));
  await link(data("a.txt"), data("sub", "hard"));
  await utimes(data("a.txt"), 1_000_000_000.25, 1_000_000_000.25);
  const backup = (program: string, time: string, ...more: string[]) =>
    succeed(program, "backup", "data", "--time", time, ...more);
  await backup(restic.path, "2026-01-01 12:00:00", "--host", "web1", "--tag", "nightly,full");
  await writeFile(data("sub", "deep", "new"), "new");
  await writeFile(data("a.txt"), "hello again");
  await backup(PROGRAM, "2026-01-02 12:00:00", "--host", "web1", "--tag", "nightly");
  await rm(data("link"));
  await mkdir(data("link"));
  await writeFile(data("link", "inside"), "inside");
  await rm(data("sub", "deep"), { recursive: true });
  await backup(restic.path, "2026-01-02 13:00:00", "--host", "web1");
  await succeed(
    restic.path,
    "backup",
    "data/sub",
    "data/a.txt",
    "--time",
    "2026-02-01 00:00:00",
    "--host",
    "web2",
  );
  await makeCaches("caches");
  const snapshots = JSON.parse(await succeed(restic.path, "snapshots", "--json")) as {
    id: string;
    tree: string;
  }[];
  for (const [i, name] of ["FIRST", "SECOND", "THIRD", "FOURTH"].entries()) {
    names.set(name, snapshots[i]!.id);
    names.set(`${name}TREE`, snapshots[i]!.tree);
  }
  const blob = /"content":\["([0-9a-f]{64})/.exec(
    await succeed(restic.path, "cat", "tree", `${names.get("FIRST")!}:/data`),
  );
  names.set("BLOB", blob![1]!);
  names.set("PACK", (await succeed(restic.path, "list", "packs")).split("\n")[0]!);
});
after(async () => {
  if (folder !== undefined) await rm(folder, { recursive: true });
});

const SAME_OUTPUT = [
  "cache --cache-dir caches",
  "cache --cache-dir caches --no-size --max-age 0",
  "cache --cache-dir nowhere",
  "cache --cache-dir nowhere --cleanup",
  "find a.txt",
  "find *.txt nothing",
  "find -i *.txt -R",
  "find -l --human-readable *.bin --host web2",
  "find -l /data/sub",
  "find /data/sub/deep -s FIRST",
  "find raw* -s FIRST -s latest",
  "find raw* -s FIRST --json",
  "find zzz",
  "find zzz --json",
  "find * --json --host web1",
  "find a.txt --newest 2010-01-01",
  "find -q a.txt --oldest 2010-01-01",
  "find *.txt --oldest 2001-09-09 --newest 09.09.2001",
  "find --blob BLOB",
  "find --blob BLOB --json",
  "find --blob BLOB --show-pack-id -s FIRST",
  "find --tree FIRSTTREE SECONDTREE -s FIRST -s SECOND",
  "find --tree FIRSTTREE --json",
  "find --pack PACK -s FIRST",
  "diff FIRST SECOND",
  "diff FIRST SECOND --metadata",
  "diff SECOND FIRST --json",
  "diff FIRST THIRD --json --metadata",
  "diff THIRD FIRST -q",
  "diff FIRST:/data/sub FOURTH:sub",
  "diff FIRST FIRST",
  "diff FIRST FOURTH",
  "stats SECOND",
  "stats --json",
  "stats FIRST --mode files-by-contents",
  "stats --mode files-by-contents --json",
  "stats SECOND --mode blobs-per-file",
  "stats FOURTH --mode blobs-per-file --json",
  "stats --mode raw-data",
  "stats --mode raw-data --json --host web1",
  "stats latest -q",
  "stats --host nobody --mode raw-data",
  "forget --keep-last 1 --dry-run",
  "forget --keep-daily 1 --keep-within-hourly 1h --dry-run --group-by host --json",
  "forget --keep-last 1 --keep-tag nightly --dry-run --group-by ~ -v",
  "forget --keep-last 1 --dry-run --compact --host web1",
  "forget --keep-last 1 --dry-run -q",
  "forget --dry-run FIRST latest",
  "forget --dry-run --unsafe-allow-remove-all --host web2 --json",
  "forget --keep-last 1 --host nobody --json",
];

/** Whole lines in any order: restic's is that of its maps and of the answers it gets. */
const CHANGING = [
  "forget --keep-daily 1 --group-by host",
  "forget FIRST -vv",
  "forget --keep-last 1 --json --host web1",
  "forget --unsafe-allow-remove-all --tag nightly",
  "forget --keep-last 9 --prune",
  "tag --add one,two --tag nightly -v",
  "tag --remove full --remove nothing",
  "tag --set a --set b FIRST latest --json",
  "tag --add x --host nobody",
  "rewrite --exclude *.bin",
  "rewrite --exclude *.bin --forget --tag nightly",
  "rewrite --exclude /data/sub/deep --iexclude readme* -vv --forget --host web1",
  "rewrite --include *.txt --host web1 --forget",
  "rewrite --include /data/sub/deep --include empty FIRST -vv",
  "rewrite --include zzz latest",
  "rewrite --exclude zzz --exclude data THIRD",
  "rewrite --exclude zzz",
  "rewrite --exclude *.txt --new-host other --dry-run --forget",
  "rewrite --new-host other FIRST",
  "rewrite --exclude * latest --forget",
  "rewrite --snapshot-summary",
];

/** Ids of new snapshots and times of progress are nobody's to foresee. */
function comparable(text: string): string[] {
  const known = new Set([...names.values()].flatMap((id) => [id, id.slice(0, 8)]));
  return timeless(text)
    .replace(/\b(?:[0-9a-f]{64}|[0-9a-f]{8})\b/g, (id) => (known.has(id) ? id : "<id>"))
    .split("\n")
    .toSorted();
}

/** Restic goes through the groups in the order of a Go map, another one in every run. */
function groupsInOrder(text: string): string {
  if (text.startsWith("[")) {
    const groups = JSON.parse(text) as unknown[];
    return JSON.stringify(
      groups.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)),
    );
  }
  const [before, ...tables] = text.split(/^(?=(?:keep|remove) \d+ snapshots:|Would have)/m);
  return [before, ...tables.toSorted()].join("");
}

/** Without times of progress; and zones by their offsets, where restic has the names of some. */
const timeless = (text: string): string =>
  text.replace(/^\[\d+:\d\d\]/gm, "[time]").replaceAll("+0100 CET", "+0100 +0100");

async function contentOf(repository: string): Promise<string[]> {
  const { stdout } = await run(restic.path, ["snapshots", "--json"], repository);
  return (JSON.parse(stdout) as Record<string, unknown>[])
    .map((snapshot) => JSON.stringify({ ...snapshot, id: "", short_id: "" }))
    .toSorted();
}

suite("commands about snapshots", { skip: restic.skip }, () => {
  for (const words of SAME_OUTPUT) {
    test(words, async () => {
      const theirs = await run(restic.path, wordsOf(words));
      const ours = await run(PROGRAM, wordsOf(words));
      const text = (outcome: Outcome): string =>
        timeless(words.startsWith("forget ") ? groupsInOrder(outcome.stdout) : outcome.stdout);
      assert.equal(text(ours), text(theirs));
      assert.equal(ours.status, theirs.status, ours.stderr);
    });
  }

  for (const words of CHANGING) {
    test(words, async () => {
      const [one, two] = [`copy${copies++}`, `copy${copies++}`];
      for (const copy of [one, two]) {
        await cp(join(folder, "repo"), join(folder, copy), { recursive: true });
      }
      const theirs = await run(restic.path, wordsOf(words), one);
      const ours = await run(PROGRAM, wordsOf(words), two);
      assert.deepEqual(comparable(ours.stdout), comparable(theirs.stdout));
      assert.equal(ours.status, theirs.status, ours.stderr);
      assert.deepEqual(await contentOf(two), await contentOf(one));
      const check = await run(restic.path, ["check"], two);
      assert.equal(check.status, 0, check.stderr);
    });
  }

  test("cache --cleanup", async () => {
    const left: string[][] = [];
    const outcomes: Outcome[] = [];
    for (const [i, program] of [restic.path, PROGRAM].entries()) {
      await makeCaches(`cleaned${i}`);
      outcomes.push(await run(program, ["cache", "--cleanup", "--cache-dir", `cleaned${i}`]));
      left.push((await readdir(join(folder, `cleaned${i}`))).toSorted());
    }
    assert.equal(outcomes[1]!.stdout, outcomes[0]!.stdout);
    assert.deepEqual(left[1], left[0]);
    assert.ok(!left[1]!.includes(OLD) && left[1]!.includes("stranger"));
  });
});
