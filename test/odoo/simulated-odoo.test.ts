// The simulated Odoo itself: what it says is true of its database and its folder, in every version that it plays.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { storePath } from "../../src/odoo/store-name.ts";
import {
  query,
  serverOwnedFolder,
  skipWithoutServer,
  startTestServer,
  type TestServer,
} from "../postgres/servers.ts";
import { SimulatedOdoo } from "./simulated-odoo.ts";
import { assertStateAt, readHistory, type Ask } from "./truth.ts";

describe("a simulated Odoo", { skip: skipWithoutServer() }, () => {
  let server: TestServer;
  let root: string;
  before(async () => {
    root = serverOwnedFolder("odoo");
    server = await startTestServer({ settings: { track_commit_timestamp: "on" } });
  });
  after(async () => {
    await server.stop();
    rmSync(root, { recursive: true, force: true });
  });

  for (const version of ["18", "19", "19.5"] as const) {
    test(`of version ${version}: every file of a row is there with its content, and the state is the one it notes`, async () => {
      const database = `odoo${version.replace(".", "")}`;
      await server.sql(`CREATE DATABASE ${database}`);
      const connection = server.connection(database);
      const odoo = new SimulatedOdoo({
        connection,
        folder: join(root, database),
        version,
        grace: 0,
        rate: 200,
      });
      await odoo.open();
      try {
        await odoo.populate(60);
        await odoo.work(150);
        const whole = await odoo.collect();
        assert.ok(whole > 0, "the collector found files without rows");
        const ask: Ask = async (text) => await query(connection, text);
        const now = { lsn: odoo.truth.commits.map(({ after }) => after).reduce(largest) };
        const liveHistory = await readHistory(ask);
        const referenced = await assertStateAt({
          ask,
          truth: odoo.truth,
          moment: now,
          liveHistory,
        });
        assert.deepEqual(referenced, odoo.referenced);
        for (const sha1 of referenced) {
          const content = readFileSync(join(root, database, storePath(sha1)));
          assert.equal(createHash("sha1").update(content).digest("hex"), sha1);
        }
        const { attached, deleted, replaced, givenUp } = odoo.counts;
        for (const count of [attached, deleted, replaced, givenUp]) assert.ok(count > 0);
        odoo.start();
        await odoo.stop();
      } finally {
        await odoo.close();
      }
    });
  }
});

function largest(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
