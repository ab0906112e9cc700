// The headers of tars, as PostgreSQL and Barman write them (POSIX ustar, docs/formats/barman.md#tars): one block of 512 bytes
// before the content of each member. Names are byte strings, one character for each byte: a name need not be UTF-8.

import { HoldfastError } from "../base/errors.ts";

export const TAR_BLOCK = 512;

/** What ends a tar. */
export const TAR_END: Buffer = Buffer.alloc(2 * TAR_BLOCK);

export type TarType = "file" | "directory" | "symlink" | "hardlink" | "other";

export interface TarMember {
  /** A byte string, as it stands there. Not to be trusted. */
  readonly path: string;
  readonly type: TarType;
  /** Bytes of content. */
  readonly size: number;
  /** Permissions: 0o600. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** Where a link leads, a byte string; "" for what is none. Not to be trusted. */
  readonly linkTarget: string;
}

/** The single letters of a header's type that stand for more about the member that follows. */
export type TarNote = "long-path" | "long-target" | "attributes" | "global";

export interface TarHeader extends TarMember {
  readonly note: TarNote | undefined;
}

const TYPES: Readonly<Record<string, TarType>> = {
  "\0": "file",
  "0": "file",
  "1": "hardlink",
  "2": "symlink",
  "5": "directory",
  "7": "file",
};

const NOTES: Readonly<Record<string, TarNote>> = {
  L: "long-path",
  K: "long-target",
  x: "attributes",
  X: "attributes",
  g: "global",
};

/** True for the block of zeros that ends a tar. */
export function isTarEnd(block: Buffer): boolean {
  return block.equals(TAR_END.subarray(0, TAR_BLOCK));
}

/** Reads a header of 512 bytes. Throws BACKUP_DAMAGED, naming `source`, for what is none. */
export function readTarHeader(block: Buffer, source: string): TarHeader {
  if (number(block, 148, 8) !== checksumOf(block))
    throw damagedTar(source, "a header does not match its checksum");
  const letter = String.fromCharCode(block[156]!);
  const note = NOTES[letter];
  const prefix = block.toString("latin1", 257, 262) === "ustar" ? text(block, 345, 155) : "";
  const name = text(block, 0, 100);
  const size = number(block, 124, 12);
  if (!Number.isSafeInteger(size) || size < 0) throw damagedTar(source, "a member has no size");
  const type = TYPES[letter] ?? "other";
  return {
    path: prefix === "" ? name : `${prefix}/${name}`,
    type,
    // Whatever the header of a link or directory says, no content follows.
    size: type === "file" || note !== undefined ? size : 0,
    mode: number(block, 100, 8) & 0o7777,
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
    mtime: number(block, 136, 12),
    linkTarget: text(block, 157, 100),
    note,
  };
}

/** The header of a member whose path and target have 100 bytes at most; another one is a BUG. */
export function formatTarHeader(member: TarMember): Buffer {
  const block = Buffer.alloc(TAR_BLOCK);
  const { path, linkTarget } = member;
  const letter = Object.keys(TYPES).find((each) => each !== "\0" && TYPES[each] === member.type);
  if (letter === undefined || path.length > 100 || linkTarget.length > 100) {
    throw new HoldfastError("BUG", `no header for the member ${JSON.stringify(path)}`);
  }
  block.write(path, 0, "latin1");
  octal(block, member.mode, 100, 8);
  octal(block, member.uid, 108, 8);
  octal(block, member.gid, 116, 8);
  octal(block, member.size, 124, 12);
  octal(block, member.mtime, 136, 12);
  block.write(letter, 156, "latin1");
  block.write(linkTarget, 157, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  octal(block, checksumOf(block), 148, 7);
  block[155] = 0x20;
  return block;
}

/** Zeros behind the content of a member, up to the next block. */
export function tarPadding(size: number): number {
  return (TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK;
}

export function damagedTar(source: string, what: string): HoldfastError {
  return new HoldfastError("BACKUP_DAMAGED", `${source}: ${what}`, {
    hint: "Make a new base backup; until then recover with an older one.",
  });
}

/** The sum of all bytes, where those of the sum itself count as spaces. */
function checksumOf(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let i = 0; i < TAR_BLOCK; i++) if (i < 148 || i >= 156) sum += block[i]!;
  return sum;
}

function text(block: Buffer, at: number, length: number): string {
  const end = block.indexOf(0, at);
  return block.toString("latin1", at, end === -1 ? at + length : Math.min(end, at + length));
}

/** Octal digits; or, for what is too large for them, the bytes of the number behind a byte with its upper bit set. */
function number(block: Buffer, at: number, length: number): number {
  if ((block[at]! & 0x80) === 0) {
    const digits = text(block, at, length).trim();
    return digits === "" ? 0 : /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN;
  }
  let value = block[at]! & 0x7f;
  for (let i = at + 1; i < at + length; i++) value = value * 256 + block[i]!;
  return value;
}

function octal(block: Buffer, value: number, at: number, length: number): void {
  const digits = value.toString(8).padStart(length - 1, "0");
  if (digits.length < length) {
    block.write(digits, at, "latin1");
    return;
  }
  let rest = value;
  for (let i = at + length - 1; i > at; i--) {
    block[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  block[at] = 0x80;
}
