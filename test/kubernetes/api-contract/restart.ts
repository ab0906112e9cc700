// Cases of the contract: what keeps running while the server does not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock, systemRandom } from "../../../src/base/clock.ts";
import { isHoldfastError } from "../../../src/base/errors.ts";
import { createEventRecorder } from "../../../src/operator/cluster/event-recorder.ts";
import { startInformer } from "../../../src/operator/cluster/informer.ts";
import { CONFIG_MAP, EVENT, LEASE } from "../../../src/operator/cluster/kinds.ts";
import { runWithLease } from "../../../src/operator/cluster/leader-election.ts";
import { configMap, eventually, place, refused, type Side } from "./contract-objects.ts";

/** Registers the cases. */
export function restartCases(side: () => Side): void {
  test("a store is equal to the server again after the server was away", async (t) => {
    const { api, restart } = side();
    const stop = new AbortController();
    const errors: unknown[] = [];
    const informer = startInformer({
      api,
      kind: CONFIG_MAP,
      namespace: "contract",
      labelSelector: "set=restart",
      clock: systemClock,
      random: systemRandom,
      signal: stop.signal,
      onError: (error) => void errors.push(error),
    });
    t.after(async () => {
      stop.abort();
      await informer.stopped;
    });
    await informer.synced;
    await api.create(CONFIG_MAP, configMap("restart-before"));
    await eventually(() =>
      Promise.resolve(informer.store.get("contract", "restart-before") !== undefined),
    );
    await restart(() => refused(api.get(CONFIG_MAP, place("x")), "CLUSTER_UNREACHABLE"));
    await eventually(async () => {
      try {
        await api.delete(CONFIG_MAP, place("restart-before"));
        await api.create(CONFIG_MAP, configMap("restart-after"));
        return true;
      } catch (error) {
        return isHoldfastError(error, "CLUSTER_EXISTS");
      }
    });
    await eventually(() =>
      Promise.resolve(
        informer.store.get("contract", "restart-after") !== undefined &&
          informer.store.get("contract", "restart-before") === undefined,
      ),
    );
    assert.ok(errors.length > 0);
  });

  test("a lease is taken, renewed, given back and taken by the next; Events are taken as we write them", async () => {
    const { api } = side();
    const about = await api.create(CONFIG_MAP, configMap("about"));
    const led: string[] = [];
    const errors: unknown[] = [];
    const options = {
      api,
      namespace: "contract",
      name: "lease",
      clock: systemClock,
      random: systemRandom,
      signal: new AbortController().signal,
      onError: (error: unknown): void => void errors.push(error),
      durations: { lease: 2_000, renewDeadline: 1_500, retry: 50 },
    };
    for (const identity of ["one", "two"]) {
      await runWithLease({
        ...options,
        identity,
        lead: async () => {
          const first = (await api.get(LEASE, place("lease")))?.spec;
          await eventually(
            async () => (await api.get(LEASE, place("lease")))?.spec.renewTime !== first?.renewTime,
          );
          led.push(`${first?.holderIdentity} ${first?.leaseTransitions}`);
        },
      });
    }
    assert.deepEqual(led, ["one 0", "two 1"]);
    const recorder = createEventRecorder({
      ...options,
      controller: "holdfast.dev/operator",
      instance: "test",
    });
    recorder.record({
      about,
      type: "Warning",
      reason: "Restarted",
      action: "A",
      message: "ü".repeat(2000),
    });
    await recorder.settled();
    assert.deepEqual(errors, []);
    const { items } = await api.list(EVENT, {
      namespace: "contract",
      fieldSelector: "reason=Restarted",
    });
    assert.equal(items.length, 1);
  });
}
