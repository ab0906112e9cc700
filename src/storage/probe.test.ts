import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock, systemRandom } from "../base/clock.ts";
import { FakeClock, settle } from "../../test/fake-clock.ts";
import { HoldfastError } from "../base/errors.ts";
import { faulty } from "./faulty.ts";
import { forwarding } from "./forwarding.ts";
import { openMemoryStorage } from "./memory.ts";
import { probeStorage } from "./probe.ts";
import type { ProbeStep } from "./probe.ts";
import type { Storage } from "./storage.ts";

const options = { clock: systemClock, random: systemRandom, bytes: 3000 };

function outcomes(steps: readonly ProbeStep[]): Record<string, string> {
  return Object.fromEntries(steps.map(({ name, outcome }) => [name, outcome]));
}

test("a sound storage passes, and nothing is left in it", async () => {
  const objects = new Map<string, Uint8Array>();
  const steps = await probeStorage(openMemoryStorage({ objects }), options);
  assert.deepEqual(new Set(steps.map(({ outcome }) => outcome)), new Set(["ok"]));
  assert.equal(steps.length, 9);
  assert.equal(objects.size, 0);
});

test("where only a repository's names fit, the object is called like a pack", async () => {
  const keys: string[] = [];
  const memory = openMemoryStorage();
  const storage = forwarding(memory, {
    traits: { ...memory.traits, resticNames: true },
    put: (key, body) => {
      keys.push(key);
      return memory.put(key, body);
    },
  });
  await probeStorage(storage, options);
  assert.match(keys[0]!, /^data\/([0-9a-f]{2})\/\1[0-9a-f]{62}$/);
});

test("what fails is named, and only what depends on it is left out", async () => {
  const denied = (): Promise<never> =>
    Promise.reject(new HoldfastError("STORAGE_DENIED", "no", { hint: "grant it" }));
  const cases: [Partial<Storage>, Record<string, string>][] = [
    [{ put: denied }, { write: "failed", read: "skipped", list: "ok", gone: "skipped" }],
    [{ delete: denied }, { write: "ok", delete: "failed", gone: "failed" }],
    [{ get: denied }, { "look-up": "ok", read: "failed", "read-range": "failed", gone: "ok" }],
    [{ put: () => Promise.resolve() }, { write: "ok", "create-only": "failed", read: "failed" }],
  ];
  for (const [changed, expected] of cases) {
    const steps = await probeStorage(forwarding(openMemoryStorage(), changed), options);
    const found = outcomes(steps);
    for (const [name, outcome] of Object.entries(expected))
      assert.equal(found[name], outcome, name);
  }
});

test("a storage that gives back something else is found out", async () => {
  const memory = openMemoryStorage();
  const storage = forwarding(memory, {
    get: async (key, wanted) => {
      const bytes = await memory.get(key, wanted);
      return bytes.with(0, bytes[0]! ^ 1);
    },
  });
  const found = outcomes(await probeStorage(storage, options));
  assert.equal(found["read"], "failed");
});

test("nothing is left when a reply was lost, or the probe is cancelled", async () => {
  const lost = new Map<string, Uint8Array>();
  const fault = { kind: "after" } as const;
  const storage = faulty(openMemoryStorage({ objects: lost }), [{ on: "put", fault }]);
  assert.equal(outcomes(await probeStorage(storage, options))["write"], "failed");
  assert.equal(lost.size, 0);

  for (const name of ["put", "stat"] as const) {
    const objects = new Map<string, Uint8Array>();
    const memory = openMemoryStorage({ objects });
    const stop = new AbortController();
    const stopping = forwarding(memory, {
      [name]: async (key: string, body: Uint8Array) => {
        if (name === "put") await memory.put(key, body);
        stop.abort();
        throw new HoldfastError("CANCELLED", "stopped");
      },
    });
    const { signal } = stop;
    await assert.rejects(probeStorage(stopping, { ...options, signal }), { code: "CANCELLED" });
    assert.equal(objects.size, 0, name);
  }
});

test("what cannot be removed is named", async () => {
  const denied = (): Promise<never> => Promise.reject(new HoldfastError("STORAGE_DENIED", "no"));
  const noteOf = async (changed: Partial<Storage>, step: string): Promise<string | undefined> => {
    const steps = await probeStorage(forwarding(openMemoryStorage(), changed), options);
    return steps.find(({ name }) => name === step)?.note;
  };
  assert.match(
    (await noteOf({ delete: denied }, "delete"))!,
    /^no; holdfast-probe\/[0-9a-f]{32} is left/,
  );
  assert.match(
    (await noteOf({ delete: denied, put: denied }, "write"))!,
    /^no; holdfast-probe\/[0-9a-f]{32} may be left/,
  );

  const clock = new FakeClock();
  const stop = new AbortController();
  const dead = forwarding(openMemoryStorage(), {
    stat: () => {
      stop.abort();
      return Promise.reject(new HoldfastError("CANCELLED", "stopped"));
    },
    delete: () => new Promise(() => {}),
  });
  const probing = assert.rejects(
    probeStorage(dead, { ...options, clock, signal: stop.signal }),
    (error: { code?: string; hint?: string }) =>
      error.code === "CANCELLED" && /^holdfast-probe\/.*no answer$/.test(error.hint ?? ""),
  );
  await settle(50);
  await clock.advance(10_000);
  await probing;
});
