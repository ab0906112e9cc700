// What a directory listing refers to (docs/formats/restic.md#trees), for listings in the plain form that restic writes for
// plain names: members in their order, no escapes, no spaces, no extended attributes, no numbers above 15 digits. Of every
// other listing it says only that it is not of this form; src/restic/tree.ts reads those. Must never take for valid what
// src/restic/tree.ts does not.

/** One reference: 0 for a blob of data, 1 for a listing, as u32; then the 32 bytes of the id. */
const RECORD: usize = 36;

// The literals between values, eight bytes and what follows them, least significant byte first.
const NODES: u64 = 0x227365646f6e227b; // {"nodes"
const NAME: u64 = 0x3a22656d616e227b; // {"name":
const TYPE: u64 = 0x3a2265707974222c; // ,"type":
const MODE: u64 = 0x3a2265646f6d222c; // ,"mode":
const MTIME: u64 = 0x22656d69746d222c; // ,"mtime"
const ATIME: u64 = 0x22656d697461222c; // ,"atime"
const CTIME: u64 = 0x22656d697463222c; // ,"ctime"
const UID: u64 = 0x3a22646975222c; // ,"uid":
const GID: u64 = 0x3a22646967222c; // ,"gid":
const USER: u64 = 0x3a2272657375222c; // ,"user":
const GROUP: u64 = 0x2270756f7267222c; // ,"group"
const INODE: u64 = 0x2265646f6e69222c; // ,"inode"
const DEVICE: u64 = 0x656369766564222c; // ,"device
const SIZE: u64 = 0x3a22657a6973222c; // ,"size":
const LINKS: u64 = 0x22736b6e696c222c; // ,"links"
const LINK_TARGET: u64 = 0x61746b6e696c222c; // ,"linkta
const CONTENT: u64 = 0x6e65746e6f63222c; // ,"conten
const SUBTREE: u64 = 0x657274627573222c; // ,"subtre
const ERROR: u64 = 0x22726f727265222c; // ,"error"
const FILE: u64 = 0x22656c696622; // "file"
const DIRECTORY: u64 = 0x2272696422; // "dir"
const SYMLINK: u64 = 0x6b6e696c6d797322; // "symlink
const NULL: u64 = 0x6c6c756e;
const END: u64 = 0x0a7d5d; // ]}\n

/** The next byte, and the first one after the listing. */
let at: usize = 0;
let end: usize = 0;

/** Steps over `bytes` bytes if they are `first` (eight of them, or fewer) and then `rest`. */
function skip(first: u64, rest: u64, bytes: usize): bool {
  if (at + bytes > end) return false;
  const head = load<u64>(at);
  if (bytes < 8) {
    if ((head & ((1 << (8 * bytes)) - 1)) !== first) return false;
  } else {
    if (head !== first) return false;
    if (bytes > 8 && (load<u64>(at, 8) & ((1 << (8 * (bytes - 8))) - 1)) !== rest) return false;
  }
  at += bytes;
  return true;
}

function isNext(byte: u8): bool {
  if (at >= end || load<u8>(at) !== byte) return false;
  at++;
  return true;
}

/** Steps over a string of plain characters and its quotes; `slash` is one that may not be in it. */
function text(slash: u8): bool {
  if (!isNext(0x22)) return false;
  while (at < end) {
    const byte = load<u8>(at++);
    if (byte === 0x22) return true;
    if (byte < 0x20 || byte > 0x7e || byte === 0x5c || byte === slash) return false;
    if (byte === 0x3c || byte === 0x3e || byte === 0x26) return false; // < > &
  }
  return false;
}

function isDigit(byte: u8): bool {
  return byte >= 0x30 && byte <= 0x39;
}

/** Steps over a number from 0 to `max` of at most 15 digits. */
function number(max: u64): bool {
  let value: u64 = 0;
  const start = at;
  while (at < end) {
    const byte = load<u8>(at);
    if (!isDigit(byte)) break;
    value = value * 10 + (byte - 0x30);
    at++;
  }
  const digits = at - start;
  if (digits === 0 || digits > 15) return false;
  return value <= max && (digits === 1 || load<u8>(start) !== 0x30);
}

