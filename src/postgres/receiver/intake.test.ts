// Lives and deaths of an intake, by chance: whatever arrives, fails and dies, what it calls durable is in the archive.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { FAKE_SYSTEM_ID, segmentOf } from "../../../test/postgres/made-up-wal.ts";
import { systemClock, systemRandom, type Clock } from "../../base/clock.ts";
import { segmentAt, segmentStart, type Lsn } from "../../barman/lsn.ts";
import { chooseStart, timelineOf } from "../../barman/stream-start.ts";
import type { Stretch } from "../../barman/timelines.ts";
import { segmentName } from "../../barman/wal-name.ts";
import { faulty } from "../../storage/faulty.ts";
import { openMemoryStorage } from "../../storage/memory.ts";
import { archiveOf } from "../archive.ts";
import { Intake } from "./intake.ts";
import { KnownWal } from "./known-wal.ts";
import { claimSpool } from "./spool.ts";

const SIZE = 1 << 20;
const SEGMENTS = 6;
const FIRST = 3;
/** Timeline 2 begins in the middle of a segment. */
const FORK = segmentStart(FIRST + 3, SIZE) + 300_001n;
const END = segmentStart(FIRST + SEGMENTS, SIZE) - 1000n;

/** A server's log on each timeline, from the first segment on. */
const LOGS = [1, 2].map((timeline) => {
  const own = Array.from({ length: SEGMENTS }, (_, i) =>
    segmentOf({ timeline, segment: FIRST + i, size: SIZE }),
  );
  return Buffer.concat(own);
});
const fork = Number(FORK - segmentStart(FIRST, SIZE));
LOGS[0]!.copy(LOGS[1]!, 0, 0, fork);

