// Sizes that people type: whole numbers, with one of restic's suffixes b k m g t (powers of 1024, either case).

import { HoldfastError } from "./errors.ts";

const UNITS: Readonly<Record<string, number>> = {
  b: 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
};

const LARGEST = 2 ** 63;

/** Bytes of a size such as "10M". Throws USAGE naming `source` ("--exclude-larger-than") otherwise. */
export function parseByteSize(text: string, source: string): number {
  const match = /^(\d+)([bkmgt]?)$/i.exec(text);
  const bytes = Number(match?.[1]) * (UNITS[match?.[2]?.toLowerCase() || "b"] ?? NaN);
  if (bytes < LARGEST) return bytes;
  throw new HoldfastError("USAGE", `${source}: "${text}" is not a size`, {
    hint: "Give a whole number of bytes, or one with the suffix K, M, G or T: 10M.",
  });
}
