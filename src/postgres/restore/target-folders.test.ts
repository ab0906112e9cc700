// Two restores into one folder: the later one may take over what an earlier one left, and no result is a mixture.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isHoldfastError } from "../../base/errors.ts";
import {
  claimTarget,
  completeTarget,
  lookAtTarget,
  MARK,
  releaseTarget,
  requireClaimed,
} from "./target-folders.ts";

async function inFolder(work: (path: string) => Promise<void>): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), "holdfast-target-"));
  try {
    await work(join(root, "above", "data"));
  } finally {
    rmSync(root, { recursive: true });
  }
}

const isTaken = (error: unknown): boolean =>
  isHoldfastError(error, "TARGET_UNWRITABLE") && /another restore/.test(error.message);

test("a restore that another one took for dead neither completes nor takes away what that one writes", async () => {
  await inFolder(async (path) => {
    const first = await claimTarget(await lookAtTarget(path), undefined);
    mkdirSync(join(path, "base"));
    writeFileSync(join(path, "base", "1"), "of the first");
    await requireClaimed(first);
    const left = await lookAtTarget(path);
    assert.equal(left.state, "left");
    const second = await claimTarget(left, undefined);
    assert.deepEqual(readdirSync(path), [MARK]);
    writeFileSync(join(path, "PG_VERSION"), "15\n");
    await assert.rejects(requireClaimed(first), isTaken);
    await assert.rejects(completeTarget(first), isTaken);
    await releaseTarget(first);
    assert.deepEqual(readdirSync(path).toSorted(), ["PG_VERSION", MARK]);
    await completeTarget(second);
    await second.mark.close();
    assert.deepEqual(readdirSync(path), ["PG_VERSION"]);
  });
});

test("a restore that fails leaves the folder as it was: absent, or empty", async () => {
  await inFolder(async (path) => {
    const absent = await claimTarget(await lookAtTarget(path), undefined);
    writeFileSync(join(path, "PG_VERSION"), "15\n");
    await releaseTarget(absent);
    assert.ok(!existsSync(path));
    mkdirSync(path);
    const empty = await claimTarget(await lookAtTarget(path), undefined);
    writeFileSync(join(path, "PG_VERSION"), "15\n");
    await releaseTarget(empty);
    assert.deepEqual(readdirSync(path), []);
  });
});

test("two that find the same empty folder do not share it", async () => {
  await inFolder(async (path) => {
    mkdirSync(path, { recursive: true });
    const [one, other] = [await lookAtTarget(path), await lookAtTarget(path)];
    const first = await claimTarget(one, undefined);
    await assert.rejects(claimTarget(other, undefined), (error) =>
      isHoldfastError(error, "TARGET_UNWRITABLE"),
    );
    await completeTarget(first);
    await first.mark.close();
  });
});

test("a database that was whole before its mark was taken away is never removed", async () => {
  await inFolder(async (path) => {
    const claimed = await claimTarget(await lookAtTarget(path), undefined);
    mkdirSync(join(path, "global"));
    assert.equal((await lookAtTarget(path)).state, "left");
    writeFileSync(join(path, "global", "pg_control"), "control");
    await claimed.mark.close();
    await assert.rejects(
      lookAtTarget(path),
      (error) =>
        isHoldfastError(error, "TARGET_UNWRITABLE") && /whole database/.test(error.message),
    );
  });
});
