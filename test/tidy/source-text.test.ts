// The scanner of the tidy test must see what it is there to see: each case plants something and looks for it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { anchorsOf, bareCode, importsOf, resolveImport, withoutComments } from "./source-text.ts";

test("imports of every form are seen, and those in comments are not", () => {
  // The quotes are filled in, or the scanner would take this very text for imports.
  const text = [
    "import { a } from |./a.ts|;",
    "import type { B } from |../b.ts|;",
    "export { c } from |./c.ts|;",
    "import |./d.ts|;",
    "const e = await import(|./e.ts|);",
    "new Worker(new URL(|./f.ts|, import.meta.url));",
    "// import { no } from |./no.ts|;",
    "/* from |./neither.ts| */",
  ]
    .join("\n")
    .replaceAll("|", '"');
  assert.deepEqual(importsOf(text), ["./a.ts", "../b.ts", "./c.ts", "./d.ts", "./e.ts", "./f.ts"]);
});

test("bare code keeps calls and drops what only talks about them", () => {
  const bare = bareCode(
    [
      "const now = Date.now();",
      "// Math.random is banned",
      'throw new Error("process.env is not read // here");',
      "const text = `prices ${process.argv} and console.log`;",
    ].join("\n"),
  );
  assert.match(bare, /Date\.now\(\)/);
  assert.match(bare, /process\.argv/);
  assert.doesNotMatch(bare, /Math\.random|process\.env|console/);
});

test("a web address in a string is no comment", () => {
  assert.match(withoutComments('const a = "https://example.org"; Date.now();'), /Date\.now/);
});

test("relative specifiers become project paths", () => {
  assert.equal(resolveImport("test/tidy.test.ts", "../src/base/errors.ts"), "src/base/errors.ts");
  assert.equal(resolveImport("src/base/retry.ts", "./errors.ts"), "src/base/errors.ts");
});

test("anchors are those of headings outside of code blocks", () => {
  const anchors = anchorsOf("# The `pack` file\n\n```sh\n# not this\n```\n\n## Keys & salt\n");
  assert.deepEqual([...anchors], ["the-pack-file", "keys--salt"]);
});
