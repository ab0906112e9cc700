// What the keep rules keep, compared with real restic on random histories: one host each, many of them in one repository,
// and one random policy for all of them. Both programs answer `forget --dry-run --json`, and must agree on every snapshot,
// every reason and every byte of it. A few hundred histories every time; HOLDFAST_HISTORIES asks for another number, and
// HOLDFAST_SEED for other ones.

import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { sha256Hex } from "../../src/base/bytes.ts";
import { openRepository } from "../../src/repository/open.ts";
import { seal } from "../../src/restic/crypto.ts";
import { formatTime } from "../../src/restic/go-time.ts";
import { encodeSnapshot } from "../../src/restic/snapshot.ts";
import { openLocalStorage } from "../../src/storage/local.ts";
import { testMachine } from "../memory-repository.ts";
import { peer } from "../peers.ts";
import { createQuickRepository } from "./quick-repository.ts";

const newest = peer("restic-newest");
const oldest = peer("restic-oldest");
const PROGRAM = join(import.meta.dirname, "..", "..", "bin", "holdfast");
const HISTORIES = Number(process.env["HOLDFAST_HISTORIES"] ?? 300);
const SEED = Number(process.env["HOLDFAST_SEED"] ?? 20_261);
const PER_RUN = 25;
const ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"];

interface Made {
  nanoseconds: bigint;
  /** Minutes east of UTC; undefined for a "Z". */
  offset: number | undefined;
  tags: string[];
  path: string;
}

const MINUTE = 60_000_000_000n;
const SPANS = [1n, 7n, 60n, 61n, 719n, 1440n, 1441n, 10_080n, 43_800n, 525_600n].map(
  (m) => m * MINUTE,
);

/** Moments around which calendars and clocks do something. */
const TURNS = [
  "2020-12-31T23:59:59Z",
  "2024-02-29T00:30:00Z",
  "2025-03-30T00:59:00Z",
  "2025-10-26T00:30:00Z",
  "2026-01-04T23:30:00Z",
  "2026-03-29T01:00:01Z",
  "2031-01-01T00:00:00Z",
].map((time) => BigInt(Date.parse(time)) * 1_000_000n);

const offset = fc.constantFrom(undefined, 0, 60, 120, -300, -240, 330, 630, 660, -720, 840);

/** A history: snapshots one after the other, in steps of a few kinds, by a host whose zone may change. */
const history: fc.Arbitrary<Made[]> = fc
  .record({
    start: fc.oneof(
      fc.constantFrom(...TURNS),
      fc
        .date({ min: new Date("1999-01-01"), max: new Date("2027-06-01"), noInvalidDate: true })
        .map((date) => BigInt(date.getTime()) * 1_000_000n),
    ),
    spans: fc.subarray(SPANS, { minLength: 1, maxLength: 4 }),
    offsets: fc.array(offset, { minLength: 1, maxLength: 3 }),
    steps: fc.array(
      fc.record({
        pick: fc.nat(),
        times: fc.integer({ min: 1, max: 4 }),
        jitter: fc.bigInt({ min: 1n, max: 999_999_999n }),
        zone: fc.nat(),
        tags: fc.subarray(["a", "b", "c d"]),
        path: fc.constantFrom("/data", "/data", "/srv"),
      }),
      { minLength: 1, maxLength: 24 },
    ),
  })
  .map(({ start, spans, offsets, steps }) => {
    let at = start;
    return steps.map(({ pick, times, jitter, zone, tags, path }) => {
      at += spans[pick % spans.length]! * BigInt(times) + jitter;
      return { nanoseconds: at, offset: offsets[zone % offsets.length], tags, path };
    });
  });

const count = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 9 }));
const counts = fc.tuple(
  ...["last", "hourly", "daily", "weekly", "monthly", "yearly"].map((unit) =>
    fc.oneof(
      { weight: 9, arbitrary: count.map((n) => (n === 0 ? [] : [`--keep-${unit}`, String(n)])) },
      { weight: 1, arbitrary: fc.constant([`--keep-${unit}`, "unlimited"]) },
    ),
  ),
);
const length = fc
  .tuple(
    ...["y", "m", "d", "h"].map((unit) =>
      fc.oneof(
        fc.constant(""),
        fc.nat({ max: 40 }).map((n) => `${n}${unit}`),
      ),
    ),
  )
  .map((parts) => parts.join(""));
