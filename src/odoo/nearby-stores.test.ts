import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { nearbyHint, nearbyStores } from "./nearby-stores.ts";

test("the filestores that somebody meant who named a folder above them", (t) => {
  const root = mkdtempSync(join(tmpdir(), "holdfast-nearby-"));
  t.after(() => rmSync(root, { recursive: true }));
  const store = join(root, "filestore/odoo");
  mkdirSync(join(store, "ab"), { recursive: true });
  mkdirSync(join(root, "addons/base"), { recursive: true });
  assert.deepEqual(nearbyStores(join(root, "filestore")), [store]);
  assert.deepEqual(nearbyStores(root), [store]);
  assert.equal(nearbyHint(root), `Name the folder of one database: ${store}.`);

  assert.deepEqual(nearbyStores(store), []);
  assert.equal(nearbyHint(join(root, "addons")), undefined);
  assert.equal(nearbyHint(join(root, "nowhere")), undefined);
  for (const name of ["a", "b", "c", "d"])
    mkdirSync(join(root, "filestore", name, "00"), { recursive: true });
  assert.equal(nearbyStores(join(root, "filestore")).length, 3);
});
