// The command `capture` as people and schedules call it: statuses, lines of JSON, and a stop.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, test } from "node:test";
import assert from "node:assert/strict";
import { skipWithoutServer, startTestServer } from "../postgres/servers.ts";
import { CapturedStore, PASSWORD } from "./captured-store.ts";

const PROGRAM = join(import.meta.dirname, "../../bin/holdfast");

let store: CapturedStore;

afterEach(() => store.remove());

function environment(): NodeJS.ProcessEnv {
  return {
    PATH: process.env["PATH"],
    HOME: store.root,
    RESTIC_REPOSITORY: join(store.root, "main"),
    RESTIC_PASSWORD: PASSWORD,
    HOLDFAST_FILESTORE: store.folder,
  };
}

function run(...words: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(PROGRAM, ["capture", ...words], { env: environment(), encoding: "utf8" });
}

test("once: the repository beside the main one is made, and what is new is told", async () => {
  store = await CapturedStore.make();
  store.write("one");
  const first = run("--no-database");
  assert.equal(first.status, 0, first.stderr);
  assert.match(first.stdout, /1 new file of 3 B/);
  assert.match(first.stdout, /capture [0-9a-f]{8} saved, with 1 file in all/);
  assert.match(first.stderr, /nobody knows to which moment of odoo the files belong/);
  assert.equal(readdirSync(join(store.root, "main-captures", "snapshots")).length, 1);
  const second = run("--no-database", "--json");
  const lines = second.stdout.trim().split("\n");
  const summary = JSON.parse(lines.at(-1)!) as Record<string, unknown>;
  assert.equal(summary["message_type"], "summary");
  assert.deepEqual(
    [summary["new_files"], summary["known_files"], summary["capture"]],
    [0, 1, null],
  );
});

test("a database that is not there: files are captured, and the status says that it is not all", async () => {
  store = await CapturedStore.make();
  store.write("one");
  const { status, stderr, stdout } = run("-d", `host=${store.root} dbname=odoo`);
  assert.equal(status, 3);
  assert.match(stdout, /capture [0-9a-f]{8} saved/);
  assert.match(stderr, /files are captured, but belong to no new moment/);
});

test("a name that is neither the folder's nor that of a database is a mistake, and nothing is captured under it", async (t) => {
  const reason = skipWithoutServer();
  if (reason) return t.skip(reason);
  store = await CapturedStore.make();
  store.write("one");
  await using server = await startTestServer();
  const { status, stderr } = run("-d", `host=${server.host} user=postgres dbname=mistyped`);
  assert.equal(status, 1);
  assert.match(stderr, /database "mistyped" does not exist/);
  const other = run("-d", `host=${server.host} user=postgres dbname=postgres`);
  assert.equal(other.status, 1);
  assert.match(
    other.stderr,
    /"postgres" has no table ir_attachment.*\n.*by its folder that is "odoo"/,
  );
  assert.ok(!readdirSync(store.root).includes("main-captures"));
  // Under the folder's own name it may just be away, and files do not wait for it.
  assert.equal(run("-d", `host=${server.host} user=postgres dbname=odoo`).status, 3);
});

test("the folder above all filestores is none: the one that was meant is named", async () => {
  store = await CapturedStore.make();
  store.write("one");
  const { status, stderr } = run("--no-database", "--filestore", dirname(store.folder));
  assert.equal(status, 1);
  assert.ok(stderr.includes(`Name the folder of one database: ${store.folder}.`), stderr);
});

test("options that do not go together are refused before anything is made", async () => {
  store = await CapturedStore.make();
  for (const words of [
    ["--once", "--every", "20s"],
    ["--every", "10ms"],
    ["--every", "soon"],
  ]) {
    assert.equal(run("--no-database", ...words).status, 1, words.join(" "));
  }
  assert.ok(!readdirSync(store.root).includes("main-captures"));
});

test("it goes on until it is stopped, and leaves no lock behind", async () => {
  store = await CapturedStore.make();
  const words = ["capture", "--no-database", "--every", "1s", "--json"];
  const running = spawn(PROGRAM, words, {
    env: environment(),
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(running, "exit");
  let isWritten = false;
  let last: Record<string, unknown> = {};
  for await (const line of createInterface({ input: running.stdout })) {
    last = JSON.parse(line) as Record<string, unknown>;
    if (last["message_type"] !== "tick") continue;
    if (!isWritten) store.write("while it runs");
    isWritten = true;
    if (last["new_files"] === 1) running.kill("SIGTERM");
  }
  const [status] = (await ended) as [number];
  assert.equal(last["message_type"], "summary");
  assert.equal(last["new_files"], 1);
  assert.equal(status, 0);
  assert.deepEqual(readdirSync(join(store.root, "main-captures", "locks")), []);
});
