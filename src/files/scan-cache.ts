// What the last backup of the same paths found, so that an unchanged directory needs no tree to be read or written
// (docs/decisions/scan-cache.md).
//
// For each directory: a hash over the names and all numbers lstat gave for its entries, a hash over the trees of its
// sub-directories, and the id of its tree. Nothing is trusted that the machine or the repository could have changed
// meanwhile: the cache holds for one repository and one set of options, as long as every index file that it was made
// with still exists, and it leaves out directories that changed at the moment they were read. Damage or absence costs
// time, never a wrong snapshot.

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { concatBytes, fromHex, sha256, sha256Hex, toHex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import type { EntryTable } from "./entry-table.ts";

const FORMAT = "holdfast scan cache 1";
const RECORD_BYTES = 32 + 32 + 32 + 8 + 8;
const EMPTY = "";

export interface DirectoryRecord {
  /** Hash of the entries as lstat saw them. */
  entries: string;
  /** Hash of the ids of the sub-directories' trees. */
  subtrees: string;
  tree: Id;
  /** Files directly in it, and their bytes. */
  files: number;
  bytes: number;
}

export interface ScanCacheHeader {
  repositoryId: Id;
  /** Index files that existed when it was made. */
  indexFiles: Id[];
}

/** Hash over names and numbers of all entries; equal means nothing that a node stores has changed. */
export function hashEntries(table: EntryTable): string {
  const hash = createHash("sha256");
  hash.update(table.names.join("/"), "latin1");
  hash.update("//");
  hash.update(table.packed);
  return hash.digest("hex");
}

/** Hash over the ids of sub-directories' trees, in order. */
export function hashSubtrees(ids: readonly Id[]): string {
  return ids.length === 0 ? EMPTY.padStart(64, "0") : sha256Hex(Buffer.from(ids.join("")));
}

export class ScanCache {
  header: ScanCacheHeader;
  readonly #records: Buffer;
  /** Place of each directory's record. */
  readonly #places: Map<string, number>;

  constructor(header: ScanCacheHeader, records: Buffer, places: Map<string, number>) {
    this.header = header;
    this.#records = records;
    this.#places = places;
  }

  /** The record of a directory, by its path in the snapshot (a byte string). */
  get(path: string): DirectoryRecord | undefined {
    const at = this.#places.get(path);
    if (at === undefined) return undefined;
    const hex = (from: number): string => toHex(this.#records.subarray(from, from + 32));
    return {
      entries: hex(at),
      subtrees: hex(at + 32),
      tree: hex(at + 64),
      files: this.#records.readDoubleLE(at + 96),
      bytes: this.#records.readDoubleLE(at + 104),
    };
  }

  /** True while every index file of then is still there: nothing it names can have been removed. */
  holdsFor(repositoryId: Id, indexFiles: ReadonlySet<Id>): boolean {
    const { header } = this;
    return (
      header.repositoryId === repositoryId && header.indexFiles.every((id) => indexFiles.has(id))
    );
  }
}

/** Collects records for the next cache. */
export class ScanCacheBuilder {
  readonly #parts: Buffer[] = [];

  add(path: string, record: DirectoryRecord): void {
    const name = Buffer.from(path, "latin1");
    const part = Buffer.alloc(4 + name.length + RECORD_BYTES);
    let at = part.writeUInt32LE(name.length);
    part.set(name, at);
    at += name.length;
    for (const id of [record.entries, record.subtrees, record.tree]) {
      part.set(fromHex(id), at);
      at += 32;
    }
    at = part.writeDoubleLE(record.files, at);
    part.writeDoubleLE(record.bytes, at);
    this.#parts.push(part);
  }

  /** Writes the cache in one step; a failure to do so is not the backup's. */
  save(path: string, header: ScanCacheHeader): void {
    const head = Buffer.from(`${FORMAT}\n${JSON.stringify(header)}\n`);
    const body = concatBytes([head, ...this.#parts]);
    const temporary = `${path}-tmp-${process.pid}`;
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      writeFileSync(temporary, concatBytes([body, sha256(body)]), { mode: 0o600 });
      renameSync(temporary, path);
    } catch {
      rmSync(temporary, { force: true });
    }
  }
}

/** The cache at `path`, or undefined when there is none that can be believed. */
export function loadScanCache(path: string): ScanCache | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch {
    return undefined;
  }
  const body = bytes.subarray(0, Math.max(0, bytes.length - 32));
  if (!sha256(body).equals(bytes.subarray(body.length))) return undefined;
  const firstLine = body.indexOf("\n");
  const secondLine = body.indexOf("\n", firstLine + 1);
  if (body.toString("latin1", 0, firstLine) !== FORMAT) return undefined;
  const header = JSON.parse(body.toString("utf8", firstLine, secondLine)) as ScanCacheHeader;
  const places = new Map<string, number>();
  for (let at = secondLine + 1; at < body.length;) {
    const length = body.readUInt32LE(at);
    places.set(body.toString("latin1", at + 4, at + 4 + length), at + 4 + length);
    at += 4 + length + RECORD_BYTES;
  }
  return new ScanCache(header, body, places);
}

/** File name of the cache for one repository location, host, set of paths and options. */
export function scanCacheName(parts: readonly string[]): string {
  return `${sha256Hex(Buffer.from(JSON.stringify(parts)))}.scan`;
}
