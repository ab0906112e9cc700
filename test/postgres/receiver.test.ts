// The receiver on real servers: what it archives is what the server wrote, what it acknowledges is in the archive, and it
// says clearly what is in its way.

import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { gzipSync } from "node:zlib";
import { HoldfastError, isHoldfastError, type ErrorCode } from "../../src/base/errors.ts";
import { segmentAt } from "../../src/barman/lsn.ts";
import { segmentName } from "../../src/barman/wal-name.ts";
import { connect } from "../../src/postgres/connection.ts";
import { forwarding } from "../../src/storage/forwarding.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { ended, openBench, writeWal, type ReceiverBench } from "./receiver-bench.ts";
import { MAJORS, skipWithoutServer, startTestServer, until } from "./servers.ts";

/** Resolves when everything that the server has written by now is durable in the archive, as the slot says. */
async function untilDurable(bench: ReceiverBench): Promise<void> {
  const position = await bench.position();
  await until(
    "the slot to move",
    async () => ((await bench.acknowledged()) ?? 0n) >= position,
    60_000,
  );
}

async function refused(work: Promise<unknown>, code: ErrorCode, text: RegExp): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(isHoldfastError(error, code), `${(error as Error).message}`);
    assert.match(`${error.message}\n${error.hint}`, text);
    return true;
  });
}

const away = (): HoldfastError =>
  new HoldfastError("STORAGE_UNAVAILABLE", "the storage is away", { retryable: true });

for (const major of MAJORS) {
  for (const segmentMegabytes of major === 15 ? [1, 16, 64] : [16]) {
    void test(
      `PostgreSQL ${major}, segments of ${segmentMegabytes} MB: every byte as the server wrote it, and acknowledged when it is durable`,
      { skip: skipWithoutServer(major) },
      async () => {
        const bench = await openBench({ major, segmentMegabytes });
        try {
          const spool = bench.newSpool();
          const receiving = await bench.receive({ spool });
          await receiving.event("streaming");
          await writeWal(bench.server, segmentMegabytes === 64 ? 80 : 24);
          await untilDurable(bench);
          const position = (await bench.acknowledged())!;
          bench.assertDurable(position);
          bench.assertEqual();
          assert.ok(bench.archived().whole.length >= 1);
          const size = bench.segmentSize;
          const grows = segmentName(1, segmentAt(position, size), size);
          // The spool holds what grows, and nothing that is durable, which goes right after it was told.
          const left = (): string[] =>
            readdirSync(spool).filter((name) => /^[0-9A-F]{24}/.test(name));
          await until("the spool to hold what grows and nothing else", () =>
            Promise.resolve(left().join() === `${grows}.open`),
          );
          assert.deepEqual(bench.archived().partial, [grows]);
          bench.assertTidy();

          // What was acknowledged stays so when it ends, and the next one goes on.
          const summary = await receiving.stop();
          assert.equal(summary.hasGap, false);
          assert.ok(summary.status.durable! >= position);
          const again = await bench.receive({ spool });
          await again.event("streaming");
          await writeWal(bench.server, 3);
          await bench.server.sql("SELECT pg_switch_wal()");
          await untilDurable(bench);
          await again.stop();
          bench.assertDurable((await bench.acknowledged())!);
          bench.assertEqual();
          bench.assertTidy();
        } finally {
          await bench.close();
        }
      },
    );
  }
}

void test(
  "the program: --until now ends by itself, --json tells it, SIGTERM ends it well",
  { skip: skipWithoutServer() },
  async () => {
    const bench = await openBench({ segmentMegabytes: 1 });
    try {
      const spool = ["--spool", bench.newSpool()];
      // The slot keeps WAL from its making on: what comes later is written while nobody receives.
      assert.equal((await ended(bench.program([...spool, "--until", "now"]))).status, 0);
      await writeWal(bench.server, 5);
      const position = await bench.position();
      const once = await ended(
        bench.program([...spool, "--until", "now", "--partial-after", "100ms", "--json"]),
      );
      assert.equal(once.status, 0, once.text);
      bench.assertDurable(position);
      const messages = once.text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      const kinds = new Set(messages.map(({ message_type: kind }) => kind));
      for (const kind of ["connected", "streaming", "stored", "status", "summary"])
        assert.ok(kinds.has(kind), `no ${kind}: ${once.text}`);
      const summary = messages.at(-1)!;
      assert.equal(summary["message_type"], "summary");
      assert.equal(summary["gap"], false);
      assert.match(String(summary["durable"]), /^[0-9A-F]+\/[0-9A-F]+$/);

      const running = bench.program([...spool, "--partial-after", "1h"]);
      const end = ended(running);
      await until("the slot to be in use", async () => {
        const [row] = await bench.server.sql<Record<string, boolean>>(
          "SELECT active FROM pg_replication_slots",
        );
        return row!["active"];
      });
      await bench.server.sql("CREATE TABLE late (n int)");
      const last = await bench.position();
      await until("it to arrive", async () => {
        const [row] = await bench.server.sql<Record<string, boolean>>(
          `SELECT bool_or(write_lsn >= pg_current_wal_lsn()) AS there FROM pg_stat_replication`,
        );
        return row!["there"];
      });
      running.kill("SIGTERM");
      const { status: code, text } = await end;
      assert.equal(code, 0, text);
      const snapshot = JSON.parse(readFileSync(join(spool[1]!, "status.json"), "utf8")) as object;
      assert.deepEqual({ ...snapshot, streaming: false }, snapshot);
      bench.assertDurable(last);
      assert.ok((await bench.acknowledged())! >= last, "the last status was sent");

      const dropped = await ended(bench.program(["--drop-slot"]));
      assert.equal(dropped.status, 0, dropped.text);
      assert.equal(await bench.acknowledged(), undefined);
    } finally {
      await bench.close();
    }
  },
);