const withins = fc.tuple(
  ...["", "-hourly", "-daily", "-weekly", "-monthly", "-yearly"].map((unit) =>
    fc.oneof(
      { weight: 4, arbitrary: fc.constant([]) },
      {
        weight: 1,
        arbitrary: length.map((text) => (text === "" ? [] : [`--keep-within${unit}`, text])),
      },
    ),
  ),
);
const tags = fc.oneof(
  { weight: 3, arbitrary: fc.constant([]) },
  fc.constantFrom(
    ["--keep-tag", "a,b"],
    ["--keep-tag", "c d", "--keep-tag", "b"],
    ["--keep-tag", ""],
  ),
);
const groupBy = fc.constantFrom("host,paths", "host", "host,tags", "paths,host,tags", "");

/** The words of a policy. Without a rule that counts, a group could be left empty, which both refuse. */
const policy = fc.tuple(counts, withins, tags, groupBy).map(([count, within, tag, by]) => {
  const rules = [...count.flat(), ...within.flat()];
  return [...(rules.length === 0 ? ["--keep-last", "2"] : rules), ...tag, "--group-by", by];
});

/** Makes a repository of these histories, one host each. */
async function createRepository(path: string, histories: readonly Made[][]): Promise<void> {
  await createQuickRepository(path, "right");
  const storage = await openLocalStorage({ root: path });
  const { key } = await openRepository({ storage, password: "right", machine: testMachine() });
  for (const [host, made] of histories.entries()) {
    for (const { nanoseconds, offset: minutes, tags: labels, path: source } of made) {
      const time = formatTime(nanoseconds, minutes);
      const snapshot = encodeSnapshot({
        // A zone of no offset that is not called UTC.
        time: minutes === 0 ? time.replace("Z", "+00:00") : time,
        parent: null,
        tree: "ac08ce34ba4f8123618661bef2425f7028ffb9ac740578a3ee88684d2523fee8",
        paths: [source],
        hostname: `host${host}`,
        username: "tester",
        uid: 0,
        gid: 0,
        excludes: [],
        tags: labels,
        original: null,
        programVersion: "test",
        summary: null,
        extra: {},
      });
      const sealed = seal(key, snapshot, randomBytes(16));
      writeFileSync(join(path, "snapshots", sha256Hex(sealed)), sealed);
    }
  }
}

interface Group {
  keep: { id: string }[] | null;
  /** In the order of what is kept. */
  reasons: { matches: string[] }[] | null;
}

function ask(program: string, folder: string, zone: string, words: readonly string[]) {
  const env = {
    PATH: process.env["PATH"],
    HOLDFAST_NODE: process.execPath,
    HOME: folder,
    TZ: zone,
    RESTIC_REPOSITORY: join(folder, "repository"),
    RESTIC_PASSWORD: "right",
  };
  const args = ["forget", "--dry-run", "--json", "--no-cache", ...words];
  return new Promise<Group[]>((resolve, reject) => {
    execFile(program, args, { env, maxBuffer: 2 ** 28 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${program} ${args.join(" ")}: ${stderr}`, { cause: error }));
      else resolve(JSON.parse(stdout) as Group[]);
    });
  });
}

const texts = (groups: readonly unknown[]): string[] =>
  groups.map((group) => JSON.stringify(group)).toSorted();

/** What is kept, and why, without the rule that restic 0.14 does not have: the oldest fills what is left of a count. */
function withoutOldest({ keep, reasons }: Group): unknown {
  return (reasons ?? [])
    .map(({ matches }) => matches.filter((match) => !match.startsWith("oldest ")))
    .map((matches, i) => ({ id: keep?.[i]?.id, matches }))
    .filter(({ matches }) => matches.length > 0);
}

suite("keep rules on random histories", { skip: newest.skip }, () => {
  const runs = Math.ceil(HISTORIES / PER_RUN);
  const batches = fc.sample(
    fc.tuple(fc.array(history, { minLength: PER_RUN, maxLength: PER_RUN }), policy),
    { numRuns: runs, seed: SEED },
  );
  for (const [run, [histories, words]] of batches.entries()) {
    const zone = ZONES[run % ZONES.length]!;
    test(`${words.join(" ")} in ${zone}`, async () => {
      const folder = await mkdtemp(join(tmpdir(), "holdfast-forget-"));
      try {
        await createRepository(join(folder, "repository"), histories);
        const theirs = await ask(newest.path, folder, zone, words);
        const ours = await ask(PROGRAM, folder, zone, words);
        assert.deepEqual(texts(ours), texts(theirs));
        // Keeping all of a kind is what restic 0.14 takes for keeping none.
        if (oldest.skip !== false || run % 2 !== 0 || words.includes("unlimited")) return;
        const before = await ask(oldest.path, folder, zone, words);
        assert.deepEqual(texts(ours.map(withoutOldest)), texts(before.map(withoutOldest)));
      } finally {
        await rm(folder, { recursive: true });
      }
    });
  }
});
