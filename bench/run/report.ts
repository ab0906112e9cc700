// From samples to a table: medians of each tool, and for each the median of its ratios to restic in the same run.
// Pairs come from the same minute of the same machine, so their ratio is steadier than a ratio of medians.

import type { Measured } from "./measure.ts";

/** One measured operation of one tool in one run. */
export interface Sample extends Measured {
  readonly run: number;
  readonly operation: string;
  readonly tool: string;
  /** Bytes of the repository after the operation. */
  readonly repository: number;
}

export interface Row {
  readonly operation: string;
  readonly tool: string;
  readonly runs: number;
  readonly wall: number;
  readonly cpu: number;
  readonly memory: number;
  readonly repository: number;
  /** Medians of tool / baseline over the runs that have both; below 1 is better. Undefined for the baseline. */
  readonly ratios: { wall: number; cpu: number; memory: number; repository: number } | undefined;
}

const FIELDS = ["wall", "cpu", "memory", "repository"] as const;

/** The middle of `values`, or the mean of the two in the middle; NaN of none. */
export function median(values: readonly number[]): number {
  const ordered = values.toSorted((a, b) => a - b);
  const half = ordered.length >> 1;
  if (ordered.length % 2 === 1) return ordered[half]!;
  return (ordered[half - 1]! + ordered[half]!) / 2;
}

/** One row for each operation, in order of first appearance, and each of `tools` that did it. */
export function summarize(
  samples: readonly Sample[],
  baseline: string,
  tools: readonly string[],
): Row[] {
  const operations = [...new Set(samples.map((s) => s.operation))];
  return operations
    .flatMap((operation) => tools.map((tool) => ({ operation, tool })))
    .map(({ operation, tool }) => ({
      operation,
      tool,
      own: samples.filter((s) => s.operation === operation && s.tool === tool),
    }))
    .filter(({ own }) => own.length > 0)
    .map(({ operation, tool, own }) => {
      const pairs = own.flatMap((sample) => {
        const other = samples.find(
          (s) => s.run === sample.run && s.operation === operation && s.tool === baseline,
        );
        return other ? [{ sample, other }] : [];
      });
      const ratio = (field: (typeof FIELDS)[number]): number =>
        median(pairs.map(({ sample, other }) => sample[field] / other[field]));
      return {
        operation,
        tool,
        runs: own.length,
        wall: median(own.map((s) => s.wall)),
        cpu: median(own.map((s) => s.cpu)),
        memory: median(own.map((s) => s.memory)),
        repository: median(own.map((s) => s.repository)),
        ratios:
          tool === baseline || pairs.length === 0
            ? undefined
            : {
                wall: ratio("wall"),
                cpu: ratio("cpu"),
                memory: ratio("memory"),
                repository: ratio("repository"),
              },
      };
    });
}

/** The rows as a Markdown table. */
export function tableOf(rows: readonly Row[], baseline: string): string {
  const head = ["operation", "tool", "wall s", "CPU s", "memory MB", "repository MB"];
  const lines = rows.map((row) => {
    const cell = (value: string, ratio: number | undefined): string =>
      ratio === undefined ? value : `${value} (${ratio.toFixed(2)})`;
    return [
      row.operation,
      row.tool,
      cell(row.wall.toFixed(2), row.ratios?.wall),
      cell(row.cpu.toFixed(2), row.ratios?.cpu),
      cell((row.memory / 1e6).toFixed(0), row.ratios?.memory),
      cell((row.repository / 1e6).toFixed(1), row.ratios?.repository),
    ];
  });
  const widths = head.map((title, i) =>
    Math.max(title.length, ...lines.map((line) => line[i]!.length)),
  );
  const format = (cells: readonly string[]): string =>
    `| ${cells.map((text, i) => (i < 2 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!))).join(" | ")} |`;
  const rule = widths.map((width, i) => (i < 2 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
  const note = `Medians; in brackets the median of the ratios to ${baseline} in the same run, below 1 is better.`;
  return [format(head), format(rule), ...lines.map(format), "", note].join("\n");
}
