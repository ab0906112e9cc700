import { suite, test } from "node:test";
import assert from "node:assert/strict";
import type { FullSnapshot } from "../retention.ts";
import type { MarkedCapture } from "../watermark.ts";
import { coverageOf, type Moment } from "./coverage.ts";

const MINUTE = 60_000;

/** A position is the minute of its capture. */
const capture = (minute: number, since: number | undefined): MarkedCapture => ({
  id: `capture-${minute}`,
  time: minute * MINUTE,
  mark: {
    database: "odoo",
    since: since === undefined ? undefined : `full-${since}`,
    position: { systemId: "7", timeline: 1, lsn: BigInt(minute), time: minute * MINUTE },
    missing: 0,
    corrupt: 0,
  },
});
const full = (minute: number): FullSnapshot => ({
  id: `full-${minute}`,
  time: minute * MINUTE,
  end: (minute + 2) * MINUTE,
});

const kindOf = (
  moment: Moment,
  captures: readonly MarkedCapture[],
  snapshots: readonly FullSnapshot[],
): string =>
  coverageOf(moment, {
    captures,
    snapshots,
    choice: { timeline: 1, path: [{ timeline: 1, from: 0n, to: undefined }] },
    systemId: "7",
  }).kind;

const lsn = (minute: number, time?: number): Moment => ({
  kind: "lsn",
  lsn: BigInt(minute),
  time: time === undefined ? undefined : time * MINUTE,
});
const time = (minute: number): Moment => ({ kind: "time", time: minute * MINUTE });

suite("what captures say of a moment", () => {
  const snapshots = [full(50), full(100)];
  const captures = [capture(70, 50), capture(99, 50), capture(103, 100), capture(190, 100)];

  test("within a period, across the snapshot that begins one, and at the position of a capture", () => {
    for (const minute of [52, 60, 80, 99, 101, 103, 150, 190])
      assert.equal(kindOf(time(minute), captures, snapshots), "covered", `at ${minute}`);
    for (const minute of [70, 80, 99, 101, 103, 150])
      assert.equal(kindOf(lsn(minute), captures, snapshots), "covered", `at ${minute}`);
    assert.equal(kindOf(lsn(60, 60), captures, snapshots), "covered");
    assert.equal(kindOf(time(191), captures, snapshots), "behind");
  });

  test("what is older than all that is left may be forgotten", () => {
    assert.equal(kindOf(time(51), captures, snapshots), "unknown");
    assert.equal(kindOf(lsn(60), captures, snapshots), "unknown");
    // The first period is forgotten.
    const left = captures.slice(2);
    assert.equal(kindOf(time(60), left, [full(100)]), "unknown");
    assert.equal(kindOf(lsn(60), left, [full(100)]), "unknown");
    assert.equal(kindOf(time(102), left, [full(100)]), "covered");
  });

  test("captures without the snapshot that they go on from cover nothing, nor does what follows them at once", () => {
    assert.equal(kindOf(time(80), captures, [full(100)]), "unknown");
    assert.equal(kindOf(lsn(99), captures, [full(100)]), "unknown");
    assert.equal(kindOf(lsn(101), captures, [full(100)]), "unknown");
    assert.equal(kindOf(lsn(150), captures, [full(100)]), "covered");
  });

  test("a gap between two periods", () => {
    const apart = [capture(60, 50), capture(190, 100)];
    assert.equal(kindOf(time(80), apart, snapshots), "unknown");
    assert.equal(kindOf(lsn(80), apart, snapshots), "unknown");
    assert.equal(kindOf(time(150), apart, snapshots), "covered");
  });

  test("without any full snapshot from the first capture on", () => {
    const alone = [capture(60, undefined), capture(90, undefined)];
    assert.equal(kindOf(lsn(80), alone, []), "covered");
    assert.equal(kindOf(lsn(50), alone, []), "unknown");
  });
});