/** The two digits at `place`, or 100 or more. */
function pair(place: usize): u32 {
  const tens: u32 = (load<u8>(place) as u32) - 0x30;
  const ones: u32 = (load<u8>(place, 1) as u32) - 0x30;
  return tens > 9 || ones > 9 ? 100 : tens * 10 + ones;
}

function isDay(year: u32, month: u32, day: u32): bool {
  if (month === 0 || month > 12 || day === 0 || day > 31) return false;
  if (day <= 28) return true;
  if (month === 2) return day === 29 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return day < 31 || !(month === 4 || month === 6 || month === 9 || month === 11);
}

/** Steps over a time in quotes. */
function time(): bool {
  if (at + 26 > end || !isNext(0x22)) return false;
  const century = pair(at);
  const year = pair(at + 2);
  if (century > 99 || year > 99 || load<u8>(at, 4) !== 0x2d || load<u8>(at, 7) !== 0x2d)
    return false;
  if (!isDay(century * 100 + year, pair(at + 5), pair(at + 8))) return false;
  if (load<u8>(at, 10) !== 0x54 || load<u8>(at, 13) !== 0x3a || load<u8>(at, 16) !== 0x3a)
    return false;
  if (pair(at + 11) > 23 || pair(at + 14) > 59 || pair(at + 17) > 59) return false;
  at += 19;
  if (isNext(0x2e)) {
    const start = at;
    while (at < end && isDigit(load<u8>(at))) at++;
    if (at === start) return false;
  }
  if (!isNext(0x5a)) {
    if (at + 7 > end) return false;
    const sign = load<u8>(at);
    if ((sign !== 0x2b && sign !== 0x2d) || load<u8>(at, 3) !== 0x3a) return false;
    if (pair(at + 1) > 23 || pair(at + 4) > 59) return false;
    at += 6;
  }
  return isNext(0x22);
}

/** Writes the 32 bytes that 64 hexadecimal digits in quotes mean to `out`. */
function id(out: usize): bool {
  if (at + 66 > end || load<u8>(at) !== 0x22 || load<u8>(at, 65) !== 0x22) return false;
  const first = bytesOf(v128.load(at, 1));
  const second = bytesOf(v128.load(at, 17));
  const third = bytesOf(v128.load(at, 33));
  const fourth = bytesOf(v128.load(at, 49));
  // A lane with something else than a digit is negative.
  const all = v128.or(v128.or(first, second), v128.or(third, fourth));
  if (i16x8.bitmask(all) !== 0) return false;
  v128.store(out, i8x16.narrow_i16x8_u(first, second));
  v128.store(out, i8x16.narrow_i16x8_u(third, fourth), 16);
  at += 66;
  return true;
}

/** Eight bytes in lanes of 16 bits, from sixteen hexadecimal digits; a lane is negative when one of its two is none. */
function bytesOf(digits: v128): v128 {
  const isNumber = v128.and(
    i8x16.ge_u(digits, i8x16.splat(0x30)),
    i8x16.le_u(digits, i8x16.splat(0x39)),
  );
  const isLetter = v128.and(
    i8x16.ge_u(digits, i8x16.splat(0x61)),
    i8x16.le_u(digits, i8x16.splat(0x66)),
  );
  const values = v128.bitselect(
    i8x16.sub(digits, i8x16.splat(0x30)),
    i8x16.sub(digits, i8x16.splat(0x57)),
    isNumber,
  );
  const high = i16x8.shl(v128.and(values, i16x8.splat(0x0f)), 4);
  const low = v128.and(i16x8.shr_u(values, 8), i16x8.splat(0x0f));
  // A byte that is no digit makes its lane other than -1; the shift spreads that into the sign.
  const isValid = i16x8.eq(v128.or(isNumber, isLetter), i16x8.splat(-1));
  return v128.or(v128.or(high, low), v128.not(isValid));
}

