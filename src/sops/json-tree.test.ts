import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { isHoldfastError } from "../base/errors.ts";
import { parseDotenv } from "./dotenv-tree.ts";
import { printJson } from "./json-print.ts";
import { parseJson } from "./json-tree.ts";
import { textOf } from "./value.ts";

const parse = (text: string): string => printJson(parseJson({ name: "x.json", text }));

suite("JSON", () => {
  test("is read as the language's own parser reads it, and printed so that it comes back", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.nat(4), (value, indent) => {
        assert.deepEqual(
          JSON.parse(parse(JSON.stringify(value, undefined, indent))),
          JSON.parse(JSON.stringify(value)),
        );
      }),
    );
  });

  test("integers are exact up to 64 bits", () => {
    assert.equal(
      parse(
        '{"a":12345678901234567,"b":-9223372036854775808,"c":1e400}'.replace("1e400", "1e30"),
      ).replace(/\s/g, ""),
      '{"a":12345678901234567,"b":-9223372036854775808,"c":1e+30}',
    );
  });

  test("is refused with its line as soon as it is none", () => {
    const bad = [
      "",
      "[]",
      "{",
      '{"a":}',
      '{"a":1,}',
      '{"a" 1}',
      "{a:1}",
      '{"a":01}',
      '{"a":1} x',
      '{"a":"\n"}',
      '{"a":"\\x"}',
      '{"a":1,"a":2}',
      `{"a":${"[".repeat(1e5)}`,
      '{"a":1e400}',
    ];
    for (const text of bad) {
      assert.throws(
        () => parse(text),
        (error) => isHoldfastError(error, "SOPS_INVALID"),
        text,
      );
    }
    assert.throws(() => parse('{\n"a":1,\n"a":2}'), /line 3: the key "a" is there twice/);
  });
});

suite("dotenv", () => {
  test("has no quotes, and comments only where a line begins", () => {
    const tree = parseDotenv({ name: ".env", text: '#c\n\nA="b # c"\nB=x\\ny\nC=' });
    const shown = tree.items.map((item) => {
      if (item.kind === "comment") return `#${item.text}`;
      return `${item.key}=${item.node.kind === "leaf" ? textOf(item.node.value!) : ""}`;
    });
    assert.deepEqual(shown, ["#c", 'A="b # c"', "B=x\ny", "C="]);
    assert.throws(
      () => parseDotenv({ name: ".env", text: "A=1\nsecret\n" }),
      /^HoldfastError: \.env, line 2: a line without =$/,
    );
  });
});
