// How far the watermark trails: the latest moment to which database and files can both return. An Odoo is at work, its WAL is
// received and its files captured into a real server of S3, which is out of reach for a while: `npm run peers`, then
//   node scripts/run.mjs bench/watermark.ts [--seconds 1800] [--outage 180] [--every 20s] [--rate 40]
// Looked at with `holdfast status`, past the outage, so that its length counts in full; it begins after a third of the time.

import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { openGate } from "../test/gate.ts";
import { openInstance } from "../test/odoo/instance-bench.ts";
import { s3Environment } from "../test/postgres/barman-cloud.ts";
import { startVersitygw } from "../test/s3/versitygw.ts";

const { values: given } = parseArgs({
  options: {
    seconds: { type: "string", default: "1800" },
    outage: { type: "string", default: "180" },
    every: { type: "string", default: "20s" },
    rate: { type: "string", default: "40" },
    sample: { type: "string", default: "3" },
  },
});
const [seconds, outage, rate, sampleSeconds] = [
  given.seconds,
  given.outage,
  given.rate,
  given.sample,
].map(Number) as [number, number, number, number];

interface Sample {
  /** Seconds since the beginning. */
  readonly at: number;
  /** Seconds by which the watermark trails. */
  readonly lag: number;
}

const s3 = await startVersitygw();
const gate = await openGate(Number(new URL(s3.endpoint).port));
const bucket = s3.makeBucket();
const through = (endpoint: string): string => `s3:${endpoint}/${bucket}`;
const gated = `http://127.0.0.1:${gate.port}`;
const bench = await openInstance({
  rate,
  collectEvery: 30_000,
  youngest: 60_000,
  places: {
    repository: `${through(gated)}/odoo`,
    archive: `${through(gated)}/archive`,
    environment: s3Environment(s3),
  },
});
const samples: Sample[] = [];
try {
  await bench.odoo.populate(500);
  const receiving = bench.start(["pg", "receive", "--create-slot", "--unlimited-slot"]);
  const capturing = bench.start(["capture", "--every", given.every]);
  bench.odoo.start();
  await bench.holdfast(["pg", "backup"]);
  await bench.holdfast(["backup", bench.filestore, "--exclude", "checklist"]);
  await lagNow();
  const begun = performance.now();
  const elapsed = (): number => (performance.now() - begun) / 1000;
  const [cut, mended] = [seconds / 3, seconds / 3 + outage];
  let state: "before" | "cut" | "mended" = outage > 0 ? "before" : "mended";
  while (elapsed() < seconds) {
    if (state === "before" && elapsed() >= cut) {
      state = "cut";
      await gate.close();
      say(`${elapsed().toFixed(0)} s: the storage is out of reach`);
    } else if (state === "cut" && elapsed() >= mended) {
      state = "mended";
      await gate.open();
      say(`${elapsed().toFixed(0)} s: the storage is back`);
    }
    samples.push({ at: elapsed(), lag: await lagNow() });
    await sleep(sampleSeconds * 1000);
  }
  await capturing.stop();
  await receiving.stop();
  report(cut, mended);
} finally {
  await gate.close();
  await bench[Symbol.asyncDispose]();
  await s3.stop();
}

/** Seconds by which the watermark trails now; the first time, waits until there is one. */
async function lagNow(): Promise<number> {
  const location = [
    "-r",
    `${through(s3.endpoint)}/odoo`,
    "--archive",
    `${through(s3.endpoint)}/archive`,
  ];
  for (;;) {
    const { stdout } = await bench.holdfast(["status", "--json", ...location]);
    const { filestores } = JSON.parse(stdout) as {
      filestores: { recoverable_until: string | null }[];
    };
    const time = Date.parse(filestores[0]?.recoverable_until ?? "");
    if (Number.isFinite(time)) return (Date.now() - time) / 1000;
    if (samples.length > 0) throw new Error("the watermark is gone");
    await sleep(500);
  }
}

function report(cut: number, mended: number): void {
  const { attached, deleted, collected } = bench.odoo.counts;
  say(`${attached} attached, ${deleted} deleted, ${collected} files collected in ${seconds} s`);
  say(line("all of the time", samples));
  if (outage === 0) return;
  const before = samples.filter(({ at }) => at < cut);
  const usual = Math.max(...before.map(({ lag }) => lag)) * 1.5;
  const caughtUp = samples.find(({ at, lag }) => at > mended && lag <= usual)?.at ?? Infinity;
  say(
    line("with the storage in reach", [...before, ...samples.filter(({ at }) => at >= caughtUp)]),
  );
  say(
    caughtUp === Infinity
      ? "it did not catch up"
      : `an outage of ${outage} s: as far behind as before ${(caughtUp - mended).toFixed(1)} s after its end`,
  );
}

function line(title: string, some: readonly Sample[]): string {
  const lags = some.map(({ lag }) => lag).toSorted((a, b) => a - b);
  const at = (part: number): string =>
    `${(lags[Math.min(lags.length - 1, Math.floor(lags.length * part))] ?? NaN).toFixed(1)} s`;
  return `${title}: p50 ${at(0.5)}, p99 ${at(0.99)}, most ${at(1)} (${lags.length} looks)`;
}

function say(text: string): void {
  console.log(text);
}
