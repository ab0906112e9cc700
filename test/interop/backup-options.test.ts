// Options of `backup` choose the same files and record the same things as restic's: for each line below, the snapshots that
// restic and the program make from the same source have the same tree, paths, host, tags, excludes and time.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import assert from "node:assert/strict";
import { peer } from "../peers.ts";
import { createQuickRepository } from "./quick-repository.ts";

const restic = peer("restic-newest");
const PROGRAM = join(import.meta.dirname, "..", "..", "bin", "holdfast");

let folder: string;
let environment: NodeJS.ProcessEnv;

const FILES: Readonly<Record<string, string>> = {
  "data/a.txt": "a",
  "data/B.TXT": "b",
  "data/keep/notes": "notes",
  "data/keep/large": "x".repeat(5000),
  "data/private/.nobackup": "",
  "data/private/secret": "secret",
  "data/cache/CACHEDIR.TAG": "Signature: 8a477f597d28d172789f06886806bc55\n",
  "data/cache/entry": "entry",
  "data/marked/marker": "do not keep this",
  "data/marked/file": "file",
  "data/[odd] name": "odd",
  patterns: "# comment\n*.txt\n\n  cache  \n!cache/entry\n",
  lists: "data/keep\ndata/p*\n# data/a.txt\n",
  verbatim: "data/[odd] name\n# nothing\ndata/a.txt\n".replace("# nothing\n", ""),
  raw: "data/a.txt\0data/keep/notes\0",
  dump: "a dump",
};

before(async () => {
  if (restic.skip !== false) return;
  folder = await mkdtemp(join(tmpdir(), "holdfast-backup-options-"));
  environment = {
    PATH: process.env["PATH"],
    HOLDFAST_NODE: process.execPath,
    HOME: join(folder, "home"),
    TZ: "UTC",
    RESTIC_REPOSITORY: join(folder, "repo"),
    RESTIC_PASSWORD: "right",
  };
  await createQuickRepository(join(folder, "repo"), "right");
  for (const [name, content] of Object.entries(FILES)) {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  symlinkSync("keep", join(folder, "data", "link"));
  // A time of access that is not that of the last change; the mount option relatime keeps it.
  utimesSync(join(folder, "data", "a.txt"), new Date("2026-02-02"), new Date("2026-01-01"));
});
after(async () => {
  if (folder !== undefined) await rm(folder, { recursive: true });
});

interface Recorded {
  time: string;
  tree: string;
  paths: string[];
  hostname: string;
  tags?: string[];
  excludes?: string[];
}

/** What a snapshot records. */
function readSnapshot(id: string): Recorded {
  const args = ["cat", "snapshot", id];
  const json = execFileSync(restic.path, args, { env: environment, encoding: "utf8" });
  return JSON.parse(json) as Recorded;
}

/** Makes a snapshot with these words and tells what it records. */
function backUp(program: string, words: readonly string[], input: string | undefined): Recorded {
  const host = program === PROGRAM ? "ours" : "theirs";
  const args = ["backup", "--json", "--quiet", "--host", host, ...words];
  const { status, stdout, stderr } = spawnSync(program, args, {
    cwd: folder,
    env: environment,
    input,
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  const { snapshot_id: id } = JSON.parse(stdout) as { snapshot_id: string };
  const { time, tree, paths, tags, excludes } = readSnapshot(id);
  const chosen = words.includes("--time") ? time : "";
  return { time: chosen, tree, paths, hostname: "", tags: tags ?? [], excludes: excludes ?? [] };
}

const CASES: readonly (readonly string[])[] = [
  ["data", "--exclude", "*.txt", "-e", "keep/large", "--iexclude", "NOTES"],
  ["data", "--iexclude", "*.txt", "--exclude", "/data", "--exclude", "data/*", "-e", "!data/keep"],
  ["data", "--exclude-file", "patterns"],
  ["data", "--iexclude-file", "patterns"],
  ["data", "--exclude-if-present", ".nobackup", "--exclude-if-present", "marker:do not"],
  ["data", "--exclude-if-present", "marker:something else"],
  ["data", "--exclude-caches", "--exclude-larger-than", "1k"],
  ["data", "--exclude-larger-than", "5000"],
  ["--files-from", "lists"],
  ["--files-from-verbatim", "verbatim", "data/keep/notes"],
  ["--files-from-raw", "raw"],
  ["data", "--with-atime"],
  ["data", "-x", "--tag", "b,a", "--tag", "c", "--time", "2026-01-31 15:04:05"],
  ["data/keep", "./data/link", "--tag", "", "--ignore-inode", "--ignore-ctime", "--no-scan"],
  ["data", "--group-by", "tags", "--read-concurrency", "1", "--compression", "max"],
  ["data", "--parent", "latest", "--pack-size", "8"],
];

suite("the options of backup", { skip: restic.skip }, () => {
  for (const words of CASES) {
    test(words.join(" "), () => {
      const theirs = backUp(restic.path, words, undefined);
      assert.deepEqual(backUp(PROGRAM, words, undefined), theirs);
    });
  }

  test("--stdin --stdin-filename: the same content at the same path", () => {
    const words = ["--stdin", "--stdin-filename", "dir/dump.sql"];
    for (const program of [restic.path, PROGRAM]) {
      const { paths } = backUp(program, words, "a dump");
      assert.deepEqual(paths, ["/dir/dump.sql"]);
      const host = program === PROGRAM ? "ours" : "theirs";
      const args = ["dump", "latest", "--host", host, "/dir/dump.sql"];
      const dump = execFileSync(restic.path, args, { env: environment, encoding: "utf8" });
      assert.equal(dump, "a dump");
    }
  });
});
