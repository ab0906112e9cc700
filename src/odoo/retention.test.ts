// Every moment of a window against a model: a filestore whose files come and go, snapshots that take their time, captures
// that tick, WAL and base backups; what is removed must leave every moment as recoverable as it was.

import { suite, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { judgeBackups, type RetentionPolicy } from "../barman/retention.ts";
import { neededForWindow, type FullSnapshot, type TimedCapture } from "./retention.ts";

const DAY = 86_400_000;
const HOUR = DAY / 24;

suite("what a window needs", () => {
  const snapshots: FullSnapshot[] = [1, 2, 3, 4].map((day) => ({
    id: `full-${day}`,
    time: day * DAY,
    end: day * DAY + HOUR,
  }));
  const captures: TimedCapture[] = [1, 2, 3, 4].flatMap((day) =>
    [0.25, 0.5, 0.99].map((part) => ({
      id: `capture-${day}-${part}`,
      time: (day + part) * DAY,
      since: `full-${day}`,
    })),
  );
  const needs = (start: number): string[][] => {
    const found = neededForWindow({ start, snapshots, captures });
    return [
      [...found.snapshots].toSorted(),
      [...found.captures].toSorted(),
      [`${found.isCovered}`],
    ];
  };

  test("the newest snapshot before it, and everything since then but superseded captures", () => {
    assert.deepEqual(needs(2.5 * DAY), [
      ["full-2", "full-3", "full-4"],
      ["capture-2-0.99", "capture-3-0.99", "capture-4-0.99"],
      ["true"],
    ]);
  });

  test("a snapshot that was under way when the window begins does not cover its beginning", () => {
    const expected = ["full-2", "full-3", "full-4"];
    assert.deepEqual(needs(3 * DAY + HOUR - 1)[0], expected);
    assert.deepEqual(needs(3 * DAY + HOUR)[0], ["full-3", "full-4"]);
  });

  test("of two programs that capture side by side the last one of each stays", () => {
    const both = captures.flatMap((one) => [
      { ...one, source: "a" },
      { ...one, id: `${one.id}-b`, time: one.time - 1, source: "b" },
    ]);
    const found = neededForWindow({ start: 3.5 * DAY, snapshots, captures: both });
    assert.deepEqual([...found.captures].toSorted(), [
      "capture-3-0.99",
      "capture-3-0.99-b",
      "capture-4-0.99",
      "capture-4-0.99-b",
    ]);
  });

  test("without an old one everything stays, and the window is not covered", () => {
    assert.deepEqual(needs(DAY / 2)[0]!.length, 4);
    assert.deepEqual(needs(DAY / 2)[2], ["false"]);
  });

  test("the newest of each stay, however short the window", () => {
    assert.deepEqual(needs(100 * DAY).slice(0, 2), [["full-4"], ["capture-4-0.99"]]);
    const old = neededForWindow({ start: 100 * DAY, snapshots, captures: captures.slice(0, 2) });
    assert.deepEqual([...old.captures], ["capture-1-0.5"]);
    const none = neededForWindow({ start: 0, snapshots: [], captures: [] });
    assert.deepEqual([none.snapshots.size, none.captures.size, none.isCovered], [0, 0, false]);
  });

  test("a snapshot that does not tell its end had ended when the next one began", () => {
    const blind = snapshots.map((one) => ({ ...one, end: undefined }));
    const kept = [...neededForWindow({ start: 3.5 * DAY, snapshots: blind, captures }).snapshots];
    assert.deepEqual(kept, ["full-2", "full-3", "full-4"]);
  });
});

interface Model {
  /** When each file came and when its content went from the disk; Infinity for never. */
  readonly files: readonly {
    readonly born: number;
    readonly gone: number;
    readonly seenAfter: number;
  }[];
  readonly snapshots: readonly FullSnapshot[];
  readonly captures: readonly TimedCapture[];
  readonly backups: readonly { readonly id: string; readonly end: number }[];
  readonly now: number;
  readonly days: number;
}

/** Ticks of a minute; a day has 240 of them, so that days and windows overlap within a short history. */
const TICKS = 240;

const anyModel: fc.Arbitrary<Model> = fc
  .record({
    files: fc.array(
      fc.record({
        born: fc.integer({ min: 0, max: 10 * TICKS }),
        life: fc.oneof(fc.integer({ min: 2, max: 300 }), fc.constant(Infinity)),
        // Where in a scan its directory comes.
        seenAfter: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
      { minLength: 20, maxLength: 40 },
    ),
    scans: fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 10, maxLength: 10 }),
    captured: fc.array(fc.boolean(), { minLength: 10, maxLength: 10 }),
    tellsEnd: fc.boolean(),
    backups: fc.uniqueArray(fc.integer({ min: 0, max: 10 * TICKS }), { maxLength: 5 }),
    now: fc.integer({ min: 4 * TICKS, max: 10 * TICKS }),
    days: fc.integer({ min: 1, max: 4 }),
  })
  .map(({ files, scans, captured, tellsEnd, backups, now, days }) => {
    const snapshots = scans
      .map((length, day) => ({ id: `f${day}`, time: day * TICKS + 3, length }))
      .filter(({ time, length }) => time + length <= now)
      .map(({ id, time, length }) => ({
        id,
        time,
        end: tellsEnd ? time + length : undefined,
        length,
      }));
    const captures: TimedCapture[] = [];
    for (let tick = 0; tick <= now; tick += 1) {
      // A period begins when its full snapshot is whole.
      const since = snapshots.findLast((one) => one.time + one.length < tick)?.id;
      if (captured[Math.floor(tick / TICKS)])
        captures.push({ id: `c${String(tick).padStart(6, "0")}`, time: tick, since });
    }
    return {
      files: files.map(({ born, life, seenAfter }) => ({ born, gone: born + life, seenAfter })),
      snapshots,
      captures,
      backups: backups
        .filter((end) => end <= now)
        .map((end) => ({ id: `b${String(end).padStart(6, "0")}`, end })),
      now,
      days,
    };
  });

type Lengths = readonly (FullSnapshot & { readonly length?: number | undefined })[];

/** What a snapshot has: what lay on the disk when its scan came by. */
function inSnapshot(snapshot: Lengths[number], file: Model["files"][number]): boolean {
  const at = snapshot.time + file.seenAfter * (snapshot.length ?? 0);
  return file.born <= at && at < file.gone;
}

/** What a capture has: everything that some tick saw since its full snapshot was whole. */
function inCapture(capture: TimedCapture, model: Model, file: Model["files"][number]): boolean {
  const since: Lengths[number] | undefined = model.snapshots.find(({ id }) => id === capture.since);
  const from = since === undefined ? 0 : since.time + since.length! + 1;
  return model.captures.some(
    ({ time }) => time >= from && time <= capture.time && file.born <= time && time < file.gone,
  );
}

/** Which files are in the snapshots and captures with these ids. */
function pool(model: Model, ids: ReadonlySet<string>): boolean[] {
  return model.files.map(
    (file) =>
      model.snapshots.some((one) => ids.has(one.id) && inSnapshot(one, file)) ||
      model.captures.some((one) => ids.has(one.id) && inCapture(one, model, file)),
  );
}

suite("against a model", () => {
  test("no moment of the window loses a file that it had", () => {
    fc.assert(
      fc.property(anyModel, (model) => {
        const start = model.now - model.days * TICKS;
        const all = new Set([...model.snapshots, ...model.captures].map(({ id }) => id));
        const { snapshots, captures } = neededForWindow({ ...model, start });
        const before = pool(model, all);
        const after = pool(model, new Set([...snapshots, ...captures]));
        for (const [i, file] of model.files.entries()) {
          // It lay on the disk at some moment of the window: some database of the window refers to it.
          const isOfWindow = file.gone > Math.max(0, start) && file.born <= model.now;
          if (isOfWindow && before[i]) assert.ok(after[i], JSON.stringify({ file, start }));
        }
      }),
      { numRuns: 100 },
    );
  });

  test("what the window does not need goes, so that a history does not grow for ever", () => {
    fc.assert(
      fc.property(anyModel, (model) => {
        const start = model.now - model.days * TICKS;
        const { snapshots, captures, isCovered } = neededForWindow({ ...model, start });
        if (!isCovered) return;
        const older = model.snapshots.filter(({ id, time }) => snapshots.has(id) && time < start);
        // One before the window; two when its beginning falls into a scan, or nobody knows when scans end.
        assert.ok(older.length <= 2, String(older.length));
        const periods = new Set(model.captures.map(({ since }) => since));
        assert.ok(captures.size <= periods.size);
      }),
      { numRuns: 200 },
    );
  });

  test("the database's side: the same start keeps a base backup before it wherever there was one", () => {
    fc.assert(
      fc.property(anyModel, ({ backups, now, days }) => {
        const scale = DAY / TICKS;
        const policy: RetentionPolicy = { kind: "window", count: days, unit: "DAYS" };
        const judged = judgeBackups({
          backups: backups.map(({ id, end }) => ({
            id,
            isDone: true,
            endTime: end * scale,
            keep: undefined,
          })),
          policy,
          now: now * scale,
        });
        const kept = backups.filter(({ id }) => judged.get(id)!.verdict === "valid");
        for (let moment = Math.max(0, now - days * TICKS); moment <= now; moment += 7) {
          const had = backups.some(({ end }) => end <= moment);
          const has = kept.some(({ id, end }) => end <= moment && judged.get(id)!.wal === "all");
          // A backup that ended in the very first moment of the window has none of it before.
          if (had && moment > now - days * TICKS) assert.ok(has, `${moment}`);
        }
      }),
      { numRuns: 200 },
    );
  });
});
