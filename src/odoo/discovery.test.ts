import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { findStores } from "./discovery.ts";

const sha1 = (text: string): string => createHash("sha1").update(text).digest("hex");

let root = "";
const write = (path: string): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), "content");
};
const found = async (below = ""): Promise<Record<string, string>> => {
  const { stores } = await findStores(join(root, below));
  return Object.fromEntries(
    stores.map((store) => [store.folder.slice(root.length + 1), store.database]),
  );
};

before(() => {
  root = mkdtempSync(join(tmpdir(), "holdfast-discovery-"));
  for (let i = 0; i < 200; i++) {
    const name = sha1(`${i}`);
    write(`data/filestore/prod/${name.slice(0, 2)}/${name}`);
    if (i < 40) write(`data/filestore/old/${name.slice(0, 3)}/${name}`);
    if (i < 10) write(`data/filestore/prod/checklist/${name.slice(0, 2)}/${name}`);
  }
  mkdirSync(join(root, "data/filestore/fresh/checklist"), { recursive: true });
  write("data/sessions/ab/abcdef");
  write("data/addons/19.0/readme");
  write("data/filestore/prod/README");
  const name = sha1("home");
  write(`home/odoo/.local/share/Odoo/filestore/odoo/${name.slice(0, 2)}/${name}`);
  // What looks like one and is none: objects of git, packs of restic, a database called like a folder of files.
  write(`other/.git/objects/ab/${sha1("git").slice(2)}`);
  write(`other/objects/ab/${sha1("git").slice(2)}`);
  write(`other/repository/data/ab/ab${"0".repeat(62)}`);
  write(`two/filestore/ab/${name.slice(0, 2)}/${name}`);
  symlinkSync(join(root, "data"), join(root, "other", "link"));
});
after(() => rmSync(root, { recursive: true, force: true }));

test("every layout is found, from the data directory, from above, and from the filestore itself", async () => {
  const inData = {
    "data/filestore/prod": "prod",
    "data/filestore/old": "old",
    "data/filestore/fresh": "fresh",
  };
  assert.deepEqual(await found("data"), inData);
  assert.deepEqual(await found("data/filestore"), inData);
  assert.deepEqual(await found("data/filestore/prod"), { "data/filestore/prod": "prod" });
  assert.deepEqual(await found(), {
    ...inData,
    "home/odoo/.local/share/Odoo/filestore/odoo": "odoo",
    "two/filestore/ab": "ab",
  });
  assert.deepEqual(await found("other"), {});
});

test("a store tells its layout, about how much is in it, and what does not belong", async () => {
  const { stores, sessions } = await findStores(join(root, "data"));
  const store = (name: string) => stores.find(({ database }) => database === name)!;
  const prod = store("prod");
  assert.equal(prod.oldFolders, 0);
  assert.ok(prod.folders > 100);
  assert.ok(prod.filesEstimate > 100 && prod.filesEstimate < 300, `${prod.filesEstimate}`);
  assert.ok(prod.hasChecklist && prod.markedEstimate === 10);
  assert.deepEqual(prod.strangers, ["README"]);
  assert.ok(store("old").oldFolders > 30 && store("old").folders === 0);
  assert.deepEqual(sessions, [join(root, "data/sessions")]);
});

test("a directory that is not there is an error", async () => {
  await assert.rejects(findStores(join(root, "nowhere")), { code: "ODOO_NOT_FOUND" });
});
