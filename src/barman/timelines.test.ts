// History files one by one, and the tree that several draw together.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import type { HoldfastError } from "../base/errors.ts";
import { formatHistory, parseHistory, type Fork, type History } from "./history.ts";
import { drawTimelines, leadsTo, pathTo, timelineAt } from "./timelines.ts";

const parse = (timeline: number, text: string | Uint8Array): History =>
  parseHistory({
    timeline,
    content: typeof text === "string" ? Buffer.from(text) : text,
    source: `wals/${timeline}.history`,
  });

const historyOf = (timeline: number, ...forks: [timeline: number, at: bigint][]): History => ({
  timeline,
  forks: forks.map(([one, at]) => ({ timeline: one, at, reason: "no recovery target specified" })),
  source: `wals/${timeline}.history`,
});

suite("history files", () => {
  test("one that PostgreSQL wrote", () => {
    const text =
      "1\t0/3000110\tno recovery target specified\n\n2\t0/50000A0\tbefore 2026-11-01 10:00:00.123+00\n";
    const history = parse(3, text);
    assert.deepEqual(history.forks, [
      { timeline: 1, at: 0x3000110n, reason: "no recovery target specified" },
      { timeline: 2, at: 0x50000a0n, reason: "before 2026-11-01 10:00:00.123+00" },
    ]);
    assert.equal(formatHistory(history.forks).toString(), text);
  });

  test("comments, empty lines, blanks and other line ends are taken as PostgreSQL takes them", () => {
    const { forks } = parse(9, "# a comment\r\n\r\n  4\t1/0\t\r\n\n7 2/A\n");
    assert.deepEqual(forks, [
      { timeline: 4, at: 1n << 32n, reason: "" },
      { timeline: 7, at: (2n << 32n) | 10n, reason: "" },
    ]);
  });

  test("what is damaged is refused, with the line", () => {
    const cases: [text: string, message: RegExp][] = [
      ["", /names no ancestor/],
      ["# nothing\n", /names no ancestor/],
      ["one\t0/3\tx\n", /history:1: /],
      ["1\t0/1\tx\n2\n", /history:2: /],
      ["1\t3000000\tx\n", /history:1: /],
      ["0\t0/1\tx\n", /timeline 0 cannot stand/],
      ["5\t0/1\tx\n", /timeline 5 cannot stand between the beginning and 5/],
      ["6\t0/1\tx\n", /timeline 6/],
      ["2\t0/1\tx\n2\t0/2\tx\n", /history:2: timeline 2 cannot stand between 2 and 5/],
      ["3\t0/1\tx\n2\t0/2\tx\n", /history:2: /],
      ["99999999999\t0/1\tx\n", /history:1: /],
      ["\0".repeat(1000), /history:1: /],
    ];
    for (const [text, message] of cases)
      assert.throws(
        () => parse(5, text),
        (error: HoldfastError) =>
          error.code === "BARMAN_HISTORY_DAMAGED" && message.test(error.message),
        JSON.stringify(text.slice(0, 40)),
      );
    assert.throws(() => parse(5, new Uint8Array(2 << 20)), { code: "BARMAN_HISTORY_DAMAGED" });
  });

  test("whatever is written is read back, and whatever is damaged gives one clear error", () => {
    const anyForks = fc
      .uniqueArray(fc.integer({ min: 1, max: 500 }), { minLength: 1, maxLength: 8 })
      .chain((timelines) =>
        fc.tuple(
          ...timelines
            .toSorted((a, b) => a - b)
            .map((timeline) =>
              fc.record(
                {
                  timeline: fc.constant(timeline),
                  at: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
                  reason: fc
                    .string({ maxLength: 20 })
                    .map((text) => text.trim().replace(/\s+/g, " ")),
                },
                { noNullPrototype: true },
              ),
            ),
        ),
      );
    const change = fc.tuple(
      fc.nat(),
      fc.integer({ min: 0, max: 255 }),
      fc.constantFrom("set", "cut", "drop"),
    );
    fc.assert(
      fc.property(
        anyForks,
        fc.array(change, { minLength: 1, maxLength: 3 }),
        (forks: Fork[], changes) => {
          const content = formatHistory(forks);
          assert.deepEqual(parse(501, content).forks, forks);
          let mutated: Buffer = content;
          for (const [at, byte, how] of changes) {
            const place = at % Math.max(mutated.length, 1);
            if (how === "cut") mutated = mutated.subarray(0, place);
            else if (how === "drop")
              mutated = Buffer.concat([mutated.subarray(0, place), mutated.subarray(place + 1)]);
            else mutated = Buffer.from(mutated.map((old, index) => (index === place ? byte : old)));
          }
          try {
            parse(501, mutated);
          } catch (error) {
            assert.equal((error as HoldfastError).code, "BARMAN_HISTORY_DAMAGED");
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});

suite("the tree", () => {
  // 1 ──100──► 2 ──300──► 4
  //  └──200──► 3
  const tree = drawTimelines([
    historyOf(2, [1, 100n]),
    historyOf(3, [1, 200n]),
    historyOf(4, [1, 100n], [2, 300n]),
  ]);

  test("the way to each timeline", () => {
    const way = (timeline: number): unknown[] =>
      pathTo(tree, timeline).map(({ timeline: one, from, to }) => [one, from, to]);
    assert.deepEqual(way(1), [[1, 0n, undefined]]);
    assert.deepEqual(way(2), [
      [1, 0n, 100n],
      [2, 100n, undefined],
    ]);
    assert.deepEqual(way(3), [
      [1, 0n, 200n],
      [3, 200n, undefined],
    ]);
    assert.deepEqual(way(4), [
      [1, 0n, 100n],
      [2, 100n, 300n],
      [4, 300n, undefined],
    ]);
  });

  test("which timeline holds a position", () => {
    const cases: [timeline: number, lsn: bigint, holder: number][] = [
      [4, 0n, 1],
      [4, 99n, 1],
      [4, 100n, 2],
      [4, 299n, 2],
      [4, 300n, 4],
      [4, 10_000n, 4],
      [3, 199n, 1],
      [1, 10_000n, 1],
    ];
    for (const [timeline, lsn, holder] of cases)
      assert.equal(timelineAt(tree, timeline, lsn), holder);
  });

  test("from where a timeline can be reached", () => {
    assert.ok(leadsTo(tree, { timeline: 1, lsn: 100n }, 4));
    assert.ok(!leadsTo(tree, { timeline: 1, lsn: 101n }, 4));
    assert.ok(leadsTo(tree, { timeline: 1, lsn: 101n }, 3));
    assert.ok(leadsTo(tree, { timeline: 2, lsn: 300n }, 4));
    assert.ok(!leadsTo(tree, { timeline: 3, lsn: 250n }, 4));
    assert.ok(!leadsTo(tree, { timeline: 4, lsn: 400n }, 1));
    assert.ok(leadsTo(tree, { timeline: 4, lsn: 400n }, 4));
  });

  test("the file of a descendant speaks for an ancestor whose own is not there", () => {
    const alone = drawTimelines([historyOf(4, [1, 100n], [2, 300n])]);
    assert.deepEqual(pathTo(alone, 2), pathTo(tree, 2));
    assert.throws(
      () => pathTo(alone, 3),
      (error: HoldfastError) =>
        error.code === "BARMAN_TIMELINE_UNKNOWN" && error.message.includes("00000003.history"),
    );
    assert.deepEqual(pathTo(drawTimelines([]), 1), [{ timeline: 1, from: 0n, to: undefined }]);
  });

  test("histories that contradict each other are refused, and both are named", () => {
    const contradictions: History[][] = [
      [historyOf(2, [1, 100n]), historyOf(4, [1, 101n], [2, 300n])],
      [historyOf(2, [1, 100n]), { ...historyOf(2, [1, 200n]), source: "wals/2.history.gz" }],
      [historyOf(3, [1, 100n], [2, 150n]), historyOf(4, [1, 100n], [3, 300n])],
      [historyOf(3, [1, 100n]), historyOf(4, [1, 50n], [2, 100n], [3, 200n])],
      // The history of 2 was not there when 3 began.
      [historyOf(2, [1, 50n]), historyOf(3, [2, 100n])],
      [historyOf(3, [2, 100n]), historyOf(4, [1, 50n], [2, 60n], [3, 100n])],
    ];
    for (const histories of contradictions) {
      for (const order of [histories, histories.toReversed()])
        assert.throws(
          () => drawTimelines(order),
          (error: HoldfastError) =>
            error.code === "BARMAN_HISTORY_DAMAGED" &&
            histories.every(({ source }) => error.message.includes(source)),
        );
    }
    drawTimelines([
      historyOf(2, [1, 100n]),
      { ...historyOf(2, [1, 100n]), source: "wals/2.history.gz" },
    ]);
  });

  test("long lines of timelines are drawn in no time", () => {
    const forks = Array.from({ length: 50_000 }, (_, i): [number, bigint] => [i + 1, BigInt(i)]);
    const long = drawTimelines([historyOf(50_001, ...forks)]);
    assert.equal(pathTo(long, 50_001).length, 50_000);
    assert.equal(timelineAt(long, 50_001, 40_000n), 40_002);
  });

  test("a timeline that was left before it began is not on the way", () => {
    // A recovery along timeline 2 that ended at 50, while that begins at 100.
    const early = drawTimelines([historyOf(2, [1, 100n]), historyOf(3, [1, 100n], [2, 50n])]);
    assert.deepEqual(
      pathTo(early, 3).map(({ timeline, from, to }) => [timeline, from, to]),
      [
        [1, 0n, 50n],
        [3, 50n, undefined],
      ],
    );
    assert.equal(timelineAt(early, 3, 70n), 3);
  });

  test("any tree: ways begin at the root, hang together, and hold each position once", () => {
    const anyTree = fc.array(
      fc.record({ parent: fc.nat(), at: fc.bigInt({ min: 1n, max: 1000n }) }),
      { maxLength: 10 },
    );
    fc.assert(
      fc.property(anyTree, fc.bigInt({ min: 0n, max: 1100n }), (children, lsn) => {
        const forksOf: [number, bigint][][] = [[]];
        for (const { parent, at } of children) {
          const from = parent % forksOf.length;
          forksOf.push([...forksOf[from]!, [from + 1, at]]);
        }
        const histories = forksOf.flatMap((forks, i) =>
          i === 0 ? [] : [historyOf(i + 1, ...forks)],
        );
        const drawn = drawTimelines(histories);
        for (let timeline = 1; timeline <= forksOf.length; timeline++) {
          const path = pathTo(drawn, timeline);
          assert.equal(path[0]!.from, 0n);
          assert.equal(path.at(-1)!.timeline, timeline);
          for (const [i, { to }] of path.entries()) assert.equal(to, path[i + 1]?.from);
          const holders = path.filter(
            ({ from, to }) => from <= lsn && (to === undefined || lsn < to),
          );
          assert.deepEqual(
            holders.map((one) => one.timeline),
            [timelineAt(drawn, timeline, lsn)],
          );
        }
      }),
      { numRuns: 2000 },
    );
  });
});
