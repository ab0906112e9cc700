import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { choosePacks } from "./check-data.ts";
import { VerifiedPacks } from "./verified-packs.ts";

const id = (n: number): string => n.toString(16).padStart(64, "0");

function inFolder(work: (path: string) => Promise<void>): () => Promise<void> {
  return async () => {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-verified-"));
    try {
      await work(join(folder, "below", "record"));
    } finally {
      rmSync(folder, { recursive: true });
    }
  };
}

test(
  "remembers from run to run, in whole seconds",
  inFolder(async (path) => {
    const first = await VerifiedPacks.load(path);
    assert.equal(first.at(id(1)), undefined);
    first.prove(id(1), 1_700_000_000_999);
    first.prove(id(2), 1_700_000_001_000);
    first.prove(id(3), 1_700_000_002_000);
    first.doubt(id(2));
    assert.equal(await first.save(), true);
    const second = await VerifiedPacks.load(path);
    assert.deepEqual(
      [1, 2, 3].map((n) => second.at(id(n))),
      [1_700_000_000_000, undefined, 1_700_000_002_000],
    );
    second.keepOnly(new Set([id(3)]));
    await second.save();
    assert.equal((await VerifiedPacks.load(path)).at(id(1)), undefined);
  }),
);

test(
  "a damaged record is none, and a place that cannot be written to fails nothing",
  inFolder(async (path) => {
    const packs = await VerifiedPacks.load(path);
    packs.prove(id(1), 1e12);
    await packs.save();
    const size = readFileSync(path).length;
    truncateSync(path, size - 1);
    assert.equal((await VerifiedPacks.load(path)).at(id(1)), undefined);
    writeFileSync(path, "something else");
    assert.equal((await VerifiedPacks.load(path)).at(id(1)), undefined);
    const nowhere = new VerifiedPacks(join(path, "inside-a-file"));
    nowhere.prove(id(1), 1e12);
    assert.equal(await nowhere.save(), false);
  }),
);

test("whatever the budget and the sizes, what was read longest ago comes first, and every pack has its turn", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 3000 }), (bytes, budget) => {
      const packs = bytes.map((size, number) => ({ number, size }));
      const times = new Map<number, number>();
      const reads = bytes.map(() => 0);
      for (let now = 1; Math.min(...reads) < 2; now++) {
        const chosen = choosePacks(
          packs,
          { mode: "budget", bytes: budget },
          {
            firstByte: () => 0,
            random: (length) => Buffer.alloc(length, now * 37),
            verifiedAt: (pack) => times.get(pack),
          },
        );
        const sum = chosen.reduce((total, { size }) => total + size, 0);
        assert.ok(chosen.length === 1 || (chosen.length > 1 && sum <= budget));
        const isChosen = new Set(chosen.map(({ number }) => number));
        const age = ({ number }: { number: number }): number => times.get(number) ?? 0;
        const left = packs.filter(({ number }) => !isChosen.has(number));
        assert.ok(Math.max(...chosen.map(age)) <= Math.min(...left.map(age)));
        for (const { number } of chosen) {
          times.set(number, now);
          reads[number]!++;
        }
      }
    }),
    { numRuns: 50 },
  );
});
