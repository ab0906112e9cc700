// The files of a filestore's folder on this machine, each checked by its SHA-1 before it is given. A file may vanish or change
// at any time, so nothing about it is believed that was not just read. Links are not followed: Odoo makes none.

import { createHash } from "node:crypto";
import { close, constants, fstat, open, read, readdir } from "node:fs";
import { promisify } from "node:util";
import { join } from "node:path";
import { throwIfCancelled } from "../../base/cancellation.ts";
import { errnoOf, HoldfastError, messageOf } from "../../base/errors.ts";

/** A file of the filestore, as rows refer to it. */
export interface WantedFile {
  readonly sha1: string;
  /** Below the filestore's folder: "ab/ab01…". */
  readonly path: string;
}

/** Content that was checked: whole, or, when it is large, to be read once more by `stream`, which checks it again. */
export type FoundFile =
  | { readonly kind: "whole"; readonly content: Uint8Array }
  | {
      readonly kind: "large";
      readonly size: number;
      readonly start: Uint8Array;
      readonly stream: () => AsyncIterable<Uint8Array>;
    };

/** Why a file is not to be had. */
export type Absence = "missing" | "corrupt";

export interface FolderFiles {
  /** Whether it is there, as a listing tells. */
  has(file: WantedFile): Promise<boolean>;
  /** The file, checked, or why it is not to be had. */
  find(file: WantedFile, signal?: AbortSignal): Promise<FoundFile | Absence>;
}

/** Larger files are not held in memory. */
export const WHOLE_BYTES: number = 8 << 20;
const PIECE_BYTES = 1 << 20;

const openFile: (path: string, flags: number) => Promise<number> = promisify(open);
const closeFile = promisify(close);
const statFile = promisify(fstat);
const readFile = promisify(read);
const listFolder = promisify(readdir);

/** The files of a filestore's folder. */
export function folderFiles(folder: string): FolderFiles {
  const listed = new Map<string, Promise<ReadonlySet<string>>>();
  return {
    async has({ path }) {
      const slash = path.indexOf("/");
      const below = path.slice(0, slash);
      let names = listed.get(below);
      if (names === undefined) listed.set(below, (names = namesIn(join(folder, below))));
      return (await names).has(path.slice(slash + 1));
    },
    async find(file, signal) {
      throwIfCancelled(signal);
      return await readChecked(join(folder, file.path), file.sha1, signal);
    },
  };
}

async function namesIn(folder: string): Promise<ReadonlySet<string>> {
  try {
    return new Set(await listFolder(folder));
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return new Set();
    throw unreadable(folder, error);
  }
}

async function readChecked(
  path: string,
  sha1: string,
  signal: AbortSignal | undefined,
): Promise<FoundFile | Absence> {
  let file: number;
  try {
    file = await openFile(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return "missing";
    // A link is none of Odoo's files.
    if (errnoOf(error) === "ELOOP") return "corrupt";
    throw unreadable(path, error);
  }
  try {
    const stats = await statFile(file);
    if (!stats.isFile()) return "corrupt";
    if (stats.size <= WHOLE_BYTES) {
      const content = await readWhole(file, stats.size);
      return createHash("sha1").update(content).digest("hex") === sha1
        ? { kind: "whole", content }
        : "corrupt";
    }
    return await checkLarge(file, { path, sha1, size: stats.size, signal });
  } finally {
    await closeFile(file);
  }
}

/** Everything up to the size that it had: what grows is not what its name says. */
async function readWhole(file: number, size: number): Promise<Buffer> {
  const content = Buffer.allocUnsafe(size);
  let filled = 0;
  while (filled < size) {
    const { bytesRead } = await readFile(file, content, filled, size - filled, filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return content.subarray(0, filled);
}

interface LargeFile {
  readonly path: string;
  readonly sha1: string;
  readonly size: number;
  readonly signal: AbortSignal | undefined;
}

async function checkLarge(file: number, large: LargeFile): Promise<FoundFile | Absence> {
  const { path, sha1, signal } = large;
  const hash = createHash("sha1");
  let start: Uint8Array | undefined;
  let size = 0;
  for await (const piece of piecesOf(file, signal)) {
    start ??= Buffer.from(piece.subarray(0, 64));
    hash.update(piece);
    size += piece.length;
  }
  if (hash.digest("hex") !== sha1) return "corrupt";
  const stream = async function* (): AsyncGenerator<Uint8Array, void> {
    const again = await openFile(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch(
      (error: unknown) => {
        throw changed(path, error);
      },
    );
    try {
      const check = createHash("sha1");
      for await (const piece of piecesOf(again, signal)) {
        check.update(piece);
        yield piece;
      }
      if (check.digest("hex") !== sha1) throw changed(path);
    } finally {
      await closeFile(again);
    }
  };
  return { kind: "large", size, start: start ?? new Uint8Array(0), stream };
}

async function* piecesOf(
  file: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void> {
  for (;;) {
    throwIfCancelled(signal);
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    const { bytesRead } = await readFile(file, piece, 0, PIECE_BYTES, null);
    if (bytesRead === 0) return;
    yield piece.subarray(0, bytesRead);
  }
}

function changed(path: string, cause?: unknown): HoldfastError {
  return new HoldfastError("SOURCE_UNREADABLE", `${path} changed while it was read`, {
    hint: "Run the command again.",
    retryable: true,
    cause,
  });
}

function unreadable(path: string, error: unknown): HoldfastError {
  return new HoldfastError("SOURCE_UNREADABLE", `${path} cannot be read: ${messageOf(error)}`, {
    hint: "Run this as Odoo's own user, or as root.",
    cause: error,
  });
}
