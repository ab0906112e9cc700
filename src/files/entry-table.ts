// The entries of one directory as lstat saw them: names and packed numbers, 88 bytes an entry.
//
// One call of lstat gives everything; nothing of Node's stat objects is kept, because a directory may have a million
// entries. The packed numbers are also what a directory's fingerprint is made of (scan-cache.ts).

import { lstatSync, readdirSync, statSync } from "node:fs";
import type { BigIntStats } from "node:fs";

const FIELDS = 11;
const MODE = 0;
const UID = 1;
const GID = 2;
const INODE = 3;
const DEVICE_ID = 4;
const LINKS = 5;
const SIZE = 6;
const MTIME = 7;
const CTIME = 8;
const ATIME = 9;
const DEVICE = 10;

const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

const TYPE_MASK = 0o170000;
const DIRECTORY = 0o040000;
const REGULAR = 0o100000;
const SYMLINK = 0o120000;
const SOCKET = 0o140000;

export type EntryKind = "file" | "dir" | "symlink" | "socket" | "other";

/** A file system path for Node: a byte string that is plain ASCII can be passed as it is. */
export function nativePath(path: string): string | Buffer {
  // eslint-disable-next-line no-control-regex
  return /^[\x00-\x7f]*$/.test(path) ? path : Buffer.from(path, "latin1");
}

/** Appends a name to a directory's path; both are byte strings. */
export function joinPath(directory: string, name: string): string {
  if (directory === "") return name;
  return directory.endsWith("/") ? directory + name : `${directory}/${name}`;
}

/** The names in a directory, ascending by their bytes. Throws what readdir throws. */
export function readDirectoryNames(path: string): string[] {
  return readdirSync(nativePath(path), { encoding: "latin1" }).sort();
}

export class EntryTable {
  readonly names: string[] = [];
  #fields: BigInt64Array<ArrayBuffer>;
  #view: DataView;

  constructor(capacity: number) {
    this.#fields = new BigInt64Array(Math.max(1, capacity) * FIELDS);
    this.#view = new DataView(this.#fields.buffer);
  }

  get length(): number {
    return this.names.length;
  }

  /** Adds the entry `name` found at `path`; throws what lstat throws. */
  addFrom(name: string, path: string, withAtime: boolean): void {
    this.add(name, lstatSync(nativePath(path), { bigint: true }), withAtime);
  }

  /** The same, of what a link at `path` leads to. */
  addThroughLink(name: string, path: string, withAtime: boolean): void {
    this.add(name, statSync(nativePath(path), { bigint: true }), withAtime);
  }

  add(name: string, stat: BigIntStats, withAtime: boolean): void {
    const base = this.#grow();
    const fields = this.#fields;
    fields[base + MODE] = stat.mode;
    fields[base + UID] = stat.uid;
    fields[base + GID] = stat.gid;
    fields[base + INODE] = stat.ino;
    fields[base + DEVICE_ID] = stat.dev;
    fields[base + LINKS] = stat.nlink;
    fields[base + SIZE] = stat.size;
    fields[base + MTIME] = stat.mtimeNs;
    fields[base + CTIME] = stat.ctimeNs;
    fields[base + ATIME] = withAtime ? stat.atimeNs : 0n;
    fields[base + DEVICE] = stat.rdev;
    this.names.push(name);
  }

  /** Adds entry `entry` of another table. */
  addCopy(from: EntryTable, entry: number): void {
    const base = this.#grow();
    const start = entry * FIELDS;
    this.#fields.set(from.#fields.subarray(start, start + FIELDS), base);
    this.names.push(from.names[entry]!);
  }

  /** The last entry is forgotten: it is excluded after all. */
  removeLast(): void {
    this.names.pop();
  }

  /** A table over numbers that another thread packed. */
  static fromPacked(names: readonly string[], packed: ArrayBuffer): EntryTable {
    const table = new EntryTable(0);
    table.#fields = new BigInt64Array(packed);
    table.#view = new DataView(packed);
    table.names.push(...names);
    return table;
  }

  /** The packed numbers of all entries, as bytes. */
  get packed(): Uint8Array {
    return new Uint8Array(this.#fields.buffer, 0, this.names.length * FIELDS * 8);
  }

  /** The packed numbers, to hand to another thread. The table must not be used afterwards. */
  takePacked(): ArrayBuffer {
    return this.#fields.buffer;
  }

  kind(entry: number): EntryKind {
    switch (this.mode(entry) & TYPE_MASK) {
      case REGULAR:
        return "file";
      case DIRECTORY:
        return "dir";
      case SYMLINK:
        return "symlink";
      case SOCKET:
        return "socket";
      default:
        return "other";
    }
  }

  /** st_mode. */
  mode(entry: number): number {
    return this.#small(entry, MODE);
  }

  uid(entry: number): number {
    return this.#small(entry, UID);
  }

  gid(entry: number): number {
    return this.#small(entry, GID);
  }

  size(entry: number): number {
    return this.#small(entry, SIZE);
  }

  inode(entry: number): number | bigint {
    return exact(this.#field(entry, INODE));
  }

  deviceId(entry: number): number | bigint {
    return exact(this.#field(entry, DEVICE_ID));
  }

  links(entry: number): number | bigint {
    return exact(this.#field(entry, LINKS));
  }

  /** st_rdev. */
  device(entry: number): number | bigint {
    return exact(this.#field(entry, DEVICE));
  }

  /** Nanoseconds since 1970. */
  mtime(entry: number): bigint {
    return this.#field(entry, MTIME);
  }

  ctime(entry: number): bigint {
    return this.#field(entry, CTIME);
  }

  /** Access time when it was asked for, otherwise 0. */
  atime(entry: number): bigint {
    return this.#field(entry, ATIME);
  }

  /** Makes room for one more entry; where its numbers begin. */
  #grow(): number {
    const base = this.names.length * FIELDS;
    if (base === this.#fields.length) {
      const larger = new BigInt64Array(this.#fields.length * 2);
      larger.set(this.#fields);
      this.#fields = larger;
      this.#view = new DataView(larger.buffer);
    }
    return base;
  }

  /** A number below 2^53, without the detour over BigInt. */
  #small(entry: number, field: number): number {
    if (!LITTLE_ENDIAN) return Number(this.#field(entry, field));
    const at = (entry * FIELDS + field) * 8;
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 4294967296;
  }

  #field(entry: number, field: number): bigint {
    return this.#fields[entry * FIELDS + field]!;
  }
}

/** An unsigned 64-bit number: as Number where that is exact. */
function exact(value: bigint): number | bigint {
  const unsigned = BigInt.asUintN(64, value);
  return unsigned <= 9007199254740991n ? Number(unsigned) : unsigned;
}
