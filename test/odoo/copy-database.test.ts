// A database copied into a running server: whole, and equal table by table; or dropped again, with what was there before left as
// it was.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import {
  copyDatabase,
  requireNewDatabase,
  type CopiedDatabase,
} from "../../src/odoo/copy-database.ts";
import { isHoldfastError } from "../../src/base/errors.ts";
import { findClientProgram } from "../../src/postgres/client-programs.ts";
import { connect } from "../../src/postgres/connection.ts";
import type { ScratchServer } from "../../src/postgres/scratch.ts";
import { settingsOf } from "../postgres/base-backups.ts";
import { query, skipWithoutServer, startTestServer, type TestServer } from "../postgres/servers.ts";
import { makeSmallInstance, type SmallInstance } from "./small-instance.ts";

suite("a database is copied into a server", { skip: skipWithoutServer() }, () => {
  let server: TestServer;
  let instance: SmallInstance;

  before(async () => {
    server = await startTestServer();
    instance = await makeSmallInstance(server, "it's odoo");
  });
  after(async () => {
    instance?.remove();
    await server?.stop();
  });

  const copyTo = async (name: string, compared?: string): Promise<CopiedDatabase> => {
    const programs = { major: server.major, folder: server.programs };
    return await copyDatabase({
      recovered: {
        connect: async (database) =>
          await connect({ settings: settingsOf(server, { database: compared ?? database }) }),
        server: { connection: settingsOf(server) } as ScratchServer,
      },
      database: instance.database,
      target: settingsOf(server),
      name,
      programs: {
        pgDump: await findClientProgram("pg_dump", programs),
        psql: await findClientProgram("psql", programs),
      },
    });
  };
  const names = async (): Promise<string[]> => {
    const rows = await server.sql<{ name: string }>("SELECT datname AS name FROM pg_database");
    return rows.map(({ name }) => name);
  };

  test("every table with all its rows, under a name of any kind", async () => {
    const name = "a new 'one' \"there\"";
    const copied = await copyTo(name);
    assert.ok(copied.tables > 5 && copied.rows >= instance.files.size);
    const [row] = await query(
      server.connection(name),
      "SELECT count(*)::text AS rows FROM ir_attachment",
    );
    assert.equal(Number(row!["rows"]), instance.files.size + 1);
    await copied.undo();
    assert.ok(!(await names()).includes(name));
  });

  test("rows that do not load end it, and the new database is dropped", async () => {
    await instance.sql(
      "CREATE FUNCTION refuses(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN IF current_database() = 'broken' THEN RAISE EXCEPTION 'not today'; END IF; RETURN true; END $$",
    );
    await instance.sql("CREATE TABLE odd (value int CHECK (refuses(value)))");
    await instance.sql("INSERT INTO odd VALUES (1)");
    await assert.rejects(
      copyTo("broken"),
      (error) => isHoldfastError(error, "POSTGRES_FAILED") && /not today/.test(error.message),
    );
    assert.ok(!(await names()).includes("broken"));
    await instance.sql("DROP TABLE odd");
  });

  test("a copy that differs is found by counting, and dropped", async () => {
    // Held against a database that has other tables than the one that was dumped.
    await assert.rejects(
      copyTo("lossy", "postgres"),
      (error) =>
        isHoldfastError(error, "POSTGRES_FAILED") && /instead of no table/.test(error.message),
    );
    assert.ok(!(await names()).includes("lossy"));
  });

  test("a database that is there is refused, and stays", async () => {
    await assert.rejects(copyTo("postgres"));
    assert.ok((await names()).includes("postgres"));
    const ask = async (name: string, major = 15): Promise<void> =>
      await requireNewDatabase({ target: settingsOf(server), name, major });
    await ask("not-there");
    for (const [name, major] of [
      ["postgres", 15],
      ["", 15],
      ["x".repeat(64), 15],
      ["new", server.major + 1],
    ] as const)
      await assert.rejects(ask(name, major), (error) => isHoldfastError(error, "USAGE"));
  });
});
