// What is particular to a local storage: modes, links, temporaries, and what the file system refuses.

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { chmod, chown, mkdir, mkdtemp, readdir, rm, stat, symlink } from "node:fs/promises";
import { rename, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { equalBytes } from "../base/bytes.ts";
import { systemClock } from "../base/clock.ts";
import { openLocalStorage } from "./local.ts";
import { sweepTemporaries } from "./local-temporaries.ts";
import { placeFile } from "./local/place.ts";
import type { Storage } from "./storage.ts";

/** Memory of WASM begins at a page, as direct writes want it; the types of Node do not declare the API. */
declare const WebAssembly: {
  Memory: new (descriptor: { initial: number }) => { readonly buffer: ArrayBuffer };
};

const MIB = 1024 * 1024;
const NOBODY = 65534;

async function scratch(t: TestContext): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "holdfast-files-"));
  t.after(() => rm(root, { recursive: true, force: true }));
  return root;
}

/** Runs as a user without privileges: root could read and write everything. */
async function unprivileged(root: string, body: () => Promise<void>): Promise<void> {
  if (process.geteuid?.() !== 0) return await body();
  await chown(root, NOBODY, NOBODY);
  process.seteuid?.(NOBODY);
  try {
    await body();
  } finally {
    process.seteuid?.(0);
  }
}

async function keysOf(storage: Storage, prefix = ""): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of storage.list(prefix)) keys.push(key);
  return keys.toSorted();
}

async function modeOf(path: string): Promise<string> {
  return ((await stat(path)).mode & 0o777).toString(8);
}

test("files are read-only and directories private, as an ordinary user too", async (t) => {
  const root = await scratch(t);
  await unprivileged(root, async () => {
    const storage = await openLocalStorage({ root });
    await storage.put("config", new Uint8Array(155));
    await storage.put("data/ab/large", new Uint8Array(2 * MIB + 5));
  });
  assert.equal(await modeOf(join(root, "config")), "400");
  assert.equal(await modeOf(join(root, "data/ab/large")), "400");
  assert.equal(await modeOf(join(root, "data")), "700");
  assert.equal(await modeOf(join(root, "data/ab")), "700");
  assert.deepEqual(await readdir(join(root, "data/ab")), ["large"]);
});

test("a body of several pieces is written whole, with and without its memory aligned", async (t) => {
  const storage = await openLocalStorage({ root: await scratch(t) });
  const memory = new Uint8Array(new WebAssembly.Memory({ initial: 1100 }).buffer);
  for (let i = 0; i < memory.length; i += 1) memory[i] = Math.imul(i, 0x9e3779b1) >>> 21;
  for (const offset of [0, 4096, 1]) {
    const body = memory.subarray(offset, offset + 65 * MIB + 4099);
    await storage.put(`data/${offset}`, body);
    assert.ok(equalBytes(await storage.get(`data/${offset}`), body), `at offset ${offset}`);
  }
});

test("a repository whose config the group may read stays shared", async (t) => {
  const root = await scratch(t);
  const mask = process.umask(0o007);
  t.after(() => process.umask(mask));
  await (await openLocalStorage({ root })).put("config", new Uint8Array(1));
  await chmod(join(root, "config"), 0o440);
  await (await openLocalStorage({ root })).put("locks/x", new Uint8Array(1));
  assert.equal(await modeOf(join(root, "locks")), "770");
  assert.equal(await modeOf(join(root, "locks/x")), "440");
});

test("opening makes the root only when told to, and a file is no root", async (t) => {
  const root = await scratch(t);
  const deep = join(root, "a/b/repo");
  await assert.rejects(openLocalStorage({ root: deep }), { code: "STORAGE_NOT_FOUND" });
  const storage = await openLocalStorage({ root: deep, create: true });
  await storage.put("config", new Uint8Array(1));
  assert.deepEqual(await keysOf(await openLocalStorage({ root: deep, create: true })), ["config"]);
  const file = join(deep, "config");
  await assert.rejects(openLocalStorage({ root: file }), { code: "STORAGE_FAILED" });
  await assert.rejects(openLocalStorage({ root: file, create: true }), { code: "STORAGE_FAILED" });
});

