// A moment recovered by the program: the database of then and exactly its files, out of full snapshots and captures, with a
// report that says so, and nothing half-done under a final name.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { Client } from "pg";
import { storePath } from "../../src/odoo/store-name.ts";
import { query, skipWithoutServer } from "../postgres/servers.ts";
import {
  askRecovered,
  backUpBase,
  makeRecoveryScene,
  recoveredPaths,
  reportOf,
  sha1Of,
  type RecoveryScene,
} from "./recovery-scene.ts";

suite("a moment is recovered", { skip: skipWithoutServer() }, () => {
  let scene: RecoveryScene;
  /** The moment at which the short-lived file was there, and what was there then. */
  let then: { time: string; paths: string[] };
  let end: { paths: string[] };
  const shortLived = Buffer.from("a file that was there for a short while");

  before(async () => {
    scene = await makeRecoveryScene();
    const { instance } = scene;
    await backUpBase(scene);
    await scene.snapshot();
    const path = await instance.attach("brief.txt", shortLived);
    await scene.capture();
    then = { time: await scene.now(), paths: [...instance.files.keys()].toSorted() };
    // Deleted, and collected.
    await instance.sql("DELETE FROM ir_attachment WHERE name IN ('brief.txt', 'noise.bin')");
    unlinkSync(join(instance.folder, path));
    await instance.attach("later.txt", Buffer.from("a file that came later"));
    // Committed by the very record that begins at the captured position.
    const open = new Client(scene.server.connection(instance.database));
    await open.connect();
    const never = sha1Of(Buffer.from("never stored"));
    await open.query("BEGIN");
    await open.query(
      "INSERT INTO ir_attachment (name, type, store_fname) VALUES ('next.txt', 'binary', $1)",
      [storePath(never)],
    );
    await instance.sql("INSERT INTO res_partner (name) VALUES ('flushes')");
    await scene.capture();
    const rows = await instance.sql<{ path: string }>(
      "SELECT DISTINCT store_fname AS path FROM ir_attachment WHERE store_fname IS NOT NULL",
    );
    end = { paths: rows.map((row) => row.path).toSorted() };
    await open.query("COMMIT");
    await open.end();
    await scene.archiveAll();
  });

  after(async () => {
    await scene?.[Symbol.asyncDispose]();
  });

  test("to a time: files that were deleted since are there, later ones are not", async () => {
    const to = join(scene.root, "then");
    const { stdout } = await scene.holdfast(["recover", "--at", then.time, "--to", to]);
    assert.deepEqual(recoveredPaths(join(to, "filestore", "odoo")), then.paths);
    assert.match(stdout, /complete {4}yes: all files up to/);
    assert.match(stdout, new RegExp(`files {7}${then.paths.length} of ${then.paths.length} `));
    const report = reportOf(to);
    assert.equal(report.complete, true);
    assert.equal(report.files["from_captures"], then.paths.length);
    assert.deepEqual(readdirSync(to).toSorted(), ["filestore", "pgdata", "recovery-report.json"]);
    const rows = await askRecovered(scene, join(to, "pgdata"), {
      text: "SELECT name FROM ir_attachment WHERE name IN ('brief.txt', 'later.txt')",
    });
    assert.deepEqual(rows, [{ name: "brief.txt" }]);
  });

  test("to the watermark, and not a record further", async () => {
    const to = join(scene.root, "complete");
    await scene.holdfast(["recover", "--latest-complete", "--to", to]);
    assert.deepEqual(recoveredPaths(join(to, "filestore", "odoo")), end.paths);
    const report = reportOf(to);
    assert.equal(report.complete, true);
    assert.equal(report.coverage.kind, "covered");
    const rows = await askRecovered(scene, join(to, "pgdata"), {
      text: "SELECT name FROM ir_attachment WHERE name = 'next.txt'",
    });
    assert.deepEqual(rows, []);
  });

  test("a dry run shows the plan and writes nothing", async () => {
    const to = join(scene.root, "dry");
    const { stdout } = await scene.holdfast(["recover", "--latest", "--to", to, "--dry-run"]);
    assert.match(stdout, /Recovery of odoo to the end of the archive/);
    assert.ok(!existsSync(to));
  });

  test("a moment that the archive does not reach is refused before anything is written", async () => {
    const to = join(scene.root, "never");
    const { stderr } = await scene.holdfast(
      ["recover", "--at", "2020-01-01 00:00:00", "--to", to],
      1,
    );
    assert.match(stderr, /hint: /);
    assert.ok(!existsSync(to));
  });

  test("nothing is recovered over what is there", async () => {
    const to = join(scene.root, "taken");
    mkdirSync(to);
    writeFileSync(join(to, "mine"), "");
    const { stderr } = await scene.holdfast(["recover", "--latest", "--to", to], 1);
    assert.match(stderr, /it is not empty: it has "mine"/);
    assert.deepEqual(readdirSync(to), ["mine"]);
  });

  test("options of a moment without a moment are not restic's recover", async () => {
    for (const words of [["--to", join(scene.root, "none")], ["--dry-run"]]) {
      const { stderr } = await scene.holdfast(["recover", ...words], 1);
      assert.match(stderr, /no moment is named/);
    }
    const heal = ["recover", "--heal", "--latest", "--filestore", scene.root];
    assert.match((await scene.holdfast(heal, 1)).stderr, /--heal puts files back as/);
  });

  test("into a running server: a new database there, and its files in a new folder", async () => {
    const { server, instance } = scene;
    const filestore = join(scene.root, "then-files");
    const words = [
      "recover",
      "--at",
      then.time,
      "--into-server",
      `host=${server.host} user=postgres`,
    ];
    const into = [...words, "--new-database", "then", "--filestore", filestore];
    const { stdout } = await scene.holdfast(into);
    assert.match(stdout, /database {4}then at [^]* as in the recovered one/);
    assert.deepEqual(recoveredPaths(filestore), then.paths);
    const rows = await query(
      server.connection("then"),
      "SELECT name FROM ir_attachment WHERE name IN ('brief.txt', 'later.txt')",
    );
    assert.deepEqual(rows, [{ name: "brief.txt" }]);
    assert.ok(existsSync(`${filestore}-recovery-report.json`));
    // Neither a database nor a folder that is there is touched.
    for (const [name, folder, why] of [
      [instance.database, join(scene.root, "new"), /has a database "odoo" already/],
      ["new", filestore, /it is not empty/],
    ] as const) {
      const refused = [...words, "--new-database", name, "--filestore", folder];
      assert.match((await scene.holdfast(refused, 1)).stderr, why);
    }
    const names = await server.sql<{ name: string }>(
      "SELECT datname AS name FROM pg_database WHERE NOT datistemplate ORDER BY 1",
    );
    assert.deepEqual(
      names.map(({ name }) => name),
      ["odoo", "postgres", "then"],
    );
  });
});

