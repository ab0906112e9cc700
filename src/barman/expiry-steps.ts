// In which order objects leave an archive, so that wherever a deletion ends, every backup that still says it is done has
// all it needs (docs/formats/barman.md#deletion). An order, not a deed: nothing here deletes.
//
// A backup's backup.info goes first: without it neither Barman nor we take the folder for a backup. Increments go before
// what they are built on. WAL goes when the last of these is gone, and the oldest first, so that what is left is a run
// without a hole.

import type { Catalogue } from "./catalogue.ts";
import type { CatalogueBackup } from "./catalogue-backup.ts";
import type { ExpiryPlan } from "./expiry.ts";
import type { Leftover } from "./leftovers.ts";
import type { ListedObject } from "./wal-listing.ts";

/** Objects that may go at once, in any order, when all steps before this one are done. */
export interface ExpiryStep {
  readonly kind: "info" | "data" | "wal";
  /** The backup whose objects they are; undefined for WAL. */
  readonly backup: string | undefined;
  readonly objects: readonly ListedObject[];
}

/** The steps that make the plan and the ripe ones of `leftovers` come true; none when deletion is blocked. */
export function expirySteps(options: {
  readonly catalogue: Catalogue;
  readonly plan: ExpiryPlan;
  readonly leftovers: readonly Leftover[];
}): ExpiryStep[] {
  const { catalogue, plan, leftovers } = options;
  if (plan.blocked !== undefined) return [];
  const obsolete = obsoleteBackups(catalogue, plan);
  const ripe = leftovers.filter(({ isRipe }) => isRipe);
  const groups = [
    ...ripe.filter(({ backup }) => backup !== undefined),
    ...obsolete.map(({ id, objects }) => ({ backup: id, objects })),
  ];
  const partials = ripe.filter(({ what }) => what === "partial").flatMap(({ objects }) => objects);
  const known = new Set(partials.map(({ path }) => path));
  const wal = [...partials, ...plan.releasable.filter(({ path }) => !known.has(path))];
  const part = (kind: "info" | "data"): ExpiryStep[] =>
    groups
      .map(({ backup, objects }) => ({
        kind,
        backup,
        objects: objects.filter(({ path }) => isInfo(path) === (kind === "info")),
      }))
      .filter(({ objects }) => objects.length > 0);
  return [
    ...part("info"),
    ...part("data"),
    ...(wal.length === 0 ? [] : [{ kind: "wal" as const, backup: undefined, objects: wal }]),
  ];
}

/** The backups that the plan lets go of, each increment before what it is built on. */
export function obsoleteBackups({ backups }: Catalogue, { judged }: ExpiryPlan): CatalogueBackup[] {
  const byId = new Map(backups.map((backup) => [backup.id, backup]));
  return backups
    .filter(({ id }) => judged.get(id)?.verdict === "obsolete")
    .map((backup) => ({ backup, depth: ancestors(backup, byId).length }))
    .toSorted((a, b) => b.depth - a.depth || (a.backup.id < b.backup.id ? 1 : -1))
    .map(({ backup }) => backup);
}

/** The ids of the backups that one is built on, nearest first. */
export function ancestors(
  { id, parent }: CatalogueBackup,
  byId: ReadonlyMap<string, CatalogueBackup>,
): string[] {
  const chain = [id];
  for (let one = parent; one !== undefined && !chain.includes(one); one = byId.get(one)?.parent)
    chain.push(one);
  return chain.slice(1);
}

function isInfo(path: string): boolean {
  return /^base\/[^/]+\/backup\.info$/.test(path);
}
