// What is left when a deletion ends at any object: the catalogue of it, before and after.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Archive, DAY, doneInfo, idAt, read, START, walPath } from "../../test/barman/archives.ts";
import type { Catalogue } from "./catalogue.ts";
import { expirySteps } from "./expiry-steps.ts";
import { planExpiry } from "./expiry.ts";
import { findLeftovers, type Leftover } from "./leftovers.ts";
import { parseRetentionPolicy } from "./retention.ts";

const LAST = 30;
const NOW = START + (LAST + 1) * DAY;
const dayOf = (segment: number): number => START + segment * DAY;

const anyScene = fc.record({
  backups: fc.uniqueArray(
    fc.record({
      first: fc.integer({ min: 2, max: LAST }),
      kind: fc.constantFrom("full", "full", "full", "increment", "failed", "begun", "cut off"),
      keep: fc.constantFrom(undefined, undefined, undefined, "full", "standalone"),
      lacks: fc.constantFrom("", "", "", "", "", "data.tar"),
    }),
    { minLength: 1, maxLength: 9, selector: ({ first }) => first },
  ),
  fork: fc.option(fc.integer({ min: 2, max: LAST }), { nil: LAST }),
  partials: fc.uniqueArray(fc.integer({ min: 0, max: LAST }), { maxLength: 4 }),
  hole: fc.option(fc.integer({ min: 0, max: LAST }), { nil: undefined }),
  policy: fc.constantFrom(
    "REDUNDANCY 1",
    "REDUNDANCY 2",
    "RECOVERY WINDOW OF 5 DAYS",
    "2 weeks",
    "20 days",
  ),
});
type Scene = typeof anyScene extends fc.Arbitrary<infer T> ? T : never;

function build({ backups, fork, partials, hole }: Scene): Archive {
  const archive = new Archive().wal({ first: 0, last: fork, time: dayOf });
  if (fork < LAST) {
    archive.history(2, dayOf(fork), [1, BigInt(fork + 1) << 24n]);
    archive.wal({ timeline: 2, first: fork + 1, last: LAST, time: dayOf });
  }
  for (const segment of partials)
    archive.put(walPath(segment > fork ? 2 : 1, segment, ".partial"), dayOf(segment), 16 << 20);
  if (hole !== undefined) archive.remove(walPath(hole > fork ? 2 : 1, hole, ".gz"));
  let parent: string | undefined;
  for (const { first, kind, keep, lacks } of backups.toSorted((a, b) => a.first - b.first)) {
    const timeline = first > fork ? 2 : 1;
    const isIncrement = kind === "increment" && parent !== undefined;
    const info = doneInfo({
      timeline,
      first,
      time: dayOf(first),
      more: {
        ...(kind === "failed" && { status: "FAILED", error: "no space", endTime: null }),
        ...(kind === "begun" && { status: "STARTED", endTime: null }),
        ...(isIncrement && { extra: new Map([["parent_backup_id", parent!]]) }),
      },
    });
    const id = archive.backup(info, {
      id: idAt(dayOf(first)),
      tars: ["data.tar.gz", "data_0001.tar.gz"],
      ...(keep && { keep }),
    });
    archive.put(`meta/${id}/backup_manifest`, dayOf(first), 100);
    if (lacks) archive.remove(`base/${id}/${lacks}`);
    if (kind === "cut off") archive.remove(`base/${id}/backup.info`);
    if (kind === "full" || isIncrement) parent = id;
  }
  return archive;
}

function allSteps(
  catalogue: Catalogue,
  policy: string,
): { steps: ReturnType<typeof expirySteps>; leftovers: Leftover[] } {
  const plan = planExpiry({ catalogue, policy: parseRetentionPolicy(policy, "policy"), now: NOW });
  // Without a grace: what a deletion that was cut off has left of a young backup is to go as well.
  const leftovers = findLeftovers(catalogue, { now: NOW, grace: 0 });
  return { steps: expirySteps({ catalogue, plan, leftovers }), leftovers };
}

/** The flaws of the backups that say they are done, by id. */
function flawsOf({ backups }: Catalogue): Map<string, readonly string[]> {
  return new Map(
    backups.filter(({ state }) => state === "done").map(({ id, flaws }) => [id, flaws]),
  );
}

