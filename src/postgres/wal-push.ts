// One file of a server's pg_wal into its archive: what an archive_command does. It resolves when the content is durable under
// its name, whoever stored it, and not before; the server recycles the file then. Nothing that the archive holds is
// replaced, but for a partial segment by a longer beginning of the same.

import { basename } from "node:path";
import { readFile } from "node:fs/promises";
import { errnoOf, HoldfastError, isHoldfastError, messageOf } from "../base/errors.ts";
import { equalBytes } from "../base/bytes.ts";
import { parseHistory } from "../barman/history.ts";
import { objectPath } from "../barman/layout.ts";
import { lengthWithoutZeros, requireSegmentHeader, walkPages } from "../barman/wal-header.ts";
import { readWalName, type SegmentName, type WalName } from "../barman/wal-name.ts";
import type { Archive } from "./archive.ts";
import { claimIdentity, readIdentity } from "./archive-identity.ts";
import { copiesOf, listWalFolder, type WalObject } from "./find-wal.ts";
import { readSegment } from "./read-segment.ts";
import { storeWal } from "./store-segment.ts";
import { compressWhole, GZIP_FAST, type WalCompression } from "./wal-codec.ts";

export interface PushWalOptions {
  readonly archive: Archive;
  /** The file, called as PostgreSQL calls it. */
  readonly path: string;
  readonly compression?: WalCompression;
  /** System identifier of the server, where it is known otherwise than from the file. */
  readonly systemId?: bigint | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PushedWal {
  readonly name: string;
  readonly kind: WalName["kind"];
  /** Relative to the server's folder: the object that holds it. */
  readonly object: string;
  /** False when the archive had it already. */
  readonly isNew: boolean;
  /** Bytes of the file. */
  readonly bytes: number;
  /** Partial segments that were removed because the whole one is there. */
  readonly removed: readonly string[];
  /** Those that the storage would not delete, which do no harm. */
  readonly left: readonly string[];
}

/**
 * Archives the file. Throws USAGE for a name that is none of WAL, WAL_INVALID for content that is not what the name says,
 * ARCHIVE_FOREIGN for WAL of another server than the archive's, WAL_DIFFERS when the archive holds other content under
 * the name, and SOURCE_MISSING or SOURCE_UNREADABLE for the file.
 */
export async function pushWal(options: PushWalOptions): Promise<PushedWal> {
  const { path, compression = GZIP_FAST } = options;
  const name = readWalName(basename(path));
  if (name === undefined || name.compression !== null) {
    const message = `${JSON.stringify(basename(path).slice(0, 80))} is not what PostgreSQL calls a file of WAL`;
    throw new HoldfastError("USAGE", message, {
      hint: "In archive_command, %p stands for the file: archive_command = 'holdfast pg wal-push %p'.",
    });
  }
  const content = await readSource(path);
  const common = { ...options, compression, content };
  const stored =
    name.kind === "segment" || name.kind === "partial"
      ? await pushSegment({ ...common, name })
      : await pushText({ ...common, name });
  return { name: basename(path), kind: name.kind, bytes: content.length, ...stored };
}

type Stored = Pick<PushedWal, "object" | "isNew" | "removed" | "left">;

interface Push<Name extends WalName> extends PushWalOptions {
  readonly name: Name;
  readonly content: Uint8Array;
  readonly compression: WalCompression;
}

/** Histories and labels are stored as they are: they are small, and people read them. */
async function pushText(push: Push<WalName>): Promise<Stored> {
  const { archive, name, content, systemId, path, signal } = push;
  if (content.length > TEXT_BYTES_MAX) throw invalid(path, `it has ${content.length} bytes`);
  if (name.kind === "history")
    parseHistory({ timeline: name.timeline, content, source: basename(path) });
  else if (!Buffer.from(content).toString("latin1").startsWith("START WAL LOCATION: "))
    throw invalid(path, "it does not begin as the label of a backup does");
  if (systemId !== undefined) {
    const known = await readIdentity(archive, { signal });
    await claimIdentity(archive, { systemId, known, signal });
  }
  const compression: WalCompression = { kind: null, level: 0 };
  const options = { name, content, compression, lookForOthers: true, signal };
  const { path: object, isNew } = await storeWal(archive, options);
  return { object, isNew, removed: [], left: [] };
}

async function pushSegment(push: Push<SegmentName>): Promise<Stored> {
  const { archive, path, name, content, signal } = push;
  const source = basename(path);
  const header = requireSegmentHeader(content, { name: name.name, source });
  if (content.length !== header.segmentSize)
    throw invalid(path, `it has ${content.length} bytes, and a segment ${header.segmentSize}`);
  const [known, folder] = await Promise.all([
    readIdentity(archive, { signal }),
    listWalFolder(archive, name, { signal }),
  ]);
  await claimIdentity(archive, { systemId: header.systemId, known, signal });
  return name.kind === "segment" ? await pushWhole(push, folder) : await pushPartial(push, folder);
}

async function pushWhole(
  { archive, name, content, compression, signal }: Push<SegmentName>,
  folder: readonly WalObject[],
): Promise<Stored> {
  const lookForOthers = copiesOf(folder, name);
  const options = { name, content, compression, lookForOthers, signal };
  const { path: object, isNew } = await storeWal(archive, options);
  // Looked for only now: what another process stored meanwhile would stay for ever.
  const now = await listWalFolder(archive, name, { signal });
  const partials = copiesOf(now, name, "partial").map(({ path }) => path);
  if (partials.length === 0) return { object, isNew, removed: [], left: [] };
  try {
    await archive.storage.deleteMany(partials, { signal });
  } catch (error) {
    const isKept = isHoldfastError(error, "STORAGE_DENIED", "STORAGE_FAILED");
    // Barman serves a partial segment in place of a whole one only where that is not compressed.
    if (!isKept || object === objectPath({ kind: "wal", wal: name })) throw error;
    return { object, isNew, removed: [], left: partials };
  }
  return { object, isNew, removed: partials, left: [] };
}

/**
 * A server that is promoted archives how far it followed the old timeline. The archive may hold more of that segment, or
 * less, from the old server or from a receiver; what matters is that one is the beginning of the other.
 */
async function pushPartial(push: Push<SegmentName>, folder: readonly WalObject[]): Promise<Stored> {
  const { archive, name, content, compression, signal } = push;
  const used = written(content, name);
  for (const other of [...copiesOf(folder, name, "segment"), ...copiesOf(folder, name)]) {
    const known = await contentOf(archive, other, signal);
    if (known && beginsWith(known, used)) return heldBy(other);
    // A damaged partial segment is no reason to keep a sound one out; a whole one that cannot be read is.
    const gives = !known || beginsWith(used, written(known, name));
    if (other.wal.kind === "segment" || !gives) throw differs(archive, other.path);
  }
  const wal: WalName = { ...name, compression: compression.kind };
  const object = objectPath({ kind: "wal", wal });
  const body = await compressWhole(content, compression);
  const { storage } = archive;
  const shorter = copiesOf(folder, name).map(({ path }) => path);
  if (shorter.includes(object) && storage.replace) await storage.replace(object, body, { signal });
  else await storage.put(object, body, { signal });
  const removed = shorter.filter((path) => path !== object);
  // Another process may have stored the whole segment meanwhile, and looked for partial ones before this one was there.
  const [whole] = copiesOf(await listWalFolder(archive, name, { signal }), name, "segment");
  if (whole !== undefined) {
    const known = await contentOf(archive, whole, signal);
    if (!known || !beginsWith(known, used)) throw differs(archive, whole.path);
    removed.push(object);
  }
  if (removed.length > 0) await storage.deleteMany(removed, { signal });
  return whole === undefined ? { object, isNew: true, removed, left: [] } : heldBy(whole);
}

function heldBy({ path }: WalObject): Stored {
  return { object: path, isNew: false, removed: [], left: [] };
}

/** What a partial segment says: its pages without what was in the file before, and without zeros at their end. */
function written(content: Uint8Array, { name }: SegmentName): Uint8Array {
  const { usedBytes } = walkPages(content, { name, source: name, whole: false });
  const pages = content.subarray(0, usedBytes);
  return pages.subarray(0, lengthWithoutZeros(pages));
}

/** Undefined for what is damaged. */
async function contentOf(
  archive: Archive,
  { path, wal }: WalObject,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | undefined> {
  const stored = await archive.storage.get(path, { signal });
  try {
    return (await readSegment(stored, { name: wal as SegmentName, source: path })).bytes;
  } catch (error) {
    if (isHoldfastError(error, "WAL_INVALID")) return undefined;
    throw error;
  }
}

function beginsWith(whole: Uint8Array, start: Uint8Array): boolean {
  return start.length <= whole.length && equalBytes(whole.subarray(0, start.length), start);
}

const TEXT_BYTES_MAX = 1 << 20;

async function readSource(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    const isMissing = errnoOf(error) === "ENOENT";
    throw new HoldfastError(
      isMissing ? "SOURCE_MISSING" : "SOURCE_UNREADABLE",
      `cannot read ${path}: ${messageOf(error)}`,
      {
        hint: isMissing
          ? "PostgreSQL runs archive_command in its data directory: name the file with %p."
          : "Run this as the user of the server.",
        cause: error,
      },
    );
  }
}

function invalid(path: string, why: string): HoldfastError {
  return new HoldfastError("WAL_INVALID", `${path} is not what it is named after: ${why}`, {
    hint: "Find out what wrote it: PostgreSQL does not.",
  });
}

function differs(archive: Archive, path: string): HoldfastError {
  return new HoldfastError(
    "WAL_DIFFERS",
    `${archive.location} holds another beginning of that segment: ${path}`,
    {
      hint: "Two servers archive under one name: give this one a --server name of its own, and keep the object until you know whose it is.",
    },
  );
}
