// What the commands print, compared with what real restic prints about the same repository: text letter by letter where
// scripts cut it into pieces, JSON member by member and in the same order. docs/compatibility.md says where they differ.

import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, utimes, writeFile } from "node:fs/promises";
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
let environment: NodeJS.ProcessEnv;

function run(program: string, args: readonly string[], more: NodeJS.ProcessEnv = {}) {
  return new Promise<Outcome>((resolve) => {
    const options = { cwd: folder, env: { ...environment, ...more }, maxBuffer: 2 ** 26 };
    execFile(program, args, options, (error, stdout, stderr) => {
      const status = typeof error?.code === "number" ? error.code : error ? -1 : 0;
      resolve({ stdout, stderr, status });
    });
  });
}

/** The same words to restic and to us, one after the other: both lock the repository. */
async function both(words: string, more: NodeJS.ProcessEnv = {}): Promise<[Outcome, Outcome]> {
  const args = words.split(" ").filter((word) => word !== "");
  return [await run(restic.path, args, more), await run(PROGRAM, args, more)];
}

before(async () => {
  if (restic.skip !== false) return;
  folder = await mkdtemp(join(tmpdir(), "holdfast-cli-output-"));
  environment = {
    PATH: process.env["PATH"],
    HOLDFAST_NODE: process.execPath,
    HOME: join(folder, "home"),
    TZ: "UTC",
    RESTIC_REPOSITORY: join(folder, "repo"),
    RESTIC_PASSWORD: "right",
  };
  await createQuickRepository(join(folder, "repo"), "right");
  await mkdir(join(folder, "data", "sub", "deep"), { recursive: true });
  await writeFile(join(folder, "data", "a.txt"), "hello");
  await writeFile(join(folder, "data", "sub", "größe <&>.bin"), Buffer.alloc(700_000, 7));
  await writeFile(Buffer.from(`${folder}/data/sub/raw\xff\t`, "latin1"), "");
  await symlink("a.txt", join(folder, "data", "link"));
  await utimes(join(folder, "data", "a.txt"), 1_000_000_000.25, 1_000_000_000.25);
  const make = [
    [restic.path, "backup", "data", "--host", "web1", "--tag", "nightly,full"],
    [PROGRAM, "backup", "data", "--host", "web1", "--tag", "nightly"],
    [restic.path, "backup", "data/sub", "data/a.txt", "--host", "web2", "--exclude", "*.tmp"],
  ] as const;
  for (const [program, ...args] of make) {
    const { status, stderr } = await run(program, args);
    assert.equal(status, 0, stderr);
  }
});
after(async () => {
  if (folder !== undefined) await rm(folder, { recursive: true });
});

const SAME_OUTPUT = [
  "snapshots",
  "snapshots --compact",
  "snapshots --latest 1",
  "snapshots --json",
  "snapshots --json --latest 1 --host web1",
  "snapshots --tag nightly,full --tag other",
  "snapshots --host nobody",
  "snapshots --host nobody --json",
  "ls latest",
  "ls -l latest:sub",
  "ls -l --human-readable latest --host web1",
  "ls latest --host web1 /data/sub",
  "ls latest --host web1 --recursive /data/sub/",
  "ls --json latest --host web1",
  "ls -q --sort size --reverse latest --host web1",
  "ls -q --sort time latest --host web1",
  "ls -q --sort extension latest --host web1",
  "dump latest --host web1 /data/a.txt",
  "cat config",
  "cat masterkey",
  "key list",
  "key list --json",
  "check --json",
  "check --json --read-data",
];

const SAME_LINES = [
  "list blobs",
  "list packs",
  "list index",
  "list snapshots",
  "list keys",
  "list locks",
  "list --json snapshots",
];

/** Group headers and tables, or groups, in any order: restic's is that of a map. */
const SAME_GROUPS = ["snapshots --group-by host,tags", "snapshots --group-by host,paths"];
const SAME_JSON_GROUPS = SAME_GROUPS.map((words) => `${words} --json`);

const sorted = (lines: string): string[] => lines.split("\n").toSorted();

suite("the output of commands", { skip: restic.skip }, () => {
  for (const words of SAME_OUTPUT) {
    test(words, async () => {
      const [theirs, ours] = await both(words);
      assert.equal(ours.stdout, theirs.stdout);
      assert.equal(ours.status, theirs.status, ours.stderr);
    });
  }

  for (const words of [...SAME_LINES, ...SAME_GROUPS]) {
    test(`${words}, in any order`, async () => {
      const [theirs, ours] = await both(words);
      assert.deepEqual(sorted(ours.stdout), sorted(theirs.stdout));
      assert.equal(ours.status, theirs.status, ours.stderr);
    });
  }

  for (const words of SAME_JSON_GROUPS) {
    test(`${words}, in any order`, async () => {
      const [theirs, ours] = await both(words);
      const groups = ({ stdout }: Outcome): string[] =>
        (JSON.parse(stdout) as unknown[]).map((group) => JSON.stringify(group)).toSorted();
      assert.deepEqual(groups(ours), groups(theirs));
    });
  }

  test("cat of everything that there is", async () => {
    for (const [type, list] of [
      ["snapshot", "snapshots"],
      ["index", "index"],
      ["key", "keys"],
      ["pack", "packs"],
      ["tree", "snapshots"],
    ] as const) {
      const ids = (await run(restic.path, ["list", list])).stdout.trim().split("\n");
      for (const id of ids.slice(0, 2)) {
        const [theirs, ours] = await both(`cat ${type} ${id}`);
        assert.equal(ours.stdout, theirs.stdout, `${type} ${id}`);
      }
    }
    const blobs = (await run(restic.path, ["list", "blobs"])).stdout.trim().split("\n");
    for (const line of [blobs[0]!, blobs.find((blob) => blob.startsWith("tree "))!]) {
      const [theirs, ours] = await both(`cat blob ${line.split(" ")[1]!}`);
      assert.equal(ours.stdout, theirs.stdout, line);
    }
  });
});

