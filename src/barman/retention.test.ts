import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  formatRetentionPolicy,
  judgeBackups,
  parseRetentionPolicy,
  readKeep,
  windowStart,
} from "./retention.ts";
import type { Keep, RetainedBackup, RetentionPolicy } from "./retention.ts";

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 10, 23);

/** Backups by their age in days when they ended; `f`ull, `s`tandalone, `x` not done, `!` of no use. */
function judge(policy: string, ages: readonly string[], minimum = 0): string[] {
  const backups = ages.map((text): RetainedBackup => {
    const age = Number.parseFloat(text);
    const keep: Keep | undefined = text.endsWith("f")
      ? "full"
      : text.endsWith("s")
        ? "standalone"
        : undefined;
    return {
      id: String(100_000 - age * 10).padStart(8, "0"),
      isDone: !text.endsWith("x"),
      endTime: text.endsWith("x") ? undefined : NOW - age * DAY,
      keep,
      isSound: !text.endsWith("!"),
    };
  });
  const judged = judgeBackups({
    backups,
    policy: parseRetentionPolicy(policy, "policy"),
    now: NOW,
    minimum,
  });
  return backups.map(({ id }) => {
    const { verdict, wal } = judged.get(id)!;
    return `${verdict} ${wal}`;
  });
}

const VALID = "valid all";
const OBSOLETE = "obsolete none";

suite("policies", () => {
  test("are read in Barman's words and in CloudNativePG's", () => {
    const cases: [text: string, policy: RetentionPolicy, words: string][] = [
      ["REDUNDANCY 3", { kind: "redundancy", count: 3 }, "REDUNDANCY 3"],
      ["  redundancy\t12 ", { kind: "redundancy", count: 12 }, "REDUNDANCY 12"],
      [
        "RECOVERY WINDOW OF 30 DAYS",
        { kind: "window", count: 30, unit: "DAYS" },
        "RECOVERY WINDOW OF 30 DAYS",
      ],
      [
        "recovery window of 1 week",
        { kind: "window", count: 1, unit: "WEEKS" },
        "RECOVERY WINDOW OF 1 WEEKS",
      ],
      [
        "Recovery  Window  Of 2 Months",
        { kind: "window", count: 2, unit: "MONTHS" },
        "RECOVERY WINDOW OF 2 MONTHS",
      ],
      ["30d", { kind: "window", count: 30, unit: "DAYS" }, "RECOVERY WINDOW OF 30 DAYS"],
      ["4w", { kind: "window", count: 4, unit: "WEEKS" }, "RECOVERY WINDOW OF 4 WEEKS"],
      ["2m", { kind: "window", count: 2, unit: "MONTHS" }, "RECOVERY WINDOW OF 2 MONTHS"],
    ];
    for (const [text, policy, words] of cases) {
      assert.deepEqual(parseRetentionPolicy(text, "policy"), policy);
      assert.equal(formatRetentionPolicy(policy), words);
    }
  });

  test("are refused when they say nothing, or would keep nothing", () => {
    for (const text of [
      "",
      "REDUNDANCY",
      "REDUNDANCY 0",
      "REDUNDANCY -1",
      "REDUNDANCY 1.5",
      "RECOVERY WINDOW OF 0 DAYS",
      "RECOVERY WINDOW OF DAYS",
      "RECOVERY WINDOW OF 3 YEARS",
      "WINDOW OF 3 DAYS",
      "0d",
      "3 d",
      "3y",
      "3d 3d",
      "REDUNDANCY 9999999999",
      "REDUNDANCY 1; drop",
    ])
      assert.throws(
        () => parseRetentionPolicy(text, "--retention"),
        { code: "USAGE", message: /^--retention: / },
        text,
      );
  });

  test("a window begins so many days ago; a month has 31", () => {
    assert.equal(windowStart({ kind: "window", count: 2, unit: "DAYS" }, NOW), NOW - 2 * DAY);
    assert.equal(windowStart({ kind: "window", count: 2, unit: "WEEKS" }, NOW), NOW - 14 * DAY);
    assert.equal(windowStart({ kind: "window", count: 2, unit: "MONTHS" }, NOW), NOW - 62 * DAY);
    assert.equal(windowStart({ kind: "redundancy", count: 2 }, NOW), undefined);
  });

  test("an annotation that says anything but standalone keeps all", () => {
    assert.equal(readKeep("standalone"), "standalone");
    assert.equal(readKeep("standalone\n"), "standalone");
    for (const content of ["full", "full\n", "", "Standalone", "\nstandalone", "forever"])
      assert.equal(readKeep(content), "full");
  });
});

