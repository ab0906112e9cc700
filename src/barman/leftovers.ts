// What lies in an archive without being of use, and when it may go (docs/formats/barman.md#leftovers). No retention
// policy speaks of it and Barman never deletes it. Whatever may still be under way stays: nothing but age tells the two
// apart, and what has no age stays too.

import type { Catalogue } from "./catalogue.ts";
import type { CatalogueBackup } from "./catalogue-backup.ts";
import type { ListedObject } from "./wal-listing.ts";

export interface Leftover {
  /**
   * `failed`: a backup that says it failed, or that it began and no more. `cut-off`: tars without a backup.info.
   * `no-backup`: what we keep beside a backup that is gone. `partial`: a partial segment whose whole one is there.
   */
  readonly what: "failed" | "cut-off" | "no-backup" | "partial";
  /** The id of the backup; undefined for a partial segment. */
  readonly backup: string | undefined;
  /** What a backup says of itself, if anything. */
  readonly reason: string | undefined;
  readonly objects: readonly ListedObject[];
  readonly bytes: number;
  /** When its youngest object was stored, in milliseconds since 1970; undefined when the storage did not tell. */
  readonly youngest: number | undefined;
  /** True when it may go. */
  readonly isRipe: boolean;
}

/** A backup takes hours and perhaps a day. This is for one that takes long, over a weekend on which nobody looks. */
export const LEFTOVER_GRACE: number = 7 * 86_400_000;

/** The leftovers, oldest first. `grace` is the age from which they may go; both times in milliseconds. */
export function findLeftovers(
  { backups, orphans }: Catalogue,
  { now, grace = LEFTOVER_GRACE }: { readonly now: number; readonly grace?: number },
): Leftover[] {
  const judge = (what: Leftover["what"], found: Found): Leftover => {
    const { backup, reason, objects } = found;
    const times = objects.map(({ time }) => time);
    // A listing without times has zero.
    const youngest = Math.min(...times) > 0 ? Math.max(...times) : undefined;
    // A partial segment is of no use from the moment on in which the whole one is there.
    const isRipe = what === "partial" || (youngest !== undefined && youngest <= now - grace);
    const bytes = objects.reduce((sum, { size }) => sum + size, 0);
    return { what, backup, reason, objects, bytes, youngest, isRipe };
  };
  const failed = backups
    .filter((backup) => isGivenUp(backup))
    .map(({ id, flaws, objects }) => ({ backup: id, reason: flaws[0], objects }));
  const partials = orphans.filter(({ why }) => why === "leftover-partial");
  const ofBackups = (["no-info", "no-backup"] as const).map((kind) => {
    const objects = orphans.filter(({ why }) => why === kind);
    const byId = Map.groupBy(objects, ({ path }) => path.split("/")[1]!);
    return [...byId].map(([backup, own]) => ({ backup, reason: undefined, objects: own }));
  });
  const [cutOff = [], noBackup = []] = ofBackups;
  return [
    ...failed.map((found) => judge("failed", found)),
    ...cutOff.map((found) => judge("cut-off", found)),
    ...noBackup.map((found) => judge("no-backup", found)),
    ...partials.map((object) =>
      judge("partial", { backup: undefined, reason: undefined, objects: [object] }),
    ),
  ].toSorted((a, b) => (a.youngest ?? 0) - (b.youngest ?? 0));
}

type Found = Pick<Leftover, "backup" | "reason" | "objects">;

/** True for a backup that will not be one any more. One that waits for its WAL is whole but for that. */
function isGivenUp({ state, info, keep, type }: CatalogueBackup): boolean {
  // Snapshots of disks would be left behind without anything that names them.
  if (keep !== undefined || info === undefined || type === "snapshot") return false;
  return state === "failed" || info.status === "EMPTY" || info.status === "STARTED";
}
