import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import assert from "node:assert/strict";
import { recordOutput } from "../../test/cli/recorded-output.ts";
import { createQuickRepository } from "../../test/interop/quick-repository.ts";
import { systemClock, systemRandom } from "../base/clock.ts";
import { Meter } from "../storage/meter.ts";
import { Closers } from "./closers.ts";
import type { Context } from "./command.ts";
import { readSettings } from "./environment.ts";
import { openCaptureWriter, openInstance } from "./instance-session.ts";
import { thisMachine } from "./machine.ts";

let root: string;
let folder: string;

before(async () => {
  root = await mkdtemp(join(tmpdir(), "holdfast-instance-"));
});
after(() => rm(root, { recursive: true }));

beforeEach(async () => {
  folder = await mkdtemp(join(root, "case-"));
  await createQuickRepository(join(folder, "odoo"), "right");
});

/** A run of the program by a person who types the password. */
function sit({ lock = true, repo = join(folder, "odoo") } = {}) {
  const { output, stderr } = recordOutput();
  let asked = 0;
  const never = (what: string) => () => Promise.reject(new Error(`no ${what}`));
  const environment = { HOME: folder };
  const context: Context = {
    output,
    clock: systemClock,
    random: systemRandom,
    machine: thisMachine(),
    cwd: "/",
    cores: 1,
    settings: readSettings({ lock }, environment),
    flags: { repo },
    environment,
    meter: new Meter(),
    secrets: {
      readFile: never("file"),
      run: never("program"),
      readLine: never("stdin"),
      readAll: never("stdin"),
      ask: () => {
        asked++;
        return Promise.resolve("right");
      },
    },
    closers: new Closers(systemClock),
    signal: new AbortController().signal,
    leaveInterrupts: () => () => {},
  };
  return { context, stderr, asked: () => asked };
}

async function locks(repository: string): Promise<number> {
  return (await readdir(join(folder, repository, "locks"))).length;
}

test("a reader locks both repositories, asks for one password, and leaves nothing behind", async () => {
  await createQuickRepository(join(folder, "odoo-captures"), "right");
  const { context, asked } = sit();
  const instance = await openInstance(context, {}, { lock: "read" });
  assert.ok(instance.captures !== undefined);
  assert.equal(asked(), 1);
  assert.deepEqual([await locks("odoo"), await locks("odoo-captures")], [1, 1]);
  await instance.close();
  assert.deepEqual([await locks("odoo"), await locks("odoo-captures")], [0, 0]);
});

test("without a lock nothing is written, and captures that nobody named may be missing", async () => {
  const { context } = sit();
  const before = await readdir(folder, { recursive: true });
  await using instance = await openInstance(context, {});
  assert.equal(instance.captures, undefined);
  assert.deepEqual(await readdir(folder, { recursive: true }), before);
  const { context: unlocked } = sit({ lock: false });
  await using other = await openInstance(unlocked, {}, { lock: "read" });
  assert.equal(other.captures, undefined);
  assert.deepEqual(await readdir(folder, { recursive: true }), before);
});

test("captures that were named must be there, and must be others than the repository itself", async () => {
  const { context } = sit();
  await assert.rejects(openInstance(context, { captures: join(folder, "nowhere") }), {
    code: "REPO_NOT_FOUND",
    message: /no captures are at/,
  });
  const { context: same } = sit();
  await assert.rejects(openInstance(same, { captures: join(folder, "odoo") }), { code: "USAGE" });
});

test("a writer makes the capture repository, which readers then find", async () => {
  const { context } = sit();
  const made = await openCaptureWriter(context, {});
  assert.equal(made.captures.config.chunkerPolynomial, made.repository.config.chunkerPolynomial);
  const { context: reader } = sit();
  await using instance = await openInstance(reader, {});
  assert.equal(instance.captures!.config.id, made.captures.config.id);
});
