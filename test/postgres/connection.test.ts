// Connections to real servers: what is asked and answered, every way in which a server says no, and copies both ways.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chownSync, chmodSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { isHoldfastError } from "../../src/base/errors.ts";
import {
  connect,
  sqlStateOf,
  type Connection,
  type ConnectionSettings,
} from "../../src/postgres/connection.ts";
import { formatStatus, sendStatus, streamWal } from "../../src/postgres/replication-stream.ts";
import { parseLsn } from "../../src/barman/lsn.ts";
import { settingsOf } from "./base-backups.ts";
import { MAJORS, skipWithoutServer, startTestServer, until, type TestServer } from "./servers.ts";

interface Refusal {
  readonly code: string;
  /** In the message or the hint. */
  readonly says: RegExp;
  readonly retryable?: boolean;
}

/** Rejects as it should, with a hint, and with none of `secrets` anywhere in what could be shown. */
async function refused(
  work: Promise<unknown>,
  { code, says, retryable = false }: Refusal,
  secrets: readonly string[] = [],
): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(isHoldfastError(error), String(error));
    const { message, hint = "", stack = "" } = error;
    assert.equal(error.code, code, `${message} / ${hint}`);
    assert.match(`${message} / ${hint}`, says);
    assert.equal(error.retryable, retryable, message);
    assert.notEqual(hint, "");
    for (const secret of secrets)
      assert.ok(!`${message}${hint}${stack}${JSON.stringify(error)}`.includes(secret));
    return true;
  });
}

for (const major of MAJORS) {
  describe(`a connection to PostgreSQL ${major}`, { skip: skipWithoutServer(major) }, () => {
    let server: TestServer;
    let connection: Connection;
    before(async () => {
      server = await startTestServer({ major, segmentMegabytes: 1 });
      connection = await connect({ settings: settingsOf(server) });
    });
    after(async () => {
      await connection?.close();
      await server?.stop();
    });

    test("knows the server's version, and gives rows of all results", async () => {
      assert.equal(connection.major, major);
      const rows = await connection.query(
        "SELECT 1 AS a, NULL AS b; CREATE TEMP TABLE t (x int); SELECT 'ü' AS c",
      );
      assert.deepEqual(rows, [{ a: "1", b: null }, { c: "ü" }]);
    });

    test("gives rows of any size, and is usable after an error", async () => {
      const [row] = await connection.query("SELECT repeat('x', 5000000) AS long");
      assert.equal(row!["long"]!.length, 5_000_000);
      await refused(connection.query("SELECT 1/0"), {
        code: "POSTGRES_FAILED",
        says: /division by zero/,
      });
      const error = await connection.query("SELECT 1/0").catch((failure: unknown) => failure);
      assert.equal(sqlStateOf(error), "22012");
      assert.deepEqual(await connection.query("SELECT 1 AS a"), [{ a: "1" }]);
      await refused(connection.query("SELECT * FROM nowhere"), {
        code: "POSTGRES_FAILED",
        says: /42P01/,
      });
    });

    test("is not read faster than it is taken", async () => {
      const slow = await connect({ settings: settingsOf(server) });
      try {
        let rows = 0;
        for await (const event of slow.run(
          "SELECT repeat('y', 10000) AS t FROM generate_series(1, 20000)",
        )) {
          if (event.kind !== "row") continue;
          rows++;
          if (rows > 100) break;
          await new Promise((resolve) => setImmediate(resolve));
        }
        // Two hundred megabytes were on offer: the server still waits for us to take them.
        assert.ok(process.memoryUsage().arrayBuffers < 100e6);
      } finally {
        slow.destroy();
      }
    });

    test("a command that is stopped ends the connection, and tells the server so", async () => {
      const stopped = await connect({ settings: settingsOf(server) });
      const stop = new AbortController();
      const [row] = await stopped.query("SELECT pg_backend_pid() AS pid");
      const waiting = stopped.query("SELECT pg_sleep(600)", { signal: stop.signal });
      stop.abort();
      await assert.rejects(waiting, { code: "CANCELLED" });
      await assert.rejects(stopped.query("SELECT 1"), { code: "POSTGRES_UNREACHABLE" });
      await connection.query(`SELECT pg_terminate_backend(${row!["pid"]})`);
    });

    test("a backend that is ended is told as such, and is worth another try", async () => {
      const victim = await connect({ settings: settingsOf(server) });
      const [row] = await victim.query("SELECT pg_backend_pid() AS pid");
      const waiting = victim.query("SELECT pg_sleep(600)");
      const isRefused = refused(waiting, {
        code: "POSTGRES_UNREACHABLE",
        says: /terminating connection/,
        retryable: true,
      });
      await until("the backend to end", async () => {
        const [ended] = await connection.query(
          `SELECT pg_terminate_backend(${row!["pid"]}) AS done`,
        );
        return ended!["done"] === "f" || ended!["done"] === "t";
      });
      await isRefused;
    });

    test("two commands at once are a mistake of ours", async () => {
      const first = connection.query("SELECT pg_sleep(0.2)");
      await assert.rejects(connection.query("SELECT 1"), { code: "BUG" });
      await first;
    });

    test("for replication: identity, segment size, and WAL from where it is asked for", async () => {
      const replication = await connect({ settings: settingsOf(server), replication: true });
      const identity = await replication.identify();
      const [control] = await server.sql<{ id: string }>(
        "SELECT system_identifier::text AS id FROM pg_control_system()",
      );
      assert.equal(identity.systemId, control!.id);
      assert.equal(await replication.segmentSize(), 1 << 20);
      const size = 1n << 20n;
      const from = (parseLsn(identity.position, "the server") / size) * size;
      await server.sql(
        "CREATE TABLE logged AS SELECT i, md5(i::text) FROM generate_series(1, 20000) i",
      );
      const [end] = await server.sql<{ lsn: string }>(
        "SELECT pg_current_wal_flush_lsn()::text AS lsn",
      );
      const target = parseLsn(end!.lsn, "the server");
      let next = from;
      const stop = new AbortController();
      const stream = (async () => {
        for await (const message of streamWal(replication, {
          timeline: 1,
          position: from,
          signal: stop.signal,
        })) {
          if (message.kind !== "wal") continue;
          assert.equal(message.start, next);
          if (next === from) assert.equal(message.bytes.readUInt16LE(0) >> 8, 0xd1);
          next += BigInt(message.bytes.length);
          sendStatus(replication, { write: next, flush: next, now: BigInt(Date.now()) * 1000n });
          if (next >= target) break;
        }
      })();
      await stream;
      assert.ok(next >= target);
    });

    test("a slot in use, one that is not there, WAL that is gone", async () => {
      const [one, two, three] = await Promise.all(
        [1, 2, 3].map(
          async () => await connect({ settings: settingsOf(server), replication: true }),
        ),
      );
      await one!.query("CREATE_REPLICATION_SLOT taken PHYSICAL RESERVE_WAL");
      const { position } = await one!.identify();
      const start = { timeline: 1, position: (parseLsn(position, "x") >> 20n) << 20n };
      const run = async (
        connection: Connection | undefined,
        slot?: string,
        at = start,
      ): Promise<void> => {
        for await (const message of streamWal(connection!, { ...at, slot }))
          if (message.kind === "keepalive") return;
      };
      const holding = one!.run(`START_REPLICATION SLOT "taken" PHYSICAL ${position} TIMELINE 1`);
      await holding.next();
      await refused(run(two, "taken"), {
        code: "POSTGRES_SETTING",
        says: /"taken" is active.*Stop the other receiver/,
        retryable: true,
      });
      await refused(run(two, "no_such_slot"), { code: "POSTGRES_FAILED", says: /no_such_slot/ });
      await holding.return();
      await server
        .sql("SELECT pg_drop_replication_slot('taken') FROM pg_replication_slots WHERE NOT active")
        .catch(() => {});
      for (let i = 0; i < 3; i++) {
        await server.sql("SELECT pg_switch_wal()");
        await server.sql("CHECKPOINT");
      }
      await refused(run(three, undefined, { timeline: 1, position: 1n << 20n }), {
        code: "WAL_MISSING",
        says: /already been removed/,
      });
      for (const each of [one, two, three]) each?.destroy();
    });
  });
}

