import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import assert from "node:assert/strict";
import { makeScratchPlace, removeLeftPlaces, requireSpace } from "./scratch-place.ts";

const parent = mkdtempSync(join(tmpdir(), "holdfast-places-"));
const uid = process.getuid?.() ?? 0;
const machine = { hostname: "here", pid: 1, uid, isAlive: (pid: number) => pid === 7 };
const options = { parent, machine, account: undefined };

after(() => rmSync(parent, { recursive: true, force: true }));

test("a place is there until it is removed, and nobody removes it while its owner lives", async () => {
  const place = await makeScratchPlace(options);
  writeFileSync(join(place.path, "content"), "x");
  assert.deepEqual(await removeLeftPlaces(options), []);
  // The same number of a process in another container.
  assert.deepEqual(await removeLeftPlaces({ ...options, machine: { ...machine, pid: 9 } }), []);
  assert.ok(existsSync(join(place.path, "content")));
  await place.remove();
  assert.deepEqual(readdirSync(parent), []);
});

test("what a dead process left is removed, also when its number lives again", async () => {
  const code = `
    const { makeScratchPlace } = await import(${JSON.stringify(join(import.meta.dirname, "scratch-place.ts"))});
    const { path } = await makeScratchPlace({ parent: ${JSON.stringify(parent)}, account: undefined,
      machine: { hostname: "here", pid: 1, uid: ${uid}, isAlive: () => true } });
    console.log(path);
    process.kill(process.pid, "SIGKILL");`;
  const { stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", code], {
    encoding: "utf8",
  });
  const path = stdout.trim();
  assert.ok(existsSync(join(path, ".alive")), stdout);
  assert.deepEqual(await removeLeftPlaces(options), [path]);
  assert.deepEqual(readdirSync(parent), []);
});

test("without a socket the number of the process counts; other machines and other folders are left alone", async () => {
  const left = (name: string, mark?: object): string => {
    const path = join(parent, name);
    mkdirSync(path);
    if (mark) writeFileSync(join(path, ".holdfast-scratch.json"), JSON.stringify(mark));
    return path;
  };
  const dead = left("holdfast-scratch-dead00", { hostname: "here", pid: 6 });
  left("holdfast-scratch-alive0", { hostname: "here", pid: 7 });
  left("holdfast-scratch-other0", { hostname: "there", pid: 6 });
  left("holdfast-scratch-bare00");
  left("something-else", { hostname: "here", pid: 6 });
  assert.deepEqual(await removeLeftPlaces(options), [dead]);
  assert.equal(readdirSync(parent).length, 4);
});

test("too little space is an error that says how much", async () => {
  await requireSpace(parent, 1);
  await assert.rejects(requireSpace(parent, 2 ** 60), { code: "TARGET_UNWRITABLE" });
});
