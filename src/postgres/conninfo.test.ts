import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import fc from "fast-check";
import { readConninfo, type ConninfoSource } from "./conninfo.ts";
import { readConnectionString } from "./conninfo/connection-string.ts";
import { findPassword } from "./conninfo/password-file.ts";

const home = mkdtempSync(join(tmpdir(), "holdfast-conninfo-"));
after(() => rmSync(home, { recursive: true }));

const read = async (
  conninfo: string,
  environment: Record<string, string> = {},
  more: Partial<ConninfoSource> = {},
): ReturnType<typeof readConninfo> =>
  await readConninfo({
    conninfo,
    environment: { HOME: home, ...environment },
    account: "me",
    ...more,
  });

describe("connection strings", () => {
  const cases: [string, Record<string, string>][] = [
    ["", {}],
    ["odoo", { dbname: "odoo" }],
    ["host=db1 port = 5433  dbname='my db'", { host: "db1", port: "5433", dbname: "my db" }],
    [
      String.raw`password='it\'s \\' user=a\ b`,
      { password: String.raw`it's \ `.trim(), user: "a b" },
    ],
    ["host= user=x", { host: "user=x" }],
    ["postgresql://", {}],
    [
      "postgres://a%40b:p%3Aw@db1:6000/o%20d?sslmode=require",
      {
        user: "a@b",
        password: "p:w",
        host: "db1",
        port: "6000",
        dbname: "o d",
        sslmode: "require",
      },
    ],
    ["postgresql://db1:1,[::1]:2,db3/x", { host: "db1,::1,db3", port: "1,2,", dbname: "x" }],
    ["postgresql:///x?host=/run/pg", { dbname: "x", host: "/run/pg" }],
  ];
  for (const [text, expected] of cases) {
    test(JSON.stringify(text), () => {
      assert.deepEqual(Object.fromEntries(readConnectionString(text)), expected);
    });
  }

  test("what is quoted as libpq quotes it is read back", () => {
    const value = fc.string({ unit: "binary", maxLength: 20 });
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom("host", "user", "password", "dbname"), value, { minKeys: 1 }),
        (wanted) => {
          const text = Object.entries(wanted)
            .map(([key, each]) => `${key}='${each.replace(/[\\']/g, "\\$&")}'`)
            .join(" ");
          assert.deepEqual(Object.fromEntries(readConnectionString(text)), { ...wanted });
        },
      ),
    );
  });

  for (const text of [
    "host=db1 secret",
    "host='db1",
    "=x",
    "postgresql://h:x/secret",
    "postgresql://u:secret%zz@h/",
    "postgresql://h?a=b=secret",
  ]) {
    test(`${JSON.stringify(text)} is refused without being repeated`, () => {
      assert.throws(
        () => readConnectionString(text),
        (error: Error & { code: string }) =>
          error.code === "USAGE" && !error.message.includes("secret"),
      );
    });
  }
});

describe("the password file", () => {
  const use = { host: "db1", port: 5432, database: "odoo", user: "backup" };
  test("the first line that matches counts", () => {
    const content =
      "# db1:5432:odoo:backup:no\nother:*:*:*:no\ndb1:5432:*:backup:yes\n*:*:*:*:late\n";
    assert.equal(findPassword(content, use), "yes");
    assert.equal(findPassword(content, { ...use, user: "x" }), "late");
    assert.equal(findPassword("db1:5432:odoo:backup\n", use), undefined);
  });
  test("escapes are undone, and a star that is escaped is only a star", () => {
    assert.equal(
      findPassword(String.raw`a\:b:*:*:*:p\:q\\r:s`, { ...use, host: "a:b" }),
      String.raw`p:q\r:s`,
    );
    assert.equal(findPassword(String.raw`\*:*:*:*:no`, use), undefined);
  });
});

describe("settings", () => {
  test("a connection string beats variables, and those beat what is usual", async () => {
    const settings = await read("host=db1", { PGHOST: "db2", PGPORT: "5433", PGUSER: "backup" });
    assert.deepEqual(settings.hosts, [{ host: "db1", port: 5433, password: undefined }]);
    assert.equal(settings.user, "backup");
    assert.equal(settings.database, "backup");
    assert.equal(settings.tls.mode, "prefer");
    assert.equal((await read("")).user, "me");
  });

  test("several hosts have a port each, or one for all", async () => {
    const places = async (text: string): Promise<unknown> =>
      (await read(text)).hosts.map(({ host, port }) => `${host}:${port}`);
    assert.deepEqual(await places("host=a,b port=1,2"), ["a:1", "b:2"]);
    assert.deepEqual(await places("host=a,b port=7"), ["a:7", "b:7"]);
    await assert.rejects(places("host=a,b port=1,2,3"), { code: "USAGE" });
  });

  test("the password file is read, unless others may read it too", async () => {
    const file = join(home, ".pgpass");
    writeFileSync(file, "db1:5432:replication:me:secret\n*:*:odoo:me:other\n", { mode: 0o600 });
    const passwordOf = async (more: Partial<ConninfoSource>): Promise<string | undefined> =>
      (await read("host=db1 dbname=odoo", {}, more)).hosts[0]!.password;
    assert.equal(await passwordOf({ replication: true }), "secret");
    assert.equal(await passwordOf({}), "other");
    chmodSync(file, 0o644);
    const warnings: string[] = [];
    assert.equal(await passwordOf({ warn: (text) => warnings.push(text) }), undefined);
    assert.match(warnings.join(), /chmod 600/);
    assert.equal((await read("", { PGPASSWORD: "given" })).hosts[0]!.password, "given");
  });

  test("certificates are read from where libpq looks, and a file that is named must be there", async () => {
    mkdirSync(join(home, ".postgresql"));
    writeFileSync(join(home, ".postgresql", "root.crt"), "ROOT");
    writeFileSync(join(home, "own.crt"), "OWN");
    const { tls } = await read(`sslmode=verify-full sslcert=${home}/own.crt`);
    assert.deepEqual(
      [tls.mode, tls.ca, tls.certificate, tls.key],
      ["verify-full", "ROOT", "OWN", undefined],
    );
    await assert.rejects(read("sslkey=/nowhere/key"), { code: "POSTGRES_DENIED" });
  });

  for (const text of [
    "sslmode=maybe",
    "service=x",
    "target_session_attrs=read-write",
    "port=0",
    "connect_timeout=soon",
    "flavour=sweet",
  ]) {
    test(`${text} is refused`, async () => {
      await assert.rejects(read(text), { code: "USAGE", message: new RegExp(text.split("=")[0]!) });
    });
  }
});
