import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import assert from "node:assert/strict";
import { textToByteString } from "../restic/byte-string.ts";
import { readFileStart } from "./file-start.ts";

const folder = mkdtempSync(join(tmpdir(), "holdfast-file-start-"));
after(() => rmSync(folder, { recursive: true }));

function start(name: string, length: number): string | undefined {
  const bytes = readFileStart(textToByteString(join(folder, name)), length);
  return bytes && Buffer.from(bytes).toString();
}

test("the start of a file, up to its end", () => {
  writeFileSync(join(folder, "té"), "Signature: x");
  assert.equal(start("té", 9), "Signature");
  assert.equal(start("té", 100), "Signature: x");
  assert.equal(start("té", 0), "");
});

test("nothing there is undefined, a dangling link is there, and a pipe does not block", () => {
  assert.equal(start("absent", 5), undefined);
  symlinkSync("nowhere", join(folder, "dangling"));
  assert.equal(start("dangling", 0), "");
  assert.throws(() => start("dangling", 5), { code: "ENOENT" });
  execFileSync("mkfifo", [join(folder, "pipe")]);
  assert.equal(start("pipe", 5), "");
});
