// Index files in any JSON form (docs/formats/restic.md#index): those of old restic versions, which list superseded
// files, and those of rustic, which add members. What is not known is ignored; `supersedes` must never be honoured.

import { asBuffer, fromHex, ID_BYTES, isId } from "../base/bytes.ts";
import { HoldfastError } from "../base/errors.ts";
import { IndexEntries } from "./index-entries.ts";
import { isUint32, parseJsonObject } from "./json-object.ts";

const UINT32_MAX = 0xffff_ffff;

type Members = Readonly<Record<string, unknown>>;

/** Reads an index file. Throws INDEX_DAMAGED. */
export function readIndexJson(bytes: Uint8Array): IndexEntries {
  const file: Members | undefined = parseJsonObject(asBuffer(bytes).toString("utf8"));
  if (file === undefined) throw damaged("it is not a JSON object");
  const packs = list(file["packs"], "packs").map((value) => {
    const pack = members(value);
    return { id: packId(pack["id"]), blobs: list(pack["blobs"], "blobs").map(members) };
  });
  const entries = new IndexEntries(packs.reduce((sum, { blobs }) => sum + blobs.length, 0));
  for (const { id, blobs } of packs) {
    for (const blob of blobs) addBlob(entries, blob);
    entries.endPack(id);
  }
  return entries;
}

function addBlob(entries: IndexEntries, blob: Members): void {
  const { id, type, offset = 0, length = 0, uncompressed_length: uncompressed } = blob;
  if (typeof id !== "string" || !isId(id)) throw damaged("a blob has no valid id");
  if (type !== "data" && type !== "tree") throw damaged(`blob ${id} has no valid type`);
  if (!isUint32(offset) || !isUint32(length) || !isUint32(uncompressed ?? 0)) {
    throw damaged(`blob ${id} has no valid position`);
  }
  if (offset + length > UINT32_MAX) throw damaged(`blob ${id} is outside of any pack`);
  const at = entries.count++;
  entries.ids.set(fromHex(id), at * ID_BYTES);
  entries.types[at] = type === "tree" ? 1 : 0;
  entries.offsets[at] = offset;
  entries.lengths[at] = length;
  entries.uncompressedLengths[at] = (uncompressed as number | null | undefined) ?? 0;
}

function list(value: unknown, name: string): unknown[] {
  if (value == null) return [];
  if (!Array.isArray(value)) throw damaged(`its ${name} are not a list`);
  return value;
}

function members(value: unknown): Members {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw damaged("an entry is not an object");
  }
  return value as Members;
}

function packId(value: unknown): string {
  if (typeof value !== "string" || !isId(value)) throw damaged("a pack has no valid id");
  return value;
}

function damaged(why: string): HoldfastError {
  return new HoldfastError("INDEX_DAMAGED", `an index file is damaged: ${why}`);
}
