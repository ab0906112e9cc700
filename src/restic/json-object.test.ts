import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { parseJsonObject, parseUint64, splitJsonObject } from "./json-object.ts";

test("integers up to 2^64 - 1 are exact, and bigint only where they have to be", () => {
  assert.equal(parseUint64("0"), 0);
  assert.equal(parseUint64("9007199254740991"), 9007199254740991);
  assert.equal(parseUint64("9007199254740993"), 9007199254740993n);
  assert.equal(parseUint64("18446744073709551615"), 18446744073709551615n);
  for (const text of ["", "-1", "01", "1.0", "1e3", "18446744073709551616", " 1", "0x1"]) {
    assert.equal(parseUint64(text), undefined, text);
  }
});

test("only objects are objects", () => {
  assert.deepEqual(parseJsonObject('{"a":1}'), { a: 1 });
  for (const text of ["", "[]", "null", "1", '"a"', "{", "{} x"]) {
    assert.equal(parseJsonObject(text), undefined, text);
  }
});

test("an object falls apart into the exact texts of its members", () => {
  const text = ' { "a" : 1.50 , "b\\"{" : [ "]", {"c":"\\\\"} ] ,\n"d":{}, "e":"x,}" } ';
  assert.deepEqual(
    [...splitJsonObject(text)],
    [
      ["a", "1.50"],
      ['b"{', '[ "]", {"c":"\\\\"} ]'],
      ["d", "{}"],
      ["e", '"x,}"'],
    ],
  );
  assert.deepEqual([...splitJsonObject("{}")], []);
});

test("every object falls apart into members of equal value", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.boolean(), (value, indent) => {
      const text = JSON.stringify(value, undefined, indent ? 1 : undefined);
      const members = [...splitJsonObject(text)].map(([key, json]) => [
        key,
        JSON.parse(json) as unknown,
      ]);
      assert.deepEqual(
        Object.fromEntries(members),
        Object.fromEntries(Object.entries(JSON.parse(text) as object)),
      );
    }),
  );
});
