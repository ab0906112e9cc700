// Plain data sets: so many files of so many bytes in 256 directories, without meaning. Sizes follow a law, then are
// scaled so that they add up to what was asked for.

import { contentMaker } from "./content.ts";
import type { SeededRandom } from "./random.ts";
import type { FileSink } from "./sink.ts";

export interface PlainOptions {
  readonly files: number;
  /** Bytes of all files together. */
  readonly bytes: number;
  /** "mixed": log-normal, a few files above 20 MB; "even": all within half of the mean. */
  readonly sizes: "mixed" | "even";
  /** Share of the files that do not compress. */
  readonly incompressible: number;
}

/** Share of the bytes in large files, and the range of their sizes, where sizes are mixed. */
const LARGE = { share: 0.1, from: 20e6, to: 40e6 } as const;

/** Writes a plain data set into `sink`. */
export function generatePlain(options: PlainOptions, random: SeededRandom, sink: FileSink): void {
  const content = contentMaker(random);
  const buffer = Buffer.alloc(LARGE.to + 1);
  const name = Buffer.alloc(20);
  for (const size of plainSizes(options, random)) {
    const body = size <= buffer.length ? buffer.subarray(0, size) : Buffer.alloc(size);
    if (random.unit() < options.incompressible) content.noise(body);
    else content.text(body);
    random.fill(name);
    const hex = name.toString("hex");
    sink.write(`${hex.slice(0, 2)}/${hex}`, body);
  }
}

/** The sizes of all files; they add up to `bytes`, give or take rounding. */
export function plainSizes(options: PlainOptions, random: SeededRandom): number[] {
  const { files, bytes } = options;
  if (options.sizes === "even") {
    const mean = bytes / files;
    return Array.from({ length: files }, () => Math.round(mean * (0.5 + random.unit())));
  }
  const largeCount = Math.min(
    Math.floor((bytes * LARGE.share) / ((LARGE.from + LARGE.to) / 2)),
    Math.floor(files / 100),
  );
  const large = Array.from({ length: largeCount }, () => random.between(LARGE.from, LARGE.to));
  const drawn = Array.from({ length: files - largeCount }, () => random.logNormal(1, 1.5));
  const rest = bytes - large.reduce((sum, size) => sum + size, 0);
  const scale = rest / drawn.reduce((sum, size) => sum + size, 0);
  const sizes = drawn.map((size) => Math.min(Math.round(size * scale), LARGE.to));
  // Spread, so that large files do not all come last.
  for (const size of large) sizes.splice(random.between(0, sizes.length + 1), 0, size);
  return sizes;
}