type Message = Record<string, unknown>;

/** The last message on stdout. */
function summaryOf({ stdout }: Outcome): Message {
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Message;
}

/** Values that must be equal; the others tell of times and ids. Seconds are told only when one has passed. */
function comparable({ seconds_elapsed: _, ...message }: Message): Message {
  const varying = /^(total_duration|backup_start|backup_end|snapshot_id)$/;
  return Object.fromEntries(Object.entries(message).map(([k, v]) => [k, varying.test(k) ? 0 : v]));
}

suite("the messages of backup and restore", { skip: restic.skip }, () => {
  for (const words of [
    "backup data --json --host web3 --force",
    "backup data --json --host web1 --dry-run",
    "backup data --json --host web1 --skip-if-unchanged",
  ]) {
    test(words, async () => {
      // Once before, so that both find the same things stored.
      await run(restic.path, words.split(" "));
      const [theirs, ours] = (await both(words)).map(summaryOf);
      // restic names a snapshot that it did not make.
      if (words.includes("--dry-run")) delete theirs!["snapshot_id"];
      assert.deepEqual(Object.keys(ours!), Object.keys(theirs!));
      assert.deepEqual(comparable(ours!), comparable(theirs!));
    });
  }

  test("restore --json", async () => {
    const args = ["restore", "latest", "--host", "web1", "--json", "--target"];
    const theirs = summaryOf(await run(restic.path, [...args, "theirs"]));
    const ours = summaryOf(await run(PROGRAM, [...args, "ours"]));
    assert.deepEqual(Object.keys(comparable(ours)), Object.keys(comparable(theirs)));
    assert.deepEqual(comparable(ours), comparable(theirs));
  });

  test("init --json", async () => {
    const message = async (program: string, name: string): Promise<Message> =>
      summaryOf(await run(program, ["-r", join(folder, name), "init", "--json"]));
    const [theirs, ours] = [await message(restic.path, "i1"), await message(PROGRAM, "i2")];
    assert.deepEqual(Object.keys(ours), Object.keys(theirs));
    assert.equal(ours["message_type"], theirs["message_type"]);
    assert.equal(ours["repository"], join(folder, "i2"));
  });
});

suite("failures", { skip: restic.skip }, () => {
  const cases: [words: string, status: number, more?: NodeJS.ProcessEnv][] = [
    ["cat config", 10, { RESTIC_REPOSITORY: "/nowhere/at/all" }],
    ["snapshots", 12, { RESTIC_PASSWORD: "wrong" }],
    ["backup /nowhere/at/all", 1],
    ["backup data /nowhere/at/all", 3],
    ["restore 01234567 --target out", 1],
    ["ls latest --host nobody", 1],
    ["dump latest /nowhere", 1],
    ["cat snapshot 01234567", 1],
    ["key remove 01234567", 1],
    ["check --read-data-subset 2/1", 1],
    ["nosuchcommand", 1],
    ["snapshots --nosuchoption", 1],
    ["backup", 1],
  ];
  for (const [words, status, more] of cases) {
    test(`${words} ends with ${status}, also in JSON`, async () => {
      const [theirs, ours] = await both(words, more);
      assert.equal(theirs.status, status);
      assert.equal(ours.status, status, ours.stderr);
      const json = await run(PROGRAM, ["--json", ...words.split(" ")], more);
      assert.equal(json.status, status);
      const last = JSON.parse(json.stderr.trim().split("\n").at(-1)!) as Message;
      assert.equal(last["message_type"], "exit_error");
      assert.equal(last["code"], status);
    });
  }

  test("words that scripts look for", async () => {
    const [theirs, ours] = await both("cat config", { RESTIC_REPOSITORY: "/nowhere/at/all" });
    const words =
      /^Fatal: repository does not exist: [^]*\nIs there a repository at the following location\?\n\/nowhere\/at\/all$/m;
    assert.match(theirs.stderr, words);
    assert.match(ours.stderr, words);
    const [refused, refusedToo] = await both("snapshots", { RESTIC_PASSWORD: "wrong" });
    for (const { stderr } of [refused, refusedToo]) {
      assert.match(stderr, /^Fatal: wrong password or no key found$/m);
    }
  });
});
