import { test } from "node:test";
import assert from "node:assert/strict";
import { isHoldfastError } from "../base/errors.ts";
import { compileAttributeFilter, compileSelector } from "./selection.ts";
import type { Selection, SelectionOptions } from "./selection.ts";

const FILES: Record<string, string> = { list: "/srv/odoo/filestore/ab\n" };
const io = {
  readFile: (name: string) => Promise.resolve(Buffer.from(FILES[name] ?? "")),
  variables: () => undefined,
};

async function select(
  options: SelectionOptions,
  path: string,
  isDirectory = false,
): Promise<Selection> {
  const selector = await compileSelector(options, io);
  return selector(path, isDirectory);
}

const ALL = { selected: true, childMayBeSelected: true };
const ENTER = { selected: false, childMayBeSelected: true };
const ITSELF = { selected: true, childMayBeSelected: false };
const NOTHING = { selected: false, childMayBeSelected: false };

test("everything is selected by default", async () => {
  assert.deepEqual(await select({}, "/srv", true), ALL);
  assert.deepEqual(await select({}, "/srv/x"), ITSELF);
});

test("includes select what matches, and enter the directories on the way", async () => {
  for (const options of [{ include: ["/srv/odoo/filestore/ab"] }, { includeFile: ["list"] }]) {
    assert.deepEqual(await select(options, "/srv", true), ENTER);
    assert.deepEqual(await select(options, "/srv/odoo", true), ENTER);
    assert.deepEqual(await select(options, "/srv/odoo/filestore/ab", true), ALL);
    assert.deepEqual(await select(options, "/srv/odoo/filestore/ab/abcd"), ITSELF);
    assert.deepEqual(await select(options, "/srv/odoo/x"), NOTHING);
    assert.deepEqual(await select(options, "/var", true), NOTHING);
  }
});

test("includes that ignore case add to those that do not", async () => {
  const options = { include: ["/A"], iinclude: ["/b"] };
  assert.deepEqual(await select(options, "/A/x"), ITSELF);
  assert.deepEqual(await select(options, "/a/x"), NOTHING);
  assert.deepEqual(await select(options, "/B/x"), ITSELF);
});

test("excludes leave out what matches with all below", async () => {
  const options = { exclude: ["*.log", "/tmp"], iexclude: ["CACHE"] };
  assert.deepEqual(await select(options, "/tmp", true), NOTHING);
  assert.deepEqual(await select(options, "/x/cache", true), NOTHING);
  assert.deepEqual(await select(options, "/x", true), ALL);
  assert.deepEqual(await select(options, "/x/a.log"), NOTHING);
});

test("includes and excludes at once are a usage error", async () => {
  const isUsage = (error: unknown) => isHoldfastError(error, "USAGE");
  await assert.rejects(select({ include: ["a"], exclude: ["b"] }, "/a"), isUsage);
  assert.throws(() => compileAttributeFilter({ include: ["a"], exclude: ["b"] }), isUsage);
});

test("attributes are selected by name", () => {
  const user = compileAttributeFilter({ include: ["user.*"] });
  assert.equal(user("user.mime_type"), true);
  assert.equal(user("security.selinux"), false);
  const noAcl = compileAttributeFilter({ exclude: ["system.posix_acl_*"] });
  assert.equal(noAcl("system.posix_acl_access"), false);
  assert.equal(noAcl("user.x"), true);
  assert.equal(compileAttributeFilter({})("anything"), true);
});
