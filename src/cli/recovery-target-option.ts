// Which moment a person wants a database back at: the --target options of `pg restore`.

import type { Command } from "commander";
import { parseLsn } from "../barman/lsn.ts";
import type { RecoveryTarget } from "../barman/recovery-target.ts";
import { readZonedTime } from "../barman/zoned-time.ts";
import { HoldfastError } from "../base/errors.ts";

export interface TargetFlags {
  targetTime?: string;
  targetLsn?: string;
  targetName?: string;
  targetXid?: string;
  targetImmediate?: boolean;
}

/** Adds the options that `recoveryTarget` reads. */
export function addTargetOptions(command: Command): void {
  command
    .option("--target-time <time>", "a moment: 2026-01-31 15:04:05.25, local or with +00:00")
    .option("--target-lsn <position>", "a position in the log: 16/B374D848")
    .option("--target-name <name>", "a restore point, made with pg_create_restore_point")
    .option("--target-xid <number>", "a transaction")
    .option("--target-immediate", "the end of the backup");
}

/** The one target that was named, or the end of the archive. Throws USAGE. */
export function recoveryTarget(flags: TargetFlags): RecoveryTarget {
  const { targetTime, targetLsn, targetName, targetXid, targetImmediate } = flags;
  const named: RecoveryTarget[] = [];
  if (targetTime !== undefined)
    named.push({ kind: "time", micros: readMoment(targetTime, "--target-time") });
  if (targetLsn !== undefined)
    named.push({ kind: "lsn", lsn: parseLsn(targetLsn, "--target-lsn") });
  if (targetName !== undefined) named.push({ kind: "name", name: targetName });
  if (targetXid !== undefined) named.push({ kind: "xid", xid: transactionOf(targetXid) });
  if (targetImmediate === true) named.push({ kind: "immediate" });
  if (named.length <= 1) return named[0] ?? { kind: "latest" };
  throw new HoldfastError("USAGE", "more than one target is named", {
    hint: "Name one moment with one of the --target options, or none for the end of the archive.",
  });
}

/** Microseconds since 1970 of a time with its zone, or else of this machine's. Throws USAGE that names `option`. */
export function readMoment(text: string, option: string): number {
  const full = text
    .trim()
    .replace(/^(\d{4}-\d\d-\d\d[ T]\d\d:\d\d)(?!:|\d)/, "$1:00")
    .replace(/([+-]\d\d)$/, (offset, _, at: number) => (at > 10 ? `${offset}:00` : offset));
  const time = readZonedTime(full);
  if (time === undefined) {
    throw new HoldfastError("USAGE", `${option}: ${JSON.stringify(text)} is not a time`, {
      hint: "Write it as 2026-01-31 15:04:05, or with its zone as 2026-01-31T15:04:05Z.",
    });
  }
  if (time.offset !== null) return time.micros;
  // Read as if it were UTC, it tells the digits of the local clock.
  const digits = new Date(Math.floor(time.micros / 1000));
  const local = new Date(
    digits.getUTCFullYear(),
    digits.getUTCMonth(),
    digits.getUTCDate(),
    digits.getUTCHours(),
    digits.getUTCMinutes(),
    digits.getUTCSeconds(),
  );
  return local.getTime() * 1000 + (time.micros % 1_000_000);
}

function transactionOf(text: string): bigint {
  if (/^\d{1,20}$/.test(text)) return BigInt(text);
  throw new HoldfastError(
    "USAGE",
    `--target-xid: ${JSON.stringify(text)} is no number of a transaction`,
    {
      hint: "Ask a server with pg_current_xact_id().",
    },
  );
}