test("a root that went away is an error, never an empty or a new repository", async (t) => {
  const root = join(await scratch(t), "repo");
  const storage = await openLocalStorage({ root, create: true });
  await storage.put("data/ab/x", new Uint8Array(1));
  await rename(root, `${root}-away`);
  await assert.rejects(keysOf(storage, "data/"), { code: "STORAGE_NOT_FOUND" });
  await assert.rejects(keysOf(storage), { code: "STORAGE_NOT_FOUND" });
  await assert.rejects(storage.put("data/ab/y", new Uint8Array(1)), { code: "STORAGE_FAILED" });
  await assert.rejects(storage.put("config", new Uint8Array(1)), { code: "STORAGE_FAILED" });
  await assert.rejects(stat(root), { code: "ENOENT" });
});

test("what may not be read or written is told as denied, and leaves no temporary", async (t) => {
  const root = await scratch(t);
  await unprivileged(root, async () => {
    const storage = await openLocalStorage({ root });
    await storage.put("data/ab/x", new Uint8Array(2 * MIB));
    await chmod(join(root, "data/ab"), 0o500);
    const denied = { code: "STORAGE_DENIED", retryable: false, hint: /permissions/ };
    await assert.rejects(storage.put("data/ab/y", new Uint8Array(1)), denied);
    await assert.rejects(storage.delete("data/ab/x"), denied);
    assert.deepEqual(await readdir(join(root, "data/ab")), ["x"]);
    await chmod(join(root, "data/ab"), 0);
    await assert.rejects(keysOf(storage), denied);
    await assert.rejects(storage.get("data/ab/x"), denied);
    await assert.rejects(storage.stat("data/ab/x"), denied);
    await chmod(join(root, "data/ab"), 0o700);
    await chmod(join(root, "data/ab/x"), 0);
    await assert.rejects(storage.get("data/ab/x"), denied);
    await assert.rejects(storage.put("data/ab/x", new Uint8Array(2 * MIB)), denied);
    assert.deepEqual(await readdir(join(root, "data/ab")), ["x"]);
  });
});

test("a file in place of a directory is an error of put alone", async (t) => {
  const root = await scratch(t);
  const storage = await openLocalStorage({ root });
  await storage.put("data", new Uint8Array(1));
  await assert.rejects(storage.put("data/ab/x", new Uint8Array(1)), { code: "STORAGE_FAILED" });
  assert.deepEqual(await keysOf(storage, "data/"), []);
  await mkdir(join(root, "config"));
  await assert.rejects(storage.put("config", new Uint8Array(1)), { code: "STORAGE_EXISTS" });
  assert.deepEqual(await readdir(root), ["config", "data"]);
});

test("temporaries, pipes and names that are no keys are not listed", async (t) => {
  const root = await scratch(t);
  const storage = await openLocalStorage({ root });
  await storage.put("data/ab/x", new Uint8Array(1));
  for (const name of ["x-tmp-123456789", "x-tmp-0a1b2c3d4e5f6071", "back\\slash", "umläut"]) {
    await writeFile(join(root, "data/ab", name), "partial");
  }
  execFileSync("mkfifo", [join(root, "data/ab/pipe")]);
  assert.deepEqual(await keysOf(storage), ["data/ab/x"]);
  await assert.rejects(storage.get("data/ab/pipe"), { code: "STORAGE_NOT_FOUND" });
  await assert.rejects(storage.get("data/ab/pipe", { length: 1 }), { code: "STORAGE_NOT_FOUND" });
  const put = storage.put("data/ab/pipe", new Uint8Array(1));
  await assert.rejects(put, { code: "STORAGE_EXISTS" });
});

test("links to directories are followed, circles and dead ends are errors", async (t) => {
  const root = await scratch(t);
  const elsewhere = await scratch(t);
  const storage = await openLocalStorage({ root });
  await symlink(elsewhere, join(root, "data"));
  await storage.put("data/ab/x", new Uint8Array(1));
  assert.deepEqual(await keysOf(storage), ["data/ab/x"]);
  await symlink("..", join(elsewhere, "ab/loop"));
  await assert.rejects(keysOf(storage), { code: "STORAGE_FAILED", message: /circle/ });
  await rm(join(elsewhere, "ab/loop"));
  await symlink("/nonexistent/disk", join(root, "data2"));
  await assert.rejects(keysOf(storage), { code: "STORAGE_FAILED", message: /leads nowhere/ });
});

