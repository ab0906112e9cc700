// The receiver among failures: killed at any moment and between any two steps, its storage away, its server restarted. The
// laws stay: nothing that was acknowledged is missing, no segment is skipped or differs, and at rest no partial segment
// stands beside its whole one. HOLDFAST_FAULT_RUNS says how many random deaths there are; a handful without it.

import assert from "node:assert/strict";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { HoldfastError } from "../../src/base/errors.ts";
import { segmentAt, segmentStart } from "../../src/barman/lsn.ts";
import { segmentName } from "../../src/barman/wal-name.ts";
import { faulty } from "../../src/storage/faulty.ts";
import { forwarding } from "../../src/storage/forwarding.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { ended, openBench, writeWal, type ReceiverBench } from "./receiver-bench.ts";
import { skipWithoutServer, until } from "./servers.ts";

const RUNS = Number(process.env["HOLDFAST_FAULT_RUNS"] ?? "6");
const skip = skipWithoutServer();

async function untilDurable(bench: ReceiverBench): Promise<void> {
  const position = await bench.position();
  await until(
    "the slot to move",
    async () => ((await bench.acknowledged()) ?? 0n) >= position,
    60_000,
  );
}

/** Receives with the real program until what the server has by now is durable, and checks every law. */
async function assertRecovers(bench: ReceiverBench, spool: string): Promise<void> {
  const position = await bench.position();
  const words = ["--spool", spool, "--until", "now", "--partial-after", "50ms"];
  const { status, text } = await ended(bench.program(words));
  assert.equal(status, 0, text);
  bench.assertDurable(position);
  bench.assertEqual();
  bench.assertTidy();
}

void suite("kill -9", { skip }, () => {
  void test(`at ${RUNS} random moments`, async () => {
    const bench = await openBench({ segmentMegabytes: 1 });
    try {
      const spools = [bench.newSpool(), bench.newSpool()];
      let killed = 0;
      let acknowledged = 0n;
      for (let run = 0; run < RUNS; run++) {
        // Now and then the spool is lost with the receiver, as a pod's folder is.
        const spool = Math.random() < 0.3 ? bench.newSpool() : spools[run % 2]!;
        const child = bench.program(["--spool", spool, "--partial-after", "50ms"]);
        const end = ended(child);
        const load = writeWal(bench.server, 3);
        await sleep(300 + Math.random() * 1500);
        child.kill("SIGKILL");
        const { signal, text } = await end;
        assert.equal(signal, "SIGKILL", text);
        killed += 1;
        const now = (await bench.acknowledged()) ?? 0n;
        bench.assertDurable(now);
        acknowledged = now > acknowledged ? now : acknowledged;
        bench.assertDurable(acknowledged);
        await load;
        if (run % 3 === 2) await assertRecovers(bench, spool);
      }
      await assertRecovers(bench, spools[0]!);
      assert.equal(killed, RUNS);
      bench.assertDurable(acknowledged);
    } finally {
      await bench.close();
    }
  });

  void test(`before or after ${RUNS} of its calls to the file system`, async () => {
    const bench = await openBench({ segmentMegabytes: 1 });
    try {
      const death = join(import.meta.dirname, "../faults/death.ts");
      const spool = bench.newSpool();
      const log = join(bench.folder, "calls");
      const words = ["--spool", spool, "--until", "now", "--partial-after", "50ms"];
      const environment = { NODE_OPTIONS: `--import ${death}` };
      await ended(bench.program(words));
      await writeWal(bench.server, 3);
      const probe = await ended(bench.program(words, { ...environment, DEATH_LOG: log }));
      assert.equal(probe.status, 0, probe.text);
      const calls = statSync(log).size;
      assert.ok(calls > 60, `${calls} calls`);
      let killed = 0;
      for (let run = 0; run < RUNS; run++) {
        await writeWal(bench.server, 3);
        const at = 1 + Math.floor(((run + Math.random()) * calls) / RUNS);
        const end = await ended(bench.program(words, { ...environment, DEATH_AT: String(at) }));
        if (end.signal === "SIGKILL") killed += 1;
        else assert.equal(end.status, 0, end.text);
        bench.assertDurable((await bench.acknowledged()) ?? 0n);
      }
      assert.ok(killed > RUNS / 3, `${killed} of ${RUNS} were killed`);
      await assertRecovers(bench, spool);
    } finally {
      await bench.close();
    }
  });
});

