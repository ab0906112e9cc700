import assert from "node:assert/strict";
import { suite, test, type TestContext } from "node:test";
import fc from "fast-check";
import { FakeClock } from "../../../test/fake-clock.ts";
import { startApiDouble, type ApiDouble } from "../../../test/kubernetes/api-double.ts";
import { systemRandom } from "../../base/clock.ts";
import { createEventRecorder, cut, type RunningEventRecorder } from "./event-recorder.ts";
import { EVENT, NODE } from "./kinds.ts";
import type { KubeObject } from "./kube-object.ts";

const source = (name = "files", uid = "u-1"): KubeObject => ({
  apiVersion: "volsync.backube/v1alpha1",
  kind: "ReplicationSource",
  metadata: { name, namespace: "odoo", uid },
});

interface Written extends KubeObject {
  note: string;
  reason: string;
  series?: { count: number; lastObservedTime: string };
  regarding: { name: string; uid: string };
}

async function start(t: TestContext): Promise<{
  double: ApiDouble;
  clock: FakeClock;
  recorder: RunningEventRecorder;
  errors: unknown[];
  record(message: string, about?: KubeObject, reason?: string): void;
  written(namespace?: string): Written[];
}> {
  const double = await startApiDouble({ namespaces: ["odoo"] });
  t.after(() => double.close());
  const clock = new FakeClock();
  const errors: unknown[] = [];
  const recorder = createEventRecorder({
    api: double.api(),
    clock,
    random: systemRandom,
    controller: "holdfast.dev/operator",
    instance: "holdfast-1",
    signal: new AbortController().signal,
    onError: (error) => void errors.push(error),
  });
  return {
    double,
    clock,
    recorder,
    errors,
    record: (message, about = source(), reason = "WrongPassword") =>
      recorder.record({ about, type: "Warning", reason, action: "Synchronizing", message }),
    written: (namespace = "odoo") => double.objects.list(EVENT, namespace) as Written[],
  };
}

suite("events", () => {
  test("say what, why and about whom; the same again is a count", async (t) => {
    const { recorder, record, clock, written, errors, double } = await start(t);
    for (let i = 0; i < 10; i++) record("the password opens no key");
    await recorder.settled();
    assert.equal(written().length, 1);
    assert.equal(written()[0]!.series, undefined);
    await clock.advance(61_000);
    record("the password opens no key");
    await recorder.settled();
    const [event] = written();
    assert.equal(event!.series?.count, 11);
    assert.equal(event!.regarding.uid, "u-1");
    assert.match(event!.metadata.name, /^files\.[0-9a-f]{16}$/);
    record("something else");
    await recorder.settled();
    assert.equal(written().length, 2);
    assert.deepEqual(errors, []);
    assert.equal(double.countCalls({ plural: "events" }), 3);
  });

  test("a resource that fails over and over in new ways fills nothing; others are heard", async (t) => {
    const { recorder, record, clock, written } = await start(t);
    for (let i = 0; i < 500; i++) record(`failure ${i}`);
    record("mine", source("other", "u-2"));
    await recorder.settled();
    assert.equal(written().length, 26);
    await clock.advance(10 * 60_000);
    for (let i = 0; i < 10; i++) record(`later ${i}`);
    await recorder.settled();
    assert.equal(written().length, 28);
  });

  test("words of any length and kind are taken by the server", async (t) => {
    const { recorder, record, written, errors } = await start(t);
    const long = source(`${"a".repeat(235)}-.${"b".repeat(16)}`);
    record("ü😀".repeat(900), long, "R".repeat(200));
    recorder.record({
      about: { apiVersion: "v1", kind: "Node", metadata: { name: "n" } },
      related: source(),
      type: "Normal",
      reason: "R",
      action: "A",
      message: "m",
    });
    await recorder.settled();
    assert.deepEqual(errors, []);
    assert.equal(written().length, 1);
    assert.equal(written("default").length, 1);
    assert.equal(NODE.namespaced, false);
  });

  test("what cannot be written is dropped with a word; what has expired is made anew; a lost answer makes no second one", async (t) => {
    const { recorder, record, clock, written, errors, double } = await start(t);
    double.fault({ plural: "events" }, { status: 500 });
    record("lost");
    await recorder.settled();
    assert.equal(errors.length, 1);
    await clock.advance(61_000);
    record("lost");
    await recorder.settled();
    assert.deepEqual(
      written().map(({ note }) => note),
      ["lost"],
    );
    double.objects.remove(EVENT, "odoo", written()[0]!.metadata.name);
    await clock.advance(61_000);
    record("lost");
    await recorder.settled();
    assert.equal(written().length, 1);
    assert.equal(errors.length, 1);
  });

  test("cut: never half a character, never longer", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme" }),
        fc.integer({ min: 3, max: 40 }),
        (text, bytes) => {
          const short = cut(text, bytes);
          assert.ok(Buffer.byteLength(short) <= bytes);
          assert.ok(short === text || (short.endsWith("…") && text.startsWith(short.slice(0, -1))));
        },
      ),
    );
  });
});
