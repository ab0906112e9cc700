// Objects and lists as the JSON API shows them.

import type { Bucket, StoredVersion } from "./bucket.ts";
import { invalid } from "./gcs-error.ts";

type Fields = Map<string, Fields | undefined>;

const PAGE_MAX = 1000;

/** An object as `get` and `insert` show it. Hashes of what its key no longer opens are left out. */
export function resource(bucket: Bucket, version: StoredVersion): object {
  const { name, generation, kmsKeyName, storageClass, contentType } = version;
  const timeCreated = new Date(version.created).toISOString();
  const readable = bucket.opens(version);
  const { endpoint } = bucket.settings;
  const place = `b/${bucket.settings.name}/o/${encodeURIComponent(name)}`;
  const shown = {
    kind: "storage#object",
    id: `${bucket.settings.name}/${name}/${generation}`,
    selfLink: `${endpoint}/storage/v1/${place}`,
    mediaLink: `${endpoint}/download/storage/v1/${place}?generation=${generation}&alt=media`,
    name,
    bucket: bucket.settings.name,
    generation,
    metageneration: "1",
    contentType,
    storageClass,
    size: String(version.content.length),
    etag: Buffer.from(generation).toString("base64"),
    timeCreated,
    updated: timeCreated,
    ...(kmsKeyName !== undefined && { kmsKeyName }),
    ...(version.temporaryHold && { temporaryHold: true }),
    ...(version.deleted !== undefined && {
      softDeleteTime: new Date(version.deleted).toISOString(),
    }),
  };
  if (!readable) return shown;
  // Worked out only for whoever looks at them.
  Object.defineProperty(shown, "md5Hash", { enumerable: true, get: () => version.md5Hash });
  if (bucket.settings.trusting) return shown;
  return Object.defineProperty(shown, "crc32c", { enumerable: true, get: () => version.crc32c });
}

/** One page of a list. Objects under a customer's key come without hashes, as they do from the real one. */
export function page(bucket: Bucket, query: URLSearchParams): object {
  const prefix = query.get("prefix") ?? "";
  const delimiter = query.get("delimiter") ?? "";
  const start = query.get("startOffset") ?? "";
  const end = query.get("endOffset") ?? "";
  const after = Buffer.from(query.get("pageToken") ?? "", "base64url").toString("utf8");
  const limit = Math.min(PAGE_MAX, Number(query.get("maxResults") ?? PAGE_MAX) || PAGE_MAX);
  const items: object[] = [];
  const prefixes = new Set<string>();
  let last = "";
  for (const version of bucket.all(query.get("softDeleted") === "true")) {
    const { name } = version;
    if (!name.startsWith(prefix) || name < start || (end !== "" && name >= end)) continue;
    const cut = delimiter === "" ? -1 : name.indexOf(delimiter, prefix.length);
    const shown = cut < 0 ? name : name.slice(0, cut + delimiter.length);
    if (after !== "" && Buffer.compare(Buffer.from(shown), Buffer.from(after)) <= 0) continue;
    if (prefixes.has(shown)) continue;
    if (items.length + prefixes.size === limit) {
      return answer(items, prefixes, Buffer.from(last).toString("base64url"));
    }
    last = shown;
    if (cut >= 0) prefixes.add(shown);
    else items.push(listed(bucket, version));
  }
  return answer(items, prefixes, undefined);
}

function listed(bucket: Bucket, version: StoredVersion): object {
  const shown = resource(bucket, version) as Record<string, unknown>;
  if (version.kmsKeyName === undefined) return shown;
  return Object.fromEntries(
    Object.keys(shown)
      .filter((key) => key !== "md5Hash" && key !== "crc32c")
      .map((key) => [key, shown[key]]),
  );
}

function answer(items: object[], prefixes: Set<string>, nextPageToken: string | undefined): object {
  return {
    kind: "storage#objects",
    ...(nextPageToken !== undefined && { nextPageToken }),
    ...(prefixes.size > 0 && { prefixes: [...prefixes] }),
    ...(items.length > 0 && { items }),
  };
}

/** The parts of `value` that a `fields` parameter names: `items(name,size),nextPageToken`. */
export function selectFields(value: object, fields: string | null): object {
  if (fields === null || fields === "" || fields === "*") return value;
  let rest = fields;
  const parse = (): Fields => {
    const result: Fields = new Map();
    for (;;) {
      const name = /^[\w*/]+/.exec(rest)?.[0];
      if (name === undefined) throw invalid(`Invalid field selection ${fields}`);
      rest = rest.slice(name.length);
      let inner: Fields | undefined;
      if (rest.startsWith("(")) {
        rest = rest.slice(1);
        inner = parse();
        if (!rest.startsWith(")")) throw invalid(`Invalid field selection ${fields}`);
        rest = rest.slice(1);
      }
      const [head = "", ...below] = name.split("/");
      result.set(head, below.length > 0 ? new Map([[below.join("/"), inner]]) : inner);
      if (!rest.startsWith(",")) return result;
      rest = rest.slice(1);
    }
  };
  const selected = parse();
  if (rest !== "") throw invalid(`Invalid field selection ${fields}`);
  return pick(value, selected) as object;
}

function pick(value: unknown, fields: Fields): unknown {
  if (Array.isArray(value)) return value.map((each) => pick(each, fields));
  if (typeof value !== "object" || value === null) return value;
  const from = value as Record<string, unknown>;
  const result: Record<string, unknown> = {};
  for (const [name, inner] of fields) {
    for (const key of name === "*" ? Object.keys(from) : [name]) {
      if (key in from) result[key] = inner === undefined ? from[key] : pick(from[key], inner);
    }
  }
  return result;
}
