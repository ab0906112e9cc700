// Choosing against a model: servers that commit, fail over, are recovered to an earlier moment and lose segments. What a
// choice leads to must be what the server had at that moment, or a refusal.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import {
  Archive,
  doneInfo,
  idAt,
  NOW,
  read,
  SEGMENT_SIZE,
  stored,
} from "../../test/barman/archives.ts";
import { isHoldfastError } from "../base/errors.ts";
import type { Catalogue } from "./catalogue.ts";
import { segmentAt } from "./lsn.ts";
import { chooseRecovery, type RecoveryChoice } from "./recovery-choice.ts";
import type { RecoveryTarget } from "./recovery-target.ts";

const at = (milliseconds: number): RecoveryTarget => ({
  kind: "time",
  micros: milliseconds * 1000,
});

function choose(catalogue: Catalogue, target: RecoveryTarget): RecoveryChoice {
  return chooseRecovery({ catalogue, target, now: NOW });
}

suite("against a model", () => {
  interface Commit {
    readonly lsn: bigint;
    readonly time: number;
  }
  interface Line {
    readonly timeline: number;
    readonly parent: Line | undefined;
    readonly fork: bigint;
    readonly begun: number;
    readonly commits: Commit[];
    end: bigint;
    until: number;
  }

  /** Commits on the way to `line` with a position below `limit`. */
  function inherited(line: Line | undefined, limit: bigint): Commit[] {
    if (line === undefined) return [];
    const below = limit < line.fork ? limit : line.fork;
    return [
      ...inherited(line.parent, below),
      ...line.commits.filter((commit) => commit.lsn < limit),
    ];
  }

  interface Step {
    readonly kind: "write" | "backup" | "failover" | "undo" | "lose";
    readonly amount: number;
    readonly keeps: boolean;
  }

  const steps = fc.array(
    fc.record<Step>({
      kind: fc.constantFrom(
        "write",
        "write",
        "write",
        "backup",
        "backup",
        "failover",
        "undo",
        "lose",
      ),
      amount: fc.nat(1_000_000),
      keeps: fc.boolean(),
    }),
    { minLength: 5, maxLength: 25 },
  );
  const SIZE = BigInt(SEGMENT_SIZE);

  /** Plays the steps; the archive, the lines, and who was the server at each moment. */
  function play(given: readonly Step[]): { archive: Archive; lines: Line[]; end: number } {
    const archive = new Archive();
    let time = stored(0);
    const first: Line = {
      timeline: 1,
      parent: undefined,
      fork: 0n,
      begun: time,
      commits: [],
      end: 8n * SIZE + 40n,
      until: Infinity,
    };
    const lines = [first];
    let line = first;
    const write = (bytes: bigint): void => {
      const before = line.end;
      line.end += bytes;
      for (let i = 1n; i <= 4n; i++) {
        time += 1000;
        line.commits.push({ lsn: before + (bytes * i) / 4n - 1n, time });
      }
      const [from, to] = [segmentAt(before, SEGMENT_SIZE), segmentAt(line.end, SEGMENT_SIZE) - 1];
      time += 500;
      const stamp = time;
      if (to >= from)
        archive.wal({ timeline: line.timeline, first: from, last: to, time: () => stamp });
    };
    const branch = (fork: bigint, keeps: boolean): void => {
      // The old server may go on unseen for a while.
      if (keeps) write(SIZE);
      line.until = time;
      time += 60_000;
      const forks: [number, bigint][] = [];
      const next = lines.length + 1;
      for (let one: Line | undefined = line, at = fork; one; one = one.parent) {
        forks.unshift([one.timeline, at]);
        at = one.fork;
      }
      archive.history(next, time, ...forks);
      line = {
        timeline: next,
        parent: line,
        fork,
        begun: time,
        commits: [],
        end: fork,
        until: Infinity,
      };
      lines.push(line);
    };
    for (const { kind, amount, keeps } of given) {
      time += 1000;
      if (kind === "write") write(BigInt(amount) * 60n + 100n);
      else if (kind === "backup") {
        const begin = segmentAt(line.end, SEGMENT_SIZE);
        write(SIZE);
        const { timeline, end } = line;
        const last = segmentAt(end - 1n, SEGMENT_SIZE);
        const info = doneInfo({
          timeline,
          first: begin,
          last,
          time,
          more: {
            endLsn: end,
            endOffset: Number(end % SIZE),
            beginLsn: BigInt(begin) * SIZE + 40n,
          },
        });
        archive.backup(info, { id: idAt(time + 60_000) });
        // A backup is there when its WAL is.
        write(SIZE);
      } else if (kind === "failover") branch(line.end, false);
      else if (kind === "undo") {
        const commits = line.commits;
        const chosen = commits[amount % Math.max(commits.length, 1)];
        if (chosen && chosen.lsn + 1n > line.fork) branch(chosen.lsn + 1n, keeps);
      } else {
        const wal = archive.objects.filter(({ path }) => /^wals\/.*\.gz$/.test(path));
        const lost = wal[amount % Math.max(wal.length, 1)];
        if (lost && keeps) archive.remove(lost.path);
      }
    }
    return { archive, lines, end: time };
  }

  test("a recovery to any moment has what the server had then, or is refused", () => {
    let recovered = 0;
    let refused = 0;
    fc.assert(
      fc.property(
        steps,
        fc.array(fc.nat(10_000), { minLength: 12, maxLength: 12 }),
        (given, moments) => {
          const { archive, lines, end } = play(given);
          const catalogue = read(archive);
          for (const moment of moments) {
            const time = stored(0) + Math.floor(((end - stored(0)) * moment) / 10_000);
            let choice: RecoveryChoice;
            try {
              choice = choose(catalogue, at(time));
            } catch (error) {
              if (!isHoldfastError(error, "TARGET_UNREACHABLE", "BACKUP_NOT_FOUND")) throw error;
              refused++;
              continue;
            }
            assert.ok(choice.backup.info!.endTime!.micros <= time * 1000);
            const followed = lines[choice.timeline - 1]!;
            const all = inherited(followed, followed.end + 1n);
            const stop = all.findIndex((commit) => commit.time > time);
            const server = lines.findLast((line) => line.begun <= time) ?? lines[0]!;
            const had = inherited(server, server.end + 1n).filter((commit) => commit.time <= time);
            // What was abandoned before it was archived is known to nobody.
            const isLost = (commit: Commit, line: Line): boolean =>
              line !== followed &&
              line.commits.includes(commit) &&
              !all.includes(commit) &&
              !catalogue.wal.get(line.timeline)?.segments.has(segmentAt(commit.lsn, SEGMENT_SIZE));
            // Without a later commit to stop at, PostgreSQL itself refuses to open.
            if (stop === -1) continue;
            recovered++;
            const known = had.filter((commit) => !isLost(commit, server));
            assert.deepEqual(all.slice(0, stop), known);
          }
        },
      ),
      { numRuns: 300 },
    );
    assert.ok(recovered > 300 && refused > 100, `${recovered} recovered, ${refused} refused`);
  });

  test("the WAL of a choice is there, without a hole, and leads from the backup to the timeline", () => {
    fc.assert(
      fc.property(
        steps,
        fc.constantFrom("latest", "immediate", "lsn"),
        fc.nat(),
        (given, kind, where) => {
          const { archive, lines } = play(given);
          const catalogue = read(archive);
          const end = lines.at(-1)!.end;
          const target: RecoveryTarget =
            kind === "lsn" ? { kind, lsn: (end * BigInt(where % 1000)) / 1000n } : { kind };
          let choice: RecoveryChoice;
          try {
            choice = choose(catalogue, target);
          } catch (error) {
            assert.ok(
              isHoldfastError(error, "TARGET_UNREACHABLE", "BACKUP_NOT_FOUND"),
              String(error),
            );
            return;
          }
          const { backup, wal, timeline } = choice;
          assert.deepEqual(backup.flaws, []);
          const info = backup.info!;
          if (target.kind === "lsn") assert.ok(info.endLsn! <= target.lsn);
          let next = backup.segments!.first;
          let before = info.timeline!;
          for (const stretch of wal.stretches) {
            assert.ok(stretch.timeline >= before && stretch.timeline <= timeline);
            assert.equal(stretch.first, next);
            for (let one = stretch.first; one <= stretch.last; one++)
              assert.ok(catalogue.wal.get(stretch.timeline)!.segments.has(one));
            [next, before] = [stretch.last + 1, stretch.timeline];
          }
          assert.ok(next > backup.segments!.last);
        },
      ),
      { numRuns: 300 },
    );
  });
});
