// Which packs `check` chooses to read; that what is chosen is read whole is shown by src/repository/check.test.ts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { choosePacks } from "./check-data.ts";
import type { ReadablePack } from "./check-data.ts";

const LARGE = 16 << 20;
const SMALL = 1000;
const PACKS: readonly ReadablePack[] = Array.from({ length: 20 }, (_, number) => ({
  number,
  size: number < 10 ? LARGE : SMALL,
}));

/** Which packs a size chooses, one set for each of 300 draws. */
function draws(bytes: number): ReadablePack[][] {
  return Array.from({ length: 300 }, (_, seed) =>
    choosePacks(
      PACKS,
      { mode: "subset", bytes },
      {
        firstByte: () => 0,
        random: (length) => seededBytes(`draw ${seed}`, length),
        verifiedAt: () => undefined,
      },
    ),
  );
}

test("a size draws every pack sooner or later, also those that are larger than it", () => {
  for (const bytes of [SMALL, LARGE - 1, 3 * LARGE]) {
    const drawn = new Set(draws(bytes).flatMap((packs) => packs.map(({ number }) => number)));
    assert.equal(drawn.size, PACKS.length, `${bytes} bytes`);
  }
});

test("a size is kept to, but for a single pack that is larger", () => {
  for (const bytes of [SMALL, LARGE - 1, 3 * LARGE]) {
    for (const packs of draws(bytes)) {
      const sum = packs.reduce((all, { size }) => all + size, 0);
      assert.ok(sum <= bytes || packs.length === 1, `${sum} of ${bytes} bytes`);
    }
  }
  assert.equal(draws(11 * LARGE)[0]?.length, PACKS.length);
});
