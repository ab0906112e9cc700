// Expectations come from encoding/json of Go 1.26.

import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { byteStringToText, isUtf8, textToByteString } from "./byte-string.ts";
import { goJsonByteString, goJsonString } from "./go-json.ts";

/** [Go string, its JSON], both byte strings. */
const VECTORS: readonly (readonly [raw: string, json: string])[] = [
  ["plain.txt", '"plain.txt"'],
  ["a b", '"a b"'],
  ["\xff\xfe", '"\\ufffd\\ufffd"'],
  ["caf\xc3\xa9", '"caf\xc3\xa9"'],
  ["caf\xe9", '"caf\\ufffd"'],
  [
    "tab\x09nl\x0acr\x0dbel\x07bs\x08ff\x0cvt\x0b",
    '"tab\\tnl\\ncr\\rbel\\u0007bs\\bff\\fvt\\u000b"',
  ],
  ["\x01\x1f\x7f", '"\\u0001\\u001f\x7f"'],
  ["\xc2\xa0nbsp", '"\xc2\xa0nbsp"'],
  ["\xc2\xadshy", '"\xc2\xadshy"'],
  ["\xe2\x80\xa8ls\xe2\x80\xa9ps", '"\\u2028ls\\u2029ps"'],
  ["\xee\x80\x80pua", '"\xee\x80\x80pua"'],
  ["\xf0\x9f\x98\x80", '"\xf0\x9f\x98\x80"'],
  ["\xf0\x9f\xab\xaa", '"\xf0\x9f\xab\xaa"'],
  ["\xf0\x9f\xab\xa8", '"\xf0\x9f\xab\xa8"'],
  ['quote"back\\slash', '"quote\\"back\\\\slash"'],
  ["<a&b>", '"\\u003ca\\u0026b\\u003e"'],
  ["\xef\xbf\xbd", '"\xef\xbf\xbd"'],
  ["\xed\xa0\x80", '"\\ufffd\\ufffd\\ufffd"'],
  ["\xf4\x90\x80\x80", '"\\ufffd\\ufffd\\ufffd\\ufffd"'],
  ["\xc0\x80", '"\\ufffd\\ufffd"'],
  ["\xe2\x82", '"\\ufffd\\ufffd"'],
  ["\xc2\x80\xc2\x9f", '"\xc2\x80\xc2\x9f"'],
  ["\xf4\x8f\xbf\xbf", '"\xf4\x8f\xbf\xbf"'],
  ["\xf3\xa0\x80\x81", '"\xf3\xa0\x80\x81"'],
  ["\xe3\x80\x80x", '"\xe3\x80\x80x"'],
  ["\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", '"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"'],
  ["\xcc\x81", '"\xcc\x81"'],
  ["'", '"\'"'],
  ["\xef\xbb\xbfbom", '"\xef\xbb\xbfbom"'],
  ["\x00nul", '"\\u0000nul"'],
  ["\x00\x01\x08\x0c\x0a\x0d\x09\x1f\x7f", '"\\u0000\\u0001\\b\\f\\n\\r\\t\\u001f\x7f"'],
  ["\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa", '"\xe2\x80\xa7\\u2028\\u2029\xe2\x80\xaa"'],
  ["a\xffb\xf0\x9f\x98", '"a\\ufffdb\\ufffd\\ufffd\\ufffd"'],
  ["\xf0\x9f\x98\x80<>&", '"\xf0\x9f\x98\x80\\u003c\\u003e\\u0026"'],
];

test("byte strings are encoded as Go does", () => {
  for (const [raw, json] of VECTORS) assert.equal(goJsonByteString(raw), json);
});

test("text is encoded as Go does", () => {
  for (const [raw, json] of VECTORS) {
    if (isUtf8(raw)) assert.equal(textToByteString(goJsonString(byteStringToText(raw))), json);
  }
});

test("lone surrogates become the escape of U+FFFD", () => {
  assert.equal(goJsonString("a\ud800b"), '"a\\ufffdb"');
  assert.equal(goJsonString("\udc00\ud83d\ude00\ud83d"), '"\\ufffd\ud83d\ude00\\ufffd"');
});

test("JSON.parse reads back any well-formed text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      assert.equal(JSON.parse(goJsonString(text)), text.toWellFormed());
      const json = goJsonByteString(textToByteString(text));
      assert.equal(json, textToByteString(goJsonString(text)));
    }),
  );
});

test("any bytes give JSON that stands for them with U+FFFD in place of what is not UTF-8", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 30 }), (bytes) => {
      const json = goJsonByteString(Buffer.from(bytes).toString("latin1"));
      const text = JSON.parse(byteStringToText(json)) as string;
      // Go replaces byte by byte, TextDecoder whole sequences at once.
      const squeeze = (value: string): string => value.replace(/\ufffd+/g, "\ufffd");
      assert.equal(squeeze(text), squeeze(Buffer.from(bytes).toString("utf8")));
    }),
  );
});
