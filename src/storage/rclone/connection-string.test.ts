import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { HoldfastError } from "../../base/errors.ts";
import { parseRemotePath } from "./connection-string.ts";

test("remotes, backends and paths are told apart", () => {
  const known: [string, string | undefined, Record<string, string>, string][] = [
    ["gcs:bucket/path", "gcs", {}, "bucket/path"],
    ["gcs:", "gcs", {}, ""],
    ["my remote-2:a:b,c", "my remote-2", {}, "a:b,c"],
    ["gcs,storage_class=NEARLINE:b", "gcs", { storage_class: "NEARLINE" }, "b"],
    [":s3,env_auth,provider=AWS:b/p", ":s3", { env_auth: "true", provider: "AWS" }, "b/p"],
    [":local:/srv", ":local", {}, "/srv"],
    ["x,a=\"b,c:d\",e='f''g':p", "x", { a: "b,c:d", e: "f'g" }, "p"],
    ['x,a="":p', "x", { a: "" }, "p"],
    ["x,a=:p", "x", { a: "" }, "p"],
    ['x,a=b"c:p', "x", { a: 'b"c' }, "p"],
    ["/srv/a:b", undefined, {}, "/srv/a:b"],
    ["./a:b", undefined, {}, "./a:b"],
    ["dir/a,b:c", undefined, {}, "dir/a,b:c"],
    ["plain", undefined, {}, "plain"],
    ["a,b", undefined, {}, "a,b"],
  ];
  for (const [text, name, parameters, path] of known) {
    const parsed = parseRemotePath(text);
    assert.deepEqual(
      [parsed.name, Object.fromEntries(parsed.parameters), parsed.path],
      [name, parameters, path],
      text,
    );
  }
});

test("what rclone would refuse is refused, without repeating it", () => {
  const wrong = [
    "",
    ":geheim",
    ":",
    "::x",
    ":ge/heim:x",
    "-geheim:x",
    " geheim:x",
    "x,:p",
    "x,=geheim:p",
  ];
  wrong.push(
    "x,a=geheim,:p",
    'x,a="geheim:p',
    'x,a="geheim"b:p',
    "x,a-b=geheim:p",
    "x!geheim:p",
    ",a:p",
  );
  for (const text of wrong) {
    assert.throws(
      () => parseRemotePath(text),
      (error: HoldfastError) => {
        assert.equal(error.code, "USAGE", text);
        assert.doesNotMatch(`${error.message} ${error.hint}`, /geheim/);
        return true;
      },
      text,
    );
  }
});

test("any parameters come back as they were written", () => {
  const parameters = fc.dictionary(fc.stringMatching(/^[a-z0-9_]{1,12}$/), fc.string(), {
    noNullPrototype: true,
  });
  fc.assert(
    fc.property(parameters, fc.string(), fc.constantFrom('"', "'"), (given, path, quote) => {
      const written = Object.entries(given).map(
        ([name, value]) => `,${name}=${quote}${value.replaceAll(quote, quote + quote)}${quote}`,
      );
      const parsed = parseRemotePath(`remote${written.join("")}:${path}`);
      assert.deepEqual(Object.fromEntries(parsed.parameters), given);
      assert.equal(parsed.path, path);
    }),
  );
});

test("no text makes it do anything but parse or refuse", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."ab:,='\"/\\ -") }), (text) => {
      try {
        parseRemotePath(text);
      } catch (error) {
        assert.equal((error as HoldfastError).code, "USAGE");
      }
    }),
  );
});
