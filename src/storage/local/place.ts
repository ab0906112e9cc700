// Giving a finished temporary file its final name without ever replacing another file: link(2), which fails when
// the name is taken. File systems without hard links get a check and a rename, which only this process serializes.
// Reasons: docs/decisions/storage.md#create-only. An existing file is compared, never changed.

import { constants } from "node:fs";
import { link, lstat, open, rename, unlink } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { equalBytes } from "../../base/bytes.ts";
import { Semaphore } from "../../base/concurrency.ts";
import { errnoOf, HoldfastError } from "../../base/errors.ts";

/** How file systems and kernels say that they make no hard link (of this file). */
const NO_LINKS = new Set(["EPERM", "EACCES", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK", "EXDEV"]);

const COMPARE_BYTES = 1024 * 1024;

export interface PlaceOptions {
  /** False after the file system was found not to make hard links. */
  links: boolean;
  /** Name of the object for people. */
  key: string;
}

type Outcome = "placed" | "taken" | "no links";

// Only one lock for the process: it is taken only where there are no hard links, and held for two system calls.
const renaming = new Semaphore(1);

/**
 * Gives `temporary`, which holds `body`, the name `path`. An existing file with equal content is success, with
 * other content STORAGE_EXISTS, and so is any where `body` is not given; after success the temporary name is gone. Resolves to false when the file system
 * makes no hard links.
 */
export async function placeFile(
  temporary: string,
  path: string,
  body: Uint8Array | undefined,
  options: PlaceOptions,
): Promise<boolean> {
  let { links } = options;
  for (let round = 1; round <= 3; round += 1) {
    let outcome: Outcome = links ? await linkToFree(temporary, path) : "no links";
    if (outcome === "no links") {
      links = false;
      // A rename that really is denied says so itself, so a wrong guess about links hides nothing.
      outcome = await renaming.run(() => renameToFree(temporary, path));
      if (outcome === "placed") return links;
    }
    // Not stored although the name was taken: someone deleted it between the two looks.
    if (outcome === "taken" && body === undefined) throw takenError(options.key);
    if (outcome === "placed" || (body && (await isStored(path, body, options.key)))) {
      await unlink(temporary);
      return links;
    }
  }
  throw new HoldfastError("STORAGE_UNAVAILABLE", `${options.key} is made and deleted by others`, {
    retryable: true,
  });
}

/**
 * True when the file is there with exactly this content; it is durable then, whoever wrote it. False when the name
 * is free; STORAGE_EXISTS when it stands for anything else.
 */
export async function isStored(path: string, body: Uint8Array, key: string): Promise<boolean> {
  if (!(await exists(path))) return false;
  let handle: FileHandle;
  try {
    // O_NONBLOCK: a pipe of that name must not hold the process up.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    // What is there and cannot be found is a link that leads nowhere.
    if (await exists(path)) throw existsError(key);
    return false;
  }
  try {
    if (!(await equals(handle, body))) throw existsError(key);
    await handle.sync();
    return true;
  } finally {
    await handle.close();
  }
}

/** STORAGE_EXISTS when anything has that name. */
export async function refuseTaken(path: string, key: string): Promise<void> {
  if (await exists(path)) throw takenError(key);
}

async function linkToFree(temporary: string, path: string): Promise<Outcome> {
  try {
    await link(temporary, path);
    return "placed";
  } catch (error) {
    const errno = errnoOf(error) ?? "";
    if (errno === "EEXIST") return "taken";
    if (NO_LINKS.has(errno)) return "no links";
    throw error;
  }
}

async function renameToFree(temporary: string, path: string): Promise<Outcome> {
  if (await exists(path)) return "taken";
  await rename(temporary, path);
  return "placed";
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}

async function equals(handle: FileHandle, body: Uint8Array): Promise<boolean> {
  const stats = await handle.stat();
  if (!stats.isFile() || stats.size !== body.length) return false;
  const piece = Buffer.allocUnsafeSlow(Math.min(COMPARE_BYTES, body.length));
  for (let done = 0; done < body.length;) {
    const { bytesRead } = await handle.read(piece, 0, piece.length, done);
    const wanted = body.subarray(done, done + bytesRead);
    if (bytesRead === 0 || !equalBytes(piece.subarray(0, bytesRead), wanted)) return false;
    done += bytesRead;
  }
  return true;
}

function existsError(key: string): HoldfastError {
  return new HoldfastError("STORAGE_EXISTS", `${key} exists with different content`);
}

function takenError(key: string): HoldfastError {
  return new HoldfastError("STORAGE_EXISTS", `${key} exists already`);
}
