// `verify` and the attachment catalogue beside an Odoo at work: nothing is called missing that is not, and the catalogue says of
// every moment that it saw what the database said then.

import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Progress } from "../../src/base/progress.ts";
import { connect, type Connection } from "../../src/postgres/connection.ts";
import { AttachmentCatalogue } from "../../src/odoo/catalogue.ts";
import { isCurrentAt, searchCatalogue } from "../../src/odoo/catalogue-search.ts";
import { verifyAttachments } from "../../src/odoo/verify.ts";
import { settingsOf } from "../postgres/base-backups.ts";
import {
  serverOwnedFolder,
  skipWithoutServer,
  startTestServer,
  type TestServer,
} from "../postgres/servers.ts";
import { SimulatedOdoo } from "./simulated-odoo.ts";

describe("beside an Odoo at work", { skip: skipWithoutServer(15) }, () => {
  let server: TestServer;
  let root: string;
  let odoo: SimulatedOdoo;
  let connection: Connection;
  before(async () => {
    root = serverOwnedFolder("odoo");
    server = await startTestServer({ major: 15 });
    await server.sql("CREATE DATABASE odoo");
    odoo = new SimulatedOdoo({
      connection: server.connection("odoo"),
      folder: join(root, "odoo"),
      rate: 200,
      collectEvery: 100,
    });
    await odoo.open();
    await odoo.populate(300);
    connection = await connect({ settings: { ...settingsOf(server), database: "odoo" } });
  });
  after(async () => {
    await connection?.close();
    await odoo?.close();
    await server?.stop();
    rmSync(root, { recursive: true, force: true });
  });

  test("a live filestore is whole, however fast its files come and go", async () => {
    odoo.start();
    try {
      let seen = 0;
      // As long as it takes to see many files, and collections between them.
      while (seen < 2500) {
        const { findings, ok, references, goneMeanwhile } = await verifyAttachments({
          connection,
          source: { kind: "folder", folder: join(root, "odoo") },
          threads: 2,
          progress: new Progress(),
        });
        const wrong = findings.filter(({ sha1 }) => !odoo.lostAtSource.has(sha1));
        assert.deepEqual(wrong, []);
        assert.equal(ok.files + goneMeanwhile + findings.length, references.files.names.size);
        seen += ok.files;
      }
    } finally {
      await odoo.stop();
    }
  });

  test("the catalogue knows every moment that it saw as the database was then", async () => {
    const catalogue = new AttachmentCatalogue();
    const segments = new Map<string, Buffer>();
    const moments: { time: number; rows: string[] }[] = [];
    const rowText = (id: number, name: string, sha1: string | null): string =>
      `${id} ${name} ${sha1 ?? ""}`;
    for (let round = 0; round < 12; round++) {
      await odoo.work(40);
      await catalogue.observe({ connection, full: round % 3 !== 1 });
      const { add, drop } = catalogue.changes();
      for (const { name, bytes } of add) segments.set(name, Buffer.from(bytes));
      for (const name of drop) segments.delete(name);
      catalogue.stored();
      if (round % 3 === 1) continue;
      // Nobody writes now: the database is as it was seen.
      const rows = await connection.query(
        "SELECT id, name, right(store_fname, 40) AS sha1, floor(extract(epoch FROM clock_timestamp()) * 1000) AS now FROM ir_attachment ORDER BY id DESC",
      );
      moments.push({
        time: Number(rows[0]!["now"]),
        rows: rows.map((row) => rowText(Number(row["id"]), row["name"]!, row["sha1"] ?? null)),
      });
    }
    const opened = {
      segments: () =>
        [...segments].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, bytes]) => bytes),
    };
    const { found } = await searchCatalogue(opened, {}, { max: Infinity });
    for (const { time, rows } of moments) {
      const then = found.flatMap(({ id, versions }) => {
        const current = versions.filter((version) => isCurrentAt(version, time));
        assert.ok(current.length <= 1, `${id} has one version at a time`);
        return current.map(({ name, sha1, elsewhere }) =>
          rowText(id, name, elsewhere === undefined ? sha1 : null),
        );
      });
      assert.deepEqual(then, rows);
    }
    assert.ok(found.some(({ versions }) => versions.length > 1));
    assert.ok(found.some(({ versions }) => versions.at(-1)!.to !== undefined));
  });
});
