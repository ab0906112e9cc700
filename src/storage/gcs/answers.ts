// What Cloud Storage answers with success, believed only in the shape it has: something in between may answer in its
// place, and a list that is none must not look like an empty one.

import { HoldfastError } from "../../base/errors.ts";
import { textOf } from "../http/transport.ts";
import type { WireAnswer } from "../http/transport.ts";

/** An object as the service tells of it, as far as it was asked for. */
export interface ObjectResource {
  readonly size: number;
  readonly generation?: string | undefined;
  readonly crc32c?: string | undefined;
  readonly md5Hash?: string | undefined;
  readonly kmsKeyName?: string | undefined;
}

export interface PageItem {
  readonly name: string;
  readonly size: number;
  /** When it was stored, in milliseconds since 1970. */
  readonly modified: number | undefined;
}

/** One page of a list. */
export interface Page {
  readonly items: readonly PageItem[];
  readonly nextPageToken: string | undefined;
}

/** The JSON object of an answer; STORAGE_UNAVAILABLE when it is none. */
export function recordOf(answer: WireAnswer, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(textOf(answer));
  } catch {
    // A proxy or a sign-in page in between; it may be gone in a minute.
    throw misshapen(what, "is no JSON");
  }
  if (isRecord(value)) return value;
  throw misshapen(what, "is no JSON object");
}

/** The answer as an object's resource. */
export function resourceOf(answer: WireAnswer, what: string): ObjectResource {
  const value = recordOf(answer, what);
  const wrong = (): HoldfastError => misshapen(what, "is no object of Cloud Storage");
  const size = sizeOf(value["size"]);
  if (size === undefined) throw wrong();
  const text = (name: string): string | undefined => {
    const field = value[name];
    if (field === undefined || typeof field === "string") return field;
    throw wrong();
  };
  const generation = text("generation");
  if (generation !== undefined && !/^\d+$/.test(generation)) throw wrong();
  return {
    size,
    generation,
    crc32c: text("crc32c"),
    md5Hash: text("md5Hash"),
    kmsKeyName: text("kmsKeyName"),
  };
}

/** The answer as a page of a list. */
export function pageOf(answer: WireAnswer, what: string): Page {
  const value = recordOf(answer, what);
  const wrong = (): HoldfastError => misshapen(what, "is no list");
  if (value["kind"] !== "storage#objects") throw wrong();
  const { items = [], nextPageToken } = value;
  if (!Array.isArray(items)) throw wrong();
  if (nextPageToken !== undefined && typeof nextPageToken !== "string") throw wrong();
  const objects = items.map((item: unknown) => {
    const name = isRecord(item) ? item["name"] : undefined;
    const size = isRecord(item) ? sizeOf(item["size"]) : undefined;
    if (typeof name !== "string" || size === undefined) throw wrong();
    return { name, size, modified: timeOf((item as Record<string, unknown>)["updated"]) };
  });
  return { items: objects, nextPageToken: nextPageToken === "" ? undefined : nextPageToken };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Sizes are texts of digits, as JSON's numbers end too early for them. */
function sizeOf(value: unknown): number | undefined {
  const size = typeof value === "string" && /^\d+$/.test(value) ? Number(value) : undefined;
  return size !== undefined && Number.isSafeInteger(size) ? size : undefined;
}

/** Undefined where the service, or what stands in for it, does not tell. */
function timeOf(value: unknown): number | undefined {
  const time = typeof value === "string" ? Date.parse(value) : NaN;
  return Number.isNaN(time) ? undefined : time;
}

function misshapen(what: string, why: string): HoldfastError {
  return new HoldfastError("STORAGE_UNAVAILABLE", `cannot ${what}: the answer ${why}`, {
    retryable: true,
    hint: "Is something between here and the service that answers in its place?",
  });
}
