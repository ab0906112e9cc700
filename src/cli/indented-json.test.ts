import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { indentedJson } from "./indented-json.ts";

test("two spaces a level, empty lists and objects on one line, strings as Go writes them", () => {
  const value = { a: [1, { b: "<" }], c: [], d: {}, e: null, f: true };
  const text = `{
  "a": [
    1,
    {
      "b": "\\u003c"
    }
  ],
  "c": [],
  "d": {},
  "e": null,
  "f": true
}`;
  assert.equal(indentedJson(value), text);
});

test("the text means the value", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      assert.deepEqual(JSON.parse(indentedJson(value)), JSON.parse(JSON.stringify(value)));
    }),
  );
});
