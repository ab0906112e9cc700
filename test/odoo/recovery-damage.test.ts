// Nothing is reported as recovered that is not: recoveries out of archives and repositories in which something is missing, torn,
// damaged or somebody else's, and recoveries that were killed. What can be had elsewhere is; the rest is named, and the status
// says so.

import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { sha256Hex } from "../../src/base/bytes.ts";
import { systemClock, systemRandom } from "../../src/base/clock.ts";
import { keyOf } from "../../src/repository/layout.ts";
import { loadIndex } from "../../src/repository/index-loader.ts";
import { openRepository } from "../../src/repository/open.ts";
import { openStorage } from "../../src/storage/open-storage.ts";
import { testMachine } from "../memory-repository.ts";
import { skipWithoutServer } from "../postgres/servers.ts";
import { seededBytes } from "../seeded-bytes.ts";
import {
  askRecovered,
  backUpBase,
  makeRecoveryScene,
  recoveredPaths,
  reportOf,
  sha1Of,
  type RecoveryScene,
} from "./recovery-scene.ts";

suite("what cannot be recovered is told", { skip: skipWithoutServer() }, () => {
  let scene: RecoveryScene;
  let time: string;
  let paths: string[];
  const torn = seededBytes("torn", 50_000);
  const gone = Buffer.from("a file that only the first snapshot has");
  const picture = seededBytes("a picture", 70_000);

  before(async () => {
    scene = await makeRecoveryScene();
    const { instance } = scene;
    await backUpBase(scene);
    const gonePath = await instance.attach("gone.txt", gone);
    const tornPath = await instance.attach("torn.bin", torn);
    await instance.attach("picture.bin", picture);
    // A full snapshot that catches a file half-written.
    writeFileSync(join(instance.folder, tornPath), torn.subarray(0, 20_000));
    const first = await scene.snapshot();
    unlinkSync(join(instance.folder, gonePath));
    await scene.snapshot();
    writeFileSync(join(instance.folder, tornPath), torn);
    await scene.capture();
    time = await scene.now();
    paths = [...instance.files.keys()].toSorted();
    await instance.sql("INSERT INTO res_partner (name) VALUES ('later')");
    await scene.archiveAll();
    await instance.sql("INSERT INTO res_partner (name) VALUES ('much later')");
    await scene.archiveAll();
    cpSync(scene.repository, join(scene.root, "pruned"), { recursive: true });
    await scene.holdfast(["-r", join(scene.root, "pruned"), "forget", first, "--prune", "--quiet"]);
  });

  after(async () => {
    await scene?.[Symbol.asyncDispose]();
  });

  /** Copies of both repositories, for a test that damages them. */
  const copies = (name: string): { repository: string; captures: string } => {
    const repository = join(scene.root, name);
    const captures = `${repository}-captures`;
    cpSync(scene.repository, repository, { recursive: true });
    cpSync(scene.captures, captures, { recursive: true });
    return { repository, captures };
  };
  const recover = async (
    to: string,
    { repository, status }: { repository: string; status: number },
  ): Promise<{ folder: string; said: string }> => {
    const folder = join(scene.root, `to-${to}`);
    const words = ["-r", repository, "recover", "--at", time, "--to", folder];
    const { stdout, stderr } = await scene.holdfast(words, status);
    return { folder, said: stdout + stderr };
  };
  const namesOf = (folder: string, kind: string): string[] =>
    (reportOf(folder).files[kind] as unknown as { sha1: string }[]).map(({ sha1 }) => sha1);

  test("a file torn in the full snapshot comes whole out of a capture, one collected since out of an old snapshot", async () => {
    const { folder } = await recover("torn", { repository: scene.repository, status: 0 });
    assert.deepEqual(recoveredPaths(join(folder, "filestore", "odoo")), paths);
    assert.equal(reportOf(folder).complete, true);
  });

  test("without captures and the first snapshot one file is corrupt and another one missing: neither is written", async () => {
    const { folder, said } = await recover("less", {
      repository: join(scene.root, "pruned"),
      status: 3,
    });
    assert.deepEqual(namesOf(folder, "corrupt"), [sha1Of(torn)]);
    assert.deepEqual(namesOf(folder, "missing"), [sha1Of(gone)]);
    assert.match(said, /recovered IN PART/);
    assert.match(said, /MISSING {5}1 file[^]*gone\.txt[^]*CORRUPT {5}1 file[^]*torn\.bin/);
    assert.equal(reportOf(folder).complete, false);
    const others = paths.filter((path) => ![sha1Of(torn), sha1Of(gone)].includes(path.slice(-40)));
    assert.deepEqual(recoveredPaths(join(folder, "filestore", "odoo")), others);
  });

  test("a damaged pack: another copy is taken, and when there is none the file is corrupt", async () => {
    const { repository, captures } = copies("damaged");
    await flipBlob(captures, picture);
    const first = await recover("other-copy", { repository, status: 0 });
    assert.equal(reportOf(first.folder).complete, true);
    assert.ok(Number(reportOf(first.folder).files["from_another_copy"]) >= 1);
    await flipBlob(repository, picture);
    const second = await recover("no-copy", { repository, status: 3 });
    assert.deepEqual(namesOf(second.folder, "corrupt"), [sha1Of(picture)]);
    assert.deepEqual(namesOf(second.folder, "missing"), []);
  });

  test("a repository of another instance has none of the files", async () => {
    const repository = join(scene.root, "foreign");
    const other = join(scene.root, "other-filestore", "ab");
    mkdirSync(other, { recursive: true });
    const content = Buffer.from("a file of somebody else");
    writeFileSync(join(other, sha1Of(content)), content);
    await scene.holdfast(["-r", repository, "init", "--quiet"]);
    await scene.holdfast(["-r", repository, "backup", "--quiet", join(other, "..")]);
    const { folder } = await recover("foreign", { repository, status: 3 });
    assert.equal(namesOf(folder, "missing").length, paths.length - 1);
    assert.equal(namesOf(folder, "regenerable").length, 1);
    assert.deepEqual(recoveredPaths(join(folder, "filestore", "odoo")), []);
  });

  test("a segment of WAL that is missing ends the recovery, and nothing gets its final name", async () => {
    const archive = join(scene.root, "holed");
    // As it is: the server reads it under another account.
    execFileSync("cp", ["-a", scene.archive.folder, archive]);
    const wals = readdirSync(join(archive, "pg", "wals"), { recursive: true, encoding: "utf8" })
      .filter((name) => /\/[0-9A-F]{24}$/.test(name))
      .toSorted();
    // The last but one: what the moment needs.
    unlinkSync(join(archive, "pg", "wals", wals.at(-2)!));
    const folder = join(scene.root, "to-holed");
    const words = ["recover", "--latest", "--to", folder, "--archive", archive];
    const { stdout, stderr } = await scene.holdfast(words, 1);
    assert.doesNotMatch(stdout, /^recovered/m);
    assert.match(stderr, /WAL|reach/);
    assert.ok(!existsSync(join(folder, "pgdata")));
  });

  test("killed in the middle and begun again: whole, and nothing else is left", async () => {
    const folder = join(scene.root, "to-killed");
    const words = ["recover", "--at", time, "--to", folder];
    const { child, ended } = scene.start(words);
    let said = "";
    for await (const piece of child.stdout!) {
      said += String(piece);
      if (said.includes("replaying WAL")) break;
    }
    killTree(child.pid!);
    await ended.catch(() => {});
    assert.match(said, /replaying WAL/);
    assert.ok(!existsSync(join(folder, "pgdata")));
    await scene.holdfast(words);
    assert.deepEqual(recoveredPaths(join(folder, "filestore", "odoo")), paths);
    assert.deepEqual(readdirSync(folder).toSorted(), [
      "filestore",
      "pgdata",
      "recovery-report.json",
    ]);
    const rows = await askRecovered(scene, join(folder, "pgdata"), {
      text: "SELECT name FROM res_partner WHERE name LIKE '%later'",
    });
    assert.deepEqual(rows, []);
  });

  test("a database that was renamed is found, and its files go below its new name", async () => {
    const { instance, server } = scene;
    await server.sql(`ALTER DATABASE "${instance.database}" RENAME TO renamed`);
    await scene.archiveAll();
    const folder = join(scene.root, "to-renamed");
    await scene.holdfast(["recover", "--latest", "--to", folder]);
    assert.deepEqual(recoveredPaths(join(folder, "filestore", "renamed")), paths);
    const wrong = [
      "recover",
      "--latest",
      "--to",
      join(scene.root, "to-wrong"),
      "--database",
      "odoo",
    ];
    const { stderr } = await scene.holdfast(wrong, 1);
    assert.match(stderr, /had no database "odoo" then[^]*renamed/);
  });
});

/** Kills the starter and the program below it. */
function killTree(pid: number): void {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ");
  for (const one of [...children.filter((text) => text.trim() !== "").map(Number), pid]) {
    try {
      process.kill(one, "SIGKILL");
    } catch {
      // It is gone already.
    }
  }
}

/** Turns a bit of the blob that holds `content`, wherever it lies in the repository in this folder. */
async function flipBlob(folder: string, content: Uint8Array): Promise<void> {
  const storage = await openStorage(folder, { env: {}, clock: systemClock, random: systemRandom });
  const repository = await openRepository({
    storage,
    password: "a password of these tests",
    machine: testMachine(),
  });
  const { index } = await loadIndex(repository);
  const places = index.places("data", sha256Hex(content));
  assert.ok(places.length > 0);
  for (const { pack, offset, length } of places) {
    const path = join(folder, keyOf("pack", pack));
    const bytes = readFileSync(path);
    bytes[offset + Math.floor(length / 2)]! ^= 1;
    writeFileSync(path, bytes);
  }
  await storage.close?.();
}
