// Pictures of time in the terminal: a lane for each thing, from left to right, bars for stretches and marks for moments.
// Precise as a cell of the terminal; the numbers stand beside it. The last thing painted on a cell is seen.

import { formatAge } from "./format.ts";
import { displayWidth } from "./terminal-text.ts";

export interface Lane {
  readonly label: string;
  /** Painted first; times in milliseconds since 1970. */
  readonly bars: readonly { readonly from: number; readonly to: number }[];
  readonly marks: readonly { readonly time: number; readonly mark: string }[];
}

const BAR = "━";
const NOTHING = "·";
const WIDTH_MIN = 20;
const WIDTH_MAX = 100;

/** The lines of the picture with its axis, no wider than `columns`; none when no lane has a time. */
export function drawLanes(
  lanes: readonly Lane[],
  { columns, now }: { readonly columns: number; readonly now: number },
): string[] {
  const times = lanes.flatMap(({ bars, marks }) => [
    ...bars.flatMap(({ from, to }) => [from, to]),
    ...marks.map(({ time }) => time),
  ]);
  if (times.length === 0) return [];
  const first = times.reduce((least, time) => Math.min(least, time));
  const span = Math.max(1, now - first);
  const indent = Math.max(...lanes.map(({ label }) => displayWidth(label))) + 2;
  const width = Math.max(WIDTH_MIN, Math.min(WIDTH_MAX, columns - indent - 1));
  const cell = (time: number): number =>
    Math.max(0, Math.min(width - 1, Math.floor(((time - first) / span) * width)));
  const lines = lanes.map(({ label, bars, marks }) => {
    const cells = Array.from({ length: width }, () => NOTHING);
    for (const { from, to } of bars) cells.fill(BAR, cell(from), cell(to) + 1);
    for (const { time, mark } of marks) cells[cell(time)] = mark;
    return `${" ".repeat(indent - 2 - displayWidth(label))}${label}  ${cells.join("")}`;
  });
  const start = formatAge((now - first) / 1000);
  const axis = `${" ".repeat(indent)}${start}${"now".padStart(Math.max(4, width - start.length))}`;
  return [...lines, axis];
}
