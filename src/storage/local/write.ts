// Filling a new file with a body, large ones past the page cache, and making files and names survive a crash.
// Measurements and reasons: docs/decisions/storage.md#direct-io. The body is only read, never changed.

import { constants } from "node:fs";
import { open, statfs } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { throwIfCancelled } from "../../base/cancellation.ts";
import { errnoOf } from "../../base/errors.ts";

/**
 * The types (statfs) of file systems where direct writes were measured to spare time: ext2 to ext4 and XFS. Others
 * gain nothing from them (btrfs) or take a second writer of the same file badly (FUSE, some network mounts).
 */
const DIRECT_TYPES = new Set([0xef53, 0x58465342]);

/** Direct writes start and end on multiples of this: no logical block of a disk is larger. */
const DIRECT_ALIGNMENT = 4096;

/** Below this the extra open costs more than the page cache does. */
const DIRECT_BYTES_MIN = 1024 * 1024;

/** One call writes at most this much, so that an abort does not wait for the whole of a large body. */
const PIECE_BYTES = 32 * 1024 * 1024;

export interface FillOptions {
  /** Try to write a large body past the page cache. */
  direct: boolean;
  signal?: AbortSignal | undefined;
}

/** True when large bodies below `root` are worth writing past the page cache. */
export async function takesDirectWrites(root: string): Promise<boolean> {
  return DIRECT_TYPES.has((await statfs(root)).type);
}

/**
 * Writes `body` to the empty file behind `handle` (open for writing at `path`, which must still allow a second
 * open). Resolves to false when the file system refuses direct writes altogether, so that the caller stops asking.
 */
export async function fillFile(
  handle: FileHandle,
  path: string,
  body: Uint8Array,
  options: FillOptions,
): Promise<boolean> {
  const { signal } = options;
  let done = 0;
  let direct = options.direct;
  if (direct && body.length >= DIRECT_BYTES_MIN) {
    const written = await writeDirectly(path, body, signal);
    direct = written !== undefined;
    done = written ?? 0;
  }
  await writePieces(handle, body, done, body.length, signal);
  return direct;
}

/**
 * Writes the aligned beginning of `body` past the page cache. Resolves to the bytes written, which is less when
 * the memory is not aligned as the disk wants it; undefined when the file system opens no file this way.
 */
async function writeDirectly(
  path: string,
  body: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  const flag: number | undefined = constants.O_DIRECT;
  if (flag === undefined) return undefined;
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_WRONLY | flag);
  } catch (error) {
    // Whatever the reason, the ordinary way decides whether the file can be written.
    return errnoOf(error) === "EINVAL" ? undefined : 0;
  }
  const aligned = body.length - (body.length % DIRECT_ALIGNMENT);
  try {
    return await writePieces(handle, body, 0, aligned, signal, DIRECT_ALIGNMENT);
  } finally {
    await handle.close();
  }
}

/**
 * Writes `body` from `start` to `end` at the same positions of the file. With `alignment` it stops early, at an
 * aligned position, when the kernel takes less than that or refuses unaligned memory. Resolves to where it ended.
 */
async function writePieces(
  handle: FileHandle,
  body: Uint8Array,
  start: number,
  end: number,
  signal: AbortSignal | undefined,
  alignment = 1,
): Promise<number> {
  let done = start;
  while (done < end) {
    throwIfCancelled(signal);
    const length = Math.min(PIECE_BYTES, end - done);
    let written: number;
    try {
      ({ bytesWritten: written } = await handle.write(body, done, length, done));
    } catch (error) {
      if (alignment > 1 && errnoOf(error) === "EINVAL") return done;
      throw error;
    }
    done += written - (written % alignment);
    if (written < length && alignment > 1) return done;
  }
  return done;
}

/** fsync; a file system without it (some network mounts) has nothing better to offer, as restic accepts too. */
export async function syncFile(handle: FileHandle): Promise<void> {
  try {
    await handle.sync();
  } catch (error) {
    if (!isUnsupported(error)) throw error;
  }
}

/** Makes the names in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } catch (error) {
    if (!isUnsupported(error) && errnoOf(error) !== "EINVAL") throw error;
  } finally {
    await handle.close();
  }
}

function isUnsupported(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === "ENOTSUP" || errno === "EOPNOTSUPP" || errno === "ENOSYS";
}
