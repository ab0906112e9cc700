import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { compileRe2 } from "./re2.ts";
import { PatternError } from "./re2-syntax.ts";

suite("expressions of Go", () => {
  test("match as JavaScript's do where both mean the same", () => {
    const atom = fc.constantFrom(
      "a",
      "b",
      ".",
      "[ab]",
      "[^a]",
      "\\d",
      "\\w",
      "\\s",
      "(a|b)",
      "(?:ab|)",
      "\\x61",
    );
    const often = fc.constantFrom("", "*", "+", "?", "{2}", "{1,2}", "*?", "{0,}");
    const place = fc.constantFrom("^", "$", "\\b", "\\B", "|");
    const piece = fc.oneof(
      fc.tuple(atom, often).map((parts) => parts.join("")),
      place,
    );
    const pattern = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(""));
    const text = fc.string({ unit: fc.constantFrom("a", "b", "1", " ", ".", ""), maxLength: 8 });
    fc.assert(
      fc.property(pattern, text, (source, subject) => {
        assert.equal(compileRe2(source)(subject), new RegExp(source, "s").test(subject), source);
      }),
      { numRuns: 2000 },
    );
  });

  test("have what JavaScript's have not", () => {
    const cases: [string, string, boolean][] = [
      ["^(data|stringData)$", "stringData", true],
      ["^(data|stringData)$", "metadata", false],
      ["(?i)PASSWORD", "my_password", true],
      ["(?i:A)b", "aB", false],
      ["(?P<x>a)\\z", "ba", true],
      ["\\Aa", "ba", false],
      ["[[:upper:]]+\\d", "xAB1", true],
      ["[[:^upper:]]", "AB", false],
      ["\\pL", "é", true],
      ["\\p{Greek}", "λ", true],
      ["\\Qa.b\\E", "axb", false],
      ["\\Qa.b\\E", "a.b", true],
      ["(?s)a.b", "a\nb", true],
      ["a.b", "a\nb", false],
      ["(?m)^b$", "a\nb\nc", true],
      ["[]a]", "]", true],
      ["a{,2}", "a{,2}", true],
      ["(?i)straße", "STRAßE", true],
    ];
    for (const [pattern, text, expected] of cases)
      assert.equal(compileRe2(pattern)(text), expected, pattern);
  });

  test("that RE2 refuses are refused", () => {
    for (const pattern of [
      "(",
      ")",
      "a**",
      "(?=a)",
      "(?<!a)",
      "\\1",
      "[b-a]",
      "a{1001}",
      "\\pX",
      "*",
      "[a",
      "\\",
      "(?x)a",
      "[[:foo:]]",
      "(a{1000}){1000}",
      "(".repeat(1e5),
    ]) {
      assert.throws(() => compileRe2(pattern), PatternError, pattern);
    }
  });

  test("take linear time", () => {
    assert.equal(compileRe2("^(a+)+$")(`${"a".repeat(20_000)}b`), false);
    assert.equal(compileRe2("(x?){100}x{100}")("x".repeat(100)), true);
  });
});
