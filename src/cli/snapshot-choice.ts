// Which snapshots a command is about: the options that narrow them down, and the way from the name of one to its files.

import { resolve } from "node:path";
import type { Command } from "commander";
import type { Id } from "../base/bytes.ts";
import { isHoldfastError, messageOf } from "../base/errors.ts";
import { findDirectory } from "../files/find-path.ts";
import { BlobReader } from "../repository/blob-reader.ts";
import { loadIndex } from "../repository/index-loader.ts";
import type { Repository } from "../repository/repository.ts";
import { findSnapshot, listSnapshots } from "../repository/snapshots.ts";
import type { FoundSnapshot, SnapshotFilter } from "../repository/snapshots.ts";
import { byteStringToText, textToByteString } from "../restic/byte-string.ts";
import { parseTime } from "../restic/go-time.ts";
import type { Context } from "./command.ts";
import { collect } from "./option-values.ts";

export interface FilterFlags {
  host: string[];
  tag: string[];
  path: string[];
}

/** Adds --host, --tag and --path. `when`: what they are for, "" when they always count. */
export function addSnapshotFilter(command: Command, when = "", hostFlags = "-H, --host"): void {
  command
    .option(`${hostFlags} <name>`, `only snapshots of this host${when}`, collect, [])
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

/** True when the filter lets everything pass. */
export function isEmptyFilter({ hosts = [], tags = [], paths = [] }: SnapshotFilter): boolean {
  return hosts.length + tags.length + paths.length === 0;
}

export interface CollectedSnapshots {
  /** Oldest first. */
  found: FoundSnapshot[];
  /** Nothing that was asked for had to be left out. */
  complete: boolean;
}

/**
 * The snapshots that a command is about: those named, or all that pass the filter where none is. What is not there or is
 * damaged is named on stderr, and does not hide the rest.
 */
export async function collectSnapshots(
  { output }: Context,
  repository: Repository,
  asked: { names: readonly string[]; filter: SnapshotFilter; signal: AbortSignal },
): Promise<CollectedSnapshots> {
  const { names, filter, signal } = asked;
  let complete = true;
  const ignore = (name: string, error: unknown): void => {
    complete = false;
    output.warn(`Ignoring ${JSON.stringify(name)}: ${messageOf(error)}`);
  };
  if (names.length === 0) {
    const found = await listSnapshots(repository, { filter, onDamage: ignore, signal });
    return { found, complete };
  }
  const found = new Map<Id, FoundSnapshot>();
  for (const name of names) {
    try {
      const snapshot = await findSnapshot(repository, name, filter, signal);
      found.set(snapshot.id, snapshot);
    } catch (error) {
      if (!isHoldfastError(error, "SNAPSHOT_NOT_FOUND", "SNAPSHOT_DAMAGED")) throw error;
      ignore(name, error);
    }
  }
  if (!isEmptyFilter(filter) && !names.includes("latest")) {
    output.warn(`Ignoring "filters": explicit snapshot ids are given`);
  }
  const time = ({ snapshot }: FoundSnapshot): bigint => parseTime(snapshot.time);
  return { found: [...found.values()].sort((a, b) => (time(a) < time(b) ? -1 : 1)), complete };
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
