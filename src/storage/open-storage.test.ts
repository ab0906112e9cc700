import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { systemClock, systemRandom } from "../base/clock.ts";
import { SCHEMES } from "./location.ts";
import { openStorage } from "./open-storage.ts";

const options = { env: {}, clock: systemClock, random: systemRandom };

test("opens a directory by each form of its location", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "holdfast-open-"));
  t.after(() => rm(root, { recursive: true }));
  const made = await openStorage(`${root}/deep/repo`, { ...options, create: true });
  await made.put("config", Uint8Array.of(1));
  const again = await openStorage(`local:${root}/deep/repo`, options);
  assert.deepEqual([...(await again.get("config"))], [1]);
  assert.equal(again.location, `${root}/deep/repo`);
  assert.equal(again.traits.local, true);
  await assert.rejects(openStorage(`${root}/other`, options), { code: "STORAGE_NOT_FOUND" });
});

test("a scheme without a backend is a usage error that names it", async () => {
  const served = ["local", "gs", "s3", "rest", "rclone"];
  for (const scheme of SCHEMES.filter((name) => !served.includes(name))) {
    await assert.rejects(openStorage(`${scheme}:https://me:geheim@host/x`, options), (error) => {
      assert.ok(error instanceof Error && error.message.includes(`"${scheme}:"`));
      assert.doesNotMatch(inspect(error), /geheim/);
      return true;
    });
  }
});
