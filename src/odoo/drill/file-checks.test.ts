import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import assert from "node:assert/strict";
import { systemRandom } from "../../base/clock.ts";
import { Progress } from "../../base/progress.ts";
import { memoryRepository } from "../../../test/memory-repository.ts";
import type { References } from "../references.ts";
import { Sha1Set } from "../sha1-set.ts";
import { checkFiles } from "./file-checks.ts";

test("names in rows that mean nothing are not checked, and no drill passes with them", async () => {
  const root = mkdtempSync(join(tmpdir(), "holdfast-file-checks-"));
  const references: References = {
    database: "odoo",
    position: { systemId: "7", timeline: 1, lsn: 1n, time: 0 },
    files: {
      names: new Sha1Set(),
      sizes: new Float64Array(),
      rows: new Uint32Array(),
      flags: new Uint8Array(),
      oldPaths: new Map(),
    },
    rows: 1,
    external: new Map(),
    cloud: 0,
    urls: 0,
    inDatabase: 0,
    empty: 0,
    unknown: [],
  };
  const resultOf = async (unknown: readonly string[]): Promise<unknown> => {
    const { checks } = await checkFiles({
      repository: memoryRepository().repository,
      captures: undefined,
      lost: { missing: new Set(), corrupt: new Set() },
      references: { ...references, unknown },
      folder: join(root, `files-${unknown.length}`),
      account: undefined,
      random: systemRandom,
      progress: new Progress(),
    });
    return checks.find(({ name }) => name === "references")?.result;
  };
  try {
    assert.equal(await resultOf([]), "ok");
    assert.equal(await resultOf(["../../etc/passwd"]), "not checked");
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