suite("the log ends right at the watermark", { skip: skipWithoutServer() }, () => {
  test("the database stands there, and nothing waits for more", async () => {
    await using scene = await makeRecoveryScene();
    const { instance, server, archive } = scene;
    await backUpBase(scene);
    await scene.snapshot();
    await scene.archiveAll();
    await instance.attach("last.txt", Buffer.from("the last file"));
    await instance.sql("CHECKPOINT");
    await scene.capture();
    // The segment as it is, for what a receiver stores while it grows.
    const [row] = await instance.sql<{ name: string }>(
      "SELECT pg_walfile_name(pg_current_wal_insert_lsn()) AS name",
    );
    const name = row!.name;
    const [from, to] = [
      join(server.dataDirectory, "pg_wal", name),
      join(archive.folder, "pg", "wals", name.slice(0, 16), `${name}.partial`),
    ];
    execFileSync("cp", ["-p", from, to]);
    const folder = join(scene.root, "end");
    const { stdout } = await scene.holdfast(["recover", "--latest-complete", "--to", folder]);
    assert.match(stdout, /complete {4}yes/);
    assert.deepEqual(
      recoveredPaths(join(folder, "filestore", "odoo")),
      [...instance.files.keys()].toSorted(),
    );
    const rows = await askRecovered(scene, join(folder, "pgdata"), {
      text: "SELECT count(*)::int AS rows FROM ir_attachment WHERE name = 'last.txt'",
    });
    assert.deepEqual(rows, [{ rows: 1 }]);
  });
});
