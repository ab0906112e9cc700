// Which snapshots a command is about: the options that narrow them down, and the way from the name of one to its files.

import { resolve } from "node:path";
import type { Command } from "commander";
import type { Id } from "../base/bytes.ts";
import { findDirectory } from "../files/find-path.ts";
import { BlobReader } from "../repository/blob-reader.ts";
import { loadIndex } from "../repository/index-loader.ts";
import type { Repository } from "../repository/repository.ts";
import { findSnapshot } from "../repository/snapshots.ts";
import type { FoundSnapshot, SnapshotFilter } from "../repository/snapshots.ts";
import { byteStringToText, textToByteString } from "../restic/byte-string.ts";
import type { Context } from "./command.ts";
import { collect } from "./option-values.ts";

export interface FilterFlags {
  host: string[];
  tag: string[];
  path: string[];
}

/** Adds --host, --tag and --path. `when`: what they are for, "" when they always count. */
export function addSnapshotFilter(command: Command, when = ""): void {
  command
    .option("-H, --host <name>", `only snapshots of this host${when}`, collect, [])
    .option("--tag <tags>", `only snapshots with all of these tags${when}`, collect, [])
    .option("--path <path>", `only snapshots of this path${when}`, collect, []);
}

/** The filter these options make. RESTIC_HOST counts where there is no --host, and --host "" takes it away. */
export function snapshotFilter(flags: FilterFlags, { settings, cwd }: Context): SnapshotFilter {
  const byDefault = settings.host === undefined ? [] : [settings.host];
  const given = flags.host.length === 1 && flags.host[0] === "" ? [] : flags.host;
  return {
    hosts: flags.host.length > 0 ? given : byDefault,
    tags: flags.tag.map((tags) => tags.split(",").map((tag) => tag.trim())),
    paths: flags.path.map((path) => resolve(byteStringToText(cwd), path)),
  };
}

/** "ID:directory" in its two parts, the second a byte string. */
export function splitSnapshotName(name: string): [id: string, directory: string] {
  const colon = name.indexOf(":");
  return colon < 0 ? [name, ""] : [name.slice(0, colon), textToByteString(name.slice(colon + 1))];
}

export interface OpenSnapshot extends FoundSnapshot {
  reader: BlobReader;
  /** The tree of the directory that was named, the snapshot's own without one. */
  tree: Id;
}

/** Finds the snapshot that `name` means, "ID", "latest" or "ID:directory", and opens the way to its files. */
export async function openSnapshot(
  context: Context,
  repository: Repository,
  name: string,
  options: { filter?: SnapshotFilter; signal: AbortSignal },
): Promise<OpenSnapshot> {
  const { filter, signal } = options;
  const [id, directory] = splitSnapshotName(name);
  const found = await findSnapshot(repository, id, filter, signal);
  const reader = await openBlobs(context, repository, signal);
  const tree = await findDirectory(reader, found.snapshot.tree, directory, signal);
  return { ...found, reader, tree };
}

/** Loads the index, as much of it as can be read: who only reads may do without the rest. */
export async function openBlobs(
  { output }: Context,
  repository: Repository,
  signal: AbortSignal,
): Promise<BlobReader> {
  const { index } = await loadIndex(repository, {
    signal,
    onDamage: (_, error) => output.warn(`${error.message}; trying without it`),
  });
  return new BlobReader(repository, index);
}
