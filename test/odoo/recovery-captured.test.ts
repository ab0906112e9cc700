// A moment recovered from what the program itself captured: what the source had lost by then is told apart from what the backups
// lost. The cluster has a tablespace, which goes below the new directory and not where the live one is.

import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readlinkSync, rmSync, truncateSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { serverOwnedFolder, skipWithoutServer } from "../postgres/servers.ts";
import {
  askRecovered,
  backUpBase,
  makeRecoveryScene,
  recoveredPaths,
  reportOf,
} from "./recovery-scene.ts";

suite("recovered from the program's own captures", { skip: skipWithoutServer() }, () => {
  test("lost at the source is no loss of the backups; tablespaces go elsewhere", async () => {
    await using scene = await makeRecoveryScene();
    const { instance, server } = scene;
    const space = serverOwnedFolder("space");
    await server.sql(`CREATE TABLESPACE apart LOCATION '${space}'`);
    await instance.sql("CREATE TABLE elsewhere (value text) TABLESPACE apart");
    await instance.sql("INSERT INTO elsewhere VALUES ('there')");
    await backUpBase(scene);
    const gone = await instance.attach("gone.txt", Buffer.from("gone before anybody looked"));
    const cut = await instance.attach("cut.txt", Buffer.from("cut before anybody looked"));
    unlinkSync(join(instance.folder, gone));
    truncateSync(join(instance.folder, cut), 3);
    await scene.snapshot();
    const kept = await instance.attach("kept.txt", Buffer.from("captured"));
    // Nothing of the scene's own making is among these captures.
    const captures = join(scene.root, "own-captures");
    mkdirSync(captures);
    await scene.holdfast([
      "capture",
      "--once",
      "--captures",
      captures,
      "--filestore",
      instance.folder,
      "-d",
      `host=${server.host} user=postgres dbname=odoo`,
    ]);
    await scene.archiveAll();
    const to = join(scene.root, "to");
    const words = ["recover", "--latest-complete", "--captures", captures, "--to", to];
    const { stdout, stderr } = await scene.holdfast(words, 3);
    const report = reportOf(to);
    const names = (kind: string): string[] =>
      (report.files[kind] as unknown as { sha1: string }[]).map(({ sha1 }) => sha1);
    assert.deepEqual(names("missing_at_source"), [gone.slice(3)]);
    assert.deepEqual(names("corrupt_at_source"), [cut.slice(3)]);
    assert.deepEqual([names("missing"), names("corrupt")], [[], []]);
    assert.equal(report.coverage.kind, "covered");
    assert.match(stdout, /but 2 files that the source had lost then/);
    assert.match(stderr, /2 lost at the source before they could be captured/);
    const paths = recoveredPaths(join(to, "filestore", "odoo"));
    assert.ok(paths.includes(kept));
    assert.equal(paths.length, instance.files.size - 2);
    const links = join(to, "pgdata", "pg_tblspc");
    for (const link of readdirSync(links)) {
      const target = readlinkSync(join(links, link));
      assert.ok(target.startsWith(`${to}/tablespaces-`), target);
    }
    const rows = await askRecovered(scene, join(to, "pgdata"), {
      text: "SELECT value FROM elsewhere",
    });
    assert.deepEqual(rows, [{ value: "there" }]);
    rmSync(space, { recursive: true, force: true });
  });
});
