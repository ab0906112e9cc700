// What is in a filestore's folder: every file whose name is a SHA-1, what the collector has marked, and what does not belong.
// Names alone are read, no file is looked at.

import { lstatSync } from "node:fs";
import { opendir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { throwIfCancelled } from "../../base/cancellation.ts";
import { errnoOf, HoldfastError, messageOf } from "../../base/errors.ts";
import { nearbyHint } from "../nearby-stores.ts";
import { Sha1Set } from "../sha1-set.ts";
import { isSha1, isStoreFolder } from "../store-name.ts";

const STRANGERS_MAX = 20;

export interface StoreListing {
  readonly files: number;
  /** Files that no row refers to, as paths below the folder. */
  readonly unreferenced: readonly string[];
  /** SHA-1s that Odoo's collector has on its list: new files, and those whose row is gone. */
  readonly marked: Sha1Set;
  /** Names that Odoo would never give, at most 20 of them, and how many there are. */
  readonly strangers: { readonly count: number; readonly examples: readonly string[] };
}

/** Lists the filestore. Throws ODOO_NOT_FOUND when the folder is none, SOURCE_UNREADABLE, CANCELLED. */
export async function listStore(options: {
  readonly folder: string;
  readonly isReferenced: (sha1: string, path: string) => boolean;
  readonly signal?: AbortSignal | undefined;
}): Promise<StoreListing> {
  const { folder, isReferenced, signal } = options;
  const marked = new Sha1Set();
  const unreferenced: string[] = [];
  const examples: string[] = [];
  let strangers = 0;
  let files = 0;
  const stranger = (path: string): void => {
    strangers++;
    if (examples.length < STRANGERS_MAX) examples.push(path);
  };
  for (const entry of await folderOf(folder)) {
    throwIfCancelled(signal);
    const { name } = entry;
    if (name === "checklist" && entry.isDirectory()) await readMarks(join(folder, name), marked);
    else if (!isStoreFolder(name) || !entry.isDirectory()) stranger(name);
    else {
      for (const sha1 of await namesOf(join(folder, name))) {
        const path = `${name}/${sha1}`;
        if (!isSha1(sha1) || !sha1.startsWith(name)) {
          stranger(path);
          continue;
        }
        files++;
        if (!isReferenced(sha1, path)) unreferenced.push(path);
      }
    }
  }
  const meant = files === 0 ? nearbyHint(folder) : undefined;
  if (meant !== undefined)
    throw new HoldfastError("ODOO_NOT_FOUND", `${folder} is no filestore`, { hint: meant });
  return { files, unreferenced, marked, strangers: { count: strangers, examples } };
}

/** Bytes of files below the folder; those that are gone by now count nothing. */
export function measure(folder: string, paths: readonly string[]): number {
  let bytes = 0;
  for (const path of paths) {
    bytes += lstatSync(join(folder, path), { throwIfNoEntry: false })?.size ?? 0;
  }
  return bytes;
}

async function folderOf(folder: string) {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    const code = errnoOf(error);
    if (code !== "ENOENT" && code !== "ENOTDIR") throw unreadable(folder, error);
    throw new HoldfastError("ODOO_NOT_FOUND", `there is no filestore at ${folder}`, {
      hint: "Name the folder that holds ab/ab12…: /var/lib/odoo/filestore/DATABASE. `holdfast doctor odoo` looks for it.",
      cause: error,
    });
  }
}

async function namesOf(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    // It may have gone since it was listed; a folder that cannot be read would hide what is in it.
    if (errnoOf(error) === "ENOENT") return [];
    throw unreadable(folder, error);
  }
}

async function readMarks(folder: string, marked: Sha1Set): Promise<void> {
  for (const name of await namesOf(folder)) {
    if (!isStoreFolder(name)) continue;
    try {
      // There may be millions.
      for await (const { name: sha1 } of await opendir(join(folder, name), { bufferSize: 1024 })) {
        if (isSha1(sha1)) marked.add(sha1);
      }
    } catch (error) {
      if (errnoOf(error) !== "ENOENT" && errnoOf(error) !== "ENOTDIR")
        throw unreadable(folder, error);
    }
  }
}

function unreadable(folder: string, error: unknown): HoldfastError {
  return new HoldfastError(
    "SOURCE_UNREADABLE",
    `the filestore cannot be read: ${folder}: ${messageOf(error)}`,
    {
      hint: "Run this as the user who runs Odoo, or as root.",
      cause: error,
    },
  );
}
