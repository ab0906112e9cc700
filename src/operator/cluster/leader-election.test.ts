import assert from "node:assert/strict";
import { suite, test, type TestContext } from "node:test";
import { FakeClock } from "../../../test/fake-clock.ts";
import { startApiDouble, type ApiDouble } from "../../../test/kubernetes/api-double.ts";
import { systemRandom } from "../../base/clock.ts";
import { LEASE } from "./kinds.ts";
import type { Lease } from "./kube-object.ts";
import { runWithLease, VOLSYNC_LEASE } from "./leader-election.ts";

interface Candidate {
  readonly stop: AbortController;
  readonly done: Promise<void>;
  readonly errors: unknown[];
}

class Field {
  readonly double: ApiDouble;
  readonly clock = new FakeClock();
  /** Who leads, in the order in which they began. */
  readonly leading = new Set<string>();
  readonly began: string[] = [];

  constructor(double: ApiDouble) {
    this.double = double;
  }

  candidate(
    identity: string,
    { work }: { work?: (signal: AbortSignal) => Promise<void> } = {},
  ): Candidate {
    const stop = new AbortController();
    const errors: unknown[] = [];
    const done = runWithLease({
      api: this.double.api(),
      namespace: "volsync-system",
      name: VOLSYNC_LEASE,
      identity,
      clock: this.clock,
      random: systemRandom,
      signal: stop.signal,
      onError: (error) => void errors.push(error),
      lead: async (signal) => {
        assert.equal(this.leading.size, 0, "two lead at once");
        this.leading.add(identity);
        this.began.push(identity);
        await (work?.(signal) ??
          new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve())));
        this.leading.delete(identity);
      },
    });
    return { stop, done, errors };
  }

  async pass(seconds: number): Promise<void> {
    await this.double.quiet();
    for (let i = 0; i < seconds; i++) {
      await this.clock.advance(1_000);
      await this.double.quiet(6);
    }
    await this.double.quiet();
  }

  lease(): Lease["spec"] | undefined {
    return this.double.objects.get(LEASE, "volsync-system", VOLSYNC_LEASE)?.spec;
  }
}

async function field(t: TestContext): Promise<Field> {
  const double = await startApiDouble({ namespaces: ["volsync-system"] });
  t.after(() => double.close());
  return new Field(double);
}

suite("one leads", () => {
  test("the first one leads and renews; the second waits, and takes over at once when it is given back", async (t) => {
    const all = await field(t);
    const first = all.candidate("first");
    await all.pass(1);
    const second = all.candidate("second");
    await all.pass(300);
    assert.deepEqual(all.began, ["first"]);
    const held = all.lease()!;
    assert.equal(held.leaseDurationSeconds, 137);
    assert.match(held.renewTime!, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    assert.equal(held.leaseTransitions, 0);
    first.stop.abort();
    await first.done;
    assert.equal(all.lease()?.holderIdentity, "");
    await all.pass(33);
    assert.deepEqual(all.began, ["first", "second"]);
    assert.equal(all.lease()?.leaseTransitions, 1);
    second.stop.abort();
    await second.done;
    assert.deepEqual([...first.errors, ...second.errors], []);
  });

  test("somebody who died is succeeded when their lease was seen unchanged for its time, whatever their clock said", async (t) => {
    const all = await field(t);
    all.double.objects.put(LEASE, {
      apiVersion: LEASE.apiVersion,
      kind: LEASE.kind,
      metadata: { name: VOLSYNC_LEASE, namespace: "volsync-system" },
      // A clock that is a year behind, and a lease of a length of its own.
      spec: {
        holderIdentity: "volsync",
        leaseDurationSeconds: 60,
        renewTime: "2025-01-01T00:00:00.000000Z",
      },
    });
    const candidate = all.candidate("us");
    await all.pass(59);
    assert.deepEqual(all.began, []);
    await all.pass(36);
    assert.deepEqual(all.began, ["us"]);
    candidate.stop.abort();
    await candidate.done;
  });

  test("who cannot renew stops before another may begin, and stands again", async (t) => {
    const all = await field(t);
    const first = all.candidate("first");
    await all.pass(1);
    // It alone cannot reach the server any more.
    const fault = all.double.fault(
      ({ verb, plural, body }) =>
        plural === "leases" && (verb === "get" || (body as Lease).spec.holderIdentity === "first"),
      "drop-before",
      { times: Infinity },
    );
    await all.pass(105);
    assert.deepEqual([...all.leading], ["first"]);
    await all.pass(3);
    assert.deepEqual([...all.leading], []);
    // Nothing was given back: it may not even know who holds it.
    assert.equal(all.lease()?.holderIdentity, "first");
    fault.remove();
    await all.pass(40);
    assert.deepEqual(all.began, ["first", "first"]);
    first.stop.abort();
    await first.done;
    assert.ok(first.errors.length >= 4);
  });

  test("who finds another name in the lease stops at once", async (t) => {
    const all = await field(t);
    const first = all.candidate("first");
    await all.pass(1);
    all.double.objects.update(LEASE, "volsync-system", VOLSYNC_LEASE, (lease) => {
      lease.spec.holderIdentity = "volsync";
    });
    await all.pass(27);
    assert.deepEqual([...all.leading], []);
    first.stop.abort();
    await first.done;
    assert.equal(all.lease()?.holderIdentity, "volsync");
  });

  test("lost answers make nobody leader twice or for ever", async (t) => {
    const all = await field(t);
    all.double.fault({ plural: "leases", verb: "create" }, "drop-after");
    const first = all.candidate("first");
    await all.pass(33);
    assert.deepEqual(all.began, ["first"]);
    for (let i = 0; i < 3; i++) {
      all.double.fault({ plural: "leases", verb: "update" }, "drop-after");
      await all.pass(27);
    }
    assert.deepEqual([...all.leading], ["first"]);
    first.stop.abort();
    await first.done;
    assert.equal(all.lease()?.holderIdentity, "");
  });

  test("work that ends or fails gives the lease back, and its failure is told", async (t) => {
    const all = await field(t);
    const short = all.candidate("short", { work: () => Promise.resolve() });
    await all.double.quiet();
    await short.done;
    const failing = all.candidate("failing", { work: () => Promise.reject(new Error("broken")) });
    const failure = assert.rejects(failing.done, /broken/);
    await all.pass(33);
    await failure;
    assert.equal(all.lease()?.holderIdentity, "");
  });
});
