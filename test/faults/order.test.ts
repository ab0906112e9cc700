// What is durable before what: packs, then the index that names them, then the snapshot that needs both.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { listIndexFile } from "../../src/restic/index-file.ts";
import { forwarding } from "../../src/storage/forwarding.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { createQuickRepository } from "../interop/quick-repository.ts";
import { backUpPaths, checkAll, openAt } from "./engine.ts";
import { PASSWORD, openWorkbench } from "./workbench.ts";

/** Tells every put when it has settled. */
function recording(storage: Storage, settled: string[]): Storage {
  return forwarding(storage, {
    put: async (key, body, options) => {
      await storage.put(key, body, options);
      settled.push(key);
    },
  });
}

test("a snapshot comes after every pack and after an index of every pack", async (t) => {
  // The last pack of each worker is large: sealing it takes longer than all that is left to do elsewhere.
  const { folder } = await openWorkbench(t);
  const source = join(folder, "random");
  mkdirSync(source);
  for (let i = 0; i < 60; i++) writeFileSync(join(source, `f${i}`), randomBytes(450_000));
  for (let round = 0; round < 4; round++) {
    const location = join(folder, `repository-${round}`);
    await createQuickRepository(location, PASSWORD);
    const settled: string[] = [];
    const repository = await openAt(location, (storage) => recording(storage, settled));
    await backUpPaths(repository, [source]);

    const kinds = settled.map((key) => key.slice(0, key.indexOf("/")));
    assert.equal(
      kinds.indexOf("snapshots"),
      settled.length - 1,
      `in round ${round}: ${kinds.join()}`,
    );
    const named = new Set<string>();
    for (const { id } of await repository.list("index")) {
      for (const pack of listIndexFile(await repository.load("index", id))) named.add(pack.id);
    }
    const packs = (await repository.list("pack")).map(({ id }) => id);
    assert.deepEqual(new Set(packs), named, `in round ${round}`);
    const report = await checkAll(repository);
    assert.deepEqual(report.findings, []);
  }
});
