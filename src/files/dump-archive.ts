// A directory of a snapshot as a tar or a zip, piece by piece: never more in memory than the blobs fetched ahead. Files,
// directories and symbolic links are in it, nothing else; hard links are files of their own, as in restic's dumps.

import { crc32, createDeflateRaw } from "node:zlib";
import { pipeline } from "node:stream/promises";
import { fromHex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import { HoldfastError } from "../base/errors.ts";
import type { BlobReader } from "../repository/blob-reader.ts";
import { isUtf8, textToByteString } from "../restic/byte-string.ts";
import { toUnixMode } from "../restic/file-mode.ts";
import { parseTime, secondOf } from "../restic/go-time.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { joinPath } from "./entry-table.ts";
import { readFileContent } from "./file-content.ts";
import { walkSnapshot } from "./snapshot-walk.ts";
import { TAR_END, encodeTarEntry, tarPadding } from "./tar-entry.ts";
import { encodeDataDescriptor, encodeDirectory, encodeLocalHeader } from "./zip-entry.ts";
import type { WrittenZipEntry, ZipContent, ZipEntry } from "./zip-entry.ts";

export const ARCHIVE_FORMATS = ["tar", "zip"] as const;
export type ArchiveFormat = (typeof ARCHIVE_FORMATS)[number];

export interface ArchiveOptions {
  reader: BlobReader;
  /** The directory. */
  tree: Id;
  /** Its path, a byte string: what the names in the archive begin with. */
  path: string;
  /** Blobs to fetch at once. */
  ahead: number;
  signal?: AbortSignal | undefined;
}

interface Member {
  /** Relative, a byte string. */
  name: string;
  node: TreeNode;
}

/** The bytes of the archive. What cannot be read ends it with an error: half an archive is none. */
export async function* dumpArchive(
  format: ArchiveFormat,
  options: ArchiveOptions,
): AsyncGenerator<Uint8Array> {
  yield* format === "tar" ? dumpTar(options) : dumpZip(options);
}

async function* members({ reader, tree, path, signal }: ArchiveOptions): AsyncGenerator<Member> {
  const base = path.replace(/^\/+|\/+$/g, "");
  for await (const entry of walkSnapshot({ reader, tree, signal })) {
    const { node } = entry;
    if (node.type !== "file" && node.type !== "dir" && node.type !== "symlink") continue;
    const name = joinPath(base, entry.path.slice(1));
    yield { name: node.type === "dir" ? `${name}/` : name, node };
  }
}

async function* dumpTar(options: ArchiveOptions): AsyncGenerator<Uint8Array> {
  for await (const { name, node } of members(options)) {
    const size = node.type === "file" ? contentBytes(options.reader, node) : 0;
    yield encodeTarEntry({
      name,
      type: node.type as "file" | "dir" | "symlink",
      mode: toUnixMode(node.mode) & 0o7777,
      uid: node.uid,
      gid: node.gid,
      user: textToByteString(node.user),
      group: textToByteString(node.group),
      size,
      mtime: secondOf(parseTime(node.mtime) + 500_000_000n),
      linkTarget: node.type === "symlink" ? node.linkTarget : "",
      attributes: (node.extendedAttributes ?? []).map(({ name: attribute, value }) => [
        textToByteString(attribute),
        Buffer.from(value ?? []).toString("latin1"),
      ]),
    });
    if (size === 0) continue;
    yield* readFileContent({ ...options, node });
    const padding = tarPadding(size);
    if (padding > 0) yield Buffer.alloc(padding);
  }
  yield TAR_END;
}

/** What the blobs of a file add up to: what follows the header, whatever size the file had when it was looked at. */
function contentBytes({ index }: BlobReader, { content }: TreeNode): number {
  return (content ?? []).reduce((sum, id) => {
    const entry = index.find("data", fromHex(id));
    if (entry >= 0) return sum + index.plainLength(entry);
    throw new HoldfastError("BLOB_MISSING", `data blob ${id} is in no index`, {
      hint: "Run `holdfast check`; a backup of the same files stores the blob again.",
    });
  }, 0);
}

async function* dumpZip(options: ArchiveOptions): AsyncGenerator<Uint8Array> {
  const written: WrittenZipEntry[] = [];
  let offset = 0;
  for await (const { name, node } of members(options)) {
    const entry: ZipEntry = {
      name,
      isUtf8: isUtf8(name),
      mode: toUnixMode(node.mode),
      isDirectory: node.type === "dir",
      method: node.type === "file" ? "deflate" : "store",
      mtime: node.mtime,
      seconds: secondOf(parseTime(node.mtime)),
    };
    const start = offset;
    const header = encodeLocalHeader(entry);
    yield header;
    offset += header.length;
    const content: ZipContent = { crc: 0, size: 0, compressedSize: 0 };
    for await (const piece of zipContent(options, node, content)) {
      yield piece;
      offset += piece.length;
    }
    written.push({ ...entry, ...content, offset: start });
    if (entry.isDirectory) continue;
    const descriptor = encodeDataDescriptor(content);
    yield descriptor;
    offset += descriptor.length;
  }
  yield encodeDirectory(written, offset);
}

/** The bytes to store of an entry, counted into `content`. */
async function* zipContent(
  options: ArchiveOptions,
  node: TreeNode,
  content: ZipContent,
): AsyncGenerator<Uint8Array> {
  const count = (piece: Uint8Array): void => {
    content.crc = crc32(piece, content.crc);
    content.size += piece.length;
  };
  if (node.type === "symlink") {
    const target = Buffer.from(node.linkTarget, "latin1");
    count(target);
    content.compressedSize = target.length;
    yield target;
  }
  if (node.type !== "file") return;
  const deflate = createDeflateRaw();
  const feeding = pipeline(async function* () {
    for await (const piece of readFileContent({ ...options, node })) {
      count(piece);
      yield piece;
    }
  }, deflate);
  // Told by the reading side, which fails with it.
  feeding.catch(() => {});
  for await (const piece of deflate as AsyncIterable<Buffer>) {
    content.compressedSize += piece.length;
    yield piece;
  }
  await feeding;
}
