import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { canonical, canonicalTime, decimalOf, textOf, valueOf, type ValueType } from "./value.ts";

suite("values", () => {
  test("floats are the shortest decimal without an exponent", () => {
    const expected: [number, string][] = [
      [0, "0"],
      [-0, "-0"],
      [0.1, "0.1"],
      [1e21, "1000000000000000000000"],
      [1.5e-7, "0.00000015"],
      [123456789.5, "123456789.5"],
      [-2.5e22, "-25000000000000000000000"],
      [Infinity, "+Inf"],
      [NaN, "NaN"],
    ];
    for (const [number, text] of expected) assert.equal(decimalOf(number), text);
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (number) => {
        const text = decimalOf(number);
        assert.ok(Object.is(Number(text), number));
        assert.match(text, /^-?\d+(\.\d+)?$/);
      }),
    );
  });

  test("times are RFC 3339 as Go writes it again", () => {
    assert.equal(canonicalTime("2001-12-14T21:59:43.10-05:00"), "2001-12-14T21:59:43.1-05:00");
    assert.equal(canonicalTime("2024-02-29T00:00:00.000+00:00"), "2024-02-29T00:00:00Z");
    for (const none of ["2023-02-29T00:00:00Z", "2024-01-01", "2024-01-01T24:00:00Z", "x"]) {
      assert.equal(canonicalTime(none), undefined);
    }
  });

  test("what is no value of its type is none", () => {
    const read = (type: ValueType, text: string): string | undefined => {
      const value = canonical(type, Buffer.from(text));
      return value && textOf(value);
    };
    assert.equal(read("int", "+042"), "42");
    assert.equal(read("int", "9223372036854775808"), undefined);
    assert.equal(read("int", "1.0"), undefined);
    assert.equal(read("bool", "t"), "True");
    assert.equal(read("bool", "yes"), undefined);
    assert.equal(read("float", "1e3"), "1000");
    assert.equal(read("float", "-inf"), "-Inf");
    assert.equal(read("float", "0x10"), undefined);
    assert.equal(read("time", "now"), undefined);
    assert.deepEqual(canonical("bytes", Buffer.of(0xff))?.bytes, Buffer.of(0xff));
    assert.equal(textOf(valueOf("str", "é")), "é");
  });
});
