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
  /** Numbers of the names, each once. */
  readonly names: Iterable<number>;
  readonly firstCopy: (name: number) => StoredCopy | undefined;
  /** Takes the content of a small file, which is not compared with its name yet. */
  readonly small: (name: number, copy: StoredCopy, bytes: Uint8Array) => Promise<void>;
  /** Takes every other name: large ones, those without a copy, and those whose blobs did not open. */
  readonly other: (name: number) => Promise<void>;
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
  readonly name: number;
  readonly copy: StoredCopy;
  readonly size: number;
}

/** Gives every name to `small` or `other`, once. */
export async function readMany(options: ReadManyOptions): Promise<void> {
  const { sources, other, signal } = options;
  const { files, others } = sorted(options);
  for (const [number, names] of files.entries()) {
    if (names.length === 0) continue;
    const source = sources[number]!;
    for (const window of windowsOf(source, names, options))
      await readWindow(source, window, options);
  }
  await eachLimit(others, LARGE_AT_ONCE, (name) => other(name), { signal });
}

/** Files read by themselves at once. */
const LARGE_AT_ONCE = 2;
/** More than the offset of any blob in a pack. */
const PACK_STEP = 2 ** 32;

/** Small files of each repository in the order of their first blobs, and all others: numbers only, as there may be millions. */
function sorted({ sources, names, firstCopy, smallBytes }: ReadManyOptions): {
  files: Uint32Array[];
  others: number[];
} {
  const found = sources.map(() => ({ names: [] as number[], places: [] as number[] }));
  const others: number[] = [];
  for (const name of names) {
    const copy = firstCopy(name);
    const source = copy && sources[copy.source]!;
    if (!source || copy.entries.length === 0 || source.sizeOf(copy.entries) > smallBytes) {
      others.push(name);
      continue;
    }
    const { index } = source.reader;
    const [entry] = copy.entries;
    const { names: ours, places } = found[copy.source]!;
    ours.push(name);
    places.push(index.packNumber(entry!) * PACK_STEP + index.offset(entry!));
  }
  const files = found.map(({ names: ours, places }) =>
    Uint32Array.from(ours, (_, at) => at)
      .sort((a, b) => places[a]! - places[b]!)
      .map((at) => ours[at]!),
  );
  return { files, others };
}

/** Runs of files that may be in memory at once. */
function* windowsOf(
  source: PoolSource,
  names: Uint32Array,
  { firstCopy }: ReadManyOptions,
): Generator<Wanted[]> {
  let window: Wanted[] = [];
  let bytes = 0;
  for (const name of names) {
    const copy = firstCopy(name)!;
    const size = source.sizeOf(copy.entries);
    const isFull = window.length >= WINDOW_FILES || bytes + size > WINDOW_BYTES;
    if (isFull && window.length > 0) {
      yield window;
      window = [];
      bytes = 0;
    }
    window.push({ name, copy, size });
    bytes += size;
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

async function readWindow(
  source: PoolSource,
  window: readonly Wanted[],
  options: ReadManyOptions,
): Promise<void> {
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
          await options.other(window[file]!.name);
          continue;
        }
        parts[file]![part] = bytes;
        if (--waiting[file]! > 0) continue;
        const content = parts[file] as Uint8Array[];
        parts[file] = [];
        const { name, copy } = window[file]!;
        await options.small(
          name,
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
