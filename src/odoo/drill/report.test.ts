import { test } from "node:test";
import assert from "node:assert/strict";
import { canonicalJson, verdictOf, type DrillCheck } from "./report.ts";

const ok = (name: string): DrillCheck => ({ name, result: "ok", detail: "" });
const REQUIRED = ["marker", "recovery", "tables", "references", "content"];

test("passed is only what was checked, the marker first of all", () => {
  const all = REQUIRED.map(ok);
  assert.equal(verdictOf(all), "passed");
  assert.equal(verdictOf([...all, { ...ok("pages"), result: "not checked" }]), "passed");
  for (const name of REQUIRED) {
    const others = all.filter((each) => each.name !== name);
    assert.equal(verdictOf(others), "incomplete", name);
    const left: DrillCheck = { ...ok(name), result: "not checked" };
    assert.equal(verdictOf([...others, left]), "incomplete", name);
  }
  assert.equal(verdictOf([...all, { ...ok("content"), result: "failed" }]), "failed");
  assert.equal(verdictOf([]), "incomplete");
});

test("the same report is the same bytes, in whatever order its members were set", () => {
  const one = canonicalJson({ b: [1, { d: null, c: "ü" }], a: true, left: undefined });
  assert.equal(one, '{"a":true,"b":[1,{"c":"ü","d":null}]}\n');
  assert.equal(canonicalJson({ a: true, b: [1, { c: "ü", d: null }] }), one);
});
