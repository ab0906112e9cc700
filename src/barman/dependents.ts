// What would be lost with a backup: the increments that are built on it, and the moments that no other backup leads to
// (docs/formats/barman.md#recovery-windows).

import type { Catalogue } from "./catalogue.ts";
import type { CatalogueBackup } from "./catalogue-backup.ts";
import type { Moment, RecoveryWindow } from "./recovery-windows.ts";
import { millisecondsOf } from "./zoned-time.ts";

/** A part of a recovery window. */
export interface WindowPart {
  readonly timeline: number;
  readonly from: Moment;
  readonly to: Moment;
}

export interface Dependents {
  /** The ids of all increments on the way from it. */
  readonly increments: readonly string[];
  /** The moments that can be recovered from this backup alone. */
  readonly moments: readonly WindowPart[];
}

/** What depends on each backup, by its id. */
export function findDependents(catalogue: Catalogue): Map<string, Dependents> {
  const byId = new Map(catalogue.backups.map((backup) => [backup.id, backup]));
  const parts = catalogue.windows.flatMap((window) => onlyFirst(window, catalogue, byId));
  const partsOf = Map.groupBy(parts, ({ backup }) => backup);
  const children = Map.groupBy(catalogue.backups, ({ parent }) => parent);
  return new Map(
    catalogue.backups.map(({ id }) => [
      id,
      {
        increments: incrementsOf(id, children),
        moments: (partsOf.get(id) ?? []).map(({ part }) => part),
      },
    ]),
  );
}

function incrementsOf(
  id: string,
  children: ReadonlyMap<string | undefined, readonly CatalogueBackup[]>,
): string[] {
  const found = new Set([id]);
  // A set hands out what is put in while it is gone through.
  for (const one of found) for (const child of children.get(one) ?? []) found.add(child.id);
  return [...found].slice(1).toSorted();
}

/** The beginning of a window, up to where the next backup leads into it, when one backup alone leads there. */
function onlyFirst(
  window: RecoveryWindow,
  { timelines }: Catalogue,
  byId: ReadonlyMap<string, CatalogueBackup>,
): { backup: string; part: WindowPart }[] {
  const { timeline, backups, from, to } = window;
  const fork = timelines.get(timeline)?.at(-1)?.from ?? 0n;
  const entries = backups.map((id) => {
    const { info } = byId.get(id)!;
    const isOwn = info!.timeline === timeline;
    return {
      id,
      lsn: isOwn ? info!.endLsn! : fork,
      time: isOwn ? millisecondsOf(info!.endTime!) : undefined,
    };
  });
  const [first, second] = entries.toSorted((a, b) => (a.lsn < b.lsn ? -1 : 1));
  if (first === undefined || first.lsn === second?.lsn) return [];
  const end = second ? { lsn: second.lsn, time: second.time } : to;
  return [{ backup: first.id, part: { timeline, from, to: end } }];
}
