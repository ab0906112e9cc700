// Every way in which a real server, or what stands in its place, says no; and TLS, with a certificate of our own making.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chownSync, chmodSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import {
  connect,
  type Connection,
  type ConnectionSettings,
} from "../../src/postgres/connection.ts";
import { settingsOf } from "./base-backups.ts";
import { refused } from "./refusal.ts";
import { skipWithoutServer, startTestServer, until, type TestServer } from "./servers.ts";

/** So many that those of connections that are just ending are not missed. */
const SENDERS = 8;

describe("a server that says no", { skip: skipWithoutServer(15) }, () => {
  let server: TestServer;
  const at = (
    more: Partial<ConnectionSettings> & { password?: string } = {},
  ): ConnectionSettings => ({
    ...settingsOf({ host: "127.0.0.1", port: server.port }),
    hosts: [{ host: "127.0.0.1", port: server.port, password: more.password }],
    ...more,
  });
  const entering = async (
    more: Partial<ConnectionSettings> & { password?: string } = {},
    replication = true,
  ): Promise<void> => {
    const connection = await connect({ settings: at(more), replication });
    await connection.close();
  };
  const SECRET = "the-secret-of-this-test";

  before(async () => {
    server = await startTestServer({
      tcp: true,
      hba: [
        "host all,replication keyed 127.0.0.1/32 scram-sha-256",
        "host all,replication old 127.0.0.1/32 md5",
        "host all,replication plain 127.0.0.1/32 password",
        "host all,replication shut 127.0.0.1/32 reject",
        "hostssl all secure 127.0.0.1/32 trust",
        "host all secure 127.0.0.1/32 reject",
      ],
      settings: { max_replication_slots: 1, max_wal_senders: SENDERS },
    });
    await server.sql(`CREATE ROLE keyed LOGIN REPLICATION PASSWORD '${SECRET}'`);
    await server.sql(`CREATE ROLE plain LOGIN REPLICATION PASSWORD '${SECRET}'`);
    await server.sql(
      `SET password_encryption = 'md5'; CREATE ROLE old LOGIN REPLICATION PASSWORD '${SECRET}'`,
    );
    await server.sql(
      "CREATE ROLE shut LOGIN REPLICATION; CREATE ROLE weak LOGIN; CREATE ROLE secure LOGIN",
    );
    await server.sql("CREATE ROLE nologin REPLICATION");
  });
  after(async () => await server?.stop());

  for (const user of ["keyed", "old", "plain"]) {
    test(`${user}: the right password opens, a wrong one or none does not`, async () => {
      await entering({ user, password: SECRET });
      await refused(
        entering({ user, password: `${SECRET}x` }),
        { code: "POSTGRES_DENIED", says: /password.*PGPASSWORD/ },
        [SECRET],
      );
      await refused(entering({ user }), { code: "POSTGRES_DENIED", says: /PGPASSWORD/ });
    });
  }

  test("a role that may not replicate, may not log in, or does not exist", async () => {
    await refused(entering({ user: "weak" }), {
      code: "POSTGRES_DENIED",
      says: /ALTER ROLE "weak" REPLICATION/,
    });
    await entering({ user: "weak" }, false);
    await refused(entering({ user: "nologin" }), { code: "POSTGRES_DENIED", says: /nologin/ });
    await refused(entering({ user: "nobody" }), {
      code: "POSTGRES_DENIED",
      says: /"nobody" does not exist/,
    });
  });

  test("pg_hba.conf: the line that is missing is given", async () => {
    await refused(entering({ user: "shut" }), {
      code: "POSTGRES_DENIED",
      says: /hostssl replication "shut" ADDRESS/,
    });
    await refused(entering({ user: "shut" }, false), {
      code: "POSTGRES_DENIED",
      says: /hostssl "postgres" "shut" ADDRESS/,
    });
  });

  test("a database that does not exist, and no TLS where it is required", async () => {
    await refused(entering({ database: "nowhere" }, false), {
      code: "POSTGRES_FAILED",
      says: /nowhere.*--dbname/,
    });
    await refused(entering({ tls: { mode: "require" } }), {
      code: "POSTGRES_SETTING",
      says: /TLS.*ssl = on/,
    });
  });

  test("all places for replication taken, and all slots", async () => {
    const open: Connection[] = [];
    const enter = (): Promise<Connection | undefined> =>
      connect({ settings: at(), replication: true }).catch(() => undefined);
    while (open.length < SENDERS) open.push(await until("a place to be free", enter));
    await refused(entering(), {
      code: "POSTGRES_SETTING",
      says: /max_wal_senders/,
      retryable: true,
    });
    await open[0]!.query("CREATE_REPLICATION_SLOT first PHYSICAL");
    await refused(open[0]!.query("CREATE_REPLICATION_SLOT second PHYSICAL"), {
      code: "POSTGRES_SETTING",
      says: /max_replication_slots/,
    });
    for (const each of open) await each.close();
  });

  test("nobody there: the other hosts are asked, and the error says what was wrong", async () => {
    const nowhere = { host: "127.0.0.1", port: 1 };
    await refused(connect({ settings: at({ hosts: [nowhere] }) }), {
      code: "POSTGRES_UNREACHABLE",
      says: /127\.0\.0\.1:1 .*nothing listens/,
      retryable: true,
    });
    await refused(connect({ settings: at({ hosts: [{ host: "/nowhere", port: 1 }] }) }), {
      code: "POSTGRES_UNREACHABLE",
      says: /no socket/,
      retryable: true,
    });
    await refused(
      connect({ settings: at({ hosts: [{ host: "no.such.host.invalid", port: 1 }] }) }),
      { code: "POSTGRES_UNREACHABLE", says: /no\.such\.host\.invalid/, retryable: true },
    );
    const connection = await connect({
      settings: at({ hosts: [nowhere, { host: server.host, port: server.port }] }),
    });
    assert.equal(connection.place, server.host);
    await connection.close();
  });

  test("somebody else there, or one who never answers", async () => {
    const listener = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", () => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n"));
    });
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    const { port } = listener.address() as AddressInfo;
    try {
      const settings = at({ hosts: [{ host: "127.0.0.1", port }] });
      await assert.rejects(connect({ settings }), { code: "POSTGRES_UNREACHABLE" });
      const silent = createServer((socket) => void socket.on("error", () => {}).resume());
      await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
      const place = { host: "127.0.0.1", port: (silent.address() as AddressInfo).port };
      await refused(connect({ settings: at({ hosts: [place], connectTimeout: 200 }) }), {
        code: "POSTGRES_UNREACHABLE",
        says: /no answer in time/,
        retryable: true,
      });
      const stop = new AbortController();
      const waiting = connect({ settings: at({ hosts: [place] }), signal: stop.signal });
      stop.abort();
      await assert.rejects(waiting, { code: "CANCELLED" });
      silent.close();
    } finally {
      listener.close();
    }
  });
});

