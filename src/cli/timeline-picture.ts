// A picture of what can be recovered, a line for each timeline: time goes from left to right, a bar is where any moment
// can be recovered, a dot a backup. Precise as a cell of the terminal; the numbers stand beside it.

import type { Inventory } from "../barman/inventory.ts";
import { millisecondsOf } from "../barman/zoned-time.ts";
import { formatAge } from "./format.ts";

const RECOVERABLE = "━";
const NOTHING = "·";
const BACKUP = "●";
const BROKEN = "×";
const WIDTH_MIN = 20;
const WIDTH_MAX = 100;

/** The lines of the picture, no wider than `columns`; none when no time of the archive is known. */
export function drawRecovery(
  { catalogue, timelines }: Inventory,
  { columns, now }: { readonly columns: number; readonly now: number },
): string[] {
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
  const times = [
    ...windows.flatMap(({ from, to }) => [from, to]),
    ...backups.map((one) => one.time),
  ];
  if (times.length === 0) return [];
  const first = Math.min(...times);
  const span = Math.max(1, now - first);
  const shown = timelines.filter(({ timeline }) =>
    [...windows, ...backups].some((one) => one.timeline === timeline),
  );
  const labels = shown.map(({ timeline }) => `${timeline}`);
  const indent = Math.max(...labels.map(({ length }) => length)) + 2;
  const width = Math.max(WIDTH_MIN, Math.min(WIDTH_MAX, columns - indent - 1));
  const cell = (time: number): number =>
    Math.max(0, Math.min(width - 1, Math.floor(((time - first) / span) * width)));
  const lines = shown.map(({ timeline }, i) => {
    const cells = Array.from({ length: width }, () => NOTHING);
    for (const one of windows.filter((window) => window.timeline === timeline))
      cells.fill(RECOVERABLE, cell(one.from), cell(one.to) + 1);
    for (const one of backups.filter((backup) => backup.timeline === timeline))
      cells[cell(one.time)] = one.mark;
    return `${labels[i]!.padStart(indent - 2)}  ${cells.join("")}`;
  });
  const start = formatAge((now - first) / 1000);
  const axis = `${" ".repeat(indent)}${start}${"now".padStart(Math.max(4, width - start.length))}`;
  return [...lines, axis];
}
