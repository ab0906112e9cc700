// A live filestore healed by the program: what is missing or damaged comes back out of snapshots and captures, what is right
// stays the very same file, and nothing is changed before it was asked for.

import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, suite, test } from "node:test";
import { skipWithoutServer } from "../postgres/servers.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { makeRecoveryScene, sha1Of, type RecoveryScene } from "./recovery-scene.ts";

interface Summary {
  applied: boolean;
  healed: { path: string; state: string; attachments: { name: string }[] }[];
  lost: { path: string }[];
  refused: { path: string }[];
  right: number;
  replaced: string | null;
}

suite("a filestore is healed", { skip: skipWithoutServer() }, () => {
  let scene: RecoveryScene;
  let folder: string;
  let paths: Record<"missing" | "cut" | "changed" | "linked" | "never" | "right", string>;
  let database: string;
  const content = (name: string): Buffer => seededBytes(name, 9000);

  before(async () => {
    scene = await makeRecoveryScene();
    const { instance, server } = scene;
    folder = instance.folder;
    database = `host=${server.host} user=postgres dbname=odoo`;
    const attach = async (name: string): Promise<string> =>
      await instance.attach(name, content(name));
    paths = {
      missing: await attach("missing"),
      cut: await attach("cut"),
      changed: await attach("changed"),
      linked: await attach("linked"),
      right: await attach("right"),
      never: "",
    };
    await scene.snapshot();
    paths = { ...paths, never: await attach("never") };
  });

  after(async () => {
    await scene?.[Symbol.asyncDispose]();
  });

  /** The filestore as it should be, then damaged in every way. */
  beforeEach(() => {
    rmSync(join(folder, ".holdfast-replaced"), { recursive: true, force: true });
    for (const [path, bytes] of scene.instance.files) {
      rmSync(join(folder, path), { force: true });
      mkdirSync(join(folder, path, ".."), { recursive: true });
      writeFileSync(join(folder, path), bytes);
    }
    unlinkSync(join(folder, paths.missing));
    truncateSync(join(folder, paths.cut), 100);
    writeFileSync(join(folder, paths.changed), content("something else"));
    unlinkSync(join(folder, paths.linked));
    symlinkSync("/etc/hostname", join(folder, paths.linked));
    unlinkSync(join(folder, paths.never));
  });

  const heal = async (words: readonly string[], status: number): Promise<Summary> => {
    const { stdout } = await scene.holdfast(
      ["recover", "--heal", "--json", "--filestore", folder, ...words],
      status,
    );
    const lines = stdout.split("\n").filter((line) => line.includes('"summary"'));
    return JSON.parse(lines.at(-1)!) as Summary;
  };
  const contentSha1 = (path: string): string => sha1Of(readFileSync(join(folder, path)));

  test("shown first: nothing is changed without --yes", async () => {
    const { healed, lost, refused, applied } = await heal(["-d", database], 3);
    assert.equal(applied, false);
    assert.deepEqual(
      healed.map(({ path }) => path).toSorted(),
      [paths.missing, paths.cut, paths.changed].toSorted(),
    );
    assert.deepEqual([lost[0]!.path, refused[0]!.path], [paths.never, paths.linked]);
    assert.ok(!existsSync(join(folder, paths.missing)));
    assert.equal(lstatSync(join(folder, paths.cut)).size, 100);
  });

  test("with --yes: put back, and what was replaced is kept; what is right stays the same file", async () => {
    const right = lstatSync(join(folder, paths.right));
    const { healed, replaced, applied } = await heal(["-d", database, "--yes"], 3);
    assert.equal(applied, true);
    assert.equal(healed.length, 3);
    for (const path of [paths.missing, paths.cut, paths.changed])
      assert.equal(contentSha1(path), path.slice(-40));
    assert.equal(lstatSync(join(folder, paths.right)).ino, right.ino);
    assert.equal(lstatSync(join(folder, paths.right)).mtimeMs, right.mtimeMs);
    assert.ok(lstatSync(join(folder, paths.linked)).isSymbolicLink());
    assert.equal(readFileSync(join(replaced!, paths.cut)).length, 100);
    assert.deepEqual(readFileSync(join(replaced!, paths.changed)), content("something else"));
    const left = readdirSync(folder, { recursive: true, encoding: "utf8" });
    assert.deepEqual(
      left.filter((name) => /\/\.holdfast-[0-9a-f]/.test(name)),
      [],
    );
    // Once more there is nothing left to do but what cannot be done.
    const again = await heal(["-d", database, "--yes"], 3);
    assert.deepEqual([again.healed.length, again.lost.length, again.replaced], [0, 1, null]);
  });

  test("without a database: contents are compared with names", async () => {
    const { healed, lost } = await heal(["--yes"], 3);
    assert.deepEqual(
      healed.map(({ path }) => path).toSorted(),
      [paths.cut, paths.changed].toSorted(),
    );
    assert.deepEqual(lost, []);
    assert.ok(!existsSync(join(folder, paths.missing)));
  });

  test("a folder that is not mounted is not filled", async () => {
    const empty = join(scene.root, "not-mounted");
    mkdirSync(empty, { recursive: true });
    const words = ["recover", "--heal", "--yes", "--filestore", empty, "-d", database];
    const { stderr } = await scene.holdfast(words, 1);
    assert.match(stderr, /holds no file of a filestore/);
    assert.deepEqual(readdirSync(empty), []);
  });
});
