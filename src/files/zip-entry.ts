// The records of a zip as restic's `dump` writes them: sizes and checksum behind the content, because the content is written
// as it comes, or before it where it is known; times as MS-DOS and as Unix keep them; modes of Unix. Sizes from 4 GiB on take
// the 64-bit records. Pure.

export interface ZipEntry {
  /** A byte string; that of a directory ends with a slash. */
  name: string;
  isUtf8: boolean;
  /** st_mode. */
  mode: number;
  isDirectory: boolean;
  /** Stored as it is, or compressed by deflate. */
  method: "store" | "deflate";
  /** RFC 3339; its own zone counts. */
  mtime: string;
  /** Seconds since 1970. */
  seconds: number;
  /** Sizes and checksum, below 4 GiB, that stand before the content: no data descriptor follows it. */
  known?: ZipContent;
}

export interface ZipContent {
  crc: number;
  size: number;
  compressedSize: number;
}

export interface WrittenZipEntry extends ZipEntry, ZipContent {
  /** Where its local header begins. */
  offset: number;
}

const VERSION = 20;
const VERSION_64 = 45;
const UNIX = 3;
const LARGEST = 0xffff_ffff;

/** What stands before the content. */
export function encodeLocalHeader(entry: ZipEntry): Buffer {
  const name = Buffer.from(entry.name, "latin1");
  const extra = timeExtra(entry.seconds);
  const fixed = Buffer.alloc(30);
  fixed.writeUInt32LE(0x0403_4b50, 0);
  writeCommon(fixed, 4, entry, VERSION);
  if (entry.known) {
    fixed.writeUInt32LE(entry.known.crc, 14);
    fixed.writeUInt32LE(entry.known.compressedSize, 18);
    fixed.writeUInt32LE(entry.known.size, 22);
  }
  fixed.writeUInt16LE(name.length, 26);
  fixed.writeUInt16LE(extra.length, 28);
  return Buffer.concat([fixed, name, extra]);
}

/** What stands behind the content of everything but a directory, and what has its sizes before it. */
export function encodeDataDescriptor({ crc, size, compressedSize }: ZipContent): Buffer {
  const large = isLarge({ size, compressedSize });
  const descriptor = Buffer.alloc(large ? 24 : 16);
  descriptor.writeUInt32LE(0x0807_4b50, 0);
  descriptor.writeUInt32LE(crc, 4);
  if (large) {
    descriptor.writeBigUInt64LE(BigInt(compressedSize), 8);
    descriptor.writeBigUInt64LE(BigInt(size), 16);
  } else {
    descriptor.writeUInt32LE(compressedSize, 8);
    descriptor.writeUInt32LE(size, 12);
  }
  return descriptor;
}

/** The directory of all entries, which ends a zip and begins at `offset`. */
export function encodeDirectory(entries: readonly WrittenZipEntry[], offset: number): Buffer {
  const records = entries.map(directoryRecord);
  const size = records.reduce((sum, { length }) => sum + length, 0);
  const parts = [...records];
  if (entries.length >= 0xffff || size >= LARGEST || offset >= LARGEST) {
    const end = Buffer.alloc(76);
    end.writeUInt32LE(0x0606_4b50, 0);
    end.writeBigUInt64LE(44n, 4);
    end.writeUInt16LE(VERSION_64, 12);
    end.writeUInt16LE(VERSION_64, 14);
    end.writeBigUInt64LE(BigInt(entries.length), 24);
    end.writeBigUInt64LE(BigInt(entries.length), 32);
    end.writeBigUInt64LE(BigInt(size), 40);
    end.writeBigUInt64LE(BigInt(offset), 48);
    end.writeUInt32LE(0x0706_4b50, 56);
    end.writeBigUInt64LE(BigInt(offset + size), 64);
    end.writeUInt32LE(1, 72);
    parts.push(end);
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x0605_4b50, 0);
  end.writeUInt16LE(Math.min(entries.length, 0xffff), 8);
  end.writeUInt16LE(Math.min(entries.length, 0xffff), 10);
  end.writeUInt32LE(Math.min(size, LARGEST), 12);
  end.writeUInt32LE(Math.min(offset, LARGEST), 16);
  return Buffer.concat([...parts, end]);
}

function directoryRecord(entry: WrittenZipEntry): Buffer {
  const { crc, size, compressedSize, offset, mode, isDirectory } = entry;
  const name = Buffer.from(entry.name, "latin1");
  const large = isLarge({ size, compressedSize }) || offset >= LARGEST;
  const extra = Buffer.concat([timeExtra(entry.seconds), ...(large ? [sizesExtra(entry)] : [])]);
  const fixed = Buffer.alloc(46);
  fixed.writeUInt32LE(0x0201_4b50, 0);
  fixed.writeUInt16LE((UNIX << 8) | VERSION, 4);
  writeCommon(fixed, 6, entry, large ? VERSION_64 : VERSION);
  fixed.writeUInt32LE(crc, 16);
  fixed.writeUInt32LE(large ? LARGEST : compressedSize, 20);
  fixed.writeUInt32LE(large ? LARGEST : size, 24);
  fixed.writeUInt16LE(name.length, 28);
  fixed.writeUInt16LE(extra.length, 30);
  const isReadOnly = (mode & 0o200) === 0;
  fixed.writeUInt32LE(((mode << 16) | (isDirectory ? 0x10 : 0) | (isReadOnly ? 1 : 0)) >>> 0, 38);
  fixed.writeUInt32LE(large ? LARGEST : offset, 42);
  return Buffer.concat([fixed, name, extra]);
}

/** Version, flags, method and time, which both headers have. */
function writeCommon(block: Buffer, at: number, entry: ZipEntry, version: number): void {
  const { name, isUtf8, isDirectory, method, mtime } = entry;
  const needsUtf8 = isUtf8 && /[^ -[\]-}]/.test(name);
  block.writeUInt16LE(version, at);
  const isSized = isDirectory || entry.known !== undefined;
  block.writeUInt16LE((isSized ? 0 : 0x8) | (needsUtf8 ? 0x800 : 0), at + 2);
  block.writeUInt16LE(method === "deflate" ? 8 : 0, at + 4);
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = mtime
    .slice(0, 19)
    .split(/[-T:]/)
    .map(Number);
  block.writeUInt16LE((hour << 11) | (minute << 5) | (second >> 1), at + 6);
  block.writeUInt16LE((((year - 1980) << 9) | (month << 5) | day) & 0xffff, at + 8);
}

function timeExtra(seconds: number): Buffer {
  const extra = Buffer.alloc(9);
  extra.writeUInt16LE(0x5455, 0);
  extra.writeUInt16LE(5, 2);
  extra.writeUInt8(1, 4);
  extra.writeUInt32LE(seconds >>> 0, 5);
  return extra;
}

function sizesExtra({ size, compressedSize, offset }: WrittenZipEntry): Buffer {
  const extra = Buffer.alloc(28);
  extra.writeUInt16LE(1, 0);
  extra.writeUInt16LE(24, 2);
  extra.writeBigUInt64LE(BigInt(size), 4);
  extra.writeBigUInt64LE(BigInt(compressedSize), 12);
  extra.writeBigUInt64LE(BigInt(offset), 20);
  return extra;
}

function isLarge({ size, compressedSize }: Pick<ZipContent, "size" | "compressedSize">): boolean {
  return size >= LARGEST || compressedSize >= LARGEST;
}