suite("deletion", () => {
  test("wherever it ends, what is still done has no new flaw, and going on comes to the same end", () => {
    let [cuts, takenInfos] = [0, 0];
    fc.assert(
      fc.property(
        anyScene,
        fc.array(fc.tuple(fc.nat(), fc.integer()), { minLength: 5, maxLength: 5 }),
        (scene, places) => {
          const before = read(build(scene), NOW);
          const flaws = flawsOf(before);
          const { steps } = allSteps(before, scene.policy);
          const total = steps.reduce((sum, { objects }) => sum + objects.length, 0);
          const end = carryOut(build(scene), steps, { count: total, seed: 0 });
          takenInfos += steps.filter(({ kind }) => kind === "info").length;
          for (const [place, seed] of places) {
            const archive = carryOut(build(scene), steps, { count: place % (total + 1), seed });
            const after = read(archive, NOW);
            for (const [id, found] of flawsOf(after)) {
              const knew = flaws.get(id) ?? [];
              assert.ok(
                found.every((flaw) => knew.includes(flaw)),
                `${id}: ${found.join("; ")}`,
              );
            }
            cuts++;
            // A second run takes the rest, and no more. (But for WAL of a backup that began and is given up: while its
            // backup.info is there it counts as one that may be under way.)
            if (scene.backups.some(({ kind }) => kind === "begun")) continue;
            const rest = allSteps(after, scene.policy).steps;
            carryOut(archive, rest, { count: Infinity, seed });
            assert.deepEqual(pathsOf(archive), pathsOf(end));
          }
        },
      ),
      { numRuns: 300 },
    );
    assert.ok(cuts >= 1500 && takenInfos > 100, `${cuts} cuts, ${takenInfos} backups`);
  });

  test("the backup.info first, increments before the full one, WAL at the end and oldest first", () => {
    const archive = new Archive().wal({ first: 0, last: LAST, time: dayOf });
    const full = archive.backup(doneInfo({ first: 2, time: dayOf(2) }));
    const extra = new Map([["parent_backup_id", full]]);
    const increment = archive.backup(doneInfo({ first: 4, time: dayOf(4), more: { extra } }));
    archive.backup(doneInfo({ first: 20, time: dayOf(20) }));
    const { steps } = allSteps(read(archive, NOW), "REDUNDANCY 1");
    assert.deepEqual(
      steps.map(({ kind, backup, objects }) => [kind, backup, objects[0]!.path, objects.length]),
      [
        ["info", increment, `base/${increment}/backup.info`, 1],
        ["info", full, `base/${full}/backup.info`, 1],
        ["data", increment, `base/${increment}/data.tar.gz`, 1],
        ["data", full, `base/${full}/data.tar.gz`, 1],
        ["wal", undefined, walPath(1, 0, ".gz"), 20],
      ],
    );
    const wal = steps.at(-1)!.objects.map(({ path }) => path);
    assert.deepEqual(wal, wal.toSorted());
  });
});

suite("leftovers", () => {
  test("what may be under way stays, and so does what has no age", () => {
    const archive = new Archive().wal({ first: 0, last: LAST, time: dayOf });
    const failed = { status: "FAILED", error: "disk full", endTime: null } as const;
    const old = archive.backup(doneInfo({ first: 2, time: dayOf(2), more: failed }));
    const young = archive.backup(doneInfo({ first: 29, time: dayOf(29), more: failed }));
    const waiting = { status: "WAITING_FOR_WALS" } as const;
    archive.backup(doneInfo({ first: 3, time: dayOf(3), more: waiting }));
    archive.backup(doneInfo({ first: 4, time: dayOf(4), more: failed }), { keep: "full" });
    archive.put("base/20261105T000000/data.tar.gz", dayOf(5), 10);
    archive.put("base/20261105T000000/data_0001.tar.gz", dayOf(30), 10);
    archive.put("base/20261106T000000/data.tar.gz", dayOf(6), 10);
    archive.put("meta/20261106T000000/backup_manifest", dayOf(6), 1);
    archive.put("base/20261107T000000/data.tar.gz", 0, 10);
    archive.put("meta/20261108T000000/backup_manifest", dayOf(8), 1);
    archive.put(walPath(1, 30, ".partial"), dayOf(30), 16 << 20);
    archive.put("meta/notes", dayOf(1), 16);
    const found = findLeftovers(read(archive, NOW), { now: NOW, grace: 3 * DAY });
    assert.deepEqual(
      found.map(({ what, backup, isRipe, objects, reason }) => [
        what,
        backup,
        isRipe,
        objects.length,
        reason,
      ]),
      [
        ["cut-off", "20261107T000000", false, 1, undefined],
        ["failed", old, true, 2, "it is FAILED: disk full"],
        ["cut-off", "20261106T000000", true, 2, undefined],
        ["no-backup", "20261108T000000", true, 1, undefined],
        ["failed", young, false, 2, "it is FAILED: disk full"],
        ["cut-off", "20261105T000000", false, 2, undefined],
        ["partial", undefined, true, 1, undefined],
      ],
    );
  });
});

/** Takes the first `count` objects of `steps` away, those of one step in an order of their own. */
function carryOut(
  archive: Archive,
  steps: ReturnType<typeof expirySteps>,
  { count, seed }: { readonly count: number; readonly seed: number },
): Archive {
  const order = steps.flatMap(({ objects }) =>
    objects.map(({ path }) => path).toSorted((a, b) => mix(a, seed) - mix(b, seed)),
  );
  const gone = new Set(order.slice(0, Math.min(count, order.length)));
  const kept = archive.objects.filter(({ path }) => !gone.has(path));
  archive.objects.splice(0, archive.objects.length, ...kept);
  for (const path of gone) archive.contents.delete(path);
  return archive;
}

function mix(text: string, seed: number): number {
  let value = seed;
  for (const letter of text) value = (Math.imul(value, 31) + letter.charCodeAt(0)) | 0;
  return seed === 0 ? 0 : value;
}

function pathsOf({ objects }: Archive): string[] {
  return objects.map(({ path }) => path).toSorted();
}
