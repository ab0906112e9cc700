// The local cache, in restic's layout, so that restic can use the same folder (docs/formats/restic.md#cache).
//
//   <folder>/CACHEDIR.TAG   <folder>/<repository id>/{version,index/xx/<id>,snapshots/xx/<id>,data/xx/<id>}
//
// Files are kept as stored: sealed. A cached file is believed only when it matches its name, every time. Nothing here can
// fail a command: an unusable cache is a slower one.

import { mkdir, readFile, readdir, rename, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isId, sha256Hex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import type { FileKind } from "./layout.ts";

/** The signature that tells other backup programs to leave a folder out (bford.info/cachedir). */
const TAG =
  "Signature: 8a477f597d28d172789f06886806bc55\n" +
  "# A cache of backup repositories. What is in it can be fetched again.\n";

const FOLDERS: Partial<Record<FileKind, string>> = {
  snapshot: "snapshots",
  index: "index",
  pack: "data",
};

export interface Cache {
  /** The file as stored, proved to match its name; undefined when it is not cached. */
  get(kind: FileKind, id: Id): Promise<Uint8Array | undefined>;
  put(kind: FileKind, id: Id, bytes: Uint8Array): Promise<void>;
  remove(kind: FileKind, id: Id): Promise<void>;
  /** Removes files of a kind that the repository no longer has. */
  keepOnly(kind: FileKind, ids: ReadonlySet<Id>): Promise<void>;
}

/**
 * Opens the cache of one repository, and marks it as used `now` (milliseconds since 1970), because old ones are removed;
 * undefined when the folder cannot be used.
 */
export async function openCache(
  folder: string,
  repositoryId: Id,
  now: number,
): Promise<Cache | undefined> {
  const root = join(folder, repositoryId);
  try {
    await mkdir(root, { recursive: true, mode: 0o700 });
    await writeFile(join(folder, "CACHEDIR.TAG"), TAG, { flag: "wx" }).catch(() => {});
    await writeFile(join(root, "version"), "1", { flag: "wx" }).catch(() => {});
    await utimes(root, now / 1000, now / 1000).catch(() => {});
  } catch {
    return undefined;
  }
  const pathOf = (kind: FileKind, id: Id): string | undefined => {
    const name = FOLDERS[kind];
    return name === undefined ? undefined : join(root, name, id.slice(0, 2), id);
  };
  return {
    async get(kind, id) {
      const path = pathOf(kind, id);
      if (path === undefined) return undefined;
      const bytes = await readFile(path).catch(() => undefined);
      if (bytes === undefined || sha256Hex(bytes) === id) return bytes;
      await rm(path, { force: true }).catch(() => {});
      return undefined;
    },
    async put(kind, id, bytes) {
      const path = pathOf(kind, id);
      if (path !== undefined) await store(path, bytes).catch(() => {});
    },
    async remove(kind, id) {
      const path = pathOf(kind, id);
      if (path !== undefined) await rm(path, { force: true }).catch(() => {});
    },
    async keepOnly(kind, ids) {
      const name = FOLDERS[kind];
      if (name !== undefined) await sweep(join(root, name), ids).catch(() => {});
    },
  };
}

async function store(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}-tmp-${process.pid}`;
  await mkdir(join(path, ".."), { recursive: true, mode: 0o700 });
  await writeFile(temporary, bytes, { mode: 0o600 });
  await rename(temporary, path);
}

async function sweep(folder: string, ids: ReadonlySet<Id>): Promise<void> {
  for (const name of await readdir(folder, { recursive: true })) {
    const id = name.slice(name.lastIndexOf("/") + 1);
    if (isId(id) && !ids.has(id)) await rm(join(folder, name), { force: true });
  }
}
