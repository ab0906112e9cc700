// What `barman-cloud-backup-delete` takes from an archive, against what our plan lets go of. Where no backup is kept by
// hand and nothing is in doubt, the two are the same.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { planExpiry } from "../../src/barman/expiry.ts";
import { parseRetentionPolicy } from "../../src/barman/retention.ts";
import { peer } from "../peers.ts";
import { Archive, DAY, doneInfo, idAt, read, START, walPath } from "./archives.ts";
import { ask, sample } from "./oracle.ts";

const LAST = 40;
const NOW = START + (LAST + 1) * DAY;
const dayOf = (segment: number): number => START + segment * DAY;

const anyScene = (isPlain: boolean) =>
  fc.record({
    backups: fc.uniqueArray(
      fc.record({
        first: fc.integer({ min: 2, max: LAST }),
        keep: isPlain
          ? fc.constant(undefined)
          : fc.constantFrom(undefined, undefined, "full", "standalone"),
      }),
      { minLength: 1, maxLength: 8, selector: ({ first }) => first },
    ),
    /** After this segment a standby takes over. */
    fork: isPlain
      ? fc.constant(undefined)
      : fc.option(fc.integer({ min: 2, max: LAST }), { nil: undefined }),
    policy: fc.constantFrom(
      "REDUNDANCY 1",
      "REDUNDANCY 3",
      "RECOVERY WINDOW OF 5 DAYS",
      "RECOVERY WINDOW OF 2 WEEKS",
    ),
  });

test("what Barman deletes, and what we would", { skip: peer("barman-oldest").skip }, () => {
  const scenes = [true, false].flatMap((isPlain) => sample(anyScene(isPlain), 500));
  const archives = scenes.map(({ backups, fork = LAST + 1 }) => {
    const archive = new Archive().wal({ first: 0, last: Math.min(fork, LAST), time: dayOf });
    if (fork < LAST) {
      archive.history(2, dayOf(fork), [1, BigInt(fork + 1) << 24n]);
      archive.wal({ timeline: 2, first: fork + 1, last: LAST, time: dayOf });
    }
    for (const { first, keep } of backups) {
      const timeline = first > fork ? 2 : 1;
      archive.put(walPath(timeline, first, ".00000028.backup"), dayOf(first), 300);
      archive.backup(
        doneInfo({ timeline, first, time: dayOf(first) }),
        keep === undefined ? {} : { keep },
      );
    }
    return archive;
  });
  const answers = ask<string[]>(
    "barman-oldest",
    archives.map(({ objects, contents }, i) => ({
      ask: "expiry",
      now: NOW,
      policy: scenes[i]!.policy,
      names: objects.map(({ path }) => `server/${path}`),
      contents: Object.fromEntries(
        [...contents].map(([path, bytes]) => [`server/${path}`, Buffer.from(bytes).toString()]),
      ),
    })),
  );
  let [same, taken] = [0, 0];
  for (const [i, deleted] of answers.entries()) {
    const { backups, policy, fork } = scenes[i]!;
    const options = { policy: parseRetentionPolicy(policy, "policy"), now: NOW };
    const { judged, releasable } = planExpiry({ catalogue: read(archives[i]!, NOW), ...options });
    const obsolete = [...judged]
      .filter(([, { verdict }]) => verdict === "obsolete")
      .map(([id]) => id);
    const theirBackups = deleted.filter((path) => path.endsWith("/backup.info"));
    assert.deepEqual(
      obsolete.map((id) => `base/${id}/backup.info`),
      theirBackups,
    );
    const theirs = deleted.filter((path) => path.startsWith("wals/"));
    const ours = releasable.map(({ path }) => path).toSorted((a, b) => (a < b ? -1 : 1));
    taken += theirs.length;
    // Barman lets go of WAL only together with a backup, and leaves that of an earlier timeline alone while that has backups.
    const isPlain = backups.every(({ keep }) => keep === undefined) && fork === undefined;
    if (isPlain && obsolete.length > 0) {
      same++;
      assert.deepEqual(ours, theirs);
    }
    // In no case does it find needed what it deletes.
    const kept = backups.filter(({ first }) => !obsolete.includes(idAt(dayOf(first))));
    for (const { first } of kept) {
      const path = walPath(first > (fork ?? LAST + 1) ? 2 : 1, first, ".gz");
      assert.ok(!ours.includes(path) && !theirs.includes(path), path);
    }
  }
  assert.ok(same > 100 && taken > 1000, `${same} archives the same, ${taken} objects deleted`);
});
