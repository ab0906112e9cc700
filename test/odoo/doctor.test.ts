// `doctor odoo` on a real server and a data directory: what is there, and what no backup of the filestore holds.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { runProgram } from "../postgres/program.ts";
import { skipWithoutServer } from "../postgres/servers.ts";
import { fileRow, insertRow } from "./attachment-rows.ts";
import { HandMadeInstance } from "./hand-made-instance.ts";

describe("doctor odoo", { skip: skipWithoutServer(15) }, () => {
  let instance: HandMadeInstance;
  before(async () => {
    instance = await HandMadeInstance.make();
    await instance.attach("good");
    await instance.connection.query(
      [
        fileRow("outside", { store_fname: "s3://bucket/key" }),
        insertRow({ name: "cloud", type: "cloud_storage", url: "https://storage.example/x" }),
        insertRow({ name: "inside", type: "binary", db_datas: "\\x0102" }),
        "INSERT INTO ir_config_parameter (key, value) VALUES ('ir_attachment.location', 'file:filestore')",
        "INSERT INTO ir_module_module (name, state) VALUES ('cloud_storage_google', 'installed')",
      ].join(";"),
    );
    mkdirSync(join(instance.folder, "data", "filestore", "forgotten", "checklist"), {
      recursive: true,
    });
  });
  after(async () => await instance?.[Symbol.asyncDispose]());

  const doctor = async (...words: string[]) =>
    await runProgram(["doctor", "odoo", ...words], { env: instance.environment });

  test("tells what no backup of the filestore holds, loudly, and fails for nothing", async () => {
    const run = await doctor("--data-dir", instance.folder, "-d", "dbname=odoo");
    assert.equal(run.status, 0, run.stderr);
    assert.match(run.stdout, /^odoo +~1 .*19\.0 +\/.*\/data\/filestore\/odoo$/m);
    assert.match(run.stdout, /WARNING: odoo: 1 attachment of cloud_storage.*NO backup/);
    assert.match(run.stdout, /WARNING: odoo: 1 attachment in the store s3:\/\/.*NO backup/);
    assert.match(run.stdout, /WARNING: odoo: ir_attachment\.location is "file:filestore"/);
    assert.match(run.stdout, /WARNING: forgotten: .*no database of that name/);
    assert.match(run.stdout, /storage modules: cloud_storage_google/);
  });

  test("a database whose filestore is not where it was looked for is a failure", async () => {
    const empty = join(instance.folder, "empty");
    mkdirSync(empty);
    const run = await doctor("--data-dir", empty, "-d", "dbname=odoo", "--json");
    assert.equal(run.status, 1);
    const message = JSON.parse(run.stdout) as {
      ok: boolean;
      instances: { facts: { local: number; inDatabase: number; cloud: number } }[];
    };
    assert.equal(message.ok, false);
    const { local, inDatabase, cloud } = message.instances[0]!.facts;
    assert.deepEqual({ local, inDatabase, cloud }, { local: 1, inDatabase: 1, cloud: 1 });
  });

  test("looks without a server, too, and says so", async () => {
    const run = await doctor("--data-dir", instance.folder);
    assert.equal(run.status, 0);
    assert.match(run.stdout, /not asked/);
    const nothing = await runProgram(["doctor", "odoo"], {});
    assert.equal(nothing.status, 1);
    assert.match(nothing.stderr, /neither a data directory nor a database/);
  });
});
