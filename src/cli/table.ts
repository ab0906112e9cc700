// Text tables: columns as wide as their widest cell, two spaces apart, a line of dashes above and below the rows, the
// footer under it. Cells may have several lines. No line ends in a space.

import { displayWidth } from "./terminal-text.ts";

export interface Table {
  /** Trailing spaces in a header widen its column. */
  headers: readonly string[];
  rows: readonly (readonly string[])[];
  footer?: readonly string[];
  /** An empty line between rows, so that rows of several lines do not run together. */
  spaced?: boolean;
}

const GAP = "  ";

/** The lines of the table. */
export function formatTable({ headers, rows, footer = [], spaced = false }: Table): string[] {
  const cells = [headers, ...rows].map((row) => row.map((cell) => cell.split("\n")));
  const widths = headers.map((_, column) =>
    Math.max(...cells.flatMap((row) => row[column]?.map(displayWidth) ?? [])),
  );
  const total = widths.reduce((sum, width) => sum + width, GAP.length * (widths.length - 1));
  const dashes = "-".repeat(total);
  const [head = [], ...body] = cells.map((row) => formatRow(row, widths));
  const separated = body.flatMap((lines, row) => (spaced && row > 0 ? ["", ...lines] : lines));
  return [...head, dashes, ...separated, dashes, ...footer];
}

function formatRow(cells: readonly string[][], widths: readonly number[]): string[] {
  const height = Math.max(...cells.map((lines) => lines.length));
  return Array.from({ length: height }, (_, line) =>
    withoutEnd(widths.map((width, column) => padded(cells[column]?.[line] ?? "", width)).join(GAP)),
  );
}

/** The line without spaces at its end. A pattern would try every one of the spaces that pad a wide column. */
function withoutEnd(line: string): string {
  let end = line.length;
  while (end > 0 && line[end - 1] === " ") end--;
  return line.slice(0, end);
}

function padded(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - displayWidth(text)));
}
