// Many backups that are due at once: as many movers as there may be, the others in the order in which they were due, nobody forgotten,
// whatever becomes of those before; restores at once.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { JOB } from "../../src/operator/cluster/kinds.ts";
import { REPLICATION_SOURCE } from "../../src/operator/resources/replication-source.ts";
import type { PodEnd } from "./api-double/played-controllers.ts";
import {
  failure,
  NAMESPACE,
  startOnDouble,
  success,
  type OperatorOnDouble,
} from "./operator-on-double.ts";

let on: OperatorOnDouble;
afterEach(async () => await on.close());

interface Movers {
  /** Names of sources in the order in which their movers were made. */
  readonly made: string[];
  /** Movers at work now. */
  readonly working: Map<string, (end?: "failed") => void>;
  /** As many as ever were at work at once. */
  most: number;
}

/** Movers that work until the test ends them. */
function heldMovers(): Movers {
  const movers: Movers = { made: [], working: new Map(), most: 0 };
  on.double.play.jobPods((job) => {
    const name = job.metadata.name.replace(/^volsync-(src|dst)-/, "");
    movers.made.push(name);
    return new Promise<PodEnd>((resolve) => {
      movers.working.set(name, (end) => {
        movers.working.delete(name);
        const problem = { code: "STORAGE_FULL", message: "full" } as const;
        resolve(end === "failed" ? failure(job, problem) : success(job));
      });
      movers.most = Math.max(movers.most, movers.working.size);
    });
  });
  return movers;
}

const settings = { maxMovers: 2 };

test("no more than there may be, the longest due first, and all of them in the end", async () => {
  on = await startOnDouble({ settings });
  const movers = heldMovers();
  for (const name of ["a", "b"]) await on.source(name);
  await on.quiet();
  // In the order in which they are due, which is not that of their names.
  for (const name of ["e", "d", "c"]) {
    await on.source(name);
    await on.after(1000);
  }
  assert.deepEqual([...movers.working.keys()].toSorted(), ["a", "b"]);
  const waiting = on.sourceNow("e");
  assert.equal(waiting.status?.conditions?.[0]?.reason, "SyncInProgress");
  assert.equal(waiting.status?.conditions?.[1]?.reason, "None", "to wait is no problem");
  const told = on
    .events()
    .filter((each) => each.startsWith("WaitingForTurn: 2 movers are at work"));
  assert.equal(told.length, 3, "each once");
  assert.match(on.metrics.text(), /holdfast_workqueue_depth{queue="mover"} 3\n/);
  while (movers.working.size > 0) {
    [...movers.working.values()][0]!();
    await on.quiet();
  }
  assert.deepEqual(movers.made.slice(2), ["e", "d", "c"]);
  assert.equal(movers.most, 2);
  assert.match(on.metrics.text(), /holdfast_workqueue_depth{queue="mover"} 0\n/);
});

test("one that was first in the line and is deleted, or paused, keeps nobody waiting", async () => {
  on = await startOnDouble({ settings: { maxMovers: 1 } });
  const movers = heldMovers();
  for (const name of ["a", "b", "c", "d"]) {
    await on.source(name);
    await on.after(1000);
  }
  await on.double.api().delete(REPLICATION_SOURCE, { namespace: NAMESPACE, name: "b" });
  await on.patch(REPLICATION_SOURCE, "c", { spec: { paused: true } });
  await on.quiet();
  movers.working.get("a")!();
  await on.quiet();
  assert.deepEqual(movers.made, ["a", "d"]);
});

test("one that fails gives its turn away, and asks again when it is tried again", async () => {
  on = await startOnDouble({ settings: { maxMovers: 1 } });
  const movers = heldMovers();
  for (const name of ["a", "b"]) {
    await on.source(name);
    await on.after(1000);
  }
  movers.working.get("a")!("failed");
  await on.quiet();
  assert.deepEqual(movers.made, ["a", "b"]);
  await on.after(3_600_000);
  assert.deepEqual(movers.made, ["a", "b"], "b is at work");
  movers.working.get("b")!();
  await on.quiet();
  assert.deepEqual(movers.made, ["a", "b", "a"]);
});

test("a Job that is refused takes no turn", async () => {
  on = await startOnDouble({ settings: { maxMovers: 1 } });
  const movers = heldMovers();
  const allow = on.double.deny({ verb: "create", plural: "jobs" }, "quota");
  await on.source("a");
  await on.quiet();
  allow();
  await on.source("b");
  await on.quiet();
  assert.deepEqual(movers.made, ["b"]);
  movers.working.get("b")!();
  await on.after(61_000);
  assert.deepEqual(movers.made, ["b", "a"]);
});

test("restores do not wait, and another operator counts the movers that it finds", async () => {
  on = await startOnDouble({ settings, start: false });
  const first = on.operator();
  const movers = heldMovers();
  for (const name of ["a", "b", "c"]) await on.source(name);
  on.claim("empty");
  await on.destination("back", {
    restic: { repository: "restic", copyMethod: "Direct", destinationPVC: "empty" },
  });
  await on.quiet();
  assert.deepEqual(movers.made.toSorted(), ["a", "b", "back"]);
  await first.stop();
  on.operator();
  await on.quiet();
  assert.equal(on.double.objects.list(JOB, NAMESPACE).length, 3);
  movers.working.get("a")!();
  await on.quiet();
  assert.equal(movers.made.at(-1), "c");
});

test("without a limit nobody waits", async () => {
  on = await startOnDouble({ settings: { maxMovers: 0 } });
  const movers = heldMovers();
  for (let i = 0; i < 30; i++) await on.source(`s${i}`);
  await on.quiet();
  assert.equal(movers.working.size, 30);
});
