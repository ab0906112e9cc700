import { test } from "node:test";
import assert from "node:assert/strict";
import { isHoldfastError } from "../base/errors.ts";
import { textToByteString } from "../restic/byte-string.ts";
import { compileExcluder } from "./excludes.ts";
import type { ExcludeIo, ExcludeOptions, Excluder } from "./excludes.ts";
import { parsePatternFile } from "./pattern-file.ts";

const CACHE_HEADER = "Signature: 8a477f597d28d172789f06886806bc55";
const FILE = { isDirectory: false, size: 10 };
const DIRECTORY = { isDirectory: true, size: 4096 };

/** Files by path: those that pattern options name, and those of the tree. */
function ioOver(files: Record<string, string>, warnings: string[] = []): ExcludeIo {
  return {
    readFile: (name) => {
      const content = files[name];
      if (content === undefined) return Promise.reject(new Error("ENOENT: no such file"));
      return Promise.resolve(Buffer.from(content));
    },
    variables: (name) => ({ HOME: "/home/odoo", PART: "ü" })[name],
    readStart: (path, length) => {
      const content = files[path];
      if (content === "unreadable") throw new Error("EACCES: permission denied");
      return content === undefined ? undefined : Buffer.from(content).subarray(0, length);
    },
    warn: (message) => warnings.push(message),
  };
}

function excluder(options: ExcludeOptions, io: ExcludeIo = ioOver({})): Promise<Excluder> {
  return compileExcluder(options, io);
}

test("without options nothing is excluded", async () => {
  const { excludesPath, excludesEntry } = await excluder({});
  assert.equal(excludesPath("/srv"), false);
  assert.equal(
    excludesEntry("/srv/x", { isDirectory: false, size: Number.MAX_SAFE_INTEGER }),
    false,
  );
});

test("patterns and pattern files exclude together, in their order", async () => {
  const files = { list: "# comment\n\n  *.log  \r\n!keep.log\n", ilist: "*.TMP\n" };
  const options = { exclude: ["*.pyc", "keep.*"], excludeFile: ["list"], iexcludeFile: ["ilist"] };
  const { excludesPath } = await excluder({ ...options, iexclude: ["Cache"] }, ioOver(files));
  for (const path of ["/a.pyc", "/x/a.log", "/keep.txt", "/CACHE/x", "/a.tmp"]) {
    assert.equal(excludesPath(path), true, path);
  }
  for (const path of ["/keep.log", "/a.py", "/a.PYC", "/comment"]) {
    assert.equal(excludesPath(path), false, path);
  }
});

test("a pattern file knows comments, white space, variables and its encoding", () => {
  const parse = (content: Uint8Array | string) =>
    parsePatternFile(
      Buffer.from(content),
      (name) => ({ HOME: "/home/odoo", PART: "ü", _a1: "v" })[name],
    );
  assert.deepEqual(parse("a\n\n #b\n\t c d \r\n#\nlast"), ["a", "c d", "last"]);
  assert.deepEqual(parse("$HOME/x\n${HOME}y\n$$HOME\n$_a1-$UNSET-$PART"), [
    "/home/odoo/x",
    "/home/odooy",
    "$HOME",
    `v--${textToByteString("ü")}`,
  ]);
  assert.deepEqual(parse("cost $\na$/b\n$(x)\n${}z\n${HOME\n$1$*-\n${$}"), [
    "cost $",
    "a$/b",
    "$(x)",
    "z",
    "HOME",
    "-",
    "$",
  ]);
  assert.deepEqual(parse(Buffer.from("\ufeffé\r\nb", "utf16le")), [textToByteString("é"), "b"]);
  assert.deepEqual(parse(Buffer.from([0xe9, 0x0a, 0xff])), ["\xe9", "\xff"]);
});

test("mistakes in options name the option and the file", async () => {
  const files = { bad: "ok\na/[b\n" };
  const cases: [ExcludeOptions, RegExp][] = [
    [{ exclude: ["["] }, /^--exclude: invalid pattern/],
    [{ iexclude: ["x["] }, /^--iexclude: invalid pattern/],
    [{ excludeFile: ["bad"] }, /^--exclude-file bad: invalid pattern.*\na\/\[b /],
    [{ iexcludeFile: ["absent"] }, /^--iexclude-file: absent cannot be read: ENOENT/],
    [{ excludeLargerThan: "10Q" }, /^--exclude-larger-than: "10Q"/],
    [{ excludeIfPresent: [""] }, /^--exclude-if-present/],
    [{ excludeIfPresent: [":header"] }, /^--exclude-if-present/],
  ];
  for (const [options, message] of cases) {
    await assert.rejects(excluder(options, ioOver(files)), (error: unknown) => {
      assert.ok(isHoldfastError(error, "USAGE"));
      assert.match(error.message, message);
      return true;
    });
  }
});

test("files above the limit are excluded, directories never are", async () => {
  const { excludesEntry } = await excluder({ excludeLargerThan: "1k" });
  assert.equal(excludesEntry("/a", { isDirectory: false, size: 1024 }), false);
  assert.equal(excludesEntry("/a", { isDirectory: false, size: 1025 }), true);
  assert.equal(excludesEntry("/a", DIRECTORY), false);
});

test("a tag file excludes what is beside it, but not itself nor its directory", async () => {
  const files = {
    "/srv/tmp/.nobackup": "",
    "/srv/cache/CACHEDIR.TAG": `${CACHE_HEADER}\n# made by x`,
  };
  const options = { excludeIfPresent: [".nobackup"], excludeCaches: true };
  const { excludesEntry } = await excluder(options, ioOver(files));
  assert.equal(excludesEntry("/srv/tmp", DIRECTORY), false);
  assert.equal(excludesEntry("/srv/tmp/.nobackup", FILE), false);
  assert.equal(excludesEntry("/srv/tmp/x", FILE), true);
  assert.equal(excludesEntry("/srv/tmp/sub", DIRECTORY), true);
  assert.equal(excludesEntry("/srv/cache/CACHEDIR.TAG", FILE), false);
  assert.equal(excludesEntry("/srv/cache/x", FILE), true);
  assert.equal(excludesEntry("/srv/x", FILE), false);
});

test("a tag file that does not begin as it should is ignored, with one warning for its directory", async () => {
  const warnings: string[] = [];
  const files = { "/a/CACHEDIR.TAG": "Signature: none", "/b/CACHEDIR.TAG": "unreadable" };
  const { excludesEntry } = await excluder({ excludeCaches: true }, ioOver(files, warnings));
  for (const path of ["/a/x", "/a/y", "/b/x", "/b/y", "/c/x"]) {
    assert.equal(excludesEntry(path, FILE), false, path);
  }
  assert.equal(warnings.length, 2);
  assert.match(warnings[0] ?? "", /"\/a\/CACHEDIR\.TAG" is ignored: it does not begin as expected/);
  assert.match(warnings[1] ?? "", /"\/b\/CACHEDIR\.TAG" is ignored: EACCES/);
});

test("our own cache is never backed up", async () => {
  const { excludesPath } = await excluder({ never: ["/var/cache/holdfast"] });
  assert.equal(excludesPath("/var/cache/holdfast"), true);
  assert.equal(excludesPath("/var/cache/holdfast/data"), true);
  assert.equal(excludesPath("/var/cache/holdfast2"), false);
  assert.equal(excludesPath("/var/cache"), false);
});
