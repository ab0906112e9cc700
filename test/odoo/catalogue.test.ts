// The attachment catalogue beside a real server: every version and every end is seen, nothing twice, and what was written once is
// enough to go on with after a restart.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { connect, type Connection } from "../../src/postgres/connection.ts";
import { AttachmentCatalogue } from "../../src/odoo/catalogue.ts";
import { compactSegments } from "../../src/odoo/catalogue-compaction.ts";
import { searchCatalogue } from "../../src/odoo/catalogue-search.ts";
import { readCatalogueLine, type AttachmentVersion } from "../../src/odoo/catalogue-lines.ts";
import { settingsOf } from "../postgres/base-backups.ts";
import { skipWithoutServer, startTestServer, type TestServer } from "../postgres/servers.ts";
import { fileRow, insertRow, sha1Of } from "./attachment-rows.ts";
import { createOdooSchema } from "./odoo-schema.ts";

const byName = ([a]: [string, ...unknown[]], [b]: [string, ...unknown[]]): number =>
  a < b ? -1 : 1;

/** What a capture does with a catalogue. */
class Stored {
  readonly files = new Map<string, Uint8Array>();

  store(catalogue: AttachmentCatalogue): void {
    const { add, drop } = catalogue.changes();
    for (const { name, bytes } of add) this.files.set(name, Uint8Array.from(bytes));
    for (const name of drop) this.files.delete(name);
    catalogue.stored();
    assert.deepEqual([...this.files.keys()].toSorted(), catalogue.segmentNames);
  }

  open(): AttachmentCatalogue {
    const catalogue = new AttachmentCatalogue();
    for (const [name, bytes] of [...this.files].toSorted(byName)) catalogue.load(name, bytes);
    return catalogue;
  }

  get lines(): string[] {
    const all = [...this.files].toSorted(byName).map(([, bytes]) => Buffer.from(bytes).toString());
    return all
      .join("")
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith('{"seen"'));
  }

  get versions(): AttachmentVersion[] {
    return this.lines.flatMap((line) => {
      const read = readCatalogueLine(line);
      assert.ok(read, line);
      return read.kind === "version" ? [read.version] : [];
    });
  }

  get ends(): number[] {
    return this.lines.flatMap((line) => {
      const read = readCatalogueLine(line);
      return read?.kind === "end" ? [read.id] : [];
    });
  }
}

