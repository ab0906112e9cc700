// Giving a finished temporary file its final name without ever replacing another file: link(2), which fails when
// the name is taken. File systems without hard links get a check and a rename, which only this process serializes.
// Reasons: docs/decisions/storage.md#create-only. An existing file is compared, never changed.

import { constants } from "node:fs";
import { link, lstat, open, rename, unlink } from "node:fs/promises";
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
 * other content STORAGE_EXISTS; after success the temporary name is gone. Resolves to false when the file system
 * makes no hard links.
 */
export async function placeFile(
  temporary: string,
  path: string,
  body: Uint8Array,
  options: PlaceOptions,
): Promise<boolean> {
  let { links } = options;
  for (let again = true; ; again = false) {
    let outcome: Outcome = links ? await linkToFree(temporary, path) : "no links";
    if (outcome === "no links") {
      links = false;
      // A rename that really is denied says so itself, so a wrong guess about links hides nothing.
      outcome = await renaming.run(() => renameToFree(temporary, path));
      if (outcome === "placed") return links;
    }
    if (outcome === "placed" || (await holds(path, body, again))) {
      await unlink(temporary);
      return links;
    }
    if (!again || (await exists(path))) {
      throw new HoldfastError("STORAGE_EXISTS", `${options.key} exists with different content`);
    }
    // Someone deleted the existing file between the two looks: the name is free now.
  }
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

/** True when the file has exactly this content; it is durable then, whoever wrote it. */
async function holds(path: string, body: Uint8Array, mayBeGone: boolean): Promise<boolean> {
  // O_NONBLOCK: a pipe of that name must not hold the process up.
  const opening = open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const handle = await opening.catch((error: unknown) => {
    if (mayBeGone && errnoOf(error) === "ENOENT") return undefined;
    throw error;
  });
  if (handle === undefined) return false;
  try {
    const stats = await handle.stat();
    if (!stats.isFile() || stats.size !== body.length) return false;
    const piece = Buffer.allocUnsafeSlow(Math.min(COMPARE_BYTES, body.length));
    for (let done = 0; done < body.length;) {
      const { bytesRead } = await handle.read(piece, 0, piece.length, done);
      const wanted = body.subarray(done, done + bytesRead);
      if (bytesRead === 0 || !equalBytes(piece.subarray(0, bytesRead), wanted)) return false;
      done += bytesRead;
    }
    await handle.sync();
    return true;
  } finally {
    await handle.close();
  }
}
