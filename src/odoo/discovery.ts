// Finds filestores: given a data directory of Odoo 12 to 19, or a folder above one, which databases have files there, and in
// which layout. Looks at names alone and never deep: a data directory may have millions of files.

import type { Dirent } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { throwIfCancelled } from "../base/cancellation.ts";
import { errnoOf, HoldfastError, messageOf } from "../base/errors.ts";
import type { Connection } from "../postgres/connection.ts";
import { isSha1, isStoreFolder } from "./store-name.ts";

/** The folder of one database's files. */
export interface FoundStore {
  /** Name of the folder, which is that of the database. */
  readonly database: string;
  /** Absolute if what was searched is. */
  readonly folder: string;
  /** Folders of two digits; at most 256. */
  readonly folders: number;
  /** Folders of three digits, as before Odoo 18. */
  readonly oldFolders: number;
  /** About how many files there are, by some of the folders. */
  readonly filesEstimate: number;
  /** Odoo's collector has been or will be here: there is a `checklist`. */
  readonly hasChecklist: boolean;
  /** How many files are on the collector's list, about: new ones since its last run, and those that will go. */
  readonly markedEstimate: number;
  /** Names that do not belong into a filestore, at most 5 of them. */
  readonly strangers: readonly string[];
}

export interface Discovery {
  readonly stores: readonly FoundStore[];
  /** Folders that could not be looked into, with the reason. */
  readonly unreadable: readonly string[];
  /** Folders beside a filestore that hold the logins of users: no backup should. */
  readonly sessions: readonly string[];
}

/** Folders below the one that was named that are searched: ~/.local/share/Odoo/filestore is four below a home, and homes may be mounted. */
const DEPTH = 8;
/** Folders that are looked into, so that a search from / ends. */
const FOLDERS_MAX = 20_000;
/** Folders that an estimate counts: SHA-1s spread evenly. */
const SAMPLE = 8;
/** Where nobody keeps a filestore. */
const SKIPPED = /^(proc|sys|dev|node_modules|\.git|\.cache|sessions|addons|checklist)$/;

/** Finds all filestores at or below `directory`. Throws ODOO_NOT_FOUND when it is no directory, CANCELLED. */
export async function findStores(
  directory: string,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Discovery> {
  const stores: FoundStore[] = [];
  const unreadable: string[] = [];
  const sessions: string[] = [];
  const waiting = [{ folder: directory, depth: 0 }];
  let looked = 0;
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    throwIfCancelled(signal);
    const { folder, depth } = next;
    if (++looked > FOLDERS_MAX) {
      unreadable.push(`${folder} and others: too many folders to look into`);
      break;
    }
    let entries: Dirent[];
    try {
      entries = await readdir(folder, { withFileTypes: true });
    } catch (error) {
      if (depth === 0) throw noDirectory(directory, error);
      if (errnoOf(error) !== "ENOENT") unreadable.push(`${folder}: ${messageOf(error)}`);
      continue;
    }
    if (await isStore(folder, entries)) {
      stores.push(await describe(folder, entries));
      continue;
    }
    for (const entry of entries) {
      // A link may lead anywhere, also back.
      if (!entry.isDirectory()) continue;
      if (entry.name === "sessions" && entries.some(({ name }) => name === "filestore")) {
        sessions.push(join(folder, entry.name));
      }
      if (depth < DEPTH && !SKIPPED.test(entry.name)) {
        waiting.push({ folder: join(folder, entry.name), depth: depth + 1 });
      }
    }
  }
  stores.sort((a, b) => (a.folder < b.folder ? -1 : 1));
  return { stores, unreadable, sessions };
}

/** Databases of the server that may be connected to, whether they are Odoo's or not. */
export async function listDatabases(
  connection: Connection,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<string[]> {
  const rows = await connection.query(
    "SELECT datname AS name FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1",
    { signal },
  );
  return rows.map((row) => row["name"] ?? "");
}

/** True for the folder of one database: a folder in it has a file whose SHA-1 begins as the folder is named, or it is empty yet. */
async function isStore(folder: string, entries: readonly Dirent[]): Promise<boolean> {
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const own = folders.filter(isStoreFolder);
  if (own.length === 0) return folders.length === 1 && folders[0] === "checklist";
  // Other programs name folders by digits, too, but not what is in them.
  for (const name of own.slice(0, SAMPLE)) {
    const names = await readdir(join(folder, name)).catch((): string[] => []);
    if (names.some((file) => isSha1(file) && file.startsWith(name))) return true;
  }
  return false;
}

async function describe(folder: string, entries: readonly Dirent[]): Promise<FoundStore> {
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const own = names.filter(isStoreFolder);
  const strangers = entries
    .filter(
      (entry) => !entry.isDirectory() || (!isStoreFolder(entry.name) && entry.name !== "checklist"),
    )
    .map(({ name }) => name);
  const marked = names.includes("checklist")
    ? (await readdir(join(folder, "checklist")).catch(() => [])).filter(isStoreFolder)
    : [];
  return {
    database: basename(folder),
    folder,
    folders: own.filter(({ length }) => length === 2).length,
    oldFolders: own.filter(({ length }) => length === 3).length,
    filesEstimate: await estimate(folder, own),
    hasChecklist: names.includes("checklist"),
    markedEstimate: await estimate(join(folder, "checklist"), marked),
    strangers: strangers.slice(0, 5),
  };
}

/** About how many files there are in `folders`, by counting some of them. */
async function estimate(parent: string, folders: readonly string[]): Promise<number> {
  const step = Math.max(1, Math.floor(folders.length / SAMPLE));
  const sample = folders.filter((_, i) => i % step === 0);
  let files = 0;
  for (const name of sample) {
    const names = await readdir(join(parent, name)).catch((): string[] => []);
    files += names.filter(isSha1).length;
  }
  return sample.length === 0 ? 0 : Math.round((files / sample.length) * folders.length);
}

function noDirectory(directory: string, error: unknown): HoldfastError {
  return new HoldfastError(
    "ODOO_NOT_FOUND",
    `the data directory cannot be read: ${directory}: ${messageOf(error)}`,
    {
      hint: "Odoo's data directory is /var/lib/odoo in its image, ~/.local/share/Odoo otherwise: see data_dir in odoo.conf.",
      cause: error,
    },
  );
}
