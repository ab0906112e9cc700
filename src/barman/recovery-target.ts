// Moments that a recovery can end at, and how PostgreSQL is told (docs/formats/barman.md#recovery-targets).

import { HoldfastError } from "../base/errors.ts";
import { formatLsn, type Lsn } from "./lsn.ts";
import { formatZonedTime } from "./zoned-time.ts";

export type RecoveryTarget =
  /** All WAL that there is. */
  | { readonly kind: "latest" }
  /** As soon as the backup is consistent. */
  | { readonly kind: "immediate" }
  /** Microseconds since 1970; transactions committed at that moment are in it. */
  | { readonly kind: "time"; readonly micros: number }
  | { readonly kind: "lsn"; readonly lsn: Lsn }
  /** A restore point, made with pg_create_restore_point. */
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "xid"; readonly xid: bigint };

/** Bytes that the name of a restore point can have. */
const NAME_BYTES_MAX = 63;

/** The year 2200: later times are not exact as numbers. */
const MICROS_MAX = Date.UTC(2200, 0, 1) * 1000;

/** Throws USAGE for a target that no server can have. */
export function requireTarget(target: RecoveryTarget): void {
  const isPossible =
    target.kind === "name"
      ? target.name !== "" &&
        Buffer.byteLength(target.name) <= NAME_BYTES_MAX &&
        !/[\x00-\x1f\x7f]/.test(target.name)
      : target.kind === "xid"
        ? target.xid >= 3n && target.xid < 1n << 64n
        : target.kind !== "time" || (target.micros >= 0 && target.micros < MICROS_MAX);
  if (isPossible) return;
  const shown = JSON.stringify(Object.values(target).map(String).join(" ").slice(0, 100));
  throw new HoldfastError("USAGE", `there can be no such target: ${shown}`, {
    hint: `Names of restore points have 1 to ${NAME_BYTES_MAX} bytes, transactions are numbered from 3 on.`,
  });
}

/** The target for people: "time 2026-11-23 10:15:30+00:00". */
export function describeTarget(target: RecoveryTarget): string {
  switch (target.kind) {
    case "latest":
      return "the end of the archive";
    case "immediate":
      return "the end of the backup";
    case "time":
      return `time ${formatZonedTime({ micros: target.micros, offset: 0 })}`;
    case "lsn":
      return `position ${formatLsn(target.lsn)}`;
    case "name":
      return `restore point ${JSON.stringify(target.name)}`;
    case "xid":
      return `transaction ${target.xid}`;
  }
}

/**
 * PostgreSQL's settings for the target. With `exclusive`, the recovery ends before the transaction or record that the
 * target names, not behind it. Empty for "latest": all WAL is what a recovery without target takes.
 */
export function targetSettings(
  target: RecoveryTarget,
  { exclusive = false }: { readonly exclusive?: boolean } = {},
): Record<string, string> {
  const before: Record<string, string> = exclusive ? { recovery_target_inclusive: "off" } : {};
  switch (target.kind) {
    case "latest":
      return {};
    case "immediate":
      return { recovery_target: "immediate" };
    case "time":
      return {
        recovery_target_time: formatZonedTime({ micros: target.micros, offset: 0 }),
        ...before,
      };
    case "lsn":
      return { recovery_target_lsn: formatLsn(target.lsn), ...before };
    case "name":
      return { recovery_target_name: target.name };
    case "xid":
      return { recovery_target_xid: String(target.xid), ...before };
  }
}

/** A target as JSON has it: times in UTC, positions as PostgreSQL prints them. */
export function targetDocument(target: RecoveryTarget): Record<string, unknown> {
  switch (target.kind) {
    case "time":
      return { kind: "time", time: new Date(target.micros / 1000).toISOString() };
    case "lsn":
      return { kind: "lsn", lsn: formatLsn(target.lsn) };
    case "name":
      return { kind: "name", name: target.name };
    case "xid":
      return { kind: "xid", xid: String(target.xid) };
    default:
      return { kind: target.kind };
  }
}
