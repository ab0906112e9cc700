import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { textOf } from "./value.ts";
import { plainScalar, taggedScalar, type Scalar } from "./yaml-scalar.ts";

function show(scalar: Scalar): string {
  if ("refused" in scalar) return "refused";
  return scalar.value ? `${scalar.value.type} ${textOf(scalar.value)}` : "null";
}

/** What SOPS hashes for each. */
const TABLE: Readonly<Record<string, string>> = {
  "0644": "int 420",
  "0o644": "int 420",
  "0x1F": "int 31",
  "0b11": "int 3",
  "-0b11": "int -3",
  "-0x10": "int -16",
  "1_000": "int 1000",
  "+12": "int 12",
  "-0": "int 0",
  "08": "float 8",
  "0": "int 0",
  "9223372036854775807": "int 9223372036854775807",
  "9223372036854775808": "refused",
  "18446744073709551616": "float 18446744073709552000",
  "-9223372036854775809": "float -9223372036854776000",
  "1e3": "float 1000",
  "1.": "float 1",
  ".5": "float 0.5",
  "+.5": "float 0.5",
  "1_0.5": "float 10.5",
  "._5": "str ._5",
  "1e999": "str 1e999",
  "-0.0": "float -0",
  ".inf": "float +Inf",
  "-.INF": "float -Inf",
  ".nan": "float NaN",
  ".iNf": "str .iNf",
  "1e22": "float 10000000000000000000000",
  "2024-01-01": "time 2024-01-01T00:00:00Z",
  "2024-1-1": "time 2024-01-01T00:00:00Z",
  "2024-02-30": "str 2024-02-30",
  "2001-12-14t21:59:43.10-05:00": "time 2001-12-14T21:59:43.1-05:00",
  "2001-12-14 21:59:43.10": "time 2001-12-14T21:59:43.1Z",
  "2001-12-14 21:59:43.10 -5": "str 2001-12-14 21:59:43.10 -5",
  "12:30:45": "str 12:30:45",
  yes: "str yes",
  on: "str on",
  n: "str n",
  true: "bool True",
  TRUE: "bool True",
  tRue: "str tRue",
  False: "bool False",
  "": "null",
  "~": "null",
  null: "null",
  NULL: "null",
  nUll: "str nUll",
  "-": "str -",
  "1:30": "str 1:30",
  "0x": "str 0x",
};

suite("plain scalars of YAML", () => {
  for (const [text, meaning] of Object.entries(TABLE)) {
    test(`${JSON.stringify(text)} is ${meaning}`, () =>
      assert.equal(show(plainScalar(text)), meaning));
  }

  test("every text means something, soon", () => {
    fc.assert(fc.property(fc.string(), (text) => void plainScalar(text)));
    for (const text of [
      "9".repeat(1e6),
      `0x${"f".repeat(1e6)}`,
      `${"_".repeat(1e6)}`,
      `1${"_".repeat(1e6)}`,
    ])
      plainScalar(text);
  });

  test("tags say more", () => {
    assert.equal(show(taggedScalar("str", "12")), "str 12");
    assert.equal(show(taggedScalar("float", "3")), "float 3");
    assert.equal(show(taggedScalar("int", "x")), "refused");
    assert.equal(show(taggedScalar("binary", "aGVs\nbG8=")), "str hello");
    assert.equal(show(taggedScalar("binary", "???")), "refused");
    assert.equal(show(taggedScalar("own", "5")), "str 5");
    assert.equal(show(taggedScalar("null", "~")), "null");
  });
});