/** Below zero, zero, above zero: how the name of `length` bytes at `name` stands to another. */
function compare(name: usize, length: usize, other: usize, otherLength: usize): i32 {
  const common = min(length, otherLength);
  for (let i: usize = 0; i < common; i++) {
    const difference = (load<u8>(name + i) as i32) - (load<u8>(other + i) as i32);
    if (difference !== 0) return difference;
  }
  return (length as i32) - (otherLength as i32);
}

/**
 * Writes what the listing of `length` bytes at `tree` refers to as records to `out`, at most `max` of them. How many, or -1
 * when the listing is not of the plain form, or refers to more. Bytes up to 16 behind the listing are read.
 */
export function scanTree(tree: usize, length: usize, out: usize, max: i32): i32 {
  at = tree;
  end = tree + length;
  if (!skip(NODES, 0x5b3a, 10)) return -1;
  let count = 0;
  let last = at;
  let lastLength: usize = 0;
  let isFirst = true;
  while (true) {
    if (isFirst && skip(END, 0, 3)) break;
    isFirst = false;

    if (!skip(NAME, 0, 8)) return -1;
    const name = at + 1;
    if (!text(0x2f)) return -1;
    const nameLength = at - 1 - name;
    if (nameLength === 0 || (load<u8>(name) === 0x2e && nameLength < 3)) return -1;
    if (compare(last, lastLength, name, nameLength) >= 0) return -1;
    last = name;
    lastLength = nameLength;

    if (!skip(TYPE, 0, 8)) return -1;
    const isFile = skip(FILE, 0, 6);
    const isDirectory = !isFile && skip(DIRECTORY, 0, 5);
    if (!isFile && !isDirectory && !skip(SYMLINK, 0x22, 9)) return -1;

    if (skip(MODE, 0, 8) && !number(0xffffffff)) return -1;
    if (skip(MTIME, 0x3a, 9) && !time()) return -1;
    if (skip(ATIME, 0x3a, 9) && !time()) return -1;
    if (skip(CTIME, 0x3a, 9) && !time()) return -1;
    if (skip(UID, 0, 7) && !number(0xffffffff)) return -1;
    if (skip(GID, 0, 7) && !number(0xffffffff)) return -1;
    if (skip(USER, 0, 8) && !text(0x5c)) return -1;
    if (skip(GROUP, 0x3a, 9) && !text(0x5c)) return -1;
    if (skip(INODE, 0x3a, 9) && !number(u64.MAX_VALUE)) return -1;
    if (skip(DEVICE, 0x3a2264695f, 13) && !number(u64.MAX_VALUE)) return -1; // _id":
    if (skip(SIZE, 0, 8) && !number(u64.MAX_VALUE)) return -1;
    if (skip(LINKS, 0x3a, 9) && !number(u64.MAX_VALUE)) return -1;
    if (skip(LINK_TARGET, 0x3a2274656772, 14) && !text(0x5c)) return -1; // rget":
    if (skip(DEVICE, 0x3a22, 10) && !number(u64.MAX_VALUE)) return -1; // ":

    if (skip(CONTENT, 0x3a2274, 11)) {
      if (skip(NULL, 0, 4)) {
        if (isFile) return -1;
      } else {
        if (!isFile || !isNext(0x5b)) return -1;
        while (!isNext(0x5d)) {
          if (count === max) return -1;
          const record = out + (count as usize) * RECORD;
          store<u32>(record, 0);
          if (!id(record + 4)) return -1;
          count++;
          // A comma, and not before the end of the list.
          if (at < end && load<u8>(at) === 0x5d) continue;
          if (!isNext(0x2c) || at >= end || load<u8>(at) !== 0x22) return -1;
        }
      }
    } else if (isFile) return -1;

    if (skip(SUBTREE, 0x3a2265, 11)) {
      if (!isDirectory || count === max) return -1;
      const record = out + (count as usize) * RECORD;
      store<u32>(record, 1);
      if (!id(record + 4)) return -1;
      count++;
    } else if (isDirectory) return -1;
    if (skip(ERROR, 0x3a, 9) && !text(0x5c)) return -1;

    if (!isNext(0x7d)) return -1;
    if (isNext(0x2c)) continue;
    if (!skip(END, 0, 3)) return -1;
    break;
  }
  return at === end ? count : -1;
}
