// Random moments of a database under load, each recovered on its own: every row committed by then is there, and none that
// was committed later. The server itself tells when it committed each row, to the microsecond. HOLDFAST_MOMENTS says how
// many; each takes about a second.

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { Client } from "pg";
import { millisecondsOf } from "../../src/barman/zoned-time.ts";
import { backUpServer, makeFolderArchive, readInfo } from "./base-backups.ts";
import { archiveAll, ask, recover, removeAll, restore, restoreFolder } from "./restored.ts";
import { MAJORS, skipWithoutServer, startTestServer, type TestServer } from "./servers.ts";

const MOMENTS = Number(process.env["HOLDFAST_MOMENTS"] ?? 4);
const ACCOUNTS = 200;
/** Rows before, between and behind the backups; one each 50 ms. */
const ROWS = 25;

interface Row {
  readonly id: number;
  /** Microseconds since 1970. */
  readonly committed: number;
}

/** Writes rows one after the other, `count` of them. */
async function writeRows(server: TestServer, count: number): Promise<void> {
  const client = new Client(server.connection());
  await client.connect();
  for (let row = 0; row < count; row++)
    await client.query("INSERT INTO marks DEFAULT VALUES; COMMIT; SELECT pg_sleep(0.05)");
  await client.end();
}

/** Moves amounts between accounts, in transactions of which some are rolled back, until `stop` is aborted. */
async function move(server: TestServer, stop: AbortSignal): Promise<void> {
  const client = new Client(server.connection());
  await client.connect();
  while (!stop.aborted) {
    const [from, to] = [randomInt(ACCOUNTS), randomInt(ACCOUNTS)];
    const changes = [
      [from, -1],
      [to, 1],
    ].toSorted(([a], [b]) => a! - b!);
    await client.query("BEGIN");
    // In the order of ids, so that no two wait for each other.
    for (const [id, amount] of changes)
      await client.query("UPDATE accounts SET amount = amount + $2 WHERE id = $1", [id, amount]);
    await client.query(randomInt(5) === 0 ? "ROLLBACK" : "COMMIT");
  }
  await client.end();
}

/** Microseconds since 1970 of the commit or abort that a recovery stopped before. */
function stopOf(log: string): number {
  const [, date, micros] =
    /recovery stopping before (?:commit|abort) of transaction \d+, time (\S+ [\d:]+)(?:\.(\d+))?\+00/.exec(
      log,
    ) ?? [];
  assert.ok(date, log);
  return Date.parse(`${date}Z`) * 1000 + Number((micros ?? "").padEnd(6, "0"));
}

for (const major of MAJORS) {
  test(`${MOMENTS} random moments on ${major}`, { skip: skipWithoutServer(major) }, async () => {
    const shared = await makeFolderArchive();
    const { archive, restoreCommand } = shared;
    const server = await startTestServer({
      major,
      segmentMegabytes: 1,
      archiveCommand: shared.archiveCommand,
      settings: { track_commit_timestamp: true },
    });
    const stop = new AbortController();
    try {
      await server.sql("CREATE TABLE marks (id serial)");
      await server.sql(
        `CREATE TABLE accounts AS SELECT id, 100 AS amount FROM generate_series(0, ${ACCOUNTS - 1}) AS id`,
      );
      const moving = [move(server, stop.signal), move(server, stop.signal)];
      await writeRows(server, ROWS);
      const first = await backUpServer(server, shared);
      await writeRows(server, ROWS);
      await Promise.all([backUpServer(server, shared), writeRows(server, ROWS)]);
      await writeRows(server, ROWS);
      stop.abort();
      await Promise.all(moving);
      await archiveAll(server);
      const rows = (
        await server.sql<{ id: number; at: string }>(
          "SELECT id, (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint AS at FROM marks ORDER BY id",
        )
      ).map(({ id, at }): Row => ({ id, committed: Number(at) }));
      assert.equal(rows.length, 4 * ROWS);
      const begin = millisecondsOf(readInfo(shared, first.id).endTime!) * 1000 + 1000;
      // A recovery ends at a moment only when it meets what was committed later.
      const end = rows.at(-2)!.committed;
      for (let moment = 0; moment < MOMENTS; moment++) {
        // Some fall on a commit itself, which belongs to its moment.
        const later = rows.filter(({ committed }) => committed > begin && committed <= end);
        const micros =
          moment % 4 === 3
            ? later[randomInt(later.length)]!.committed
            : begin + randomInt(Math.min(end - begin, 2 ** 47));
        await checkMoment(micros, rows);
      }

      async function checkMoment(micros: number, all: readonly Row[]): Promise<void> {
        const { root, folder } = restoreFolder();
        try {
          await restore({ archive, folder, restoreCommand, target: { kind: "time", micros } });
          const scratch = await recover(server, folder);
          try {
            const found = await ask(scratch, "SELECT id FROM marks ORDER BY id");
            const due = all.filter(({ committed }) => committed <= micros);
            // Commits may stand in the WAL in another order than their times, and the first later one ends the recovery.
            assert.ok(stopOf(scratch.log()) > micros, scratch.log());
            const overtaken = due.slice(found.length);
            for (const { committed } of overtaken) assert.ok(committed > micros - 1_000_000);
            const expected = due.slice(0, found.length);
            assert.deepEqual(
              found,
              expected.map(({ id }) => String(id)),
              `at ${micros} µs`,
            );
            const [sum] = await ask(scratch, "SELECT sum(amount) FROM accounts");
            assert.equal(sum, String(100 * ACCOUNTS), `at ${micros} µs`);
          } finally {
            await scratch.stop("immediate");
          }
        } finally {
          removeAll(root);
        }
      }
    } finally {
      stop.abort();
      await server.stop();
      removeAll(shared.folder);
    }
  });
}
