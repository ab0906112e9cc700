// Seeded randomness for data sets: the same seed gives the same numbers and bytes on every machine. Numbers come from
// the sfc32 generator, bulk bytes from an AES-CTR key stream, which is faster than any generator in JavaScript.
// Never for anything secret.

import { createCipheriv, createHash } from "node:crypto";

export interface SeededRandom {
  /** A number from 0 up to, not including, 1. */
  unit(): number;
  /** A whole number from `from` up to, not including, `to`. */
  between(from: number, to: number): number;
  /** A number whose logarithm is normal: half of them are below `median`. */
  logNormal(median: number, sigma: number): number;
  /** Fills `target` with bytes that do not compress. */
  fill(target: Uint8Array): void;
}

const ZEROS = new Uint8Array(1 << 20);

/** Everything random about one data set, from its seed. */
export function seededRandom(seed: string): SeededRandom {
  const digest = createHash("sha256").update(`holdfast data set ${seed}`).digest();
  let [a, b, c, counter] = [0, 4, 8, 12].map((at) => digest.readUInt32LE(at)) as [
    number,
    number,
    number,
    number,
  ];
  const stream = createCipheriv("aes-256-ctr", digest, Buffer.alloc(16));

  const next32 = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return sum >>> 0;
  };
  const unit = (): number => next32() / 2 ** 32;

  return {
    unit,
    between: (from, to) => from + Math.floor(unit() * (to - from)),
    logNormal: (median, sigma) => {
      const radius = Math.sqrt(-2 * Math.log(1 - unit()));
      return median * Math.exp(sigma * radius * Math.cos(2 * Math.PI * unit()));
    },
    fill: (target) => {
      for (let at = 0; at < target.length; at += ZEROS.length) {
        const length = Math.min(ZEROS.length, target.length - at);
        target.set(stream.update(ZEROS.subarray(0, length)), at);
      }
    },
  };
}
