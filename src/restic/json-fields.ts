// Checked access to the members of small JSON files: config, keys, locks, snapshots (docs/formats/restic.md#json). Each
// reader names the file it reads in its error, so that a person knows which of them is damaged.

import { HoldfastError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import { asBuffer, isId } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import { textToByteString } from "./byte-string.ts";
import { goJsonString } from "./go-json.ts";
import { GO_ZERO_TIME, isTime } from "./go-time.ts";
import { isUint32, isUint53, parseJsonObject } from "./json-object.ts";

/** Whoever writes JSON goes down level by level, and so deep a stack is not to be had everywhere. */
const LEVELS_MAX = 1000;

/** The members of one object. An absent or null member reads as its zero value, as in Go. */
export class JsonFields {
  readonly #members: Readonly<Record<string, unknown>>;
  readonly #code: ErrorCode;
  readonly #what: string;

  constructor(members: Readonly<Record<string, unknown>>, code: ErrorCode, what: string) {
    this.#members = members;
    this.#code = code;
    this.#what = what;
  }

  /** Reads a whole file. `what` completes "… is damaged". */
  static parse(bytes: Uint8Array, code: ErrorCode, what: string): JsonFields {
    const members = parseJsonObject(asBuffer(bytes).toString("utf8"));
    if (members !== undefined) return new JsonFields(members, code, what);
    throw new HoldfastError(code, `${what} is damaged: it is not a JSON object`);
  }

  /** The error for this file. */
  damaged(why: string): HoldfastError {
    return new HoldfastError(this.#code, `${this.#what} is damaged: ${why}`);
  }

  has(key: string): boolean {
    return this.#value(key) != null;
  }

  text(key: string): string {
    const value = this.#value(key) ?? "";
    if (typeof value !== "string") throw this.#invalid(key);
    return value;
  }

  texts(key: string): string[] {
    const value = this.#value(key) ?? [];
    if (!Array.isArray(value)) throw this.#invalid(key);
    if (!value.every((item) => typeof item === "string")) throw this.#invalid(key);
    return value;
  }

  flag(key: string): boolean {
    const value = this.#value(key) ?? false;
    if (typeof value !== "boolean") throw this.#invalid(key);
    return value;
  }

  uint32(key: string): number {
    const value = this.#value(key) ?? 0;
    if (!isUint32(value)) throw this.#invalid(key);
    return value;
  }

  /** A count; above 2^53 - 1 it reads as that, because a statistic must not cost a snapshot. */
  count(key: string): number {
    const value = this.#value(key) ?? 0;
    if (isUint53(value)) return value;
    if (typeof value === "number" && value > 0) return Number.MAX_SAFE_INTEGER;
    throw this.#invalid(key);
  }

  /** RFC 3339 text. */
  time(key: string): string {
    const value = this.#value(key) ?? GO_ZERO_TIME;
    if (typeof value !== "string" || !isTime(value)) throw this.#invalid(key);
    return value;
  }

  /** An id, or null when it is absent. */
  id(key: string): Id | null {
    const value = this.#value(key) ?? null;
    if (value === null) return null;
    if (typeof value !== "string" || !isId(value)) throw this.#invalid(key);
    return value;
  }

  /** Bytes stored as base64 with padding. */
  base64(key: string): Buffer {
    const value = this.text(key);
    const bytes = Buffer.from(value, "base64");
    // Node skips over what is not base64; only the exact text is valid.
    if (bytes.toString("base64") !== value) throw this.#invalid(key);
    return bytes;
  }

  /** The object in a member, or null when it is absent. */
  object(key: string): JsonFields | null {
    const value = this.#value(key) ?? null;
    if (value === null) return null;
    if (typeof value !== "object" || Array.isArray(value)) throw this.#invalid(key);
    const members = value as Record<string, unknown>;
    return new JsonFields(members, this.#code, `${this.#what}, member ${key},`);
  }

  /** The members that are not `known`. Refuses what is nested too deeply to be written again. */
  extra(known: ReadonlySet<string>): Record<string, unknown> {
    const members = Object.entries(this.#members).filter(([key]) => !known.has(key));
    if (nestsTooDeep(members)) throw this.damaged("it is nested too deeply");
    return Object.fromEntries(members);
  }

  #value(key: string): unknown {
    return Object.hasOwn(this.#members, key) ? this.#members[key] : undefined;
  }

  #invalid(key: string): HoldfastError {
    return this.damaged(`its ${key} is not valid`);
  }
}

/** The JSON text of any value of JSON, with strings as Go writes them. */
export function goJson(value: unknown): string {
  if (typeof value === "string") return goJsonString(value);
  if (Array.isArray(value)) return `[${value.map(goJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const members = Object.entries(value).map(
    ([key, item]) => `${goJsonString(key)}:${goJson(item)}`,
  );
  return `{${members.join(",")}}`;
}

/** The UTF-8 bytes of a JSON text. */
export function jsonBytes(json: string): Buffer {
  return Buffer.from(textToByteString(json), "latin1");
}

function nestsTooDeep(value: unknown): boolean {
  let values = [value];
  for (let level = 0; values.length > 0; level++) {
    if (level > LEVELS_MAX) return true;
    values = values.flatMap((one) =>
      typeof one === "object" && one !== null ? (Object.values(one) as unknown[]) : [],
    );
  }
  return false;
}
