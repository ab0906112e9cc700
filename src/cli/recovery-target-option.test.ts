import assert from "node:assert/strict";
import { test } from "node:test";
import { isHoldfastError } from "../base/errors.ts";
import { recoveryTarget } from "./recovery-target-option.ts";

test("times: with a zone, without one, and to the microsecond", () => {
  const micros = (targetTime: string): number => {
    const target = recoveryTarget({ targetTime });
    assert.equal(target.kind, "time");
    return (target as { micros: number }).micros;
  };
  const utc = Date.UTC(2026, 0, 31, 15, 4, 5) * 1000;
  assert.equal(micros("2026-01-31T15:04:05Z"), utc);
  assert.equal(micros("2026-01-31 15:04:05.25+00"), utc + 250_000);
  assert.equal(micros("2026-01-31 16:04:05.000001+01:00"), utc + 1);
  assert.equal(micros("2026-01-31 10:04:05-05"), utc);
  const local = new Date(2026, 0, 31, 15, 4, 5).getTime() * 1000;
  assert.equal(micros("2026-01-31 15:04:05"), local);
  assert.equal(micros(" 2026-01-31 15:04:05.5 "), local + 500_000);
  // A minute is its first second.
  assert.equal(micros("2026-01-31 15:04"), local - 5_000_000);
  assert.equal(micros("2026-01-31T16:04+01:00"), utc - 5_000_000);
});

test("the other targets, and the end of the archive without any", () => {
  assert.deepEqual(recoveryTarget({}), { kind: "latest" });
  assert.deepEqual(recoveryTarget({ targetLsn: "1/2" }), { kind: "lsn", lsn: 0x1_0000_0002n });
  assert.deepEqual(recoveryTarget({ targetName: "odoo:1" }), { kind: "name", name: "odoo:1" });
  assert.deepEqual(recoveryTarget({ targetXid: "730" }), { kind: "xid", xid: 730n });
  assert.deepEqual(recoveryTarget({ targetImmediate: true }), { kind: "immediate" });
});

test("what is no target", () => {
  for (const flags of [
    { targetTime: "yesterday" },
    { targetTime: "2026-02-30 00:00:00" },
    { targetXid: "x" },
    { targetXid: "3", targetImmediate: true },
  ])
    assert.throws(
      () => recoveryTarget(flags),
      (error) => isHoldfastError(error, "USAGE"),
    );
  assert.throws(
    () => recoveryTarget({ targetLsn: "12" }),
    (error) => isHoldfastError(error, "BARMAN_NAME_INVALID") && /--target-lsn/.test(error.message),
  );
});
