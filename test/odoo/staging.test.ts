// Copies for tests, made by the program itself out of a real instance, with addons that are made up: what a copy lost, what it
// got, and when it must not come to be.

import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  existsSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { systemRandom } from "../../src/base/clock.ts";
import { makeHarmless, type StagingOptions, type StagingReport } from "../../src/odoo/staging.ts";
import { connect } from "../../src/postgres/connection.ts";
import type { ServerState } from "../../src/postgres/scratch.ts";
import { settingsOf } from "../postgres/base-backups.ts";
import type { ProgramRun } from "../postgres/program.ts";
import { query, skipWithoutServer, startTestServer } from "../postgres/servers.ts";
import { makeProtectedInstance, messagesOf, type ProtectedInstance } from "./protected-instance.ts";

const skip = skipWithoutServer();
let made: ProtectedInstance;
let addons: string;
let root: string;

before(async () => {
  if (skip) return;
  made = await makeProtectedInstance();
  root = join(made.scratch, "..");
  await made.instance.sql(`
    INSERT INTO ir_config_parameter (key, value) VALUES ('cloud_storage_provider', 'google'),
      ('cloud_storage_google_account_info', '{"private_key": "of production"}'), ('our_api_key', 'of production');
    CREATE TABLE fs_storage (id serial, code text, options text);
    -- What the database itself does while it is changed: with the rights of Odoo, and no more.
    CREATE TABLE noticed (role text, super boolean);
    CREATE FUNCTION notice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO noticed SELECT session_user, rolsuper FROM pg_roles WHERE rolname = session_user; RETURN NULL; END $$;
    CREATE TRIGGER notice AFTER UPDATE ON ir_cron FOR EACH STATEMENT EXECUTE FUNCTION notice();
    INSERT INTO fs_storage (code, options) VALUES ('s3', '{"key": "of production"}')`);
  await made.server.sql("CREATE ROLE odoo LOGIN");
  await made.instance.sql(`DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT c.oid::regclass AS name FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    LOOP EXECUTE format('ALTER TABLE %s OWNER TO odoo', one.name); END LOOP; END $$`);
  await made.capture();
  await made.archiveWal();
  addons = mkdtempSync(join(root, "addons-"));
  for (const module of ["base", "web", "mail", "product", "sale"]) {
    mkdirSync(join(addons, module, "data"), { recursive: true });
    writeFileSync(join(addons, module, "__manifest__.py"), "{}");
  }
  neutralize(
    "base",
    "UPDATE ir_cron SET active = false WHERE cron_name NOT LIKE 'Base: Auto-vacuum%'; -- the end",
  );
  neutralize(
    "mail",
    "UPDATE ir_mail_server SET active = false;\nINSERT INTO ir_mail_server (name, smtp_host) VALUES ('neutralised', 'invalid');",
  );
  // Of a module that is not installed.
  mkdirSync(join(addons, "fleet", "data"), { recursive: true });
  writeFileSync(join(addons, "fleet", "__manifest__.py"), "{}");
  neutralize("fleet", "DROP TABLE res_users CASCADE");
});

after(async () => {
  await made?.[Symbol.asyncDispose]();
});

function neutralize(module: string, sql: string): void {
  writeFileSync(join(addons, module, "data", "neutralize.sql"), sql);
}

async function staging(...words: string[]): Promise<ProgramRun> {
  const run = await made.holdfast(["staging", "--json", ...words]);
  assert.deepEqual(readdirSync(made.scratch), [], "nothing is left of it");
  return run;
}

async function databases(): Promise<string[]> {
  const rows = await made.server.sql("SELECT datname FROM pg_database ORDER BY 1");
  return rows.map((row) => row["datname"]!);
}

const valuesOf = async (database: string): Promise<Map<string, string>> => {
  const rows = await query(
    made.server.connection(database),
    "SELECT key, value FROM ir_config_parameter",
  );
  return new Map(rows.map((row) => [row["key"]!, row["value"]!]));
};

test(
  "a copy in a running server is neutralised, has an identity of its own and exactly its files",
  { skip },
  async () => {
    const hook = join(root, "hook.sql");
    writeFileSync(hook, "UPDATE res_partner SET name = 'nobody'");
    const filestore = join(root, "filestore-test");
    const run = await staging(
      "--new-database",
      "odoo-test",
      "--into-server",
      `host=${made.server.host} user=postgres dbname=postgres`,
      "--filestore",
      filestore,
      "--addons",
      addons,
      "--base-url",
      "https://test.example.com",
      "--sql",
      hook,
    );
    assert.equal(run.status, 0, `${run.stdout}\n${run.stderr}`);
    const summary = messagesOf(run).find(({ message_type: type }) => type === "staging")!;
    assert.deepEqual(summary["neutralized_modules"], ["base", "mail"]);
    assert.deepEqual(summary["active"], {
      crons: ["Base: Auto-vacuum internal data"],
      mail_servers: [],
      fetchmail_servers: [],
      payment_providers: [],
    });
    assert.deepEqual(summary["secrets_left"], ["our_api_key"]);

    const [live, copy] = [await valuesOf("odoo"), await valuesOf("odoo-test")];
    for (const key of ["database.uuid", "database.secret"]) {
      assert.match(
        copy.get(key)!,
        /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      );
      assert.notEqual(copy.get(key), live.get(key));
    }
    assert.equal(copy.get("web.base.url"), "https://test.example.com");
    assert.equal(copy.get("web.base.url.freeze"), "True");
    assert.equal(copy.get("database.is_neutralized"), "true");
    assert.ok(![...copy.keys()].some((key) => key.startsWith("cloud_storage_")));
    assert.equal(live.get("web.base.url"), "https://odoo.example.com");
    const ask = async (sql: string): Promise<string> =>
      Object.values((await query(made.server.connection("odoo-test"), sql))[0]!).join();
    assert.equal(await ask("SELECT DISTINCT role || ' ' || super FROM noticed"), "odoo false");
    assert.equal(await ask("SELECT options FROM fs_storage"), "{}");
    assert.equal(await ask("SELECT string_agg(DISTINCT name, ',') FROM res_partner"), "nobody");
    assert.equal(
      await ask("SELECT count(*) FROM ir_mail_server WHERE active AND smtp_host <> 'invalid'"),
      "0",
    );
    assert.equal(await ask("SELECT count(*) FROM ir_attachment"), "7");
    assert.deepEqual(
      (await databases()).filter((name) => name.startsWith("holdfast")),
      [],
    );

    for (const [path, content] of made.instance.files) {
      assert.deepEqual(readFileSync(join(filestore, path)), content);
      const [own, original] = [join(filestore, path), join(made.instance.folder, path)].map(
        (each) => statSync(each),
      );
      assert.equal(own!.nlink, 1);
      assert.notEqual(own!.ino, original!.ino);
    }
  },
);

