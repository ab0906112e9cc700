import assert from "node:assert/strict";
import { test } from "node:test";
import type { FoundSnapshot } from "../repository/snapshots.ts";
import { parseTime } from "../restic/go-time.ts";
import { chooseSnapshot } from "./mover-choice.ts";
import type { ChoiceRequest } from "./mover-choice.ts";

interface Sketch {
  readonly time: string;
  readonly host?: string;
  readonly path?: string;
  readonly tags?: readonly string[];
}

function found(
  { time, host = "volsync", path = "/data", tags = [] }: Sketch,
  i: number,
): FoundSnapshot {
  return {
    id: String(i).padStart(64, "0"),
    snapshot: { time, hostname: host, paths: [path], tags: [...tags] },
  } as unknown as FoundSnapshot;
}

/** The number of the sketch that is chosen. */
function chosen(
  sketches: readonly Sketch[],
  request: Partial<ChoiceRequest> = {},
): number | undefined {
  const { chosen: one } = chooseSnapshot(sketches.map(found), { previous: 0, ...request });
  return one && Number(one.id);
}

const at = (time: string): bigint => parseTime(time);
const DAYS: Sketch[] = [
  { time: "2026-01-01T04:00:00.9Z" },
  { time: "2026-01-02T04:00:00.1Z" },
  { time: "2026-01-03T04:00:00.5Z" },
];

test("the newest, the one not after a time, and so many before it", () => {
  assert.equal(chosen(DAYS), 2);
  assert.equal(chosen(DAYS, { previous: 2 }), 0);
  assert.equal(chosen(DAYS, { previous: 3 }), undefined);
  // Times are compared in whole seconds: a snapshot of that very second counts.
  assert.equal(chosen(DAYS, { asOf: at("2026-01-01T04:00:00Z") }), 0);
  assert.equal(chosen(DAYS, { asOf: at("2026-01-01T03:59:59Z") }), undefined);
  assert.equal(chosen(DAYS, { asOf: at("2026-01-02T23:00:00-05:00"), previous: 1 }), 1);
  assert.equal(chosen([]), undefined);
});

test("several of one second are one", () => {
  const twins = [DAYS[0]!, { time: "2026-01-02T04:00:00.1Z" }, { time: "2026-01-02T04:00:00.8Z" }];
  assert.equal(chosen(twins), 2);
  assert.equal(chosen(twins, { previous: 1 }), 0);
});

test("other hosts and paths only where there is no mover's own", () => {
  const foreign = { time: "2026-02-01T00:00:00Z", host: "web1" };
  assert.equal(chosen([...DAYS, foreign]), 2);
  assert.equal(chosen([...DAYS, { ...foreign, host: "volsync", path: "/data/sub" }]), 2);
  assert.equal(chosen([foreign]), 0);
  assert.equal(chosen([{ ...foreign, path: "/srv/data" }]), 0);
  assert.equal(chosen([{ ...foreign, path: "/srv/other" }]), undefined);
  assert.equal(chooseSnapshot([found(foreign, 0)], { previous: 0 }).isForeign, true);
});

test("one that lacks files is passed over, unless there is no other", () => {
  const partial = { time: "2026-02-01T00:00:00Z", tags: ["incomplete"] };
  assert.equal(chosen([...DAYS, partial]), 2);
  assert.equal(chosen([partial]), 0);
  const choice = chooseSnapshot([...DAYS, partial].map(found), { previous: 0 });
  assert.equal(choice.passedOver && Number(choice.passedOver.id), 3);
});

test("volumes that share a repository are told apart by their claims", () => {
  const claim = (name: string): string[] => [`holdfast.dev/claim=ns/${name}`];
  const shared = [
    { time: "2026-01-01T00:00:00Z" },
    { time: "2026-01-02T00:00:00Z", tags: claim("a") },
    { time: "2026-01-03T00:00:00Z", tags: claim("b") },
  ];
  assert.equal(chosen(shared, { claim: "ns/a" }), 1);
  assert.equal(chosen(shared, { claim: "ns/a", previous: 1 }), 0);
  assert.equal(chosen(shared, { claim: "ns/c" }), 2);
  const unclear = chooseSnapshot(shared.map(found), { previous: 0, claim: "ns/c" });
  assert.deepEqual(unclear.claims, ["ns/a", "ns/b"]);
  // One volume's snapshots may be restored into any claim.
  const alone = chooseSnapshot(shared.slice(0, 2).map(found), { previous: 0, claim: "ns/c" });
  assert.deepEqual(alone.claims, []);
});
