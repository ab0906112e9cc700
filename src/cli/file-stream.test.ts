import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileStream } from "./file-stream.ts";

const folder = mkdtempSync(join(tmpdir(), "holdfast-file-stream-"));
after(() => rmSync(folder, { recursive: true }));

test("a file gets every byte, and a device is left to Node", () => {
  const path = join(folder, "file");
  const file = openSync(path, "w");
  const stream = fileStream(file)!;
  stream.write("ä");
  stream.write(new Uint8Array(300_000));
  closeSync(file);
  assert.equal(readFileSync(path).length, 300_002);
  const device = openSync("/dev/null", "w");
  assert.equal(fileStream(device), undefined);
  closeSync(device);
  assert.equal(fileStream(device), undefined, "no such descriptor");
});

test("what the system does not take is an error", () => {
  const reading = openSync(join(folder, "file"), "r");
  assert.throws(() => fileStream(reading)!.write("x"), { code: "EBADF" });
  closeSync(reading);
});
