// The receiver where servers change: a standby is promoted under load, with and without WAL that the old primary alone had.
// And what is archived while a segment grows, read by Barman's own program.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { parseHistory } from "../../src/barman/history.ts";
import { segmentAt } from "../../src/barman/lsn.ts";
import { segmentName } from "../../src/barman/wal-name.ts";
import { skipWithout } from "../peers.ts";
import { startVersitygw } from "../s3/versitygw.ts";
import { barmanCloud, s3Environment, type BarmanPeer } from "./barman-cloud.ts";
import { ended, openBench, writeWal, type ReceiverBench } from "./receiver-bench.ts";
import { MAJORS, skipWithoutServer, until, type TestServer } from "./servers.ts";

async function untilDurable(bench: ReceiverBench, server: TestServer): Promise<void> {
  const position = await bench.position(server);
  await until(
    "the slot to move",
    async () => ((await bench.acknowledged(server)) ?? 0n) >= position,
    60_000,
  );
}

async function untilFollows(standby: TestServer, primary: TestServer): Promise<void> {
  const [row] = await primary.sql("SELECT pg_current_wal_lsn() AS lsn");
  await until("the standby to follow", async () => {
    const [there] = await standby.sql<Record<string, boolean>>(
      `SELECT pg_last_wal_receive_lsn() >= '${row!["lsn"]!}' AS there`,
    );
    return there!["there"];
  });
}

/** The position at which timeline 2 began, from the archive alone. */
function forkOf(bench: ReceiverBench): bigint {
  const source = join(bench.walFolder, "00000002.history");
  const history = parseHistory({ timeline: 2, content: readFileSync(source), source });
  return history.forks.at(-1)!.at;
}

/** The whole new timeline is there from the segment in which it began, up to where the slot says. */
async function assertFollowed(
  bench: ReceiverBench,
  old: TestServer,
  now: TestServer,
): Promise<void> {
  const fork = forkOf(bench);
  const { whole } = bench.archived();
  const first = segmentName(2, segmentAt(fork, bench.segmentSize), bench.segmentSize);
  assert.ok(whole.includes(first), `${first} is missing: ${whole.join()}`);
  bench.assertDurable((await bench.acknowledged(now))!, { timeline: 2, server: now });
  bench.assertEqual([old, now]);
  bench.assertTidy();
}

for (const major of MAJORS) {
  void suite(`PostgreSQL ${major}`, { skip: skipWithoutServer(major) }, () => {
    void test("a standby promoted while it is received from, under load", async () => {
      const bench = await openBench({ major, segmentMegabytes: 1 });
      const primary = bench.server;
      const standby = await bench.standby(primary);
      try {
        // Receiving from the standby: the stream itself goes on to the new timeline.
        const receiving = await bench.receive({ spool: bench.newSpool(), source: () => standby });
        await receiving.event("streaming");
        await writeWal(primary, 4);
        await untilFollows(standby, primary);
        await standby.sql("SELECT pg_promote()");
        await writeWal(standby, 4);
        await untilDurable(bench, standby);
        await receiving.event("timeline");
        const summary = await receiving.stop();
        assert.equal(summary.hasGap, false);
        assert.equal(summary.status.timeline, 2);
        await assertFollowed(bench, primary, standby);
        // What the old timeline had of the segment in which it ended.
        const fork = forkOf(bench);
        const offset = Number(fork % BigInt(bench.segmentSize));
        const tail = segmentName(1, segmentAt(fork, bench.segmentSize), bench.segmentSize);
        assert.ok(bench.archived().partial.includes(tail) || offset === 0);
        if (offset > 0) {
          const kept = bench.content(tail, "partial").subarray(0, offset);
          assert.ok(kept.equals(bench.original(tail, primary).subarray(0, offset)));
        }
      } finally {
        await standby.stop();
        await bench.close();
      }
    });

    void test("a failover to a standby that had less, with WAL archived that it never saw", async () => {
      const bench = await openBench({ major, segmentMegabytes: 1 });
      const primary = bench.server;
      const standby = await bench.standby(primary);
      let source = primary;
      try {
        const receiving = await bench.receive({ spool: bench.newSpool(), source: () => source });
        await receiving.event("streaming");
        await writeWal(primary, 3);
        await untilFollows(standby, primary);
        await standby.sql("SELECT pg_create_physical_replication_slot('holdfast', true)");
        // From here on the standby hears nothing.
        await standby.configure({ primary_conninfo: "" });
        await writeWal(primary, 3);
        await untilDurable(bench, primary);
        const abandoned = bench.archived().whole.at(-1)!;
        await primary.halt("kill");
        await standby.sql("SELECT pg_promote()");
        source = standby;
        await writeWal(standby, 3);
        await untilDurable(bench, standby);
        const summary = await receiving.stop();
        assert.equal(summary.hasGap, false);
        const fork = forkOf(bench);
        assert.ok(Number.parseInt(abandoned.slice(16), 16) > segmentAt(fork, bench.segmentSize));
        await assertFollowed(bench, primary, standby);
        assert.ok(bench.archived().whole.includes(abandoned), "what was archived stays");
        // Another receiver, without a spool, sees the same way.
        await writeWal(standby, 2);
        await (
          await bench.receive({ spool: bench.newSpool(), source: () => standby, until: "now" })
        ).done;
        await assertFollowed(bench, primary, standby);
      } finally {
        await standby.stop();
        await bench.close();
      }
    });
  });
}

