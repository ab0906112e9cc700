import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { isHoldfastError } from "../base/errors.ts";
import { textToByteString } from "../restic/byte-string.ts";
import { compilePatterns, matches } from "./patterns.ts";

function matched(patterns: string[], path: string): boolean {
  return matches(compilePatterns(patterns), textToByteString(path)).matched;
}

function childMayMatch(patterns: string[], path: string): boolean {
  return matches(compilePatterns(patterns), textToByteString(path)).childMayMatch;
}

/** Pattern, paths it matches, paths it does not match. */
const SINGLE: [pattern: string, matching: string[], different: string[]][] = [
  [
    "*.log",
    ["/srv/odoo/odoo.log", "/x.log", "x.log", "/srv/a.log/inside"],
    ["/srv/odoo/log", "/srv"],
  ],
  ["*", ["/srv", "/srv/odoo", "srv"], []],
  ["**", ["/srv", "/srv/odoo", "srv"], []],
  ["odoo", ["/odoo", "/srv/odoo", "/srv/odoo/filestore/ab"], ["/srv/odoo2", "/srv/Odoo"]],
  ["/odoo", ["/odoo", "/odoo/filestore"], ["/srv/odoo", "odoo"]],
  ["/odoo/", ["/odoo", "/odoo/x"], ["/srv/odoo"]],
  ["//odoo///tmp", ["/odoo/tmp"], ["/odoo", "/odoo/tm"]],
  ["/odoo/../tmp", ["/tmp", "/tmp/x"], ["/odoo/tmp", "/odoo"]],
  ["./odoo", ["/srv/odoo"], ["/srv"]],
  ["/odoo/*", ["/odoo/x", "/odoo/x/y"], ["/odoo", "/srv/odoo/x"]],
  ["odoo/*", ["/odoo/x", "/srv/odoo/x", "odoo/x"], ["/srv/odoo"]],
  ["file*/??/*.tmp", ["/srv/filestore/ab/c.tmp", "/files/ab/c.tmp"], ["/filestore/abc/c.tmp"]],
  ["/*/*/cache/s.*", ["/a/b/cache/s.x"], ["/a/cache/s.x", "/cache/s.x", "/a/b/c/cache/s.x"]],
  ["/srv/*/tmp", ["/srv/a/tmp", "/srv/a/tmp/x"], ["/srv/tmp", "/srv/a/b/tmp", "/srv/a"]],
  ["/srv/**/tmp", ["/srv/tmp", "/srv/a/tmp", "/srv/a/b/c/tmp/x"], ["/tmp", "/var/srv/tmp"]],
  ["/srv/**", ["/srv", "/srv/a", "/srv/a/b"], ["/var", "/var/srv"]],
  ["srv/**/t/*.py", ["/srv/t/a.py", "/x/srv/a/b/t/a.py", "srv/t/a.py"], ["/t/a.py", "/srv/t/a.c"]],
  ["a/**/b/**/c", ["/a/b/c", "/x/a/1/2/b/3/c"], ["/a/c", "/b/a/c"]],
  ["/", ["/", "/x", "/x/y"], ["x"]],
  ["**/tmp", ["/tmp", "/a/tmp", "/a/b/tmp/c"], ["/a"]],
  ["caf?", ["/café", "/x/café/y"], ["/cafés"]],
];

test("a single pattern", () => {
  for (const [pattern, matching, different] of SINGLE) {
    for (const path of matching)
      assert.equal(matched([pattern], path), true, `${pattern}: ${path}`);
    for (const path of different)
      assert.equal(matched([pattern], path), false, `${pattern}: ${path}`);
  }
});

test("two ** in an absolute pattern stand for at least two directories in all, as in restic", () => {
  assert.equal(matched(["/a/**/b/**/c"], "/a/x/b/y/c"), true);
  assert.equal(matched(["/a/**/b/**/c"], "/a/x/b/c"), false);
  assert.equal(matched(["/a/**/b/**/c"], "/a/b/c"), false);
  assert.equal(matched(["a/**/b/**/c"], "a/b/c"), false);
});

test("several patterns are joined, and an empty list matches nothing", () => {
  assert.equal(matched([], "/srv"), false);
  assert.equal(childMayMatch([], "/srv"), false);
  assert.equal(matched([""], "/srv"), false);
  assert.equal(matched(["*.c", "*.go"], "/srv/a.go"), true);
  assert.equal(matched(["*.c", "", "*.go"], "/srv/a.py"), false);
});

