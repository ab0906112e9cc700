// Files that are made or replaced: what stays of the old one, and what is left when it cannot be done.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import { systemRandom } from "../base/clock.ts";
import {
  besideName,
  createBeside,
  createFile,
  replaceFile,
  requireReplaceable,
} from "./replace-file.ts";

const OLD = Buffer.from("old\n");
const NEW = Buffer.from("new\n");
const options = { random: systemRandom, expected: OLD };
const skip = process.geteuid?.() === 0 ? false : "only root may do what this needs";
const USAGE = (message: RegExp): object => ({ code: "USAGE", message });

suite("files made or replaced", () => {
  let folder: string;
  const at = (name: string): string => join(folder, name);
  const text = (name: string): string => readFileSync(at(name), "utf8");
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "holdfast-replace-"));
    writeFileSync(at("file"), OLD, { mode: 0o640 });
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test("permissions, the way through a link and the other hard link stay", async () => {
    chmodSync(at("file"), 0o640);
    symlinkSync("file", at("link"));
    linkSync(at("file"), at("other"));
    assert.equal(await replaceFile(at("link"), NEW, options), true);
    assert.deepEqual([text("file"), text("link"), text("other")], ["new\n", "new\n", "old\n"]);
    assert.equal(statSync(at("file")).mode & 0o7777, 0o640);
    assert.deepEqual(readdirSync(folder).toSorted(), ["file", "link", "other"]);
  });

  test("what somebody else changed or took away stays so", async () => {
    writeFileSync(at("file"), "theirs\n");
    assert.equal(await replaceFile(at("file"), NEW, options), false);
    assert.equal(text("file"), "theirs\n");
    rmSync(at("file"));
    assert.equal(await replaceFile(at("file"), NEW, options), false);
    assert.deepEqual(readdirSync(folder), []);
  });

  test("a file beside another has a name of the same format, and no other's", async () => {
    const names = [
      ["x.enc.yaml", "x.edited.enc.yaml"],
      ["x.sops.json", "x.edited.sops.json"],
      ["x.yml", "x.edited.yml"],
      [".env", ".edited.env"],
      ["prod.env", "prod.edited.env"],
      [".enc.yaml", ".edited.enc.yaml"],
      ["key.pem", "key.edited.pem"],
      [".secret", ".secret.edited"],
      ["secret", "secret.edited"],
      ["a.b/secret", "a.b/secret.edited"],
    ] as const;
    for (const [name, beside] of names) assert.equal(besideName(name, "edited"), beside);
    const made: string[] = [];
    for (let count = 0; count < 3; count++) made.push(await createBeside(at("x.enc.yaml"), NEW));
    const expected = ["x.edited.enc.yaml", "x.edited-2.enc.yaml", "x.edited-3.enc.yaml"];
    assert.deepEqual(made, expected.map(at));
    await assert.rejects(createFile(made[0]!, OLD), USAGE(/exists; it is as it was$/));
  });

  test("what can be known is known before", { timeout: 60_000 }, async () => {
    symlinkSync("nowhere", at("dangling"));
    symlinkSync("circle", at("circle"));
    mkdirSync(at("folder"));
    execFileSync("mkfifo", [at("fifo")]);
    for (const [name, why] of [
      ["dangling", /dangling cannot be written: it is a link that leads nowhere$/],
      ["circle", /circle cannot be written: ELOOP: [^,]+$/],
      ["folder", /folder cannot be written: it is no regular file$/],
      ["fifo", /fifo cannot be written: it is no regular file$/],
      ["absent/x", /x cannot be written: \S+absent: ENOENT: [^,]+$/],
      ["file/x", /x cannot be written: ENOTDIR: [^,]+$/],
    ] as const) {
      await assert.rejects(requireReplaceable(at(name)), USAGE(why));
    }
    await requireReplaceable(at("file"));
    await requireReplaceable(at("new"));
  });

  test("the owner stays", { skip }, async () => {
    chownSync(at("file"), 1000, 1001);
    chmodSync(at("file"), 0o4640);
    assert.equal(await replaceFile(at("file"), NEW, options), true);
    const { uid, gid, mode } = statSync(at("file"));
    assert.deepEqual([uid, gid, mode & 0o7777], [1000, 1001, 0o4640]);
  });

  test("nobody loses a file to somebody else", { skip }, async () => {
    chmodSync(folder, 0o777);
    writeFileSync(at("own"), OLD);
    chownSync(at("own"), 1000, 1001);
    mkdirSync(at("closed"));
    chmodSync(at("closed"), 0o755);
    process.seteuid!(1000);
    try {
      const lost = USAGE(/file cannot be replaced: it belongs to somebody else$/);
      await assert.rejects(requireReplaceable(at("file")), lost);
      await assert.rejects(replaceFile(at("file"), NEW, options), lost);
      const denied = USAGE(/x cannot be made: EACCES: permission denied$/);
      await assert.rejects(createFile(at("closed/x"), NEW), denied);
    } finally {
      process.seteuid!(0);
    }
    assert.equal(text("file"), "old\n");
    assert.deepEqual(readdirSync(at("closed")), []);
  });

  test("a full disk, or one that takes nothing, leaves what there was", { skip }, async () => {
    mkdirSync(at("small"));
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "none", at("small")]);
    try {
      writeFileSync(at("small/file"), OLD);
      const much = Buffer.alloc(1 << 20);
      const made = createFile(at("small/x"), much);
      await assert.rejects(made, USAGE(/x cannot be made: ENOSPC: no space left on device$/));
      const why = /file cannot be replaced: ENOSPC: no space left on device; it is as it was$/;
      await assert.rejects(replaceFile(at("small/file"), much, options), USAGE(why));
      assert.deepEqual(readdirSync(at("small")), ["file"]);
      assert.equal(text("small/file"), "old\n");
      execFileSync("mount", ["-o", "remount,ro", at("small")]);
      await assert.rejects(requireReplaceable(at("small/x")), USAGE(/small: EROFS: [^,]+$/));
    } finally {
      execFileSync("umount", [at("small")]);
    }
  });

  test("a file that is mounted by itself is left alone, with a hint", { skip }, async () => {
    execFileSync("mount", ["--bind", at("file"), at("file")]);
    try {
      await assert.rejects(replaceFile(at("file"), NEW, options), {
        code: "USAGE",
        message: /file cannot be replaced: EBUSY: [^,]+; it is as it was$/,
        hint: /mounted by itself/,
      });
      assert.equal(text("file"), "old\n");
      assert.deepEqual(readdirSync(folder), ["file"]);
    } finally {
      execFileSync("umount", [at("file")]);
    }
  });
});
