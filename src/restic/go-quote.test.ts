// Expectations come from Go 1.26 (strconv.Quote, strconv.Unquote, strconv.IsPrint).

import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { isHoldfastError } from "../base/errors.ts";
import { isPrintable } from "./go-printable.ts";
import { quoteName, unquoteName } from "./go-quote.ts";

/** [name, quoted], both byte strings. */
const QUOTED: readonly (readonly [name: string, quoted: string])[] = [
  ["plain.txt", "plain.txt"],
  ["a b", "a b"],
  ["\xff\xfe", "\\xff\\xfe"],
  ["caf\xc3\xa9", "caf\xc3\xa9"],
  ["caf\xe9", "caf\\xe9"],
  ["tab\x09nl\x0acr\x0dbel\x07bs\x08ff\x0cvt\x0b", "tab\\tnl\\ncr\\rbel\\abs\\bff\\fvt\\v"],
  ["\x01\x1f\x7f", "\\x01\\x1f\\x7f"],
  ["\xc2\xa0nbsp", "\\u00a0nbsp"],
  ["\xc2\xadshy", "\\u00adshy"],
  ["\xe2\x80\xa8ls\xe2\x80\xa9ps", "\\u2028ls\\u2029ps"],
  ["\xee\x80\x80pua", "\\ue000pua"],
  ["\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"],
  ["\xf0\x9f\xab\xaa", "\\U0001faea"],
  ["\xf0\x9f\xab\xa8", "\xf0\x9f\xab\xa8"],
  ['quote"back\\slash', 'quote\\"back\\\\slash'],
  ["<a&b>", "<a&b>"],
  ["\xef\xbf\xbd", "\xef\xbf\xbd"],
  ["\xed\xa0\x80", "\\xed\\xa0\\x80"],
  ["\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"],
  ["\xc0\x80", "\\xc0\\x80"],
  ["\xe2\x82", "\\xe2\\x82"],
  ["\xc2\x80\xc2\x9f", "\\u0080\\u009f"],
  ["\xf4\x8f\xbf\xbf", "\\U0010ffff"],
  ["\xf3\xa0\x80\x81", "\\U000e0001"],
  ["\xe3\x80\x80x", "\\u3000x"],
  ["\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"],
  ["\xcc\x81", "\xcc\x81"],
  ["'", "'"],
  ["\xef\xbb\xbfbom", "\\ufeffbom"],
  ["\x00nul", "\\x00nul"],
];

/** [quoted, name or undefined where Go refuses]. */
const UNQUOTED: readonly (readonly [quoted: string, name: string | undefined])[] = [
  ["\\x41", "A"],
  ["\\101", "A"],
  ["\\377", "\xff"],
  ["\\400", undefined],
  ["\\18", undefined],
  ["\\u00e9", "\xc3\xa9"],
  ["\\ud800", undefined],
  ["\\U00110000", undefined],
  ["\\U0010FFFF", "\xf4\x8f\xbf\xbf"],
  ["\\'", undefined],
  ["'", "'"],
  ['"', undefined],
  ['\\"', '"'],
  ["a\x0ab", undefined],
  ["\\", undefined],
  ["\\x4", undefined],
  ["\\q", undefined],
  ["\\a\\b\\f\\n\\r\\t\\v\\\\", "\x07\x08\x0c\x0a\x0d\x09\x0b\\"],
  ["\\xff", "\xff"],
  ["\xc3\xa9", "\xc3\xa9"],
  ["\x09", "\x09"],
  ["\x7f", "\x7f"],
  ["", ""],
  ["\\0", undefined],
  ["\\u12", undefined],
  ["\\x4G", undefined],
  ["\\xAB", "\xab"],
  ["\\uABCD", "\xea\xaf\x8d"],
  ["\\\x0a", undefined],
];

const byteString = fc
  .uint8Array({ maxLength: 40 })
  .map((bytes) => Buffer.from(bytes).toString("latin1"));

test("names are quoted as Go does", () => {
  for (const [name, quoted] of QUOTED) {
    assert.equal(quoteName(name), quoted);
    assert.equal(unquoteName(quoted), name);
  }
});

test("quoted names are accepted and refused as Go does", () => {
  for (const [quoted, name] of UNQUOTED) {
    if (name !== undefined) assert.equal(unquoteName(quoted), name, quoted);
    else assert.throws(() => unquoteName(quoted), { code: "TREE_DAMAGED" }, quoted);
  }
});

test("as many code points are printable as Go says", () => {
  let count = 0;
  for (let point = 0; point <= 0x10ffff; point++) if (isPrintable(point)) count++;
  assert.equal(count, 148_998);
});

test("any bytes survive quoting, and the result is clean text", () => {
  fc.assert(
    fc.property(byteString, (name) => {
      const quoted = quoteName(name);
      assert.equal(unquoteName(quoted), name);
      const text = Buffer.from(quoted, "latin1").toString("utf8");
      assert.doesNotMatch(text, /[\u0000-\u001f\u007f-\u00a0\ufffd\u2028]/u);
    }),
  );
});

test("any text is unquoted or refused with TREE_DAMAGED", () => {
  const piece = fc.constantFrom("\\", "x", "u", "U", "0", "7", "f", '"', "n", "\n", "\xff", "é");
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 14 }), (pieces) => {
      try {
        unquoteName(pieces.join(""));
      } catch (error) {
        assert.ok(isHoldfastError(error, "TREE_DAMAGED"));
      }
    }),
  );
});
