import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { isHoldfastError } from "../base/errors.ts";
import { printJson } from "./json-print.ts";
import { parseYaml } from "./yaml-tree.ts";
import type { Mapping } from "./tree.ts";

const parse = (text: string): Mapping[] => parseYaml({ name: "x.yaml", text });
const json = (text: string): string =>
  parse(text)
    .map((root) => printJson(root).replace(/\s/g, ""))
    .join(";");

function refused(text: string): string {
  try {
    parse(text);
  } catch (error) {
    assert.ok(isHoldfastError(error, "SOPS_INVALID"), String(error));
    return error.message;
  }
  return "not refused";
}

/** Comments and keys in their order. */
function outline(node: Mapping): string {
  return node.items
    .map((item) => {
      if (item.kind === "comment") return `#${item.text}`;
      return item.node.kind === "map" ? `${item.key}(${outline(item.node)})` : item.key;
    })
    .join(" ");
}

suite("YAML", () => {
  test("is typed as Go types it, aliases expanded, << a key like any other", () => {
    assert.equal(
      json("a: &x {b: 0644}\nc: *x\n<<: *x\n"),
      '{"a":{"b":420},"c":{"b":420},"\\u003c\\u003c":{"b":420}}',
    );
    assert.equal(json("a: 1\n---\nb: 'yes'\n---\n"), '{"a":1};{"b":"yes"};{}');
    assert.equal(json("a: &x 1\nb: &x 2\nc: *x\n"), '{"a":1,"b":2,"c":2}');
    assert.equal(
      json('__proto__: 1\n"constructor": {toString: 2}\n'),
      '{"__proto__":1,"constructor":{"toString":2}}',
    );
  });

  test("comments stand where they are indented", () => {
    const [root] = parse("#1\na:\n  #2\n  b: 1 #3\n  #4\n#5\nc: #6\n  d: 1\n#7\n");
    assert.equal(outline(root!), "#1 a(#2 #3 b #4) #5 #6 c(d) #7");
  });

  test("what SOPS could not load is refused with its line", () => {
    assert.match(refused("a: 1\nb: 2\na: 3\n"), /^x\.yaml, line 3: the key "a" is there twice/);
    assert.match(refused("a: 1\n5: 2\n"), /line 2: a key that is not a string/);
    assert.match(refused("- a\n"), /line 1: the top of a document is not a mapping/);
    assert.match(refused("a: 1\n---\nb\n"), /line 3: the top/);
    assert.match(refused("a: 18446744073709551615\n"), /line 1: an integer that does not fit/);
    assert.match(refused("a: *x\n"), /line 1: an alias without anchor/);
    assert.match(refused("a: &x [*x]\n"), /line 1: an anchor that contains itself/);
    assert.match(refused("a: [1\nb: 2\n"), /line \d: not valid YAML/);
    assert.match(refused("a: !!int x\n"), /line 1: a scalar that is not what its tag/);
  });

  test("a bomb of aliases is refused before it goes off", () => {
    const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"];
    for (let i = 1; i < 12; i++) {
      const before = `*a${i - 1}`;
      lines.push(`a${i}: &a${i} [${Array.from({ length: 10 }, () => before).join(", ")}]`);
    }
    assert.match(refused(lines.join("\n")), /too many values/);
  });

  test("deep nesting is refused, not followed", () => {
    assert.match(refused(`a: ${"[".repeat(100_000)}`), /nested too deeply|not valid YAML/);
    const block = Array.from({ length: 3000 }, (_, i) => `${" ".repeat(i)}a:`).join("\n");
    assert.match(refused(block), /nested too deeply/);
    const flow = `a: ${"[".repeat(300)}${"]".repeat(300)}\n`;
    assert.match(refused(flow), /nested too deeply/);
    const steps = Array.from(
      { length: 300 },
      (_, i) => `b${i}: &b${i} [${i === 0 ? "x" : `*b${i - 1}`}]`,
    );
    assert.match(refused(steps.join("\n")), /nested too deeply/);
  });
});
