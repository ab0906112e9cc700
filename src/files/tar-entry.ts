// The headers of a tar, byte for byte as restic's `dump` writes them: POSIX ustar where everything fits, and an extended
// header (pax) before it where a name is long or not ASCII, a number is large, or there are extended attributes. Pure. Names
// and other strings are byte strings.

import { posix } from "node:path";

export const TAR_BLOCK = 512;
/** What ends a tar. */
export const TAR_END: Buffer = Buffer.alloc(2 * TAR_BLOCK);

export interface TarEntry {
  /** Relative; that of a directory ends with a slash. */
  name: string;
  type: "file" | "dir" | "symlink";
  /** Permissions with setuid, setgid and sticky: 0o4755. */
  mode: number;
  uid: number;
  gid: number;
  user: string;
  group: string;
  /** Bytes of content, 0 for what is no file. */
  size: number;
  /** Seconds since 1970. */
  mtime: number;
  linkTarget: string;
  attributes: readonly (readonly [name: string, value: string])[];
}

const TYPE_LETTERS = { file: "0", symlink: "2", dir: "5" } as const;

/** [offset, length] of the fields of a header. */
const FIELDS = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  linkpath: [157, 100],
  uname: [265, 32],
  gname: [297, 32],
  devmajor: [329, 8],
  devminor: [337, 8],
  prefix: [345, 155],
} as const;

/** What stands before the content of an entry. The content is followed by `tarPadding` zeros. */
export function encodeTarEntry(entry: TarEntry): Buffer {
  const records = extendedRecords(entry);
  if (records.length === 0) {
    const [prefix, name] = splitName(entry.name) ?? ["", entry.name];
    return header({ ...entry, name }, prefix);
  }
  const ascii = (text: string): string => text.replace(/[\0\x80-\xff]/g, "");
  const plain = {
    ...entry,
    name: ascii(entry.name),
    linkTarget: ascii(entry.linkTarget),
    user: ascii(entry.user),
    group: ascii(entry.group),
  };
  return Buffer.concat([extendedHeader(entry.name, records, ascii), header(plain, "")]);
}

/** Zeros behind the content of an entry, up to the next block. */
export function tarPadding(size: number): number {
  return (TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK;
}

/** What a plain header cannot say, ordered by name. */
function extendedRecords(entry: TarEntry): [key: string, value: string][] {
  const { name, uid, gid, user, group, size, mtime, linkTarget, attributes } = entry;
  const records: [string, string][] = attributes.map(([key, value]) => [
    `SCHILY.xattr.${key}`,
    value,
  ]);
  const text = (key: string, value: string, [, length]: readonly [number, number]): void => {
    if (!isAscii(value) || value.length > length) records.push([key, value]);
  };
  const number = (key: string, value: number, field: readonly [number, number]): void => {
    if (!fits(value, field)) records.push([key, String(value)]);
  };
  const isLong = !isAscii(name) || (name.length > FIELDS.name[1] && splitName(name) === undefined);
  text("linkpath", linkTarget, FIELDS.linkpath);
  text("uname", user, FIELDS.uname);
  text("gname", group, FIELDS.gname);
  number("uid", uid, FIELDS.uid);
  number("gid", gid, FIELDS.gid);
  number("size", size, FIELDS.size);
  number("mtime", mtime, FIELDS.mtime);
  // With an extended header, a long name stands there in any case.
  if (isLong || (records.length > 0 && name.length > FIELDS.name[1])) records.push(["path", name]);
  return records.sort(([a], [b]) => (a < b ? -1 : 1));
}

function header(entry: TarEntry, prefix: string): Buffer {
  const block = Buffer.alloc(TAR_BLOCK);
  text(block, FIELDS.name, entry.name);
  octal(block, FIELDS.mode, entry.mode);
  octal(block, FIELDS.uid, entry.uid);
  octal(block, FIELDS.gid, entry.gid);
  octal(block, FIELDS.size, entry.size);
  octal(block, FIELDS.mtime, entry.mtime);
  text(block, FIELDS.linkpath, entry.linkTarget);
  text(block, FIELDS.uname, entry.user);
  text(block, FIELDS.gname, entry.group);
  octal(block, FIELDS.devmajor, 0);
  octal(block, FIELDS.devminor, 0);
  text(block, FIELDS.prefix, prefix);
  return sealed(block, TYPE_LETTERS[entry.type]);
}

function extendedHeader(
  name: string,
  records: readonly [key: string, value: string][],
  ascii: (text: string) => string,
): Buffer {
  const content = Buffer.from(records.map(([key, value]) => record(key, value)).join(""), "latin1");
  const slash = name.lastIndexOf("/") + 1;
  const place = posix.join(name.slice(0, slash), "PaxHeaders.0", name.slice(slash));
  const block = Buffer.alloc(TAR_BLOCK);
  text(block, FIELDS.name, ascii(place).slice(0, FIELDS.name[1]).replace(/\/+$/, ""));
  for (const field of [FIELDS.mode, FIELDS.uid, FIELDS.gid, FIELDS.mtime]) octal(block, field, 0);
  octal(block, FIELDS.size, content.length);
  return Buffer.concat([sealed(block, "x"), content, Buffer.alloc(tarPadding(content.length))]);
}

/** "23 path=data/name\n", where the number counts itself. */
function record(key: string, value: string): string {
  const rest = key.length + value.length + " =\n".length;
  let size = rest + String(rest).length;
  if (rest + String(size).length !== size) size = rest + String(size).length;
  return `${size} ${key}=${value}\n`;
}

function sealed(block: Buffer, letter: string): Buffer {
  block.write(letter, 156, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  let sum = 8 * 0x20;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

function text(block: Buffer, [at, length]: readonly [number, number], value: string): void {
  block.write(value.slice(0, length), at, "latin1");
  if (value.length <= length || block[at + length - 1] !== 0x2f) return;
  // A name that is cut behind a slash would look like a directory.
  const kept = value.slice(0, length - 1).replace(/\/+$/, "").length;
  block[at + kept] = 0;
}

/** Digits with a zero byte behind them; 0 for what does not fit, which then stands in the extended header. */
function octal(block: Buffer, field: readonly [number, number], value: number): void {
  const digits = (fits(value, field) ? value : 0).toString(8);
  block.write(digits.padStart(field[1] - 1, "0"), field[0], "latin1");
}

function fits(value: number, [, length]: readonly [number, number]): boolean {
  return value >= 0 && value < 8 ** (length - 1);
}

/** A name of more than 100 bytes in two parts that fit, if there are any. */
function splitName(name: string): [prefix: string, name: string] | undefined {
  const [, most] = FIELDS.name;
  if (name.length <= most || !isAscii(name)) return undefined;
  const end = name.endsWith("/") ? name.length - 1 : name.length;
  const at = name.lastIndexOf("/", Math.min(end, FIELDS.prefix[1] + 1) - 1);
  const rest = name.length - at - 1;
  if (at <= 0 || rest > most || rest === 0 || at > FIELDS.prefix[1]) return undefined;
  return [name.slice(0, at), name.slice(at + 1)];
}

function isAscii(value: string): boolean {
  // eslint-disable-next-line no-control-regex
  return /^[\x01-\x7f]*$/.test(value);
}
