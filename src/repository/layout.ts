// Where each kind of repository file lives (docs/formats/restic.md#layout).

import type { Id } from "../base/bytes.ts";
import { isId } from "../base/bytes.ts";
import type { Storage, StoredObject } from "../storage/storage.ts";

/** The kinds of files named by the hash of their content. */
export type FileKind = "key" | "snapshot" | "index" | "lock" | "pack";

const FOLDERS: Record<FileKind, string> = {
  key: "keys",
  snapshot: "snapshots",
  index: "index",
  lock: "locks",
  pack: "data",
};

/** The one file that is not named by a hash. */
export const CONFIG_KEY = "config";

/** Prefix under which all files of a kind are listed. */
export function prefixOf(kind: FileKind): string {
  return `${FOLDERS[kind]}/`;
}

/** Storage key of a file. */
export function keyOf(kind: FileKind, id: Id): string {
  return kind === "pack" ? `data/${id.slice(0, 2)}/${id}` : `${FOLDERS[kind]}/${id}`;
}

/** A file of a repository. */
export interface RepositoryFile {
  id: Id;
  /** Stored bytes. */
  size: number;
}

/** Files of a kind, strangers left out, in no meaningful order. */
export async function listFiles(
  storage: Storage,
  kind: FileKind,
  signal?: AbortSignal,
): Promise<RepositoryFile[]> {
  const files: RepositoryFile[] = [];
  for await (const object of storage.list(prefixOf(kind), { signal })) {
    const id = idOfKey(object);
    if (id !== undefined) files.push({ id, size: object.size });
  }
  return files;
}

/** The id at the end of a listed key, or undefined for a stranger that readers ignore. */
export function idOfKey(object: StoredObject): Id | undefined {
  const name = object.key.slice(object.key.lastIndexOf("/") + 1);
  return isId(name) ? name : undefined;
}
