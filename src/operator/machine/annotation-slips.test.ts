// Annotations that do nothing are told with what to write instead; those that work are not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ANNOTATION } from "../names.ts";
import { annotationSlips, triggerSlip } from "./annotation-slips.ts";
import type { SyncResource } from "./sync-resource.ts";

function slips(annotations: Record<string, string>): string[] {
  const resource = { metadata: { name: "a", annotations } } as unknown as SyncResource;
  return annotationSlips(resource).map(({ reason, text, fix }) => `${reason}: ${text}. ${fix}`);
}

test("what works, and what is other people's, is passed over", () => {
  for (const mode of ["safe", "compat"]) assert.deepEqual(slips({ [ANNOTATION.mode]: mode }), []);
  const on = { [ANNOTATION.readyConditions]: "true", [ANNOTATION.skipInitialSync]: "false" };
  const free = { [ANNOTATION.acceptShrink]: "1", [ANNOTATION.trigger]: "x" };
  assert.deepEqual(slips({ ...on, ...free, "example.com/mode": "Safe" }), []);
});

test("a safe mode that is misspelt, a switch that is not on, a name that nobody knows", () => {
  assert.match(slips({ [ANNOTATION.mode]: "Safe" })[0]!, /^UnknownMode: .*"Safe".* safe or compat/);
  assert.match(slips({ [ANNOTATION.readyConditions]: "yes" })[0]!, /^UnknownAnnotation: .*"yes"/);
  const misspelt = slips({ "holdfast.dev/skip-inital-sync": "true" });
  assert.match(misspelt[0]!, /skip-inital-sync does nothing\. .* skip-initial-sync/);
  assert.match(slips({ "volsync.backube/trigger-sync": "1" })[0]!, /^UnknownTrigger: /);
});

test("hostile ones are short and few", () => {
  const many = Object.fromEntries(
    Array.from({ length: 99 }, (_, i) => [`holdfast.dev/${i}${"x".repeat(200)}`, "y".repeat(9999)]),
  );
  const told = slips({ ...many, [ANNOTATION.mode]: "z".repeat(9999) });
  assert.ok(told.length <= 5);
  assert.ok(told.every((line) => line.length < 400));
});

test("no trigger at all is told: runs without a pause", () => {
  const of = (trigger?: object): string | undefined =>
    triggerSlip({ metadata: { name: "a" }, spec: { trigger } } as unknown as SyncResource)?.reason;
  assert.deepEqual([of(), of({})], ["NoTrigger", "NoTrigger"]);
  assert.deepEqual([of({ schedule: "0 4 * * *" }), of({ manual: "x" })], [undefined, undefined]);
});
