// What a restore would do, from the archive alone and a look at the folders that it would write: which backup, along which
// timelines, how much WAL, where each tablespace goes (docs/formats/barman.md#when-a-backup-can-be-restored). Writes nothing,
// and refuses what cannot come to a good end.

import type { Tablespace } from "../barman/backup-info.ts";
import { manifestOf, tarsToRestore, type BackupTar } from "../barman/backup-tars.ts";
import type { Catalogue } from "../barman/catalogue.ts";
import { chooseRecovery, type RecoveryChoice } from "../barman/recovery-choice.ts";
import type { RecoveryTarget } from "../barman/recovery-target.ts";
import type { Clock } from "../base/clock.ts";
import { HoldfastError } from "../base/errors.ts";
import { loadCatalogue, type Archive } from "./archive.ts";
import { lookAtTarget, requireApart, type TargetFolder } from "./restore/target-folders.ts";

export interface PlanOptions {
  readonly archive: Archive;
  readonly target: RecoveryTarget;
  readonly timeline?: number | undefined;
  /** Id of the backup to begin with. */
  readonly backup?: string | undefined;
  /** Where the data directory will be. */
  readonly folder: string;
  /** Where tablespaces will be, by number or name; the others go where they were. */
  readonly tablespaces?: ReadonlyMap<string, string>;
  /** The archive's, when it was drawn already. */
  readonly catalogue?: Catalogue | undefined;
  readonly clock: Pick<Clock, "now">;
  readonly signal?: AbortSignal | undefined;
}

export interface PlannedTablespace extends Tablespace {
  readonly folder: TargetFolder;
}

/** What a restore will do. */
export interface RestorePlan {
  readonly archive: Archive;
  readonly choice: RecoveryChoice;
  readonly folder: TargetFolder;
  readonly tablespaces: readonly PlannedTablespace[];
  readonly tars: readonly BackupTar[];
  /** Bytes of the tars as they are stored. */
  readonly storedBytes: number;
  readonly hasManifest: boolean;
  /** Major version of PostgreSQL. */
  readonly major: number;
}

/**
 * Plans a restore; writes nothing. Throws what `chooseRecovery` does, TARGET_UNWRITABLE for folders that are not empty,
 * USAGE for tablespaces that the backup does not have.
 */
export async function planRestore(options: PlanOptions): Promise<RestorePlan> {
  const { archive, target, timeline, backup, clock, signal } = options;
  const now = clock.now();
  const catalogue = options.catalogue ?? (await loadCatalogue(archive, { now, signal }));
  const choice = chooseRecovery({ catalogue, target, timeline, backup, now });
  const info = choice.backup.info!;
  const tars = tarsToRestore(choice.backup);
  const folder = await lookAtTarget(options.folder);
  const tablespaces = await placeTablespaces(info.tablespaces ?? [], options.tablespaces);
  requireApart([folder.path, ...tablespaces.map((one) => one.folder.path)]);
  return {
    archive,
    choice,
    folder,
    tablespaces,
    tars,
    storedBytes: tars.reduce((sum, { object }) => sum + object.size, 0),
    hasManifest: manifestOf(choice.backup) !== undefined,
    major: Math.floor((info.version ?? 0) / 10_000),
  };
}

async function placeTablespaces(
  tablespaces: readonly Tablespace[],
  given: ReadonlyMap<string, string> = new Map(),
): Promise<PlannedTablespace[]> {
  const places = new Map<Tablespace, string>();
  const unused = new Set(given.keys());
  for (const one of tablespaces) {
    const keys = [`${one.oid}`, one.name].filter((key) => unused.delete(key));
    if (keys.length > 1)
      throw noTablespace(keys[1]!, `it is named twice, as ${one.oid} and as ${one.name}`);
    const path = keys.length === 1 ? given.get(keys[0]!)! : one.location;
    if (!path.startsWith("/"))
      throw noTablespace(keys[0] ?? one.name, `its place ${JSON.stringify(path)} is not absolute`);
    places.set(one, path);
  }
  const [unknown] = unused;
  if (unknown !== undefined) {
    const names = tablespaces.map(({ oid, name }) => `${oid} (${name})`).join(", ");
    const what = names === "" ? "no tablespaces" : `only ${names}`;
    throw noTablespace(unknown, `the backup has ${what}`);
  }
  const placed: PlannedTablespace[] = [];
  for (const [one, path] of places) placed.push({ ...one, folder: await lookAtTarget(path) });
  return placed;
}

function noTablespace(key: string, why: string): HoldfastError {
  return new HoldfastError("USAGE", `cannot place tablespace ${JSON.stringify(key)}: ${why}`, {
    hint: "Use --tablespace-map OID=/absolute/folder or NAME=/absolute/folder.",
  });
}
