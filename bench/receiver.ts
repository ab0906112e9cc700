// How far a receiver trails a server that writes WAL at a steady rate: `npm run peers`, then
//   node scripts/run.mjs bench/receiver.ts [--rate MB/s] [--seconds N] [--partial-after 5s] [--s3]
// Measured at the server alone: every 50 ms where its WAL ends, and when the receiver had reported that position as received
// and as durable. The archive is a local folder, or a versitygw with --s3.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Client } from "pg";
import { parseLsn } from "../src/barman/lsn.ts";
import { s3Environment } from "../test/postgres/barman-cloud.ts";
import { startTestServer, until } from "../test/postgres/servers.ts";
import { startVersitygw } from "../test/s3/versitygw.ts";

const { values: given } = parseArgs({
  options: {
    rate: { type: "string", default: "20" },
    seconds: { type: "string", default: "30" },
    "partial-after": { type: "string", default: "5s" },
    s3: { type: "boolean", default: false },
  },
});
const rate = Number(given.rate) * 1e6;
const SAMPLE_MS = 50;
/** Bytes of one message to the log. */
const MESSAGE = 100_000;
const SEGMENT = 16n << 20n;

const folder = mkdtempSync(join(tmpdir(), "holdfast-bench-receiver-"));
const s3 = given.s3 ? await startVersitygw() : undefined;
const location = s3 ? `s3:${s3.endpoint}/${s3.makeBucket()}/archive` : join(folder, "archive");
const server = await startTestServer({
  settings: { max_slot_wal_keep_size: "4GB", max_wal_size: "4GB", fsync: "on" },
});
const receiver = spawn(
  join(import.meta.dirname, "../bin/holdfast"),
  [
    "pg",
    "receive",
    "--archive",
    location,
    "--server",
    "bench",
    "--create-slot",
    "-d",
    `host=${server.host} user=postgres dbname=postgres`,
    "--spool",
    join(folder, "spool"),
    "--partial-after",
    given["partial-after"],
  ],
  { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, ...(s3 && s3Environment(s3)) } },
);

interface Sample {
  readonly time: number;
  readonly position: bigint;
}

/** For each sample, how long it took until `reached` was there; undefined when it never was. */
function lags(samples: readonly Sample[], reached: readonly Sample[]): number[] {
  return samples.flatMap(({ time, position }) => {
    const when = reached.find((one) => one.position >= position);
    return when === undefined ? [] : [Math.max(0, when.time - time)];
  });
}

function percentile(values: readonly number[], part: number): string {
  const sorted = values.toSorted((a, b) => a - b);
  return `${Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!)} ms`;
}

try {
  const writer = new Client(server.connection());
  const looker = new Client(server.connection());
  await Promise.all([writer.connect(), looker.connect()]);
  await until("the receiver to stream", async () => {
    const { rows } = await looker.query(
      "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'",
    );
    return rows.length > 0;
  });
  const started = performance.now();
  const end = started + Number(given.seconds) * 1000;
  let written = 0;
  const writing = (async () => {
    while (performance.now() < end) {
      const due = ((performance.now() - started) / 1000) * rate;
      if (written >= due) await sleep(2);
      else {
        await writer.query("SELECT pg_logical_emit_message(true, 'bench', $1)", [
          Buffer.allocUnsafe(MESSAGE / 2).toString("hex"),
        ]);
        written += MESSAGE;
      }
    }
  })();
  const [ends, received, durable]: [Sample[], Sample[], Sample[]] = [[], [], []];
  let peak = 0;
  const look = async (): Promise<bigint> => {
    const { rows } = await looker.query<Record<string, string>>(
      "SELECT pg_current_wal_flush_lsn() AS at, write_lsn, flush_lsn FROM pg_stat_replication",
    );
    const time = performance.now();
    const row = rows[0]!;
    const add = (to: Sample[], text: string): void =>
      void to.push({ time, position: parseLsn(text, "the server") });
    if (time < end) add(ends, row["at"]!);
    add(received, row["write_lsn"] ?? "0/0");
    add(durable, row["flush_lsn"] ?? "0/0");
    const status = readFileSync(`/proc/${receiver.pid}/status`, "utf8");
    peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? "0") / 1024);
    return durable.at(-1)!.position;
  };
  for (;;) {
    const at = await look();
    if (performance.now() > end && at >= ends.at(-1)!.position) break;
    await sleep(SAMPLE_MS);
  }
  await writing;
  const seconds = (end - started) / 1000;
  console.log(
    `${(written / 1e6 / seconds).toFixed(1)} MB/s for ${seconds} s, ${s3 ? "S3" : "local"}`,
  );
  // The last segment is not filled: it is durable when it is stored as a partial one, and that is told by itself.
  const last = ends.at(-1)!.position / SEGMENT;
  const steady = ends.filter(({ position }) => position / SEGMENT < last);
  const rest = ends.filter(({ position }) => position / SEGMENT === last);
  for (const [name, samples, reached] of [
    ["received", ends, received],
    ["durable, whole segments", steady, durable],
    ["durable, the last one", rest, durable],
  ] as const) {
    const all = lags(samples, reached);
    const p = [0.5, 0.9, 0.99, 1].map((part) => percentile(all, part));
    console.log(
      `${name}: p50 ${p[0]}, p90 ${p[1]}, p99 ${p[2]}, max ${p[3]} (${all.length} samples)`,
    );
  }
  console.log(`memory at most ${Math.round(peak)} MiB`);
  await Promise.all([writer.end(), looker.end()]);
} finally {
  receiver.kill("SIGTERM");
  await new Promise((resolve) => receiver.once("exit", resolve));
  await server.stop();
  await s3?.stop();
  rmSync(folder, { recursive: true, force: true });
}
