// What the rows of `ir_attachment` refer to, read from real servers: every kind of row, tables of other versions, standbys.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { formatLsn } from "../../src/barman/lsn.ts";
import { connect, type Connection } from "../../src/postgres/connection.ts";
import { readPosition, readReferences } from "../../src/odoo/read-references.ts";
import { pathOf, REFERENCE } from "../../src/odoo/references.ts";
import { storePath } from "../../src/odoo/store-name.ts";
import { settingsOf } from "../postgres/base-backups.ts";
import { refused } from "../postgres/refusal.ts";
import {
  MAJORS,
  serverOwnedFolder,
  skipWithoutServer,
  startTestServer,
  type TestServer,
} from "../postgres/servers.ts";
import { fileRow, insertRow, sha1Of } from "./attachment-rows.ts";
import { createOdooSchema } from "./odoo-schema.ts";

for (const major of MAJORS) {
  describe(`references in PostgreSQL ${major}`, { skip: skipWithoutServer(major) }, () => {
    let server: TestServer;
    let connection: Connection;
    before(async () => {
      server = await startTestServer({ major });
      await server.sql("CREATE DATABASE odoo");
      connection = await connect({ settings: { ...settingsOf(server), database: "odoo" } });
    });
    after(async () => {
      await connection?.close();
      await server?.stop();
    });

    test("a database that is none of Odoo's is told from one that is", async () => {
      await refused(readReferences(connection), {
        code: "ODOO_NOT_FOUND",
        says: /no table public\.ir_attachment/,
      });
      // Also one whose table is a view, or lies in a schema of somebody else's.
      await connection.query(
        "CREATE VIEW ir_attachment AS SELECT 1 AS id, 'binary' AS type, 'ab/x' AS store_fname; CREATE SCHEMA other; CREATE TABLE other.ir_attachment (id int, type text, store_fname text); SET search_path = other",
      );
      await refused(readReferences(connection), { code: "ODOO_NOT_FOUND", says: /no table/ });
      await connection.query("DROP VIEW public.ir_attachment; RESET search_path");
    });

    test("every kind of row is counted for what it is", async () => {
      await createOdooSchema(connection);
      const old = sha1Of("old");
      await connection.query(
        [
          fileRow("invoice"),
          fileRow("invoice", { name: "the same again" }),
          fileRow("bundle", { url: "/web/assets/1/abc/web.assets_web.min.js" }),
          fileRow("old bundle", {
            url: "/web/content/12-4bba301/web.assets_common.js",
            res_model: "ir.ui.view",
            mimetype: "application/javascript",
          }),
          // One row makes it irreplaceable.
          fileRow("shared", { url: "/web/assets/2/abc/web.assets_web.min.css" }),
          fileRow("shared"),
          fileRow("two sizes"),
          fileRow("two sizes", { file_size: 3 }),
          fileRow("wrong checksum", { checksum: sha1Of("else") }),
          fileRow("no size", { file_size: null, checksum: null }),
          fileRow("old", { store_fname: `${old.slice(0, 3)}/${old}` }),
          fileRow("slash", { store_fname: `/${storePath(sha1Of("slash"))}` }),
          fileRow("outside", { store_fname: "s3://bucket/key" }),
          fileRow("outside too", { store_fname: "s3://bucket/other" }),
          fileRow("odd", { store_fname: "../../etc/pass\twd\\n" }),
          fileRow("shouted", { store_fname: storePath(sha1Of("shouted")).toUpperCase() }),
          fileRow("misplaced", { store_fname: `00/${sha1Of("misplaced")}` }),
          insertRow({ name: "link", type: "url", url: "https://example.com" }),
          insertRow({
            name: "cloud",
            type: "cloud_storage",
            url: "https://storage.example/x",
            file_size: 0,
          }),
          insertRow({ name: "in the database", type: "binary", db_datas: "\\x0102", file_size: 2 }),
          insertRow({ name: "nothing", type: "binary", db_datas: "\\x", file_size: 0 }),
          insertRow({ name: "nothing either", type: "binary", store_fname: "" }),
        ].join("\n"),
      );
      const { files, database, rows, ...others } = await readReferences(connection);
      const of = (text: string): { size: number; rows: number; flags: number } | undefined => {
        const number = files.names.indexOf(sha1Of(text));
        if (number < 0) return undefined;
        return {
          size: files.sizes[number]!,
          rows: files.rows[number]!,
          flags: files.flags[number]!,
        };
      };
      assert.equal(database, "odoo");
      assert.equal(rows, 22);
      assert.equal(files.names.size, 9);
      assert.deepEqual(of("invoice"), { size: 7, rows: 2, flags: 0 });
      assert.deepEqual(of("bundle"), { size: 6, rows: 1, flags: REFERENCE.regenerable });
      assert.deepEqual(of("old bundle"), { size: 10, rows: 1, flags: REFERENCE.regenerable });
      assert.deepEqual(of("shared"), { size: 6, rows: 2, flags: 0 });
      assert.equal(of("two sizes")!.flags, REFERENCE.contradictory);
      assert.equal(of("wrong checksum")!.flags, REFERENCE.contradictory);
      assert.deepEqual(of("no size"), { size: -1, rows: 1, flags: 0 });
      assert.equal(pathOf(files, old), `${old.slice(0, 3)}/${old}`);
      assert.equal(pathOf(files, sha1Of("slash")), storePath(sha1Of("slash")));
      assert.deepEqual(others.external, new Map([["s3", 2]]));
      assert.equal(others.cloud, 1);
      assert.equal(others.urls, 1);
      assert.equal(others.inDatabase, 1);
      assert.equal(others.empty, 2);
      assert.deepEqual(others.unknown, [
        "../../etc/pass\twd\\n",
        storePath(sha1Of("shouted")).toUpperCase(),
        `00/${sha1Of("misplaced")}`,
      ]);
    });

    test("the position is one that the server has come to, and the cluster its own", async () => {
      const [before] = await server.sql("SELECT pg_current_wal_flush_lsn() AS lsn");
      const { position } = await readReferences(connection);
      const [after] = await server.sql(
        `SELECT pg_current_wal_lsn() >= '${formatLsn(position.lsn)}' AND '${formatLsn(position.lsn)}' >= '${before!["lsn"]}'::pg_lsn AS inside,
          system_identifier AS system, (SELECT timeline_id FROM pg_control_checkpoint()) AS timeline FROM pg_control_system()`,
      );
      assert.equal(after!["inside"], true);
      assert.equal(position.systemId, after!["system"]);
      assert.equal(position.timeline, after!["timeline"]);
      const [now] = await server.sql("SELECT extract(epoch FROM now()) * 1000 AS time");
      assert.ok(position.time <= Number(now!["time"]) && position.time > 1.7e12);
    });

    test("the connection is usable afterwards, also when somebody stops it before", async () => {
      await assert.rejects(readReferences(connection, { signal: AbortSignal.abort() }), {
        code: "CANCELLED",
      });
      assert.deepEqual(await connection.query("SELECT 1 AS a"), [{ a: "1" }]);
      await connection.query("BEGIN; CREATE TEMP TABLE free (x int); COMMIT");
    });

    test("a role without rights learns the position, and which right the rows need", async () => {
      await connection.query("CREATE ROLE stranger LOGIN");
      const settings = { ...settingsOf(server), database: "odoo", user: "stranger" };
      const stranger = await connect({ settings });
      try {
        assert.ok((await readPosition(stranger)).lsn > 0n);
        await refused(readReferences(stranger), { code: "POSTGRES_DENIED", says: /ir_attachment/ });
        await connection.query("GRANT SELECT ON ir_attachment TO stranger");
        assert.equal((await readReferences(stranger)).rows, 22);
      } finally {
        await stranger.close();
      }
    });

    test("a standby tells what it has replayed, and the same rows", async () => {
      const there = await readReferences(connection);
      await connection.close();
      await server.halt("fast");
      const folder = serverOwnedFolder("standby");
      const dataDirectory = join(folder, "data");
      try {
        cpSync(server.dataDirectory, dataDirectory, { recursive: true, preserveTimestamps: true });
        writeFileSync(join(dataDirectory, "standby.signal"), "");
        chmodSync(dataDirectory, 0o700);
        giveTo(folder, server.account);
        const standby = await startTestServer({ major, dataDirectory });
        try {
          const settings = { ...settingsOf(standby), database: "odoo" };
          const inRecovery = await connect({ settings });
          const [row] = await inRecovery.query(
            "SELECT pg_is_in_recovery() AS r, pg_last_wal_replay_lsn() AS lsn",
          );
          assert.equal(row!["r"], "t");
          const { position, files, rows } = await readReferences(inRecovery);
          assert.equal(formatLsn(position.lsn), row!["lsn"]);
          assert.equal(position.systemId, there.position.systemId);
          assert.equal(position.timeline, 1);
          assert.equal(rows, there.rows);
          assert.deepEqual([...files.names], [...there.files.names]);
          await inRecovery.close();
        } finally {
          await standby.stop();
        }
      } finally {
        rmSync(folder, { recursive: true, force: true });
        await server.start();
        connection = await connect({ settings: { ...settingsOf(server), database: "odoo" } });
      }
    });

    test("the table of an old version, with few columns, is enough", async () => {
      const [{ count } = {}] = await connection.query(
        `ALTER TABLE ir_attachment DROP COLUMN checksum, DROP COLUMN file_size, DROP COLUMN public, DROP COLUMN mimetype;
         SELECT count(*) FROM ir_attachment`,
      );
      const { files, rows } = await readReferences(connection);
      assert.equal(rows, Number(count));
      assert.equal(files.sizes[files.names.indexOf(sha1Of("invoice"))], -1);
      await connection.query("ALTER TABLE ir_attachment DROP COLUMN store_fname");
      await refused(readReferences(connection), {
        code: "ODOO_NOT_FOUND",
        says: /no column store_fname/,
      });
    });
  });
}

function giveTo(folder: string, account: TestServer["account"]): void {
  if (account) execFileSync("chown", ["-R", `${account.uid}:${account.gid}`, folder]);
}
