// The file that PostgreSQL wants WAL in. It appears there whole or not at all: written beside, synced, renamed.

import { open, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import type { Random } from "../base/clock.ts";
import { toHex } from "../base/bytes.ts";
import { HoldfastError, messageOf } from "../base/errors.ts";

/** Writes `content` as the file `path`, durably; what had that name is replaced, a link itself and not what it leads to. */
export async function placeWal(
  path: string,
  content: Uint8Array,
  { random }: { readonly random: Random },
): Promise<void> {
  const temporary = `${path}.holdfast-${toHex(random(6))}`;
  try {
    await writeSynced(temporary, content);
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    const message = `cannot write ${path}: ${messageOf(error)}`;
    throw new HoldfastError("TARGET_UNWRITABLE", message, {
      hint: "PostgreSQL runs restore_command in its data directory as its own user: see that it may write there.",
      cause: error,
    });
  }
}

/** A new file with that content, for its owner alone, on disk when this resolves. */
export async function writeSynced(path: string, content: Uint8Array): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes what was renamed in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
