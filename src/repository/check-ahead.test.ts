// What a check asks for ahead of its turn, when the check ends early.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../../test/fake-clock.ts";
import { memoryRepository } from "../../test/memory-repository.ts";
import { HoldfastError } from "../base/errors.ts";
import { faulty } from "../storage/faulty.ts";
import type { FaultRule } from "../storage/faulty.ts";
import { retrying } from "../storage/retrying.ts";
import { checkRepository } from "./check.ts";

test("an error does not wait for what was asked for ahead and is being tried again", async () => {
  const denied = new HoldfastError("STORAGE_DENIED", "no right to list keys");
  const rules: FaultRule[] = [
    { on: "list", key: /^keys/, fault: { kind: "before", error: denied } },
    { on: "list", key: /^index/, times: Infinity, fault: { kind: "before" } },
  ];
  const { repository } = memoryRepository({
    // Its pauses end by being aborted alone.
    around: (storage) => retrying(faulty(storage, rules), { clock: new FakeClock() }),
  });
  const checking = checkRepository(repository, { readData: { mode: "none" }, workers: 1 });
  await assert.rejects(checking, { code: "STORAGE_DENIED" });
});