describe("the attachment catalogue", { skip: skipWithoutServer(15) }, () => {
  let server: TestServer;
  let connection: Connection;
  before(async () => {
    server = await startTestServer({ major: 15 });
    await server.sql("CREATE DATABASE odoo");
    connection = await connect({ settings: { ...settingsOf(server), database: "odoo" } });
    await createOdooSchema(connection);
  });
  after(async () => {
    await connection?.close();
    await server?.stop();
  });
  beforeEach(async () => {
    await connection.query("TRUNCATE ir_attachment, attachment_history RESTART IDENTITY");
  });

  test("what is new is seen at once; what changed and what is gone, at a full observation", async () => {
    const stored = new Stored();
    const catalogue = new AttachmentCatalogue();
    await connection.query(
      fileRow("one", { res_model: "res.partner", res_id: 42, mimetype: "text/plain" }) +
        fileRow("two", { name: 'tab\t "quotes" \\ line\n日本' }),
    );
    assert.deepEqual(await catalogue.observe({ connection, full: true }), {
      versions: 2,
      ends: 0,
      waiting: 0,
    });
    await connection.query(`${fileRow("three")} DELETE FROM ir_attachment WHERE id = 2;
      UPDATE ir_attachment SET name = 'renamed' WHERE id = 1`);
    const quick = await catalogue.observe({ connection, full: false });
    assert.deepEqual(quick, { versions: 1, ends: 0, waiting: 0 });
    const full = await catalogue.observe({ connection, full: true });
    assert.deepEqual(full, { versions: 1, ends: 1, waiting: 0 });
    stored.store(catalogue);
    assert.deepEqual(
      stored.versions.map(({ id, name, sha1 }) => [id, name, sha1]),
      [
        [1, "one", sha1Of("one")],
        [2, 'tab\t "quotes" \\ line\n日本', sha1Of("two")],
        [3, "three", sha1Of("three")],
        [1, "renamed", sha1Of("one")],
      ],
    );
    assert.deepEqual(stored.ends, [2]);
    const [first] = stored.versions;
    assert.equal(first!.res_model, "res.partner");
    assert.equal(first!.res_id, 42);
    assert.equal(first!.size, 3);
  });

  test("nothing is written when nothing changed, or only what is not in a catalogue", async () => {
    const catalogue = new AttachmentCatalogue();
    await connection.query(fileRow("one"));
    await catalogue.observe({ connection, full: true });
    new Stored().store(catalogue);
    await connection.query("UPDATE ir_attachment SET index_content = 'text'");
    assert.deepEqual(await catalogue.observe({ connection, full: true }), {
      versions: 0,
      ends: 0,
      waiting: 0,
    });
    assert.deepEqual(catalogue.changes(), { add: [], drop: [] });
  });

  test("after a restart it goes on, and sees what happened meanwhile", async () => {
    const stored = new Stored();
    const catalogue = new AttachmentCatalogue();
    await connection.query(fileRow("one") + fileRow("two") + fileRow("three"));
    await catalogue.observe({ connection, full: true });
    stored.store(catalogue);
    await connection.query(
      "DELETE FROM ir_attachment WHERE id = 1; UPDATE ir_attachment SET res_id = 7 WHERE id = 3",
    );
    const again = stored.open();
    assert.equal(again.size, 3);
    assert.deepEqual(await again.observe({ connection, full: true }), {
      versions: 1,
      ends: 1,
      waiting: 0,
    });
    stored.store(again);
    assert.deepEqual(stored.ends, [1]);
    assert.equal(stored.versions.at(-1)!.res_id, 7);
    assert.equal(stored.open().size, 2);
  });

  test("a capture that failed loses nothing: the same changes are given again", async () => {
    const stored = new Stored();
    const catalogue = new AttachmentCatalogue();
    await connection.query(fileRow("one"));
    await catalogue.observe({ connection, full: true });
    assert.equal(catalogue.changes().add.length, 1);
    await connection.query(fileRow("two"));
    await catalogue.observe({ connection, full: false });
    stored.store(catalogue);
    assert.deepEqual(
      stored.versions.map(({ name }) => name),
      ["one", "two"],
    );
  });

  test("a large database is taken in over several observations, each bounded", async () => {
    const stored = new Stored();
    const catalogue = new AttachmentCatalogue({ rowsMax: 40 });
    await connection.query(
      `INSERT INTO ir_attachment (name, type, write_date) SELECT 'n' || i, 'binary', '2026-01-02 03:04:05' FROM generate_series(1, 100) i`,
    );
    const seen: number[] = [];
    let waiting: number;
    do {
      const observed = await catalogue.observe({ connection, full: seen.length === 1 });
      seen.push(observed.versions);
      ({ waiting } = observed);
      stored.store(catalogue);
    } while (waiting > 0);
    assert.deepEqual(seen, [40, 40, 20]);
    assert.equal(new Set(stored.versions.map(({ id }) => id)).size, 100);
    // When nobody had looked before, Odoo's own word for when is the best there is.
    assert.ok(stored.versions.every(({ from }) => from.time === "2026-01-02T03:04:05.000Z"));
  });

  test("a version begins when Odoo wrote it, unless that cannot be", async () => {
    const stored = new Stored();
    const catalogue = new AttachmentCatalogue();
    await catalogue.observe({ connection, full: true });
    const between = "(clock_timestamp() AT TIME ZONE 'UTC')";
    await connection.query(
      `${insertRow({ name: "late", type: "binary", write_date: "2020-01-01 00:00:00" })}
       INSERT INTO ir_attachment (name, type, write_date) VALUES ('now', 'binary', ${between})`,
    );
    const [{ written } = {}] = await connection.query(
      "SELECT floor(extract(epoch FROM write_date) * 1000) AS written FROM ir_attachment WHERE name = 'now'",
    );
    await catalogue.observe({ connection, full: false });
    stored.store(catalogue);
    const [late, now] = stored.versions;
    assert.equal(Date.parse(now!.from.time), Number(written));
    assert.ok(Date.parse(late!.from.time) >= Number(written), "long transactions come late");
  });

  test("another past is not taken for the one that was seen: all rows are compared", async () => {
    const stored = new Stored();
    const catalogue = new AttachmentCatalogue();
    await connection.query(fileRow("one"));
    await catalogue.observe({ connection, full: true });
    stored.store(catalogue);
    // As after a recovery to an earlier moment: transactions have the numbers of others.
    const [[name, bytes]] = [...stored.files] as [[string, Uint8Array]];
    const [{ xmin } = {}] = await connection.query(
      "UPDATE ir_attachment SET name = 'another' RETURNING xmin",
    );
    const text = Buffer.from(bytes).toString();
    const forged = text
      .replace(/"timeline":1,/, '"timeline":7,')
      .replace(/"xmin":\d+/, `"xmin":${xmin}`);
    stored.files.set(name, Buffer.from(forged));
    const observed = await stored.open().observe({ connection, full: false });
    assert.deepEqual(observed, { versions: 1, ends: 0, waiting: 0 });
  });

  test("many small segments become one, and no line is lost or doubled", async () => {
    const stored = new Stored();
    const catalogue = new AttachmentCatalogue();
    await catalogue.observe({ connection, full: true });
    let most = 0;
    for (let round = 0; round < 60; round++) {
      await connection.query(
        `INSERT INTO ir_attachment (name, type) SELECT repeat('x', 800) || i, 'binary' FROM generate_series(1, 60) i`,
      );
      await catalogue.observe({ connection, full: false });
      stored.store(catalogue);
      most = Math.max(most, stored.files.size);
    }
    assert.ok(most <= 18, `${most} segments`);
    const ids = stored.versions.map(({ id }) => id);
    assert.deepEqual(
      ids,
      Array.from({ length: 3600 }, (_, i) => i + 1),
    );
    assert.equal(stored.open().size, 3600);
  });

  test("compacted, it says the same of everything that is kept, and goes on from there", async () => {
    const stored = new Stored();
    const catalogue = new AttachmentCatalogue();
    await connection.query(fileRow("one") + fileRow("two") + fileRow("three"));
    await catalogue.observe({ connection, full: true });
    await connection.query("DELETE FROM ir_attachment WHERE id = 1");
    await catalogue.observe({ connection, full: true });
    const before = Date.now();
    await connection.query(
      `UPDATE ir_attachment SET name = 'renamed', write_date = clock_timestamp() AT TIME ZONE 'UTC' WHERE id = 2;
       DELETE FROM ir_attachment WHERE id = 3; ${fileRow("four")}`,
    );
    await catalogue.observe({ connection, full: true });
    stored.store(catalogue);
    const search = async (files: ReadonlyMap<string, Uint8Array>) => {
      const segments = () => [...files].toSorted(byName).map(([, bytes]) => Buffer.from(bytes));
      return (await searchCatalogue({ segments }, {}, { max: 100 })).found;
    };
    const whole = await search(stored.files);
    const compact = async (time: number): Promise<Map<string, Uint8Array>> => {
      const files = new Map<string, Uint8Array>();
      const names = [...stored.files.keys()].toSorted();
      const read = (name: string) => Promise.resolve(stored.files.get(name)!);
      for await (const { name, bytes } of compactSegments({ names, read, before: time })) {
        assert.ok(!stored.files.has(name), "no name is used again");
        files.set(name, bytes);
      }
      return files;
    };
    assert.deepEqual(await search(await compact(0)), whole);
    const small = await compact(before);
    assert.deepEqual(
      (await search(small)).map(({ id }) => id),
      [4, 3, 2],
      "what ended before is gone",
    );
    assert.deepEqual(await search(small), whole.slice(0, 3));
    const again = new AttachmentCatalogue();
    for (const [name, bytes] of small) again.load(name, bytes);
    assert.deepEqual(await again.observe({ connection, full: true }), {
      versions: 0,
      ends: 0,
      waiting: 0,
    });
    assert.deepEqual(again.changes(), { add: [], drop: [] });
  });
});
