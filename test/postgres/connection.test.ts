// Connections to real servers: what is asked and answered, and copies both ways.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chownSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connect, sqlStateOf, type Connection } from "../../src/postgres/connection.ts";
import { formatStatus, sendStatus, streamWal } from "../../src/postgres/replication-stream.ts";
import { parseLsn } from "../../src/barman/lsn.ts";
import { settingsOf } from "./base-backups.ts";
import { refused } from "./refusal.ts";
import { MAJORS, skipWithoutServer, startTestServer, until, type TestServer } from "./servers.ts";

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