/** Patterns, path, matched, childMayMatch. */
const NEGATED: [patterns: string[], path: string, matched: boolean, below: boolean][] = [
  [["*.log", "!keep.log"], "/srv/keep.log", false, false],
  [["*.log", "!keep.log"], "/srv/other.log", true, true],
  [["!keep.log", "*.log"], "/srv/keep.log", true, true],
  [["/srv/*", "!/srv/odoo", "*.pyc"], "/srv/odoo", false, true],
  [["/srv/*", "!/srv/odoo", "*.pyc"], "/srv/odoo/a.pyc", true, true],
  [["/srv/*", "!/srv/odoo", "*.pyc"], "/srv/odoo/a.py", false, true],
  [["/srv/*", "!/srv/odoo"], "/srv/odoo/a.py", false, false],
  [["/**/*", "!/a", "/a/*", "!/a/b"], "/a/c/d", true, true],
  [["/**/*", "!/a", "/a/*", "!/a/b"], "/a/b/d", false, false],
  [["/srv/odoo/*", "!/srv/odoo/[a-m]*"], "/srv", false, true],
];

test("! takes back what came before it", () => {
  for (const [patterns, path, expected, below] of NEGATED) {
    const label = `${patterns.join(" ")}: ${path}`;
    assert.equal(matched(patterns, path), expected, label);
    assert.equal(childMayMatch(patterns, path), below, label);
  }
});

/** Pattern, paths that must be entered, paths that need not be. */
const BELOW: [pattern: string, enter: string[], skip: string[]][] = [
  ["odoo/tmp", ["/a", "/a/b", "/odoo"], []],
  ["*", ["/a"], []],
  ["/srv/odoo/tmp", ["/srv", "/srv/odoo", "/srv/odoo/tmp", "/srv/odoo/tmp/x"], ["/var", "/srv/x"]],
  ["/srv/*/tmp", ["/srv/a", "/srv/tmp", "/srv/a/tmp/x"], ["/var/a", "/srv/a/b", "/srv/a/b/c"]],
  ["/srv/**/tmp", ["/srv", "/srv/a/b", "/srv/a/tmp/c"], ["/var"]],
  ["/*", ["/a", "/a/b"], []],
  ["/**", ["/a", "/a/b/c"], []],
  ["/*/**", ["/a", "/a/b"], []],
  ["/srv", ["/srv/a"], ["/var"]],
];

test("a directory is entered when something below it may match", () => {
  for (const [pattern, enter, skip] of BELOW) {
    for (const path of enter)
      assert.equal(childMayMatch([pattern], path), true, `${pattern}: ${path}`);
    for (const path of skip)
      assert.equal(childMayMatch([pattern], path), false, `${pattern}: ${path}`);
  }
});

test("case can be ignored, in patterns and in paths", () => {
  const list = compilePatterns(["*.LOG", "/Srv/[A-C]x", "été"], { ignoreCase: true });
  for (const path of ["/a.log", "/A.Log", "/SRV/Bx/y", "/a/ÉTÉ", "/É/été"]) {
    assert.equal(matches(list, textToByteString(path)).matched, true, path);
  }
  assert.equal(matches(list, "/srv/dx").matched, false);
  assert.equal(matched(["*.LOG"], "/a.log"), false);
});

test("a malformed pattern is a usage error that names it", () => {
  const provoke = () => compilePatterns(["*.ok", "a/[b", "x/**/["], { source: "--exclude" });
  assert.throws(provoke, (error: unknown) => {
    assert.ok(isHoldfastError(error, "USAGE"));
    assert.match(
      error.message,
      /^--exclude: invalid pattern\(s\) provided:\na\/\[b .*\nx\/\*\*\/\[ /,
    );
    assert.doesNotMatch(error.message, /ok/);
    return true;
  });
  assert.throws(() => compilePatterns(["!*[._]log[.-][0-9]"]), /invalid pattern/);
});

const component = fc.constantFrom("a", "b", "ab", "A", "é");
const path = fc
  .array(component, { minLength: 1, maxLength: 6 })
  .map((parts) => `/${parts.join("/")}`);
const part = fc.constantFrom("a", "b", "a*", "*", "**", "?", "[^a]", "**");
const pattern = fc
  .tuple(fc.constantFrom("", "/", "!", "!/"), fc.array(part, { minLength: 1, maxLength: 5 }))
  .map(([head, parts]) => head + parts.join("/"));
const patterns = fc.array(pattern, { minLength: 1, maxLength: 4 });

test("what was asked before does not change an answer", () => {
  fc.assert(
    fc.property(
      patterns,
      fc.array(path, { minLength: 1 }),
      fc.boolean(),
      (list, paths, ignoreCase) => {
        const used = compilePatterns(list, { ignoreCase });
        for (const each of paths.map(textToByteString)) {
          const fresh = compilePatterns(list, { ignoreCase });
          assert.deepEqual(matches(used, each), matches(fresh, each), `${list.join(" ")}: ${each}`);
        }
      },
    ),
  );
});

test("below a match everything matches, and above it every directory may contain one", () => {
  fc.assert(
    fc.property(pattern, path, component, (raw, parent, name) => {
      const list = compilePatterns([raw.replace("!", "")]);
      const child = matches(list, textToByteString(`${parent}/${name}`));
      const above = matches(list, textToByteString(parent));
      if (above.matched) assert.ok(child.matched);
      if (child.matched) assert.ok(above.matched || above.childMayMatch);
    }),
  );
});
