import { test } from "node:test";
import assert from "node:assert/strict";
import { below } from "./below.ts";
import { storageConformance } from "./conformance.ts";
import { openMemoryStorage } from "./memory.ts";

const nothing = (): Promise<void> => Promise.resolve();

storageConformance("a folder", () =>
  Promise.resolve({ storage: below(openMemoryStorage(), "backups/odoo"), cleanup: nothing }),
);

test("what lies beside a folder is not seen in it", async () => {
  const whole = openMemoryStorage();
  for (const key of ["odoo/wals/1", "odoo2/wals/2", "wals/3"]) {
    await whole.put(key, Buffer.from(key));
  }
  const inside = below(whole, "odoo");
  const keys: string[] = [];
  for await (const { key } of inside.list("")) keys.push(key);
  assert.deepEqual(keys, ["wals/1"]);
  await assert.rejects(inside.get("../wals/3"), { code: "BUG" });
  await inside.deleteMany(["wals/1", "wals/3"]);
  assert.equal((await whole.get("wals/3")).length, 6);
});
