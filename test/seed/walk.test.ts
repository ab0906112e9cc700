// docs/seed-walk.md against the guide: every line that says something has exactly one verdict, and what the document quotes is
// what the guide says there.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readGuide } from "./read-guide.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const VERDICTS = ["works", "works, but", "not ours"];
const guide = readGuide();
const walk = readFileSync(join(ROOT, "docs", "seed-walk.md"), "utf8");

const rows = [...walk.matchAll(/^\| (\d+)(?:-(\d+))? \| `(.+?)` \| ([^|]+?) \| ?(.*?) ?\|$/gm)].map(
  ([, first, last, quotation, verdict, says]) => ({
    first: Number(first),
    last: Number(last ?? first),
    quotation: quotation!,
    verdict: verdict!,
    says: says!,
  }),
);

test("every row of the tables was read", () => {
  assert.equal(rows.length, [...walk.matchAll(/^\| \d/gm)].length);
  assert.ok(rows.length > 40);
});

test("every line of the guide has exactly one verdict", () => {
  const faults = guide.lines.flatMap(({ number, text, saysSomething }) => {
    const count = rows.filter(({ first, last }) => first <= number && number <= last).length;
    if (count === 1 || (count === 0 && !saysSomething)) return [];
    return [`${count} verdicts for line ${number}: ${text}`];
  });
  assert.deepEqual(faults, []);
  assert.ok(rows.every(({ last }) => last <= guide.lines.length));
});

test("what is quoted stands in these lines", () => {
  const faults = rows.filter(({ first, last, quotation }) => {
    const lines = guide.lines.slice(first - 1, last).map(({ text }) => text);
    return !lines.some((line) => line.includes(quotation));
  });
  assert.deepEqual(faults, []);
});

test("a verdict is one of three, and one that differs says why", () => {
  for (const { first, verdict, says } of rows) {
    assert.ok(VERDICTS.includes(verdict), `line ${first}: ${verdict}`);
    if (verdict !== "works") assert.ok(says.length > 40, `line ${first} does not say why`);
  }
});

test("every proof that a row names is a test that exists", () => {
  const proofs = new Map(
    [...walk.matchAll(/^\| \*\*(\w)\*\* `([^`]+)`/gm)].map(([, letter, path]) => [letter!, path!]),
  );
  for (const path of proofs.values()) assert.ok(existsSync(join(ROOT, path)), path);
  const named = rows.flatMap(({ says }) =>
    [...says.matchAll(/\(((?:[A-Z](?:, )?)+)\b/g)].flatMap((match) => match[1]!.match(/[A-Z]/g)!),
  );
  assert.ok(named.length > 30);
  for (const letter of named) assert.ok(proofs.has(letter), `${letter} is no proof`);
});
