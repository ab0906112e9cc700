import { suite, test } from "node:test";
import assert from "node:assert/strict";
import { archiveOf } from "../postgres/archive.ts";
import { takeInventory } from "../barman/inventory.ts";
import { databaseReaches } from "../odoo/joint-moments.ts";
import { joinSurvey, type Filestore, type SurveyedArchive } from "../odoo/survey.ts";
import { openMemoryStorage } from "../storage/memory.ts";
import { read, simple, stored } from "../../test/barman/archives.ts";
import { statusMessage } from "./status-message.ts";
import { nearTime, statusSentence, viewStatus, type Status } from "./status-report.ts";

/** A minute behind the last segment of the example. */
const NOW = stored(31);
const DAY = 86_400_000;

function archive(): SurveyedArchive {
  const catalogue = read(simple(), NOW);
  return {
    archive: archiveOf(openMemoryStorage(), "pg"),
    inventory: takeInventory(catalogue, NOW),
    reaches: databaseReaches(catalogue),
    partialReach: new Map(),
  };
}

function place(more: Partial<Filestore> = {}): Filestore {
  const time = stored(20);
  return {
    database: undefined,
    hostname: "volsync",
    paths: ["/data"],
    snapshots: [{ id: "ab".repeat(32), time, end: time + 1000, files: 12, bytes: 3456 }],
    others: [],
    captures: [],
    drill: undefined,
    ...more,
  };
}

function statusOf(filestores: readonly Filestore[], found: SurveyedArchive | undefined): Status {
  return {
    now: NOW,
    repository: "read",
    live: undefined,
    runs: [],
    problems: [],
    ...joinSurvey(filestores, found),
  };
}

const clock = (time: number): string => nearTime(time, NOW);

suite("the sentence", () => {
  test("with snapshots alone, and with captures up to the watermark", () => {
    assert.equal(
      statusSentence(statusOf([place()], archive())),
      `database: any moment from ${clock(stored(12))} to ${clock(stored(30))} (1 minute ago); database and files together: ${clock(stored(20))}`,
    );
    const capture = (segment: number, missing: number): Filestore["captures"][number] => ({
      id: `${segment}`.padStart(64, "0"),
      time: stored(segment),
      mark: {
        database: "odoo",
        since: "ab".repeat(32),
        position: {
          systemId: "7",
          timeline: 1,
          lsn: BigInt(segment) << 24n,
          time: stored(segment),
        },
        missing,
        corrupt: 0,
      },
    });
    const captured = place({ database: "odoo", captures: [capture(28, 0), capture(40, 1)] });
    const status = statusOf([captured], archive());
    assert.equal(
      statusSentence(status),
      `database: any moment from ${clock(stored(12))} to ${clock(stored(30))} (1 minute ago); database and files together: any moment from ${clock(stored(20))} to ${clock(stored(28))} (3 minutes ago); 1 referenced file missing at the source`,
    );
    const text = viewStatus(status, { columns: 100 }).join("\n");
    assert.match(text, /watermark: 0\/1C000000 on timeline 1/);
    assert.match(text, /not yet for .*: the WAL of what was captured is not in the archive yet/);
    assert.doesNotMatch(text, /With full snapshots alone/);

    // Captures that know no position promise no more than the snapshot that they go on from.
    const { mark, ...rest } = capture(28, 0);
    const blind = { ...rest, mark: { ...mark, position: undefined } };
    const unknown = statusOf([place({ database: "odoo", captures: [blind] })], archive());
    assert.deepEqual(unknown.filestores[0]!.joint.stretches, []);
    assert.ok(
      statusSentence(unknown).endsWith(`database and files together: ${clock(stored(20))}`),
      statusSentence(unknown),
    );
  });

  test("several places share the picture by short names, or else by numbers", () => {
    const lanes = (...paths: string[]): string[] =>
      viewStatus(
        statusOf(
          paths.map((path) => place({ paths: [path] })),
          archive(),
        ),
        { columns: 80 },
      ).flatMap((line) => /^ +(files \S+|both \S+)/.exec(line)?.[1] ?? []);
    assert.deepEqual(lanes("/srv/a", "/srv/b"), ["files a", "both a", "files b", "both b"]);
    assert.deepEqual(lanes("/x/a", "/y/a"), ["files 1", "both 1", "files 2", "both 2"]);
  });

  test("what was not looked at, or is not there, is told as such", () => {
    assert.match(
      statusSentence(statusOf([place()], undefined)),
      /^database: not looked at .*together: never: no archive was looked at$/,
    );
    assert.match(statusSentence(statusOf([], archive())), /together: never: there is no snapshot$/);
    const blind = { ...statusOf([], archive()), repository: "failed" as const };
    assert.match(statusSentence(blind), /together: not known: the repository could not be read$/);
    const early = place({
      snapshots: [{ ...place().snapshots[0]!, time: stored(2), end: stored(3) }],
    });
    assert.match(
      statusSentence(statusOf([early], archive())),
      /never: the archive reaches none of the snapshots$/,
    );
  });

  test("whether anybody has tried to bring it back is told where there are captures", () => {
    const lines = (drill: Filestore["drill"], captures: Filestore["captures"]): string => {
      const status = statusOf([place({ drill, captures })], archive());
      return viewStatus(status, { columns: 80 })
        .filter((line) => line.includes("drill"))
        .join("\n");
    };
    const mark = {
      database: "odoo",
      since: undefined,
      position: undefined,
      missing: 0,
      corrupt: 0,
    };
    const captured = [{ id: "cd".repeat(32), time: stored(21), mark }];
    assert.equal(lines(undefined, []), "");
    assert.match(lines(undefined, captured), /^ {2}no drill is known/);
    const drill = {
      snapshot: "ef".repeat(32),
      drill: "a",
      time: NOW - 3 * DAY,
      verdict: "passed" as const,
      database: "odoo",
      recoveryMs: 75_000,
      rotation: undefined,
    };
    assert.match(
      lines(drill, captured),
      /^ {2}last drill: PASSED, .*3 days ago.*came back in 1 min 15 s$/,
    );
  });

  test("names from a repository cannot write to the terminal", () => {
    const text = viewStatus(
      statusOf([place({ hostname: "\x1b[2J", paths: ["/a\nb"] })], archive()),
      { columns: 80 },
    );
    assert.ok(text.every((line) => !/[\x1b\n]/.test(line)));
  });
});

test("times by how near they are", () => {
  const now = new Date(2026, 10, 26, 12, 0).getTime();
  assert.equal(nearTime(now - 3_600_000, now), "11:00 today");
  assert.equal(nearTime(now - DAY, now), "12:00 yesterday");
  assert.equal(nearTime(now - 37 * DAY, now), "20 Oct 12:00");
  assert.equal(nearTime(new Date(2025, 9, 20, 2, 10).getTime(), now), "20 Oct 2025");
});

test("the message has an age for whoever watches it, and null for what is not known", () => {
  const message = statusMessage(statusOf([place()], archive())) as {
    filestores: { lag_seconds: number; watermark: null; obstacle: string }[];
    live: null;
  };
  assert.deepEqual(message.live, null);
  const [only] = message.filestores;
  assert.deepEqual(
    [only!.lag_seconds, only!.watermark, only!.obstacle],
    [11 * 60, null, "no-captures"],
  );
});
