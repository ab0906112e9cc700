// Reads what a mover left in its termination message. A pod is anybody's who may write to its namespace: nothing in it is
// believed that is not of the right shape, and of the right run.

import { ERROR_CODES } from "../../base/errors.ts";
import type { ErrorCode } from "../../base/errors.ts";
import type { FileOwner, MoverProblem, MoverVerdict, SeenLock } from "../mover-verdict.ts";

const ID = /^[0-9a-f]{64}$/;
/** Of problems and locks each: more help nobody. */
const ENTRIES_MAX = 8;
const TEXT_MAX = 1024;

/** The verdict, undefined when the text is none, or that of another run. */
export function parseVerdict(
  text: string | undefined,
  run: string | undefined,
): MoverVerdict | undefined {
  const line = text?.trim().split("\n").at(-1);
  if (line === undefined || !line.startsWith("{")) return undefined;
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  if (value["v"] !== 1 || value["run"] !== run || run === undefined) return undefined;
  const { result } = value;
  if (result !== "ok" && result !== "failed") return undefined;
  const count = (name: string): number | undefined => numberOf(value[name]);
  const snapshot = value["snapshot"];
  return {
    v: 1,
    result,
    run,
    snapshot: typeof snapshot === "string" && ID.test(snapshot) ? snapshot : undefined,
    pointInTime: timeOf(value["pointInTime"]),
    files: count("files"),
    bytes: count("bytes"),
    added: count("added"),
    snapshots: count("snapshots"),
    removed: count("removed"),
    pruned: flagOf(value["pruned"]),
    unlocked: flagOf(value["unlocked"]),
    uncached: flagOf(value["uncached"]),
    seconds: count("seconds"),
    problems: entries(value["problems"], problemOf),
    owner: ownerOf(value["owner"]),
    locks: entries(value["locks"], lockOf),
  };
}

function entries<T>(
  value: unknown,
  read: (entry: Record<string, unknown>) => T | undefined,
): T[] | undefined {
  if (!Array.isArray(value)) return undefined;
  return value
    .slice(0, ENTRIES_MAX)
    .filter(
      (entry): entry is Record<string, unknown> => typeof entry === "object" && entry !== null,
    )
    .map(read)
    .filter((entry) => entry !== undefined);
}

function problemOf(entry: Record<string, unknown>): MoverProblem | undefined {
  const { code } = entry;
  if (typeof code !== "string" || !Object.hasOwn(ERROR_CODES, code)) return undefined;
  return {
    code: code as ErrorCode,
    message: textOf(entry["message"]) ?? "",
    hint: textOf(entry["hint"]),
    retryable: flagOf(entry["retryable"]),
  };
}

/** As Kubernetes takes them for a pod. */
const ID_MAX = 2 ** 31 - 1;

function ownerOf(value: unknown): FileOwner | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { uid, gid } = value as Record<string, unknown>;
  return isUserId(uid) && isUserId(gid) ? { uid, gid } : undefined;
}

function isUserId(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= ID_MAX;
}

function lockOf(entry: Record<string, unknown>): SeenLock | undefined {
  const id = textOf(entry["id"]);
  const hostname = textOf(entry["hostname"]);
  const time = timeOf(entry["time"]);
  if (id === undefined || !ID.test(id) || hostname === undefined || time === undefined)
    return undefined;
  return { id, hostname, exclusive: entry["exclusive"] === true, time };
}

/** One line without characters that would move a cursor. */
function textOf(value: unknown): string | undefined {
  if (typeof value !== "string") return undefined;
  return value.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, " ").slice(0, TEXT_MAX);
}

function timeOf(value: unknown): string | undefined {
  if (typeof value !== "string" || !/^\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)$/.test(value))
    return undefined;
  return Number.isNaN(Date.parse(value)) ? undefined : value;
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : undefined;
}

function flagOf(value: unknown): boolean | undefined {
  return typeof value === "boolean" ? value : undefined;
}
