// Finding snapshots: all, by id or unique start of one, the latest of some.

import { mapLimit } from "../base/concurrency.ts";
import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import type { Id } from "../base/bytes.ts";
import { parseTime } from "../restic/go-time.ts";
import { decodeSnapshot } from "../restic/snapshot.ts";
import type { Snapshot } from "../restic/snapshot.ts";
import type { RepositoryFile } from "./layout.ts";
import type { Repository } from "./repository.ts";

export interface FoundSnapshot {
  id: Id;
  snapshot: Snapshot;
}

export interface SnapshotFilter {
  hosts?: readonly string[];
  /** Each a list of tags that must all be there; one such list must match. */
  tags?: readonly (readonly string[])[];
  /** All must be among the snapshot's. */
  paths?: readonly string[];
}

/** All readable snapshots, oldest first. A damaged one is an error unless `onDamage` takes it. */
export async function listSnapshots(
  repository: Repository,
  options: {
    filter?: SnapshotFilter;
    onDamage?: (id: Id, error: HoldfastError) => void;
    /** The snapshot files, if they are listed already. */
    files?: readonly RepositoryFile[] | undefined;
    signal?: AbortSignal | undefined;
  } = {},
): Promise<FoundSnapshot[]> {
  const { signal, filter, onDamage } = options;
  const files = options.files ?? (await repository.list("snapshot", signal));
  await repository.cache?.keepOnly("snapshot", new Set(files.map(({ id }) => id)));
  const connections = repository.storage.traits.connections;
  const loaded = await mapLimit(files, connections, async ({ id }) => {
    try {
      return { id, snapshot: await loadSnapshot(repository, id, signal) };
    } catch (error) {
      // Removed since it was listed.
      if (isHoldfastError(error, "STORAGE_NOT_FOUND")) return undefined;
      if (onDamage === undefined || !isHoldfastError(error, "SNAPSHOT_DAMAGED")) throw error;
      onDamage(id, error);
      return undefined;
    }
  });
  return loaded
    .filter((found) => found !== undefined)
    .filter(({ snapshot }) => passes(snapshot, filter))
    .map((found) => ({ ...found, time: parseTime(found.snapshot.time) }))
    .sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : a.id < b.id ? -1 : 1))
    .map(({ id, snapshot }) => ({ id, snapshot }));
}

export async function loadSnapshot(
  repository: Repository,
  id: Id,
  signal?: AbortSignal,
): Promise<Snapshot> {
  const bytes = await repository.load("snapshot", id, signal);
  try {
    return decodeSnapshot(bytes);
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    throw new HoldfastError("SNAPSHOT_DAMAGED", `snapshot ${id} is damaged: ${error.message}`, {
      cause: error,
    });
  }
}

/** The snapshot a person means: an id, the start of one, or `latest` among those that pass the filter. */
export async function findSnapshot(
  repository: Repository,
  name: string,
  filter: SnapshotFilter = {},
  signal?: AbortSignal,
): Promise<FoundSnapshot> {
  if (name === "latest") {
    const all = await listSnapshots(repository, { filter, signal, onDamage: refuseLatest });
    const latest = all.at(-1);
    if (latest !== undefined) return latest;
    throw new HoldfastError("SNAPSHOT_NOT_FOUND", "no snapshot found", {
      hint: "List them with `snapshots`; --host, --tag and --path narrow what `latest` means.",
    });
  }
  const id = await findFile(repository, "snapshot", name, signal);
  return { id, snapshot: await loadSnapshot(repository, id, signal) };
}

/** Which snapshot is the latest cannot be told: never take an older one for it. */
function refuseLatest(_: Id, error: HoldfastError): never {
  throw new HoldfastError("SNAPSHOT_DAMAGED", `${error.message}; it may be the latest`, {
    hint: "Name the snapshot you want by its id: `snapshots` lists those that can be read.",
    cause: error,
  });
}

/** The id that `start` begins, of a file of a kind. */
export async function findFile(
  repository: Repository,
  kind: "snapshot" | "index" | "key" | "lock" | "pack",
  start: string,
  signal?: AbortSignal,
): Promise<Id> {
  if (!/^[0-9a-f]+$/.test(start)) {
    throw new HoldfastError(
      "SNAPSHOT_NOT_FOUND",
      `not the id of ${kind === "index" ? "an" : "a"} ${kind}: ${JSON.stringify(start)}`,
    );
  }
  const ids = (await repository.list(kind, signal)).map(({ id }) => id);
  const matching = ids.filter((id) => id.startsWith(start));
  if (matching.length === 1) return matching[0]!;
  const many = matching.length > 1;
  throw new HoldfastError(
    "SNAPSHOT_NOT_FOUND",
    many ? `${kind} id ${start} is ambiguous` : `no matching ID found for prefix "${start}"`,
    { hint: many ? "Give more of its digits." : `List them with \`list ${kind}s\`.` },
  );
}

function passes(snapshot: Snapshot, filter: SnapshotFilter | undefined): boolean {
  const { hosts = [], tags = [], paths = [] } = filter ?? {};
  if (hosts.length > 0 && !hosts.includes(snapshot.hostname)) return false;
  if (!paths.every((path) => snapshot.paths.includes(path))) return false;
  return tags.length === 0 || tags.some((wanted) => hasTags(snapshot.tags, wanted));
}

/** Whether all wanted tags are there. "" stands for having none, and then nothing behind it counts. */
export function hasTags(tags: readonly string[], wanted: readonly string[]): boolean {
  for (const tag of wanted) {
    if (tag === "" && tags.length === 0) return true;
    if (!tags.includes(tag)) return false;
  }
  return true;
}