suite("verdicts", () => {
  const cases: [
    title: string,
    policy: string,
    ages: string[],
    verdicts: string[],
    minimum?: number,
  ][] = [
    [
      "a window keeps the one before it",
      "7d",
      ["1", "5", "9", "12"],
      [VALID, VALID, VALID, OBSOLETE],
    ],
    ["a window that nothing precedes keeps all", "7d", ["1", "5"], [VALID, VALID]],
    [
      "exactly at the beginning is not before it",
      "7d",
      ["6", "7", "8", "9"],
      [VALID, VALID, VALID, OBSOLETE],
    ],
    ["the last backup stays however old it is", "7d", ["90", "100"], [VALID, OBSOLETE]],
    [
      "order of the input does not matter",
      "7d",
      ["12", "1", "9", "5"],
      [OBSOLETE, VALID, VALID, VALID],
    ],
    [
      "a failed one covers nothing",
      "7d",
      ["1", "9x", "10", "11"],
      [VALID, "none none", VALID, OBSOLETE],
    ],
    [
      "one of no use covers nothing",
      "7d",
      ["1", "9!", "10", "11!", "12"],
      [VALID, VALID, VALID, OBSOLETE, OBSOLETE],
    ],
    [
      "kept ones stay",
      "7d",
      ["1", "9", "20f", "30s", "40"],
      [VALID, VALID, "keep-full all", "keep-standalone own", OBSOLETE],
    ],
    [
      "a standalone one with which the window begins",
      "7d",
      ["1", "9s", "20"],
      [VALID, "keep-standalone all", OBSOLETE],
    ],
    [
      "a minimum",
      "7d",
      ["9", "10", "11s", "12"],
      [VALID, "extra all", "keep-standalone all", OBSOLETE],
      3,
    ],
    ["redundancy", "REDUNDANCY 2", ["1", "2", "3"], [VALID, VALID, OBSOLETE]],
    [
      "redundancy counts the kept",
      "REDUNDANCY 2",
      ["1", "2f", "3", "4s"],
      [VALID, "keep-full all", OBSOLETE, "keep-standalone own"],
    ],
    [
      "redundancy does not count what is of no use",
      "REDUNDANCY 2",
      ["1", "2x", "3!", "4", "5"],
      [VALID, "none none", VALID, VALID, OBSOLETE],
    ],
    ["redundancy below the minimum", "REDUNDANCY 1", ["1", "2", "3"], [VALID, VALID, OBSOLETE], 2],
    ["nothing at all", "7d", [], []],
  ];
  for (const [title, policy, ages, verdicts, minimum] of cases)
    test(title, () => assert.deepEqual(judge(policy, ages, minimum), verdicts));

  test("increments share the lot of their full backup, and hold it", () => {
    const backup = (id: string, age: number, parent?: string, keep?: Keep): RetainedBackup => ({
      id,
      isDone: true,
      endTime: NOW - age * DAY,
      keep,
      parent,
    });
    const verdicts = (...backups: RetainedBackup[]): Record<string, string> => {
      const judged = judgeBackups({
        backups,
        policy: { kind: "window", count: 7, unit: "DAYS" },
        now: NOW,
      });
      return Object.fromEntries([...judged].map(([id, { verdict }]) => [id, verdict]));
    };
    assert.deepEqual(
      verdicts(backup("1", 20), backup("2", 19, "1"), backup("3", 9), backup("4", 1, "3")),
      {
        1: "obsolete",
        2: "obsolete",
        3: "valid",
        4: "valid",
      },
    );
    assert.deepEqual(
      verdicts(
        backup("1", 20),
        backup("2", 19, "1"),
        backup("3", 18, "2", "full"),
        backup("4", 17, "3"),
        backup("5", 9),
      ),
      { 1: "extra", 2: "extra", 3: "keep-full", 4: "obsolete", 5: "valid" },
    );
    assert.deepEqual(
      verdicts(backup("1", 20, undefined, "standalone"), backup("2", 19, "1"), backup("3", 9)),
      {
        1: "keep-standalone",
        2: "obsolete",
        3: "valid",
      },
    );
    // Broken chains and rings.
    assert.deepEqual(
      verdicts(backup("2", 19, "1"), backup("3", 9), backup("4", 20, "5"), backup("5", 20, "4")),
      {
        2: "valid",
        3: "valid",
        4: "valid",
        5: "valid",
      },
    );
  });
});
