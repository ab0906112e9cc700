// A picture of what can be recovered, a line for each timeline: a bar is where any moment can be recovered, a dot a backup.

import type { Inventory } from "../barman/inventory.ts";
import { millisecondsOf } from "../barman/zoned-time.ts";
import { drawLanes, type Lane } from "./lanes.ts";

const BACKUP = "●";
const BROKEN = "×";

/** The lines of the picture, no wider than `columns`; none when no time of the archive is known. */
export function drawRecovery(
  inventory: Inventory,
  view: { readonly columns: number; readonly now: number },
): string[] {
  return drawLanes(recoveryLanes(inventory), view);
}

/** A lane for each timeline of which a time is known; its number is the label. */
export function recoveryLanes({ catalogue, timelines }: Inventory): Lane[] {
  const windows = catalogue.windows.flatMap(({ timeline, from, to }) =>
    from.time === undefined || to.time === undefined
      ? []
      : [{ timeline, from: Math.min(from.time, to.time), to: to.time }],
  );
  const backups = catalogue.backups.flatMap(({ info, flaws }) => {
    const time = info?.endTime ?? info?.beginTime;
    if (!time || !info?.timeline) return [];
    const mark = flaws.length === 0 ? BACKUP : BROKEN;
    return [{ timeline: info.timeline, time: millisecondsOf(time), mark }];
  });
  return timelines
    .map(({ timeline }) => ({
      label: `${timeline}`,
      bars: windows.filter((window) => window.timeline === timeline),
      marks: backups.filter((backup) => backup.timeline === timeline),
    }))
    .filter(({ bars, marks }) => bars.length + marks.length > 0);
}
