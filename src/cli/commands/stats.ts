// `stats`: how much the snapshots hold, counted in each of restic's ways, in its words and its JSON.

import { HoldfastError } from "../../base/errors.ts";
import { COUNT_MODES, StatsCounter } from "../../files/snapshot-stats.ts";
import type { CountMode, SnapshotStats } from "../../files/snapshot-stats.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { fixed, formatBytes, formatDuration, formatPercent } from "../format.ts";
import { withRepository } from "../session.ts";
import {
  addSnapshotFilter,
  collectSnapshots,
  openBlobs,
  snapshotFilter,
} from "../snapshot-choice.ts";
import type { FilterFlags } from "../snapshot-choice.ts";

interface StatsFlags extends FilterFlags {
  mode: string;
}

export const statsCommand: CommandModule = {
  stopsWithReader: true,

  configure(command) {
    command
      .argument("[snapshots...]", "ids, or starts of them, or `latest`; all that pass without any")
      .option("--mode <mode>", `what to count: ${COUNT_MODES.join(", ")}`, "restore-size")
      .addHelpText(
        "after",
        `
restore-size counts what a restore of each snapshot would write, files-by-contents what has the same content once,
blobs-per-file the pieces that files are made of, raw-data what all of it takes in the repository.

Examples:
  holdfast stats latest
  holdfast stats --mode raw-data --json`,
      );
    addSnapshotFilter(command);
  },

  async run(context, names, options) {
    const flags = options as unknown as StatsFlags;
    const mode = COUNT_MODES.find((each) => each === flags.mode);
    if (mode === undefined) {
      throw new HoldfastError("USAGE", `unknown counting mode: ${flags.mode}`, {
        hint: `Use one of ${COUNT_MODES.join(", ")}.`,
      });
    }
    const { output, clock } = context;
    return await withRepository(context, "read", async (repository, signal) => {
      const filter = snapshotFilter(flags, context);
      const reader = await openBlobs(context, repository, signal);
      if (!output.isJson) output.data("scanning...");
      const { found, complete } = await collectSnapshots(context, repository, {
        names,
        filter,
        signal,
      });
      const counter = new StatsCounter({ reader, mode, signal });
      const begun = clock.monotonic();
      const line = (done: number): string =>
        progressLine(counter, (clock.monotonic() - begun) / 1000, { done, all: found.length });
      for (const [i, { snapshot }] of found.entries()) {
        output.status([line(i)]);
        await counter.add(snapshot.tree);
      }
      output.status([]);
      if (!output.isJson) output.data(line(found.length));
      const report = resticStats(counter.stats, repository.config.version);
      if (output.isJson) output.json(report);
      else print(context, mode, report);
      return complete ? EXIT.ok : EXIT.incomplete;
    });
  },
};

function progressLine(
  { progress: { entries, blobs, bytes } }: StatsCounter,
  seconds: number,
  { done, all }: { done: number; all: number },
): string {
  const parts = [
    `[${formatDuration(seconds)}] ${formatPercent(done, all)}  ${done} / ${all} snapshots`,
  ];
  if (entries > 0) parts.push(`${entries} files`);
  if (blobs > 0) parts.push(`${blobs} blobs`);
  return [...parts, formatBytes(bytes)].join(", ");
}

/** Members that are undefined are left out, as restic leaves out zeros. */
interface StatsMessage {
  total_size: number;
  total_uncompressed_size: number | undefined;
  compression_ratio: number | undefined;
  compression_progress: number | undefined;
  compression_space_saving: number | undefined;
  total_file_count: number | undefined;
  total_blob_count: number | undefined;
  snapshots_count: number;
}

function resticStats(stats: SnapshotStats, version: 1 | 2): StatsMessage {
  const { bytes, compressedFrom, compressedTo } = stats;
  // Nothing is compressed in the first format, so nothing is said of it.
  const uncompressed = version === 1 ? 0 : stats.uncompressedBytes;
  const part = (a: number, b: number): number => (b > 0 ? a / b : 0);
  return {
    total_size: bytes,
    total_uncompressed_size: uncompressed || undefined,
    compression_ratio: part(compressedFrom, compressedTo) || undefined,
    compression_progress: part(compressedFrom, uncompressed) * 100 || undefined,
    compression_space_saving:
      uncompressed > 0 ? (1 - bytes / uncompressed) * 100 || undefined : undefined,
    total_file_count: stats.files || undefined,
    total_blob_count: stats.blobs || undefined,
    snapshots_count: stats.snapshots,
  };
}

function print({ output }: Context, mode: CountMode, report: StatsMessage): void {
  const line = (name: string, value: string | number | undefined): void => {
    if (value !== undefined) output.data(`${`${name}:`.padStart(25)}  ${value}`);
  };
  const size = (bytes: number | undefined): string | undefined =>
    bytes === undefined ? undefined : formatBytes(bytes).padEnd(5);
  const rate = (value: number | undefined, unit: string): string | undefined =>
    value !== undefined && value > 0 ? fixed(value, 2) + unit : undefined;
  output.data(`Stats in ${mode} mode:`);
  line("Snapshots processed", report.snapshots_count);
  line("Total Blob Count", report.total_blob_count);
  line("Total File Count", report.total_file_count);
  line("Total Uncompressed Size", size(report.total_uncompressed_size));
  line("Total Size", size(report.total_size));
  line("Compression Progress", rate(report.compression_progress, "%"));
  line("Compression Ratio", rate(report.compression_ratio, "x"));
  line("Compression Space Saving", rate(report.compression_space_saving, "%"));
}