test("a copy of its own has only the one database, under its new name", { skip }, async () => {
  await made.server.sql("CREATE DATABASE another_company");
  await made.archiveWal();
  const to = join(root, "own");
  const run = await staging(
    "--new-database",
    "odoo_may",
    "--to",
    to,
    "--addons",
    addons,
    "--database",
    "odoo",
  );
  assert.equal(run.status, 0, `${run.stdout}\n${run.stderr}`);
  assert.deepEqual(readdirSync(join(to, "filestore")), ["odoo_may"]);
  const summary = messagesOf(run).find(({ message_type: type }) => type === "staging")!;
  assert.deepEqual(summary["dropped_databases"], ["another_company", "odoo-test"]);
  await using server = await startTestServer({ dataDirectory: join(to, "pgdata") });
  const rows = await server.sql(
    "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1",
  );
  assert.deepEqual(
    rows.map((row) => row["datname"]),
    ["odoo_may", "postgres"],
  );
  const [row] = await query(
    server.connection("odoo_may"),
    "SELECT value FROM ir_config_parameter WHERE key = 'web.base.url'",
  );
  assert.equal(row!["value"], "http://localhost:8069");
});

test("what cannot be made harmless does not come to be", { skip }, async () => {
  const filestore = join(root, "filestore-unsafe");
  const words = [
    "--new-database",
    "unsafe",
    "--into-server",
    `host=${made.server.host} user=postgres dbname=postgres`,
    "--filestore",
    filestore,
  ];
  const refused = async (reason: RegExp, ...more: string[]): Promise<void> => {
    const run = await staging(...words, ...more);
    assert.equal(run.status, 1, run.stdout);
    assert.match(run.stderr, reason);
    assert.ok(!existsSync(filestore));
    assert.ok(!(await databases()).some((name) => /unsafe|holdfast/.test(name)));
  };
  await refused(/no folder of addons is named/);
  await refused(/does not name the copy/, "--leave-as-is", "odoo");
  neutralize("sale", "UPDATE nowhere SET x = 1");
  await refused(/sale\/data\/neutralize\.sql failed: .*nowhere/, "--addons", addons);
  neutralize("sale", "SELECT 1");
});

test(
  "modules that nobody knows, mail servers that stay on, versions without SQL: each stops it by name",
  { skip },
  async () => {
    const settings = { ...settingsOf(made.server), database: "odoo" };
    // Only what is rolled back by the test itself reaches the live database.
    const harmless = async (more: Partial<StagingOptions>): Promise<StagingReport> => {
      await made.server.sql("DROP DATABASE IF EXISTS trial");
      await made.server.sql("CREATE DATABASE trial TEMPLATE odoo");
      const recovered = {
        server: { connection: settings },
        promote: async () => await Promise.resolve({} as ServerState),
        connect: async () => await connect({ settings: { ...settings, database: "trial" } }),
      };
      return await makeHarmless(recovered, "trial", {
        addons: [addons],
        allowUnknown: false,
        baseUrl: undefined,
        hooks: [],
        keepStorage: false,
        allowMail: false,
        random: systemRandom,
        ...more,
      });
    };
    const isRefused =
      (reason: RegExp) =>
      (error: Error & { code?: string }): boolean => {
        assert.equal(error.code, "STAGING_UNSAFE");
        assert.match(error.message, reason);
        return true;
      };
    await assert.rejects(
      harmless({ addons: [root] }),
      isRefused(/5 of 5 installed modules are in none/),
    );
    neutralize("sale", "UPDATE ir_mail_server SET active = true");
    await assert.rejects(harmless({}), isRefused(/mail servers are active in the copy: Outgoing/));
    const allowed = await harmless({ allowMail: true });
    assert.equal(allowed.active.mailServers.length, 1);
    neutralize("sale", "SELECT 1");
    const bare = mkdtempSync(join(root, "bare-"));
    for (const module of ["base", "web", "mail", "product", "sale"]) {
      mkdirSync(join(bare, module));
      writeFileSync(join(bare, module, "__manifest__.py"), "{}");
    }
    await assert.rejects(
      harmless({ addons: [bare] }),
      isRefused(/no installed module has a data\/neutralize.sql/),
    );
    const kept = await harmless({
      keepStorage: true,
      addons: [root],
      allowUnknown: true,
      allowMail: true,
      hooks: [{ path: "x", sql: "SELECT 1" }],
    });
    assert.equal(kept.unknown.length, 5);
    assert.deepEqual(kept.changes.storage, []);
  },
);