for (const name of ["barman-oldest", "barman-newest"] satisfies BarmanPeer[]) {
  void test(
    `${name} serves the partial segment, and the whole one once it is there`,
    { skip: skipWithoutServer() || skipWithout("versitygw", name) },
    async () => {
      const bench = await openBench({ segmentMegabytes: 1 });
      const s3 = await startVersitygw();
      try {
        const bucket = s3.makeBucket();
        const location = `s3:${s3.endpoint}/${bucket}/path`;
        const target = { name, s3, url: `s3://${bucket}/path`, server: "one" };
        const spool = bench.newSpool();
        const receive = async (): Promise<void> => {
          const words = ["--archive", location, "--spool", spool, "--until", "now"];
          const { status, text } = await ended(
            bench.program([...words, "--partial-after", "50ms"], s3Environment(s3)),
          );
          assert.equal(status, 0, text);
        };
        const fetched = async (wal: string): Promise<Buffer> => {
          const path = join(bench.folder, "fetched");
          await barmanCloud(target, "wal-restore", [], [wal, path]);
          return readFileSync(path);
        };
        await receive();
        await writeWal(bench.server, 2);
        await bench.server.sql("CREATE TABLE marker (n int)");
        await receive();
        const position = await bench.position();
        const grows = segmentName(1, segmentAt(position, bench.segmentSize), bench.segmentSize);
        const offset = Number(position % BigInt(bench.segmentSize));
        const partial = await fetched(grows);
        assert.equal(partial.length, bench.segmentSize);
        assert.ok(partial.subarray(0, offset).equals(bench.original(grows).subarray(0, offset)));

        await bench.server.sql("SELECT pg_switch_wal()");
        await bench.server.sql("DROP TABLE marker");
        await receive();
        assert.ok((await fetched(grows)).equals(bench.original(grows)));
      } finally {
        await s3.stop();
        await bench.close();
      }
    },
  );
}

void test(
  "a receiver without its spool never makes a partial segment shorter",
  { skip: skipWithoutServer() },
  async () => {
    const bench = await openBench();
    try {
      const first = await bench.receive({ spool: bench.newSpool() });
      await first.event("streaming");
      await writeWal(bench.server, 3);
      await untilDurable(bench, bench.server);
      await first.stop();
      const [name] = bench.archived().partial;
      const before = bench.content(name!, "partial");
      const acknowledged = (await bench.acknowledged())!;
      const offset = Number(acknowledged % BigInt(bench.segmentSize));
      // Whoever looks at any moment finds at least as much as was acknowledged.
      await writeWal(bench.server, 2);
      const words = ["--spool", bench.newSpool(), "--until", "now", "--partial-after", "0"];
      const child = bench.program(words);
      const end = ended(child);
      let reads = 0;
      while (child.exitCode === null && child.signalCode === null) {
        const stored = bench.content(name!, "partial").subarray(0, offset);
        assert.ok(stored.equals(before.subarray(0, offset)));
        reads += 1;
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      assert.equal((await end).status, 0);
      assert.ok(reads > 0);
      bench.assertDurable((await bench.acknowledged())!);
    } finally {
      await bench.close();
    }
  },
);
