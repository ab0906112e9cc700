// What a status may say of a run: no more than its mover said, and nothing of what another one did.

import assert from "node:assert/strict";
import { afterEach, suite, test } from "node:test";
import { POD } from "../../src/operator/cluster/kinds.ts";
import { EXTERNAL } from "../../src/operator/names.ts";
import {
  NAMESPACE,
  OperatorOnDouble,
  START,
  runOf,
  startOnDouble,
  success,
} from "./operator-on-double.ts";

let on: OperatorOnDouble;
const { conditions } = OperatorOnDouble;

suite("an honest status", () => {
  afterEach(async () => await on.close());

  test("a Job that is seen to end before its pod is: the verdict is asked for", async () => {
    on = await startOnDouble();
    on.double.play.jobPods((job) => {
      on.double.watches.freeze("pods");
      return success(job, {
        snapshot: undefined,
        problems: [{ code: "SOURCE_EMPTY", message: "nothing to back up" }],
      });
    });
    await on.source("files");
    await on.quiet();
    const source = on.sourceNow("files");
    assert.equal(source.status?.lastManualSync, "first");
    assert.equal(conditions(source)[1], "Problem=True/SourceEmpty");
  });

  test("a mover that ended well without a word: a success of which nobody knows what it did", async () => {
    on = await startOnDouble();
    on.double.play.jobPods(() => ({ exit: 0, message: "", log: "" }));
    await on.source("files", {
      restic: { repository: "restic", copyMethod: "Direct", unlock: "now" },
    });
    await on.quiet();
    const source = on.sourceNow("files");
    assert.equal(source.status?.latestMoverStatus?.result, "Successful");
    assert.equal(conditions(source)[1], "Problem=True/VerdictMissing");
    assert.equal(source.status?.external?.[EXTERNAL.pointInTime], undefined);
    assert.equal(source.status?.restic?.lastUnlocked, undefined);
    assert.ok(on.events().some((event) => event.startsWith("VerdictMissing: ")));
  });

  test("data is never from the future, whatever a node's clock says", async () => {
    on = await startOnDouble();
    on.double.play.jobPods((job) => success(job, { pointInTime: "2036-01-01T00:00:00Z" }));
    await on.source("files");
    await on.quiet();
    const { external = {} } = on.sourceNow("files").status ?? {};
    assert.ok(Date.parse(external[EXTERNAL.pointInTime] ?? "") <= START);
  });

  test("an unlock that was asked for and not done is asked for again", async () => {
    on = await startOnDouble();
    on.double.play.jobPods((job) => success(job));
    const restic = { repository: "restic", copyMethod: "Direct", unlock: "now" } as const;
    await on.source("files", { restic });
    await on.quiet();
    const { status } = on.sourceNow("files");
    assert.equal(status?.lastManualSync, "first");
    assert.equal(status?.restic?.lastUnlocked, undefined);
  });

  test("a verdict of failure in a pod that ended well is none", async () => {
    on = await startOnDouble();
    on.double.play.jobPods((job) => {
      const verdict = { v: 1, result: "failed", run: runOf(job), snapshot: "cd".repeat(32) };
      return { exit: 0, message: JSON.stringify(verdict), log: "" };
    });
    await on.source("files");
    await on.quiet();
    const source = on.sourceNow("files");
    assert.equal(source.status?.external?.[EXTERNAL.snapshot], undefined);
    assert.equal(conditions(source)[1], "Problem=True/VerdictMissing");
  });

  test("a Job that gets no pod, because nothing lets it, is told of", async () => {
    on = await startOnDouble();
    await on.source("files");
    await on.quiet();
    assert.equal(conditions(on.sourceNow("files"))[1], "Problem=False/None");
    await on.after(31_000);
    const source = on.sourceNow("files");
    assert.equal(conditions(source)[1], "Problem=True/NoMoverPod");
    const said = source.status?.conditions?.[1]?.message ?? "";
    assert.match(
      said,
      /Pod Security.*quota.*kubectl describe job -n business-system volsync-src-files/,
    );
  });

  test("a pod that does not start, though its node has it, is told of, until it does", async () => {
    on = await startOnDouble();
    const gate = Promise.withResolvers<void>();
    on.double.play.jobPods(async (job) => {
      await gate.promise;
      return success(job);
    });
    await on.source("files");
    await on.after(31_000);
    const [pod] = on.double.objects.list(POD, NAMESPACE);
    on.double.objects.update(POD, NAMESPACE, pod!.metadata.name, (each) => {
      each.status = {
        ...each.status,
        phase: "Pending",
        containerStatuses: [
          { name: "restic", state: { waiting: { reason: "ContainerCreating" } } },
        ],
      };
    });
    await on.after(60_000);
    assert.equal(conditions(on.sourceNow("files"))[1], "Problem=False/None");
    await on.after(60_000);
    assert.equal(conditions(on.sourceNow("files"))[1], "Problem=True/MoverNotStarted");
    on.double.objects.update(POD, NAMESPACE, pod!.metadata.name, (each) => {
      each.status = { ...each.status, phase: "Running", containerStatuses: [] };
    });
    await on.quiet();
    assert.equal(conditions(on.sourceNow("files"))[1], "Problem=False/None");
    gate.resolve();
    await on.quiet();
  });

  test("but not one that is paused", async () => {
    on = await startOnDouble();
    await on.source("files", { paused: true });
    await on.after(31_000);
    assert.equal(conditions(on.sourceNow("files"))[1], "Problem=False/None");
  });

  test("a tag that would not fit into the status is refused aloud", async () => {
    on = await startOnDouble();
    on.double.play.jobPods((job) => success(job));
    await on.source("files", { trigger: { manual: "x".repeat(100_000) } });
    await on.quiet();
    const [synchronizing, problem] = on.sourceNow("files").status?.conditions ?? [];
    assert.equal(synchronizing?.reason, "Error");
    assert.match(problem?.message ?? "", /spec\.trigger\.manual has 100000 characters/);
  });
});