describe("the end of a timeline", { skip: skipWithoutServer(15) }, () => {
  test("is told with the next one and where it begins", async () => {
    await using server = await startTestServer();
    // A server that recovers nothing but its own WAL ends its timeline when it opens.
    await server.halt("fast");
    const signal = join(server.dataDirectory, "standby.signal");
    execFileSync("sh", ["-c", `touch ${signal}`]);
    if (server.account) chownSync(signal, server.account.uid, server.account.gid);
    await server.start();
    const replication = await connect({ settings: settingsOf(server), replication: true });
    const { position } = await replication.identify();
    const from = (parseLsn(position, "x") >> 24n) << 24n;
    const seen: string[] = [];
    let next: { timeline: number; position: bigint } | undefined;
    for await (const message of streamWal(replication, { timeline: 1, position: from })) {
      if (seen.length === 0) await server.sql("SELECT pg_promote(wait => false)");
      seen.push(message.kind);
      if (message.kind === "next-timeline") next = message;
    }
    assert.deepEqual(seen.slice(-2), ["end", "next-timeline"]);
    assert.equal(next?.timeline, 2);
    assert.ok(next.position >= from);
    // The connection goes on after that.
    const [history] = await replication.query("TIMELINE_HISTORY 2");
    assert.equal(history?.["filename"], "00000002.history");
    await replication.close();
  });
});

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
      settings: { max_replication_slots: 1, max_wal_senders: 2 },
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
    const open = await Promise.all(
      [1, 2].map(async () => await connect({ settings: at(), replication: true })),
    );
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

test("a status says what it is made of", () => {
  const status = formatStatus({
    write: 0x16b374d848n,
    flush: 5n,
    now: 946_684_800_000_001n,
    wantsReply: true,
  });
  assert.equal(
    status.toString("hex"),
    "72" + "00000016b374d848" + "0000000000000005" + "0000000000000000" + "0000000000000001" + "01",
  );
});
