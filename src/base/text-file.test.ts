import { test } from "node:test";
import assert from "node:assert/strict";
import { decodeTextFile, trimByteString } from "./text-file.ts";

function toByteString(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

test("byte order marks decide how a file is read, and go away", () => {
  const expected = toByteString("pässword\n");
  const utf16 = Buffer.from("\ufeffpässword\n", "utf16le");
  assert.equal(decodeTextFile(utf16), expected);
  assert.equal(decodeTextFile(Buffer.from(utf16).swap16()), expected);
  assert.equal(decodeTextFile(Buffer.from("\ufeffpässword\n", "utf8")), expected);
  assert.equal(decodeTextFile(Buffer.from("pässword\n", "utf8")), expected);
  assert.equal(decodeTextFile(Buffer.from([0x61, 0xe4, 0xff])), "a\xe4\xff");
  assert.equal(decodeTextFile(Buffer.alloc(0)), "");
});

test("white space of every kind is trimmed at both ends only", () => {
  const space = toByteString(" \t\r\n\v\f\u0085\u00a0\u1680\u2003\u2028\u202f\u205f\u3000");
  assert.equal(trimByteString(`${space}a b${space}`), "a b");
  assert.equal(trimByteString(space), "");
  assert.equal(trimByteString(""), "");
  assert.equal(trimByteString(toByteString("\ufeffà\u200b")), toByteString("\ufeffà\u200b"));
  assert.equal(trimByteString("\xa0x\x85"), "\xa0x\x85"); // bytes that are not UTF-8 are no white space
  assert.equal(trimByteString(toByteString(" é…")), toByteString("é…"));
});