describe("TLS", { skip: skipWithoutServer(15) }, () => {
  let server: TestServer;
  let certificates: { ca: string; stranger: string; client: string; clientKey: string };

  const entering = async (
    tls: ConnectionSettings["tls"],
    host = "127.0.0.1",
    user = "postgres",
  ): Promise<string> => {
    const settings = { ...settingsOf({ host, port: server.port }), tls, user };
    const connection = await connect({ settings });
    try {
      const [row] = await connection.query(
        "SELECT ssl::text AS ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
      );
      return row!["ssl"]!;
    } finally {
      await connection.close();
    }
  };

  before(async () => {
    server = await startTestServer({
      tcp: true,
      hba: ["hostssl all shown 127.0.0.1/32 cert", "host all shown 127.0.0.1/32 reject"],
    });
    await server.sql("CREATE ROLE shown LOGIN");
    const folder = server.folder;
    const make = (name: string, subject: string, extra: string): void => {
      const script = `cd ${folder} && openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ${name}.key -subj "/CN=${subject}" -out ${name}.csr 2>/dev/null && openssl x509 -req -in ${name}.csr ${extra} -out ${name}.crt -days 2 2>/dev/null`;
      execFileSync("sh", ["-c", script]);
    };
    make("ca", "the authority", "-signkey ca.key");
    make("stranger", "a stranger", "-signkey stranger.key");
    make("server", "localhost", "-CA ca.crt -CAkey ca.key -CAcreateserial");
    make("client", "shown", "-CA ca.crt -CAkey ca.key -CAcreateserial");
    const read = (name: string): string => readFileSync(join(folder, name), "utf8");
    certificates = {
      ca: read("ca.crt"),
      stranger: read("stranger.crt"),
      client: read("client.crt"),
      clientKey: read("client.key"),
    };
    chmodSync(join(folder, "server.key"), 0o600);
    if (server.account)
      chownSync(join(folder, "server.key"), server.account.uid, server.account.gid);
    await server.configure({
      ssl: "on",
      ssl_cert_file: join(folder, "server.crt"),
      ssl_key_file: join(folder, "server.key"),
      ssl_ca_file: join(folder, "ca.crt"),
    });
  });
  after(async () => await server?.stop());

  test("is used where it is offered, unless it is disabled", async () => {
    assert.equal(await entering({ mode: "prefer" }), "true");
    assert.equal(await entering({ mode: "require" }), "true");
    assert.equal(await entering({ mode: "disable" }), "false");
    assert.equal(await entering({ mode: "allow" }), "false");
  });

  test("the authority and the name are checked as far as is asked", async () => {
    const { ca, stranger } = certificates;
    assert.equal(await entering({ mode: "verify-ca", ca }), "true");
    assert.equal(await entering({ mode: "verify-full", ca }, "localhost"), "true");
    const untrusted = { code: "POSTGRES_UNREACHABLE", says: /certificate.*sslrootcert/ };
    await refused(entering({ mode: "verify-full", ca }), untrusted);
    await refused(entering({ mode: "verify-ca", ca: stranger }), untrusted);
    await refused(entering({ mode: "verify-ca" }), untrusted);
    // As with libpq, an authority that is at hand is used.
    await refused(entering({ mode: "require", ca: stranger }), untrusted);
  });

  test("our certificate opens where one is wanted", async () => {
    const { ca, client, clientKey } = certificates;
    const shown = { mode: "verify-ca", ca, certificate: client, key: clientKey } as const;
    assert.equal(await entering(shown, "127.0.0.1", "shown"), "true");
    await refused(entering({ mode: "require" }, "127.0.0.1", "shown"), {
      code: "POSTGRES_DENIED",
      says: /certificate/,
    });
  });

  test("a whole base backup's worth of bytes comes through", async () => {
    const settings = {
      ...settingsOf({ host: "127.0.0.1", port: server.port }),
      tls: { mode: "require" } as const,
    };
    const connection = await connect({ settings });
    const rows = await connection.query(
      "SELECT i, repeat(md5(i::text), 100) AS t FROM generate_series(1, 5000) i",
    );
    assert.equal(rows.length, 5000);
    assert.ok(rows.every(({ t }) => t!.length === 3200));
    await connection.close();
  });
});