const root = mkdtempSync(join(tmpdir(), "holdfast-intake-"));
after(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;

/** Time that flies: what is due after seconds is due at once. */
const hasty: Clock = {
  ...systemClock,
  monotonic: () => performance.now() * 100,
  sleep: (milliseconds, signal) => systemClock.sleep(Math.min(2, milliseconds), signal),
};

/** Everything before `position` on the way is in the archive. */
function assertDurable(
  objects: Map<string, Uint8Array>,
  path: readonly Stretch[],
  position: Lsn,
): void {
  const content = (name: string, suffix: string): Buffer | undefined => {
    const stored = objects.get(`one/wals/${name.slice(0, 16)}/${name}${suffix}`);
    return stored && gunzipSync(stored);
  };
  for (let segment = FIRST; segmentStart(segment, SIZE) < position; segment++) {
    const timeline = timelineOf(path, segment, SIZE);
    const name = segmentName(timeline, segment, SIZE);
    const wanted = Number(position - segmentStart(segment, SIZE));
    const partial = content(name, ".partial.gz");
    // What lies before the fork may be in what there is of the old timeline.
    const isOld = timeline === 2 && position <= FORK;
    const old = isOld ? content(segmentName(1, segment, SIZE), ".partial.gz") : undefined;
    const known = content(name, ".gz") ?? (wanted < SIZE ? (partial ?? old) : undefined);
    assert.ok(known, `${name} is not in the archive, and ${wanted} of its bytes were acknowledged`);
    assert.equal(known.length, SIZE);
    const at = Number(segmentStart(segment, SIZE) - segmentStart(FIRST, SIZE));
    const length = Math.min(SIZE, wanted);
    assert.ok(
      known.subarray(0, length).equals(LOGS[timeline - 1]!.subarray(at, at + length)),
      name,
    );
  }
}

/** What a session does: timeline after timeline, from the first byte of a segment on, in messages of some size. */
async function stream(
  intake: Intake,
  options: {
    start: { timeline: number; segment: number };
    path: readonly Stretch[];
    written: Lsn;
    message: number;
    signal: AbortSignal;
  },
): Promise<void> {
  const { start, path, written, message, signal } = options;
  let { segment } = start;
  for (const { timeline, to = written } of path.filter((one) => one.timeline >= start.timeline)) {
    await intake.begin({ timeline, segment });
    for (let at = segmentStart(segment, SIZE); at < to;) {
      const from = Number(at - segmentStart(FIRST, SIZE));
      const length = Math.min(message, Number(to - at));
      await intake.write(
        { start: at, bytes: LOGS[timeline - 1]!.subarray(from, from + length) },
        signal,
      );
      at += BigInt(length);
    }
    segment = segmentAt(to, SIZE);
  }
}

interface Life {
  /** How much more of the log there is, and in which messages. */
  readonly bytes: number;
  readonly message: number;
  /** A new spool: the old one is lost. */
  readonly isNewSpool: boolean;
  readonly isPromoted: boolean;
  /** Ends well, or dies. */
  readonly isFinished: boolean;
  /** Each so many calls of the storage fail; never when undefined. */
  readonly failing: number | undefined;
}

const life = fc.record<Life>({
  bytes: fc.integer({ min: 0, max: 2.5 * SIZE }),
  message: fc.integer({ min: 5000, max: 200_000 }),
  isNewSpool: fc.boolean(),
  isPromoted: fc.boolean(),
  isFinished: fc.boolean(),
  failing: fc.integer({ min: 2, max: 9 }),
});

void test("what an intake calls durable is in the archive, through deaths, lost spools, failing storages and a fork", async () => {
  const property = fc.asyncProperty(
    fc.array(life, { minLength: 3, maxLength: 6 }),
    async (lives) => {
      const objects = new Map<string, Uint8Array>();
      let folder = join(root, String((folders += 1)));
      let written = segmentStart(FIRST, SIZE) + 100n;
      let acknowledged = segmentStart(FIRST, SIZE);
      let path: Stretch[] = [{ timeline: 1, from: 0n, to: undefined }];
      const last: Life = {
        bytes: 10 * SIZE,
        message: 100_000,
        isNewSpool: false,
        isPromoted: false,
        isFinished: true,
        failing: undefined,
      };
      for (const { bytes, message, isNewSpool, isPromoted, isFinished, failing } of [
        ...lives,
        last,
      ]) {
        written += BigInt(bytes);
        if (written > END) written = END;
        if (isPromoted && path.length === 1 && written > FORK) {
          path = [
            { timeline: 1, from: 0n, to: FORK },
            { timeline: 2, from: FORK, to: undefined },
          ];
          // Of the new timeline nothing was acknowledged.
          if (acknowledged > FORK) acknowledged = FORK;
        }
        if (isNewSpool) folder = join(root, String((folders += 1)));
        const rules = (["put", "replace", "deleteMany"] as const).flatMap((on) =>
          failing === undefined
            ? []
            : [
                { on, every: failing, times: 1000, fault: { kind: "after" } as const },
                { on, skip: 1, every: failing, times: 1000, fault: { kind: "before" } as const },
              ],
        );
        const archive = archiveOf(faulty(openMemoryStorage({ objects }), rules), "one");
        const listed = [...objects].map(([key, { length }]) => ({
          path: key.slice(4),
          size: length,
          time: 0,
        }));
        const known = new KnownWal(listed, SIZE);
        for (const { path: leftover } of known.leftovers) objects.delete(`one/${leftover}`);
        const claim = await claimSpool(folder);
        const identity = { systemId: FAKE_SYSTEM_ID, segmentSize: SIZE };
        const spool = await claim.open(identity, assert.fail);
        const end = new AbortController();
        const intake: Intake = new Intake({
          archive,
          identity,
          spool,
          spoolLimit: 4 * SIZE,
          known,
          shared: false,
          partialAfter: 1,
          clock: hasty,
          random: systemRandom,
          onDurable: () => {
            const { durable } = intake;
            if (durable === undefined || end.signal.aborted) return;
            assertDurable(objects, path, durable);
            if (durable > acknowledged) acknowledged = durable;
          },
          onStored: () => undefined,
          onRetry: () => undefined,
          onNotice: () => undefined,
          signal: end.signal,
        });
        await intake.start();
        const running = intake.run();
        try {
          const archived = known.with(intake.waiting);
          const size = SIZE;
          const start = chooseStart({
            path,
            archived,
            restart: acknowledged,
            position: written,
            size,
          });
          assert.deepEqual(start.otherwise, [], "nothing is lost");
          const signal = AbortSignal.any([end.signal, intake.failed]);
          await stream(intake, { start, path, written, message, signal });
          if (isFinished) await intake.finish();
        } finally {
          end.abort();
          await running;
          await intake.close();
        }
        assert.ok(!intake.failed.aborted, String(intake.failed.reason));
        assertDurable(objects, path, acknowledged);
      }
      assert.equal(acknowledged, END);
      for (const key of objects.keys())
        assert.ok(!objects.has(key.replace(".partial", "")) || !key.includes(".partial"), key);
    },
  );
  await fc.assert(property, {
    numRuns: Number(process.env["HOLDFAST_FAULT_RUNS"] ?? "5"),
    endOnFailure: true,
  });
});
