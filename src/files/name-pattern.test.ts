import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { textToByteString } from "../restic/byte-string.ts";
import { compileName, lowerCase } from "./name-pattern.ts";

function fits(pattern: string, name: string): boolean {
  return compileName(textToByteString(pattern))(textToByteString(name));
}

const MATCHING: [pattern: string, ...names: string[]][] = [
  ["ledger", "ledger"],
  ["", ""],
  ["*", "", "x", "anything at all", ".hidden"],
  ["a*", "a", "abc"],
  ["*c", "c", "abc"],
  ["*b*", "b", "abc", "xxbxx"],
  ["a*b*c", "abc", "a-b-c", "abbc", "aXbYbZc"],
  ["a**c", "ac", "abc"],
  ["?", "x", "é", "名", "😀"],
  ["???", "abc", "é名😀"],
  ["[abc]x", "ax", "cx"],
  ["[a-c]", "a", "b", "c"],
  ["[^a-c]", "d", "é", "/"],
  ["[a-cx-z]", "b", "y"],
  ["[é-ü]", "é", "ö"],
  ["[名-名]", "名"],
  ["[a^]", "^"],
  ["[\\]\\-]", "]", "-"],
  ["[[]", "["],
  ["[\\--/]", "-", "."],
  ["[*?]", "*", "?"],
  ["\\*", "*"],
  ["\\[a\\]", "[a]"],
  ["\\n", "n"],
  ["a]", "a]"],
  ["a*[xy]?", "a1x2", "axy"],
  ["*.tar.gz", "backup.tar.gz", ".tar.gz"],
  ["*ab", "aab", "abab"],
];

const DIFFERENT: [pattern: string, ...names: string[]][] = [
  ["ledger", "Ledger", "ledgers", "ledge", ""],
  ["*", "/"],
  ["?", "", "ab", "/"],
  ["a*", "", "ba"],
  ["*c", "ca", ""],
  ["a*b*c", "acb", "ab", "bc"],
  ["[a-c]", "", "d", "ab", "-"],
  ["[c-a]", "a", "b", "c"],
  ["[^a-c]", "a", ""],
  ["[^é]", "é"],
  ["\\*", "x", "\\*"],
  ["*.tar.gz", "backup.tar", "tar.gz"],
  ["a*[xy]?", "ax", "a1"],
];

test("a name pattern matches", () => {
  for (const [pattern, ...names] of MATCHING) {
    for (const name of names) assert.equal(fits(pattern, name), true, `${pattern} on ${name}`);
  }
});

test("a name pattern does not match", () => {
  for (const [pattern, ...names] of DIFFERENT) {
    for (const name of names) assert.equal(fits(pattern, name), false, `${pattern} on ${name}`);
  }
});

test("a malformed pattern is refused, wherever its mistake stands", () => {
  for (const pattern of [
    "[",
    "a[",
    "[]",
    "[]a]",
    "[a",
    "[a-",
    "[a-]",
    "[-a]",
    "[^]",
    "[^",
    "\\",
    "a*b\\",
    "[\\",
    "[a\\",
    "x*[",
    "*[z-",
  ]) {
    assert.throws(() => compileName(textToByteString(pattern)), SyntaxError, pattern);
  }
  assert.throws(() => compileName("[\xff]"), SyntaxError);
  assert.throws(() => compileName("[a-\xc3]"), SyntaxError);
});

test("bytes that are not UTF-8 count one each, as U+FFFD for classes", () => {
  assert.equal(compileName("?")("\xff"), true);
  assert.equal(compileName("??")("\xc3("), true);
  assert.equal(compileName("?")("\xed\xa0\x80"), false); // a surrogate: three bytes, not one character
  assert.equal(compileName("???")("\xed\xa0\x80"), true);
  assert.equal(compileName("??")("\xc0\x80"), true); // overlong
  assert.equal(compileName(textToByteString("[\ufffd]"))("\xff"), true);
  assert.equal(compileName("caf\xe9*")("caf\xe9.txt"), true);
  assert.equal(compileName("*\xa9")(textToByteString("é")), true); // a star may stop inside a character
});

test("a literal matches itself and nothing else", () => {
  const literal = fc.string({ unit: fc.constantFrom("a", "b", ".", "é", "-", " ") });
  fc.assert(
    fc.property(literal, literal, (a, b) => {
      assert.equal(fits(a, a), true);
      assert.equal(fits(a, b), a === b);
      assert.equal(fits(`*${a}`, b + a), true);
      assert.equal(fits(`${a}*`, a + b), true);
      assert.equal(fits(`*${a}*`, b + a + b), true);
    }),
  );
});

test("lower case goes character by character and replaces what is not UTF-8", () => {
  const lower = (text: string) => lowerCase(textToByteString(text));
  assert.equal(lower("ABC-é"), textToByteString("abc-é"));
  assert.equal(lower("ÀÉÎ Ω Д"), textToByteString("àéî ω д"));
  assert.equal(lower("ΟΔΟΣ"), textToByteString("οδοσ"));
  assert.equal(lower("İ"), "i");
  assert.equal(lower("ẞ"), textToByteString("ß"));
  assert.equal(lowerCase("A\xff\xc3"), textToByteString("a\ufffd\ufffd"));
});
