// Chance for pauses: what many do after the same failure must not happen at the same moment.

import type { Random } from "../../base/clock.ts";

/** A number in [0, 1). */
export function fraction(random: Random): number {
  const bytes = random(4);
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) / 2 ** 32;
}

/** `milliseconds`, up to half less or half more. */
export function jittered(milliseconds: number, random: Random): number {
  return Math.round(milliseconds * (0.5 + fraction(random)));
}

/** The pause after `failures` failures in a row (1 and more): doubled from `first` up to `max`, then jittered. */
export function backoff(
  failures: number,
  { first, max, random }: { first: number; max: number; random: Random },
): number {
  return jittered(Math.min(max, first * 2 ** (failures - 1)), random);
}