/** A storage that can be taken away. */
function outage(): { around: (storage: Storage) => Storage; away: boolean; refused: number } {
  const state = {
    away: false,
    refused: 0,
    around: (storage: Storage): Storage => {
      const guard = async (): Promise<void> => {
        if (!state.away) return;
        state.refused += 1;
        await sleep(20);
        throw new HoldfastError("STORAGE_UNAVAILABLE", "the storage is away", { retryable: true });
      };
      return forwarding(storage, {
        put: async (key, body, options) => {
          await guard();
          await storage.put(key, body, options);
        },
        replace: async (key, body, options) => {
          await guard();
          await storage.replace!(key, body, options);
        },
        deleteMany: async (keys, options) => {
          await guard();
          await storage.deleteMany(keys, options);
        },
      });
    },
  };
  return state;
}

void suite("its storage", { skip }, () => {
  void test("away: the spool fills to its limit, nothing is acknowledged, and all comes when it is back", async () => {
    const bench = await openBench({ segmentMegabytes: 1 });
    try {
      const storage = outage();
      const spool = bench.newSpool();
      const limit = 4 << 20;
      const receiving = await bench.receive({ spool, around: storage.around, spoolLimit: limit });
      await receiving.event("streaming");
      await writeWal(bench.server, 2);
      await untilDurable(bench);
      const before = (await bench.acknowledged())!;
      storage.away = true;
      await writeWal(bench.server, 12);
      await until("the spool to be full", () =>
        Promise.resolve(
          readdirSync(spool).filter((name) => /^[0-9A-F]{24}$/.test(name)).length === 4,
        ),
      );
      await until("uploads to fail", () => Promise.resolve(storage.refused > 3));
      assert.ok(
        (await bench.acknowledged())! < before + BigInt(1 << 20),
        "nothing new was acknowledged",
      );
      bench.assertDurable((await bench.acknowledged())!);
      const used = readdirSync(spool).filter((name) => /^[0-9A-F]{24}/.test(name)).length;
      assert.ok(used <= 4, `${used} files`);
      storage.away = false;
      await untilDurable(bench);
      bench.assertDurable((await bench.acknowledged())!);
      await receiving.stop();
      bench.assertEqual();
      bench.assertTidy();
    } finally {
      await bench.close();
    }
  });

  void test("away when the server dies for good: the spool outlives the receiver, and is archived without the server", async () => {
    const bench = await openBench({ segmentMegabytes: 1 });
    try {
      const storage = outage();
      const spool = bench.newSpool();
      const receiving = await bench.receive({ spool, around: storage.around, stopWithin: 200 });
      await receiving.event("streaming");
      await untilDurable(bench);
      storage.away = true;
      await writeWal(bench.server, 6);
      const position = await bench.position();
      await until("all to arrive", async () => {
        const [row] = await bench.server.sql<Record<string, boolean>>(
          "SELECT bool_or(write_lsn >= pg_current_wal_lsn()) AS there FROM pg_stat_replication",
        );
        return row!["there"];
      });
      // What is noted as safe on the disk is what counts.
      await until("the spool to be synced", () => Promise.resolve(readdirSync(spool).length > 5));
      await receiving.stop();
      await bench.server.halt("kill");
      storage.away = false;
      const again = await bench.receive({ spool, partialAfter: 50 });
      const whole = segmentAt(position, bench.segmentSize) - 1;
      const name = segmentName(1, whole, bench.segmentSize);
      await again.event("stored", (event) => event.name === name);
      const open = segmentName(1, whole + 1, bench.segmentSize);
      await until("the unfinished segment to be archived", () =>
        Promise.resolve(bench.archived().partial.includes(open)),
      );
      await again.stop();
      bench.assertDurable(segmentStart(whole + 1, bench.segmentSize));
      bench.assertEqual();
      bench.assertTidy();
    } finally {
      await bench.close();
    }
  });

  void test("that loses replies, or fails each third call", async () => {
    const bench = await openBench({ segmentMegabytes: 1 });
    try {
      const around = (storage: Storage): Storage =>
        faulty(storage, [
          { on: "put", key: /wals/, every: 3, times: 1000, fault: { kind: "after" } },
          { on: "replace", every: 3, times: 1000, fault: { kind: "before" } },
          { on: "deleteMany", every: 2, times: 1000, fault: { kind: "after" } },
        ]);
      const receiving = await bench.receive({ spool: bench.newSpool(), around, partialAfter: 50 });
      await receiving.event("streaming");
      await writeWal(bench.server, 10);
      await untilDurable(bench);
      await receiving.stop();
      bench.assertDurable((await bench.acknowledged())!);
      bench.assertEqual();
      assert.ok(receiving.events.some(({ kind }) => kind === "notice"));
      // What a lost reply left is removed by the next one.
      await (
        await bench.receive({ spool: bench.newSpool(), until: "now" })
      ).done;
      bench.assertTidy();
    } finally {
      await bench.close();
    }
  });

  void test("that replaces nothing: said once, and whole segments go on", async () => {
    const bench = await openBench({ segmentMegabytes: 1 });
    try {
      const around = (storage: Storage): Storage => {
        const { replace, ...rest } = forwarding(storage, {});
        assert.ok(replace);
        return rest;
      };
      const receiving = await bench.receive({ spool: bench.newSpool(), around, partialAfter: 20 });
      await receiving.event("streaming");
      await writeWal(bench.server, 4);
      await bench.server.sql("SELECT pg_switch_wal()");
      await untilDurable(bench);
      const notices = (): unknown[] =>
        receiving.events.filter(
          (event) => event.kind === "notice" && /without partial segments/.test(event.text),
        );
      // Something that does not fill a segment.
      await bench.server.sql("CREATE TABLE small ()");
      await until("the notice", () => Promise.resolve(notices().length > 0));
      await receiving.stop();
      const told = notices();
      assert.equal(told.length, 1);
      assert.deepEqual(bench.archived().partial, []);
      bench.assertDurable((await bench.acknowledged())!);
    } finally {
      await bench.close();
    }
  });
});

