// The tars of one backup, in the order in which they are restored, and its manifest (docs/formats/barman.md#object-names).

import { HoldfastError } from "../base/errors.ts";
import type { CatalogueBackup } from "./catalogue-backup.ts";
import { readObjectName, type TarName } from "./layout.ts";
import type { ListedObject } from "./wal-listing.ts";

export interface BackupTar {
  readonly name: TarName;
  readonly object: ListedObject;
}

/**
 * The tars to restore: of PGDATA, then of each tablespace, each in the order of its parts. Barman restores those of the
 * tablespaces that backup.info names, and no others. Throws BACKUP_DAMAGED when a part is there twice, compressed in
 * two ways: which one is right, nobody can tell.
 */
export function tarsToRestore({ id, info, objects }: CatalogueBackup): BackupTar[] {
  const oids = new Set<number | null>([null, ...(info?.tablespaces ?? []).map(({ oid }) => oid)]);
  const tars = objects
    .flatMap((object) => {
      const name = readObjectName(object.path);
      return name.kind === "tar" && name.backupId === id && oids.has(name.oid)
        ? [{ name, object }]
        : [];
    })
    .toSorted((a, b) => (a.name.oid ?? -1) - (b.name.oid ?? -1) || a.name.part - b.name.part);
  for (const [index, { name, object }] of tars.entries()) {
    const before = tars[index - 1];
    if (before === undefined || before.name.oid !== name.oid || before.name.part !== name.part)
      continue;
    throw new HoldfastError(
      "BACKUP_DAMAGED",
      `${before.object.path} and ${object.path} are the same part of backup ${id}`,
      { hint: "Move the one that does not belong there out of the archive." },
    );
  }
  return tars;
}

/** The manifest beside the backup, if there is one. */
export function manifestOf({ objects }: CatalogueBackup): ListedObject | undefined {
  const found = objects.filter(({ path }) => /^(?:meta|base)\/[^/]+\/backup_manifest$/.test(path));
  return found.find(({ path }) => path.startsWith("meta/")) ?? found[0];
}