test("without hard links a name is taken by rename, and still never replaced", async (t) => {
  const root = await scratch(t);
  const first = Buffer.from("first");
  const place = async (name: string, body: Uint8Array): Promise<boolean> => {
    await writeFile(join(root, "temporary"), body);
    return await placeFile(join(root, "temporary"), join(root, name), body, {
      links: false,
      key: name,
    });
  };
  assert.equal(await place("object", first), false);
  assert.equal(await place("object", first), false);
  assert.deepEqual(await readdir(root), ["object"]);
  await assert.rejects(place("object", Buffer.from("other")), { code: "STORAGE_EXISTS" });
  assert.deepEqual(await readdir(root), ["object", "temporary"]);
});

test("old temporaries are found and swept, young ones and objects are left", async (t) => {
  const root = await scratch(t);
  const storage = await openLocalStorage({ root });
  await storage.put("data/ab/x", new Uint8Array(1));
  const old = join(root, "data/ab/x-tmp-123");
  await writeFile(old, "12345");
  await utimes(old, new Date(0), new Date(1000));
  await utimes(join(root, "data/ab/x"), new Date(0), new Date(0));
  await writeFile(join(root, "config-tmp-4f"), "young");
  const clock = { ...systemClock, now: () => Date.now() };
  const sweep = { root, clock, ageMin: 24 * 3600_000 };
  const [found, ...more] = await sweepTemporaries({ ...sweep, remove: false });
  assert.deepEqual([found?.key, found?.size, more.length], ["data/ab/x-tmp-123", 5, 0]);
  assert.ok((found?.age ?? 0) > 24 * 3600_000);
  assert.equal((await sweepTemporaries({ ...sweep, remove: true })).length, 1);
  assert.equal((await sweepTemporaries({ ...sweep, remove: true })).length, 0);
  assert.deepEqual((await readdir(root, { recursive: true })).toSorted(), [
    "config-tmp-4f",
    "data",
    "data/ab",
    "data/ab/x",
  ]);
});

// Runs in a mount namespace of its own, on a file system of 4 MiB.
const FULL_DISK = `
  import { readdirSync } from "node:fs";
  const { openLocalStorage } = await import(process.argv[1]);
  const storage = await openLocalStorage({ root: process.argv[2] });
  const told = [];
  for (const [key, size] of [["a", 3], ["b", 2], ["c", 0.5], ["a", 3]]) {
    const body = new Uint8Array(size * 1024 * 1024 + 5);
    told.push(await storage.put("data/" + key, body).then(() => "stored", (error) => error));
  }
  const codes = told.map((error) => error.code ?? error);
  const files = readdirSync(process.argv[2] + "/data").sort();
  console.log(JSON.stringify({ codes, hint: told[1].hint, retryable: told[1].retryable, files }));
`;

test("a full disk is told as such, and the failed put leaves nothing behind", async (t) => {
  const run = promisify(execFile);
  const namespace = ["--map-root-user", "--mount"];
  const possible = await run("unshare", [...namespace, "true"]).catch(() => undefined);
  if (possible === undefined) return t.skip("needs unshare(1) with user namespaces");
  const root = await scratch(t);
  const script =
    'mount -t tmpfs -o size=4m none "$2" && exec "$0" --input-type=module -e "$3" "$1" "$2"';
  const module = new URL("./local.ts", import.meta.url).href;
  const shell = ["sh", "-c", script, process.execPath, module, root, FULL_DISK];
  const { stdout } = await run("unshare", [...namespace, ...shell]);
  const told = JSON.parse(stdout) as { [field: string]: unknown };
  assert.deepEqual(told["codes"], ["stored", "STORAGE_FULL", "stored", "stored"]);
  assert.match(String(told["hint"]), /free some space/);
  assert.equal(told["retryable"], false);
  assert.deepEqual(told["files"], ["a", "c"]);
});
