// What the files of a data set contain. Kinds that real programs compress themselves (pictures, archives) are key
// stream after the right first bytes; text is words, and shrinks to about a quarter.

import type { SeededRandom } from "./random.ts";

/** Bytes of prepared text that files take their passages from. */
const POOL_BYTES = 1 << 20;

const SYLLABLES =
  "an ar be co de di en er fo ga hi in ka la li ma me ne no on or pa pe ra re ri sa se ta te ti to un ve".split(
    " ",
  );

/** First bytes by which programs know a kind. */
export const MAGIC: Readonly<Record<"jpeg" | "png" | "zip" | "pdf", Uint8Array>> = {
  jpeg: Buffer.from("ffd8ffe000104a46494600010100000100010000", "hex"),
  png: Buffer.from("89504e470d0a1a0a0000000d49484452", "hex"),
  zip: Buffer.from("504b0304140008080800", "hex"),
  pdf: Buffer.from("%PDF-1.4\n%\u00e2\u00e3\u00cf\u00d3\n1 0 obj\n", "latin1"),
};

export interface ContentMaker {
  /** Fills `target` with bytes that do not compress, after the first bytes of a kind if given. */
  noise(target: Uint8Array, magic?: Uint8Array): void;
  /** Fills `target` with text. */
  text(target: Uint8Array): void;
  /** Changes about `share` of `target` in place, a few hundred bytes at a time. */
  edit(target: Uint8Array, share: number): void;
}

/** A maker of content that draws on `random`. */
export function contentMaker(random: SeededRandom): ContentMaker {
  const pool = textPool(random);

  const text = (target: Uint8Array): void => {
    for (let at = 0; at < target.length;) {
      const length = Math.min(random.between(40, 400), target.length - at);
      const from = random.between(0, POOL_BYTES - length);
      target.set(pool.subarray(from, from + length), at);
      at += length;
    }
  };

  return {
    noise: (target, magic) => {
      random.fill(target);
      if (magic) target.set(magic.subarray(0, target.length));
    },
    text,
    edit: (target, share) => {
      const passage = 400;
      const edits = Math.max(1, Math.floor((target.length * share) / passage));
      for (let i = 0; i < edits; i++) {
        const at = random.between(0, target.length);
        text(target.subarray(at, Math.min(at + passage, target.length)));
      }
    },
  };
}

/** Words of a made-up language, frequent ones much more often than rare ones. */
function textPool(random: SeededRandom): Uint8Array {
  const words = Array.from({ length: 4096 }, () =>
    Array.from(
      { length: random.between(1, 5) },
      () => SYLLABLES[random.between(0, SYLLABLES.length)],
    ).join(""),
  );
  const pool = Buffer.alloc(POOL_BYTES);
  for (let at = 0; at < POOL_BYTES;) {
    const word = words[Math.floor(words.length * random.unit() ** 3)]!;
    at += pool.write(`${word}${random.unit() < 0.1 ? ".\n" : " "}`, at, "latin1") || 1;
  }
  return pool;
}
