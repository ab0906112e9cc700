// What a drill looks at, on a server whose pages were damaged on purpose: each check finds its own kind of damage, and names it.

import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import assert from "node:assert/strict";
import { checkIndexes, checkTables } from "../../src/odoo/drill/database-checks.ts";
import { runOwnCommand } from "../../src/odoo/drill/own-command.ts";
import { checkPages } from "../../src/odoo/drill/page-check.ts";
import { connect, type Connection } from "../../src/postgres/connection.ts";
import { settingsOf } from "../postgres/base-backups.ts";
import { skipWithoutServer, startTestServer, until, type TestServer } from "../postgres/servers.ts";
import { makeSmallInstance } from "./small-instance.ts";

const scratch = mkdtempSync(join(tmpdir(), "holdfast-drill-checks-"));

after(() => rmSync(scratch, { recursive: true, force: true }));

async function withConnection<T>(
  server: TestServer,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = await connect({ settings: settingsOf(server, { database: "odoo" }) });
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}

/** Writes over the middle of the first page of a relation. */
function damage(server: TestServer, path: string): void {
  const file = openSync(join(server.dataDirectory, path), "r+");
  try {
    writeSync(file, Buffer.alloc(4000, 0x5a), 0, 4000, 100);
  } finally {
    closeSync(file);
  }
}

test(
  "damaged pages, tables that are missing, indexes out of order",
  { skip: skipWithoutServer() },
  async () => {
    await using server = await startTestServer();
    const instance = await makeSmallInstance(server);
    try {
      await instance.sql(
        "CREATE TABLE many AS SELECT i AS id FROM generate_series(1, 5000) i; CREATE INDEX many_id ON many (id)",
      );
      const tables = await withConnection(
        server,
        async (connection) => await checkTables(connection, {}),
      );
      assert.equal(tables.check.result, "ok", tables.check.detail);
      const indexes = await withConnection(
        server,
        async (connection) => await checkIndexes(connection, {}),
      );
      assert.match(indexes.detail, /^\d+ B-trees are in order/);

      const [heap] = await instance.sql("SELECT pg_relation_filepath('many') AS path");
      const [index] = await instance.sql("SELECT pg_relation_filepath('many_id') AS path");
      await instance.sql("ALTER TABLE res_partner RENAME TO res_partners");
      await server.sql("CHECKPOINT");
      await server.halt();
      const pages = {
        programs: server.programs,
        dataDirectory: server.dataDirectory,
        hasChecksums: true,
        account: server.account,
      };
      assert.equal((await checkPages(pages)).result, "ok");
      damage(server, heap!["path"]!);
      damage(server, index!["path"]!);
      const found = await checkPages(pages);
      assert.equal(found.result, "failed");
      assert.match(found.detail, /^2 pages do not match/);
      assert.equal((await checkPages({ ...pages, hasChecksums: false })).result, "not checked");

      await server.start();
      const after = await withConnection(
        server,
        async (connection) => await checkTables(connection, {}),
      );
      assert.equal(after.check.result, "failed");
      assert.match(after.check.detail, /public\.many: .*invalid page/);
      assert.match(after.check.detail, /there is no table res_partner/);
      const broken = await withConnection(
        server,
        async (connection) => await checkIndexes(connection, {}),
      );
      assert.equal(broken.result, "failed");
      assert.match(broken.detail, /public\.many_id: /);
    } finally {
      instance.remove();
    }
  },
);

test("a command that does not end is ended with all that it started", async () => {
  const pids = join(scratch, "pid");
  const check = await runOwnCommand({
    command: `sleep 1000 & echo $! > ${pids}; echo begun; wait`,
    environment: { PATH: "/usr/bin:/bin" },
    folder: scratch,
    limit: 4000,
  });
  assert.equal(check.result, "failed");
  assert.match(check.detail, /^not done after 4 s/);
  const pid = Number(readFileSync(pids, "utf8"));
  await until("the child to be gone, or to be taken away by whoever inherited it", async () => {
    await Promise.resolve();
    try {
      return /\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
    } catch {
      return true;
    }
  });
  const left = await runOwnCommand({
    command: "sleep 1000 & echo started; exit 0",
    environment: { PATH: "/usr/bin:/bin" },
    folder: scratch,
    limit: 600_000,
  });
  assert.deepEqual([left.result, left.detail], ["ok", "ended with 0: started"]);
});