void suite("what stands in the way is said clearly", { skip: skipWithoutServer() }, () => {
  void test("slots", async () => {
    const bench = await openBench({
      segmentMegabytes: 1,
      settings: { max_slot_wal_keep_size: -1 },
    });
    try {
      const slot = { name: "holdfast", create: false, unlimited: false };
      const spool = bench.newSpool();
      const start = async (more: object): Promise<unknown> =>
        (await bench.receive({ spool, ...more })).done;
      await refused(
        start({ slot }),
        "POSTGRES_SETTING",
        /no replication slot holdfast[^]*--create-slot/,
      );
      await refused(
        start({ slot: { ...slot, create: true } }),
        "POSTGRES_SETTING",
        /max_slot_wal_keep_size[^]*--unlimited-slot/,
      );
      await refused(start({ slot: { ...slot, name: "Bad-Name" } }), "USAGE", /lower case/);
      await bench.server.configure({ wal_level: "logical" });
      await bench.server.sql("SELECT pg_create_logical_replication_slot('other', 'test_decoding')");
      await refused(
        start({ slot: { ...slot, name: "other" } }),
        "POSTGRES_SETTING",
        /not a physical/,
      );

      const unlimited = { ...slot, create: true, unlimited: true };
      const first = await bench.receive({ spool, slot: unlimited });
      await first.event("streaming");
      await refused(start({ slot: unlimited }), "USAGE", /another receiver uses the spool/);
      await refused(
        start({ slot, spool: bench.newSpool() }),
        "POSTGRES_SETTING",
        /in use by the server's process \d+/,
      );
      await first.stop();
    } finally {
      await bench.close();
    }
  });

  void test("archives of others", async () => {
    const bench = await openBench({ segmentMegabytes: 1 });
    const other = await startTestServer({ settings: { max_slot_wal_keep_size: "1GB" } });
    try {
      const spool = bench.newSpool();
      const first = await bench.receive({ spool });
      await first.event("streaming");
      await writeWal(bench.server, 3);
      await untilDurable(bench);
      await first.stop();
      const foreign = bench.receive({ spool: bench.newSpool(), source: () => other });
      await refused((await foreign).done, "ARCHIVE_FOREIGN", /--server name of its own/);
      assert.equal(await bench.acknowledged(other), undefined, "nothing was made on the other one");
      // The spool of one cluster is not taken for another's.
      const elsewhere = bench.receive({ spool, source: () => other, server: "two" });
      await refused((await elsewhere).done, "ARCHIVE_FOREIGN", /--spool folder of its own/);

      // Somebody else's WAL of the same cluster.
      const [name] = bench.archived().whole;
      const folder = join(bench.archiveFolder, "three", "wals", name!.slice(0, 16));
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, name!), bench.original(name!));
      const beside = bench.receive({ spool: bench.newSpool(), server: "three" });
      await refused((await beside).done, "ARCHIVE_FOREIGN", /did not write[^]*--shared-server/);
      const shared = await bench.receive({
        spool: bench.newSpool(),
        server: "three",
        shared: true,
      });
      await shared.event("streaming");
      await writeWal(bench.server, 3);
      await bench.server.sql("SELECT pg_switch_wal()");
      const last = segmentName(
        1,
        segmentAt(await bench.position(), bench.segmentSize) - 1,
        bench.segmentSize,
      );
      await shared.event("stored", (event) => event.name >= last);
      const objects = readdirSync(folder);
      assert.ok(objects.includes(`${last}.gz`), objects.join());
      assert.ok(
        objects.includes(name!) && !objects.includes(`${name!}.gz`),
        "what is there is enough",
      );
      assert.deepEqual(
        objects.filter((object) => object.includes(".partial")),
        [],
      );
      await shared.stop();
    } finally {
      await other.stop();
      await bench.close();
    }
  });

  void test("a role that may not, and WAL that differs", async () => {
    const bench = await openBench({ segmentMegabytes: 1 });
    try {
      await bench.server.sql("CREATE ROLE poor LOGIN");
      const poor = { ...bench.settings(), user: "poor" };
      const denied = bench.receive({
        spool: bench.newSpool(),
        connect: ({ replication, signal }) => connect({ settings: poor, replication, signal }),
      });
      await refused((await denied).done, "POSTGRES_DENIED", /REPLICATION/);

      const spool = bench.newSpool();
      const first = await bench.receive({ spool });
      await first.event("streaming");
      await first.stop();
      await writeWal(bench.server, 4);
      // Another server has archived under this name meanwhile: same name, other content.
      const segment = segmentAt(await bench.position(), bench.segmentSize) - 1;
      const name = segmentName(1, segment, bench.segmentSize);
      const bytes = Buffer.from(bench.original(name));
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
      writeFileSync(join(bench.walFolder, name.slice(0, 16), `${name}.gz`), gzipSync(bytes));
      const acknowledged = await bench.acknowledged();
      const second = await bench.receive({ spool });
      await refused(second.done, "WAL_DIFFERS", new RegExp(name));
      const after = (await bench.acknowledged())!;
      assert.ok(after >= acknowledged!);
      assert.ok(
        segmentAt(after, bench.segmentSize) <= segment,
        "nothing behind it was acknowledged",
      );
    } finally {
      await bench.close();
    }
  });

  void test("a role that may replicate and nothing else is enough, and it is said what nobody watches", async () => {
    const hba = ["local all streamer reject", "local replication streamer trust"];
    const bench = await openBench({ segmentMegabytes: 1, hba });
    try {
      await bench.server.sql("CREATE ROLE streamer LOGIN REPLICATION");
      const settings = { ...bench.settings(), user: "streamer" };
      const spool = bench.newSpool();
      const start = (): ReturnType<typeof bench.receive> =>
        bench.receive({
          spool,
          connect: ({ replication, signal }) => connect({ settings, replication, signal }),
        });
      for (let run = 0; run < 2; run++) {
        const receiving = await start();
        await receiving.event("streaming");
        await receiving.event("slot", ({ warning }) => warning.kind === "unwatched");
        await writeWal(bench.server, 2);
        await untilDurable(bench);
        await receiving.stop();
        bench.assertDurable((await bench.acknowledged())!);
      }
      bench.assertEqual();
    } finally {
      await bench.close();
    }
  });

  void test("a slot that uses half of what it may is told", async () => {
    const settings = { wal_keep_size: 0, max_slot_wal_keep_size: "16MB" };
    const bench = await openBench({ segmentMegabytes: 1, settings });
    try {
      const spool = bench.newSpool();
      await (
        await bench.receive({ spool, until: "now" })
      ).done;
      await writeWal(bench.server, 11);
      const refusing = (storage: Storage): Storage => ({
        ...forwarding(storage, {}),
        put: () => Promise.reject(away()),
        replace: () => Promise.reject(away()),
      });
      const receiving = await bench.receive({ spool, around: refusing, stopWithin: 100 });
      const { warning } = await receiving.event("slot");
      assert.ok(warning.kind === "filling" && warning.safeBytes < 8 << 20, JSON.stringify(warning));
      await receiving.stop();
    } finally {
      await bench.close();
    }
  });

  void test("a hole before the last segment, which a death left, is filled also when nobody tells what the slot keeps", async () => {
    const bench = await openBench({ segmentMegabytes: 1 });
    try {
      const spool = bench.newSpool();
      const first = await bench.receive({ spool });
      await first.event("streaming");
      await writeWal(bench.server, 5);
      await untilDurable(bench);
      await first.stop();
      const missing = bench.archived().whole.at(-2)!;
      rmSync(join(bench.walFolder, missing.slice(0, 16), `${missing}.gz`));
      // A slot that has kept nothing yet.
      await bench.server.sql("SELECT pg_drop_replication_slot('holdfast')");
      await bench.server.sql("SELECT pg_create_physical_replication_slot('holdfast', false)");
      const again = await bench.receive({ spool });
      await again.event("stored", ({ name }) => name === missing);
      await untilDurable(bench);
      const summary = await again.stop();
      assert.equal(summary.hasGap, false);
      bench.assertEqual();
      bench.assertTidy();
    } finally {
      await bench.close();
    }
  });
});
