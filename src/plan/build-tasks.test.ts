import { test } from "node:test";
import assert from "node:assert/strict";
import type { JointPosition } from "../odoo/capture-mark.ts";
import { InstanceProgress } from "./build-tasks.ts";

const at = (lsn: number, timeline = 1): JointPosition => ({
  systemId: "7",
  timeline,
  lsn: BigInt(lsn),
  time: lsn * 1000,
});

test("the watermark is the newest captured position that the receiver has archived", () => {
  const progress = new InstanceProgress();
  progress.captured(at(10));
  assert.equal(progress.watermark, undefined);
  progress.archived({ timeline: 1, lsn: 9n });
  assert.equal(progress.watermark, undefined);
  progress.captured(at(20));
  progress.archived({ timeline: 1, lsn: 15n });
  assert.equal(progress.watermark!.lsn, 10n);
  progress.archived({ timeline: 1, lsn: 25n });
  assert.equal(progress.watermark!.lsn, 20n);
  progress.captured(at(22));
  assert.equal(progress.watermark!.lsn, 22n);
  // What was captured and not archived when the timeline changed may be of a branch that was left.
  progress.captured(at(28));
  progress.captured(at(30, 2));
  assert.equal(progress.watermark!.lsn, 22n);
  progress.archived({ timeline: 2, lsn: 29n });
  assert.equal(progress.watermark!.lsn, 22n);
  progress.archived({ timeline: 2, lsn: 30n });
  assert.equal(progress.watermark!.lsn, 30n);
});

test("an archive that stands still for days fills no memory, and loses nothing when it goes on", () => {
  const progress = new InstanceProgress();
  progress.archived({ timeline: 1, lsn: 0n });
  for (let lsn = 1; lsn <= 50_000; lsn++) progress.captured(at(lsn));
  assert.equal(progress.watermark, undefined);
  progress.archived({ timeline: 1, lsn: 49_999n });
  assert.ok(progress.watermark!.lsn > 49_000n);
  progress.archived({ timeline: 1, lsn: 50_000n });
  assert.equal(progress.watermark!.lsn, 50_000n);
});
