// Marks backups that no policy may delete: Barman's `annotations/keep` (docs/formats/barman.md#retention).

import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { objectPath } from "../barman/layout.ts";
import type { Keep } from "../barman/retention.ts";
import { loadCatalogue, type Archive } from "./archive.ts";

/**
 * Keeps the backup `id` as `mark` says, or releases it; what it was before. Throws BACKUP_NOT_FOUND, and USAGE for a backup
 * that is not done: Barman keeps no others.
 */
export async function keepBackup(options: {
  readonly archive: Archive;
  readonly id: string;
  readonly mark: Keep | "release";
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly signal?: AbortSignal | undefined;
}): Promise<Keep | undefined> {
  const { archive, id, mark, now, signal } = options;
  const { storage } = archive;
  const { backups } = await loadCatalogue(archive, { now, signal });
  const backup = backups.find((one) => one.id === id);
  if (backup === undefined) {
    throw new HoldfastError(
      "BACKUP_NOT_FOUND",
      `${archive.location} has no backup ${JSON.stringify(id.slice(0, 80))}`,
      { hint: "Choose an id that `holdfast pg list` shows." },
    );
  }
  if (backup.state !== "done" && mark !== "release") {
    throw new HoldfastError("USAGE", `backup ${id} is not done: ${backup.flaws[0]}`, {
      hint: "Keep a backup that can be restored.",
    });
  }
  const { keep } = backup;
  if (keep === (mark === "release" ? undefined : mark)) return keep;
  const path = objectPath({ kind: "annotation", backupId: id, key: "keep" });
  if (mark === "release") await storage.delete(path, { signal });
  else if (keep === undefined) await storage.put(path, Buffer.from(mark), { signal });
  else if (storage.replace) await storage.replace(path, Buffer.from(mark), { signal });
  else {
    throw new HoldfastError("STORAGE_FAILED", `${archive.location} replaces no objects`, {
      hint: `Run \`holdfast pg keep ${id} release\` first.`,
    });
  }
  if (mark !== "release") await requireBackup(archive, id, signal);
  return keep;
}

/** Throws BACKUP_NOT_FOUND when an expiry took the backup in the moment in which it was marked. */
async function requireBackup(archive: Archive, id: string, signal?: AbortSignal): Promise<void> {
  try {
    await archive.storage.stat(objectPath({ kind: "info", backupId: id }), { signal });
  } catch (error) {
    if (!isHoldfastError(error, "STORAGE_NOT_FOUND")) throw error;
    throw new HoldfastError(
      "BACKUP_NOT_FOUND",
      `backup ${id} is just being deleted from ${archive.location}`,
      {
        hint: "Look with `holdfast pg list` whether it is still there, and try once more.",
        cause: error,
      },
    );
  }
}