void suite("its server", { skip }, () => {
  void test("restarted in order, and killed, under load", async () => {
    const bench = await openBench({ segmentMegabytes: 1 });
    try {
      const receiving = await bench.receive({ spool: bench.newSpool() });
      await receiving.event("streaming");
      for (const mode of ["fast", "kill", "immediate"] as const) {
        await writeWal(bench.server, 3);
        const acknowledged = (await bench.acknowledged()) ?? 0n;
        await bench.server.halt(mode);
        await bench.server.start();
        bench.assertDurable(acknowledged);
        await writeWal(bench.server, 3);
        await untilDurable(bench);
        bench.assertDurable((await bench.acknowledged())!);
      }
      assert.ok(receiving.events.filter(({ kind }) => kind === "streaming").length >= 4);
      assert.ok(receiving.events.some(({ kind }) => kind === "disconnected"));
      const summary = await receiving.stop();
      assert.equal(summary.hasGap, false);
      bench.assertEqual();
      bench.assertTidy();
    } finally {
      await bench.close();
    }
  });

  void test("has given the slot up: an error that names what is missing; with --create-slot the gap is told", async () => {
    const settings = {
      max_slot_wal_keep_size: "2MB",
      wal_keep_size: 0,
      max_wal_size: "4MB",
      min_wal_size: "2MB",
    };
    const bench = await openBench({ segmentMegabytes: 1, settings });
    try {
      const spool = bench.newSpool();
      const first = await bench.receive({ spool });
      await first.event("streaming");
      await writeWal(bench.server, 1);
      await untilDurable(bench);
      await first.stop();
      const last = bench.archived().whole.at(-1)!;
      await writeWal(bench.server, 12);
      await bench.server.sql("CHECKPOINT");
      await until("the slot to be lost", async () => {
        await bench.server.sql("SELECT pg_switch_wal()");
        await writeWal(bench.server, 2);
        await bench.server.sql("CHECKPOINT");
        const [row] = await bench.server.sql<Record<string, string>>(
          "SELECT wal_status FROM pg_replication_slots",
        );
        return row!["wal_status"] === "lost";
      });
      const slot = { name: "holdfast", create: false, unlimited: false };
      const missing = segmentName(1, segmentAtNext(last, bench), bench.segmentSize);
      const refused = await bench.receive({ spool, slot });
      await assert.rejects(refused.done, (error) => {
        assert.ok(error instanceof HoldfastError && error.code === "WAL_MISSING", String(error));
        assert.match(error.message, new RegExp(missing));
        return true;
      });
      const anew = await bench.receive({ spool });
      const gap = await anew.event("gap");
      assert.equal(gap.first, missing);
      assert.ok(gap.last >= gap.first);
      await writeWal(bench.server, 2);
      await untilDurable(bench);
      const summary = await anew.stop();
      assert.equal(summary.hasGap, true);
      const { whole } = bench.archived();
      assert.ok(!whole.includes(gap.first) && !whole.includes(gap.last));
      assert.ok(whole.some((name) => name > gap.last));
    } finally {
      await bench.close();
    }
  });
});

function segmentAtNext(name: string, { segmentSize }: ReceiverBench): number {
  const perFile = 2 ** 32 / segmentSize;
  return Number.parseInt(name.slice(8, 16), 16) * perFile + Number.parseInt(name.slice(16), 16) + 1;
}
