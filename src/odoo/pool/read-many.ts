// Reads many small files out of a pool: in the order in which their blobs lie in the packs, neighbours in one request, several
// requests at once. Holds no more than a window of files in memory. What does not come out well this way is left to whoever
// tries copies one by one.

import { asBuffer } from "../../base/bytes.ts";
import { eachLimit } from "../../base/concurrency.ts";
import { isHoldfastError } from "../../base/errors.ts";
import type { BlobPlace } from "../../repository/blob-index.ts";
import { openBlob } from "../../repository/blob-reader.ts";
import { keyOf } from "../../repository/layout.ts";
import type { StoredCopy } from "./copies.ts";
import type { PoolSource } from "./source.ts";

export interface ReadManyOptions {
  readonly sources: readonly PoolSource[];
  readonly names: Iterable<string>;
  readonly firstCopy: (sha1: string) => StoredCopy | undefined;
  /** Takes the content of a small file, which is not compared with its name yet. */
  readonly small: (sha1: string, copy: StoredCopy, bytes: Uint8Array) => Promise<void>;
  /** Takes every other name: large ones, those without a copy, and those whose blobs did not open. */
  readonly other: (sha1: string) => Promise<void>;
  /** Files larger than this are not small. */
  readonly smallBytes: number;
  readonly signal?: AbortSignal | undefined;
}

/** Bounds of a window: what is in memory is about twice the bytes. */
const WINDOW_FILES = 4096;
const WINDOW_BYTES = 48 << 20;
/** Unneeded bytes between two blobs that are read along rather than asked around. */
const GAP_MAX = 256 << 10;
/** Bytes of a request. */
const REQUEST_BYTES = 4 << 20;
const PARALLEL_MAX = 8;

interface Wanted {
  readonly sha1: string;
  readonly copy: StoredCopy;
  readonly size: number;
  /** Where its first blob lies. */
  readonly place: BlobPlace;
}

/** Gives every name to `small` or `other`, once. */
export async function readMany(options: ReadManyOptions): Promise<void> {
  const { sources, firstCopy, other, smallBytes, signal } = options;
  const files: Wanted[] = [];
  const others: string[] = [];
  for (const sha1 of options.names) {
    const copy = firstCopy(sha1);
    const source = copy && sources[copy.source]!;
    const size = source?.sizeOf(copy!.entries) ?? Infinity;
    if (!copy || !source || copy.entries.length === 0 || size > smallBytes) others.push(sha1);
    else files.push({ sha1, copy, size, place: source.reader.index.place(copy.entries[0]!) });
  }
  files.sort(
    (a, b) =>
      a.copy.source - b.copy.source ||
      a.place.packNumber - b.place.packNumber ||
      a.place.offset - b.place.offset,
  );
  for (const window of windowsOf(files)) await readWindow(window, options);
  await eachLimit(others, 2, (sha1) => other(sha1), { signal });
}

/** Runs of files of one repository that may be in memory at once. */
function* windowsOf(files: readonly Wanted[]): Generator<Wanted[]> {
  let window: Wanted[] = [];
  let bytes = 0;
  for (const file of files) {
    const isFull =
      window.length >= WINDOW_FILES ||
      bytes + file.size > WINDOW_BYTES ||
      window[0]?.copy.source !== file.copy.source;
    if (isFull && window.length > 0) {
      yield window;
      window = [];
      bytes = 0;
    }
    window.push(file);
    bytes += file.size;
  }
  if (window.length > 0) yield window;
}

interface WantedBlob {
  readonly file: number;
  /** Which of the file's blobs it is. */
  readonly part: number;
  readonly entry: number;
  readonly place: BlobPlace;
}

async function readWindow(window: readonly Wanted[], options: ReadManyOptions): Promise<void> {
  const source = options.sources[window[0]!.copy.source]!;
  const { index } = source.reader;
  const blobs: WantedBlob[] = [];
  for (const [file, { copy }] of window.entries()) {
    for (const [part, entry] of copy.entries.entries())
      blobs.push({ file, part, entry, place: index.place(entry) });
  }
  blobs.sort((a, b) => a.place.packNumber - b.place.packNumber || a.place.offset - b.place.offset);
  const parts: (Uint8Array | undefined)[][] = window.map(({ copy }) =>
    copy.entries.map(() => undefined),
  );
  const waiting = Int32Array.from(window, ({ copy }) => copy.entries.length);
  const connections = Math.min(source.repository.storage.traits.connections, PARALLEL_MAX);
  await eachLimit(
    groupsOf(blobs),
    connections,
    async (group, _, signal) => {
      const opened = await readGroup(source, group, signal);
      for (const [at, { file, part }] of group.entries()) {
        const bytes = opened[at];
        if (waiting[file]! < 0) continue;
        if (bytes === undefined) {
          waiting[file] = -1;
          parts[file] = [];
          await options.other(window[file]!.sha1);
          continue;
        }
        parts[file]![part] = bytes;
        if (--waiting[file]! > 0) continue;
        const content = parts[file] as Uint8Array[];
        parts[file] = [];
        const { sha1, copy } = window[file]!;
        await options.small(
          sha1,
          copy,
          content.length === 1 ? content[0]! : Buffer.concat(content),
        );
      }
    },
    { signal: options.signal },
  );
}

function* groupsOf(blobs: readonly WantedBlob[]): Generator<WantedBlob[]> {
  let group: WantedBlob[] = [];
  let end = 0;
  for (const blob of blobs) {
    const { packNumber, offset, length } = blob.place;
    const first = group[0]?.place;
    const fits =
      first?.packNumber === packNumber &&
      offset - end <= GAP_MAX &&
      offset + length - first.offset <= REQUEST_BYTES;
    if (!fits && group.length > 0) {
      yield group;
      group = [];
    }
    group.push(blob);
    end = offset + length;
  }
  if (group.length > 0) yield group;
}

/** The content of each blob of the group; undefined for one that did not open here. */
async function readGroup(
  { repository, reader }: PoolSource,
  group: readonly WantedBlob[],
  signal: AbortSignal,
): Promise<(Uint8Array | undefined)[]> {
  const [first, last] = [group[0]!.place, group.at(-1)!.place];
  const length = last.offset + last.length - first.offset;
  let bytes: Buffer;
  try {
    const key = keyOf("pack", first.pack);
    bytes = asBuffer(await repository.storage.get(key, { offset: first.offset, length, signal }));
  } catch (error) {
    // A pack that is gone or cut short: the blobs may be elsewhere.
    if (!isHoldfastError(error, "STORAGE_NOT_FOUND", "STORAGE_FAILED")) throw error;
    return [];
  }
  return group.map(({ entry, place }) => {
    const at = place.offset - first.offset;
    try {
      const sealed = bytes.subarray(at, at + place.length);
      return openBlob(repository, reader.index.idAt(entry), place, sealed);
    } catch (error) {
      if (!isHoldfastError(error)) throw error;
      return undefined;
    }
  });
}
