// Captures with a database: positions, what is missing, and what happens when the server goes away.

import { randomBytes } from "node:crypto";
import fs, { mkdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { dirname } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { systemClock } from "../../src/base/clock.ts";
import { BlobReader } from "../../src/repository/blob-reader.ts";
import { loadIndex } from "../../src/repository/index-loader.ts";
import { findNode } from "../../src/files/find-path.ts";
import { connect, type Connection } from "../../src/postgres/connection.ts";
import {
  CORRUPT_FILE,
  decodeLines,
  MISSING_FILE,
  sideFolder,
  type CorruptAtSource,
  type MissingAtSource,
} from "../../src/odoo/capture-side-files.ts";
import { readPosition } from "../../src/odoo/read-references.ts";
import { storePath } from "../../src/odoo/store-name.ts";
import { settingsOf } from "../postgres/base-backups.ts";
import { skipWithoutServer, startTestServer, type TestServer } from "../postgres/servers.ts";
import { fileRow, sha1Of } from "./attachment-rows.ts";
import { CapturedStore } from "./captured-store.ts";
import { createOdooSchema } from "./odoo-schema.ts";

describe("captures with a database", { skip: skipWithoutServer(15) }, () => {
  let server: TestServer;
  let sql: Connection;
  let store: CapturedStore;
  let isUp = true;

  const connectTo = (): Promise<Connection> =>
    isUp
      ? connect({ settings: { ...settingsOf(server), database: "odoo" } })
      : connect({ settings: { ...settingsOf(server), database: "gone" } });
  before(async () => {
    server = await startTestServer({ major: 15 });
    await server.sql("CREATE DATABASE odoo");
    sql = await connectTo();
    await createOdooSchema(sql);
  });
  after(async () => {
    await sql?.close();
    await server?.stop();
  });
  afterEach(async () => {
    isUp = true;
    await sql.query("DELETE FROM ir_attachment");
    await store?.remove();
  });

  /** The lines of a side file in the newest capture. */
  async function lines<T extends MissingAtSource>(path: string): Promise<T[]> {
    const [newest] = (await store.list()).slice(-1);
    const { index } = await loadIndex(store.captures);
    const reader = new BlobReader(store.captures, index);
    const where = `${sideFolder("odoo")}/${path}`;
    const node = await findNode(reader, newest!.snapshot.tree, where).catch(() => undefined);
    const pieces = await Promise.all((node?.content ?? []).map((id) => reader.read("data", id)));
    return decodeLines<T>(Buffer.concat(pieces));
  }

  test("every tick moves the position, with or without new files, and never past what is captured", async () => {
    store = await CapturedStore.make();
    const capture = store.capture({ connect: connectTo });
    const one = store.write("one");
    await sql.query(fileRow("one"));
    const before = await readPosition(sql);
    const first = await capture.tick();
    const between = await readPosition(sql);
    assert.ok(first.isJoint && first.compared === "all");
    assert.equal(first.position!.systemId, before.systemId);
    assert.ok(before.lsn <= first.position!.lsn && first.position!.lsn <= between.lsn);
    await sql.query("INSERT INTO res_partner (name) VALUES ('moves the log')");
    const { lsn } = await readPosition(sql);
    const second = await capture.tick();
    await capture.close();
    assert.equal(second.newFiles, 0);
    assert.ok(second.position!.lsn >= lsn);
    const captures = await store.list();
    // The earlier one stays for a while: its position may be the newest that the archive has.
    assert.deepEqual(
      captures.map(({ mark }) => mark.position),
      [first.position, second.position],
    );
    assert.equal(captures[1]!.mark.missing, 0);
    assert.deepEqual(await store.names(), [one]);
  });

  test("what is missing and corrupt is counted, named, and no longer once it is back", async () => {
    store = await CapturedStore.make();
    await sql.query(fileRow("lost") + fileRow("broken") + fileRow("fine"));
    store.write("fine");
    store.writeAs(sha1Of("broken"), "brok");
    store.writeAs(sha1Of("unreferenced"), "unref");
    const then = new Date(Date.now() - 3_600_000);
    for (const text of ["broken", "unreferenced"]) {
      utimesSync(store.path(sha1Of(text)), then, then);
    }
    const capture = store.capture({ connect: connectTo });
    const report = await capture.tick();
    assert.deepEqual([report.missing, report.corrupt], [1, 1]);
    const missing = await lines(MISSING_FILE);
    assert.deepEqual(
      missing.map(({ sha1 }) => sha1),
      [sha1Of("lost")],
    );
    const corrupt = await lines<CorruptAtSource>(CORRUPT_FILE);
    const referenced = new Map(corrupt.map((one) => [one.sha1, one.referenced]));
    assert.deepEqual(
      referenced,
      new Map(
        [sha1Of("broken"), sha1Of("unreferenced")]
          .sort()
          .map((sha1) => [sha1, sha1 === sha1Of("broken")]),
      ),
    );
    // A new process knows since when.
    await capture.close();
    const next = store.capture({ connect: connectTo });
    await next.tick();
    assert.deepEqual(await lines(MISSING_FILE), missing);
    store.write("lost");
    writeFileSync(store.path(sha1Of("broken")), "broken");
    const mended = await next.tick();
    await next.close();
    assert.deepEqual([mended.missing, mended.corrupt], [0, 0]);
    assert.deepEqual(await lines(MISSING_FILE), []);
  });

  test("new rows are compared at every tick, all rows when that is due", async () => {
    store = await CapturedStore.make();
    const { clock } = store.captures.machine;
    let ahead = 0;
    // A full comparison seems to take so long that the next is due after ten minutes.
    const machine = {
      ...store.captures.machine,
      clock: { ...clock, monotonic: () => clock.monotonic() + ahead++ * 200 },
    };
    Object.assign(store.captures, { machine });
    await sql.query(fileRow("one"));
    store.write("one");
    const capture = store.capture({ connect: connectTo });
    assert.equal((await capture.tick()).compared, "all");
    await sql.query(fileRow("absent"));
    const second = await capture.tick();
    assert.deepEqual([second.compared, second.missing], ["new", 1]);
    await sql.query("DELETE FROM ir_attachment WHERE name = 'absent'");
    ahead += 10_000;
    const third = await capture.tick();
    assert.deepEqual([third.compared, third.missing], ["all", 0]);
    await capture.close();
  });

  test("a database that does not answer keeps no file from being captured, and no position is lost", async () => {
    store = await CapturedStore.make();
    const capture = store.capture({ connect: connectTo });
    const { position } = await capture.tick();
    isUp = false;
    await sql.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'odoo'",
    );
    const two = store.write("two");
    const report = await capture.tick();
    assert.equal(report.isJoint, false);
    assert.deepEqual(report.position, position);
    assert.ok(store.told("database").length > 0);
    const newest = (await store.list()).at(-1)!;
    assert.deepEqual(newest.mark.position, position);
    assert.deepEqual(await store.names(), [two]);
    isUp = true;
    const again = await capture.tick();
    assert.ok(again.isJoint && again.compared === "all");
    await capture.close();
  });

  test("a position stays with the captures of its period: they hold what it was true of", async () => {
    store = await CapturedStore.make();
    store.age(store.write("one"));
    await store.backUp();
    const capture = store.capture({ connect: connectTo });
    store.write("two");
    const { position } = await capture.tick();
    isUp = false;
    await sql.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'odoo'",
    );
    await store.backUp();
    capture.fullSnapshotMade();
    store.write("three");
    await capture.tick();
    await capture.close();
    const [closed, newest] = await store.list();
    assert.deepEqual(closed!.mark.position, position);
    assert.notEqual(newest!.mark.since, closed!.mark.since);
    assert.equal(newest!.mark.position, undefined);
  });

  test("a folder that cannot be listed: no position counts until all rows were compared", async () => {
    store = await CapturedStore.make();
    const capture = store.capture({ connect: connectTo });
    store.write("one");
    await sql.query(fileRow("one", { id: 1 }));
    await sql.query(fileRow("one", { id: 90_000 }));
    assert.ok((await capture.tick()).isJoint);
    // An old row gets new content, in a folder that nobody may look into for a while.
    const two = store.write("two");
    await sql.query(`UPDATE ir_attachment SET store_fname = '${storePath(two)}' WHERE id = 1`);
    const { lstatSync, openSync } = fs;
    const refuse = (path: unknown): void => {
      if (String(path).startsWith(dirname(store.path(two))))
        throw Object.assign(new Error("EACCES: not allowed"), { code: "EACCES" });
    };
    const patched = { lstatSync, openSync };
    for (const name of ["lstatSync", "openSync"] as const)
      Object.assign(patched, {
        [name]: (...words: unknown[]): unknown => {
          refuse(words[0]);
          return Reflect.apply({ lstatSync, openSync }[name], fs, words);
        },
      });
    Object.assign(fs, patched);
    syncBuiltinESMExports();
    try {
      const during = await capture.tick();
      assert.equal(during.isJoint, false);
      const next = await capture.tick();
      assert.deepEqual([next.isJoint, next.compared, next.corrupt], [true, "all", 1]);
    } finally {
      Object.assign(fs, { lstatSync, openSync });
      syncBuiltinESMExports();
    }
    const after = await capture.tick();
    await capture.close();
    assert.deepEqual([after.isJoint, after.corrupt], [true, 0]);
    assert.ok((await store.names()).includes(two));
  });

  test("a file that no listing shows is found by its path", async () => {
    store = await CapturedStore.make();
    const { clock } = store.captures.machine;
    let ahead = 0;
    const machine = {
      ...store.captures.machine,
      clock: { ...clock, monotonic: () => clock.monotonic() + ahead },
    };
    Object.assign(store.captures, { machine });
    const capture = store.capture({ connect: connectTo });
    const sha1 = sha1Of("unseen");
    const folder = dirname(store.path(sha1));
    // As an attribute cache on a network does: the folder seems not to have changed.
    const then = new Date(1e12);
    mkdirSync(folder);
    utimesSync(folder, then, then);
    for (let tick = 0; tick < 3; tick++, ahead += 3000) await capture.tick();
    store.write("unseen");
    utimesSync(folder, then, then);
    assert.equal((await capture.tick()).newFiles, 0, "it is hidden indeed");
    await sql.query(fileRow("unseen"));
    const report = await capture.tick();
    assert.deepEqual([report.newFiles, report.missing], [1, 0]);
    await capture.close();
  });

  test("what is missing is looked for in older snapshots, and what they list is believed only as far as rows agree", async () => {
    store = await CapturedStore.make();
    await sql.query(fileRow("kept") + fileRow("cut off") + fileRow("lost"));
    for (const text of ["kept", "lost"]) store.age(store.write(text));
    // It was cut off before the snapshot was made, which has it so.
    store.writeAs(sha1Of("cut off"), "cut");
    store.age(sha1Of("cut off"));
    const { id } = await store.backUp();
    rmSync(store.path(sha1Of("lost")));
    await store.backUp();
    const capture = store.capture({ connect: connectTo });
    const report = await capture.tick();
    assert.deepEqual([report.missing, report.corrupt], [0, 1]);
    const missing = await lines(MISSING_FILE);
    assert.deepEqual(
      missing.map(({ sha1, stored }) => ({ sha1, stored })),
      [{ sha1: sha1Of("lost"), stored: true }],
    );
    const [corrupt] = await lines<CorruptAtSource>(CORRUPT_FILE);
    assert.equal(corrupt!.sha1, sha1Of("cut off"));
    assert.equal(corrupt!.stored, false);
    // Whoever forgets that snapshot forgets the file.
    await store.main.remove("snapshot", id);
    capture.fullSnapshotMade();
    const after = await capture.tick();
    await capture.close();
    assert.deepEqual([after.missing, after.corrupt], [1, 1]);
  });

  test("a table that is locked holds up no file", async () => {
    store = await CapturedStore.make();
    const one = store.write("one");
    await sql.query("BEGIN; LOCK TABLE ir_attachment IN ACCESS EXCLUSIVE MODE");
    const { clock } = store.captures.machine;
    let isLocked = true;
    // The patience with the database, and nothing else, ends soon.
    const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
      isLocked && ms === 60_000 ? systemClock.sleep(300, signal) : clock.sleep(ms, signal);
    Object.assign(store.captures, {
      machine: { ...store.captures.machine, clock: { ...clock, sleep } },
    });
    const capture = store.capture({ connect: connectTo });
    const report = await capture.tick();
    await sql.query("ROLLBACK");
    isLocked = false;
    assert.equal(report.isJoint, false);
    assert.match(store.told("database")[0]!.error.message, /did not answer within 60 s/);
    assert.deepEqual(await store.names(), [one]);
    assert.ok((await capture.tick()).isJoint);
  });

  test("a catalogue of the attachments lies beside the files, and goes on in a new process", async () => {
    store = await CapturedStore.make();
    const content = randomBytes(100);
    store.write(content);
    await sql.query(fileRow("contract.pdf"));
    const first = store.capture({ connect: connectTo });
    await first.tick();
    await first.close();
    await sql.query(fileRow("invoice.pdf"));
    const second = store.capture({ connect: connectTo });
    await second.tick();
    await second.close();
    const { index } = await loadIndex(store.captures);
    const reader = new BlobReader(store.captures, index);
    const tree = (await store.list()).at(-1)!.snapshot.tree;
    const node = await findNode(reader, tree, `${sideFolder("odoo")}/attachments/000001.jsonl`);
    const pieces = await Promise.all(node!.content!.map((id) => reader.read("data", id)));
    const text = Buffer.concat(pieces).toString();
    assert.match(text, /contract\.pdf/);
    assert.match(text, /invoice\.pdf/);
  });
});
