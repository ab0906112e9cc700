// Tests the code base itself: layers, purity, names, sizes, and that documents tell the truth about the code. Every
// rule collects all its offenders, so one run shows everything that is to be mended.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { suite, test } from "node:test";
import { ERROR_CODES, HoldfastError, type ErrorCode } from "../src/base/errors.ts";
import { exitStatus } from "../src/cli/exit-status.ts";
import { EMPTY_NAMES, HOUSE, LINES_MAX, LONG_FILES, type Room } from "./tidy/house.ts";
import {
  anchorsOf,
  bareCode,
  filesBelow,
  importsOf,
  resolveImport,
  ROOT,
  textOf,
} from "./tidy/source-text.ts";

const all = filesBelow();
const code = all.filter((path) => /^(src|test|bench|scripts|kernels)\/.*\.(ts|mjs)$/.test(path));
const isTest = (path: string): boolean => path.endsWith(".test.ts");
const sources = code.filter((path) => path.startsWith("src/"));
const node = code.filter((path) => !path.startsWith("kernels/"));
const product = sources.filter((path) => !isTest(path));
const documents = all.filter((path) => path.endsWith(".md"));

/** The room a file of src/ is in; undefined when its folder is not in the house. */
function roomOf(path: string): Room | undefined {
  return HOUSE.find((room) => path.startsWith(`src/${room.folder}/`));
}

/** Fails with all `offenders`, one a line. */
function assertNone(offenders: readonly string[], rule: string): void {
  assert.ok(offenders.length === 0, `${rule}:\n  ${offenders.join("\n  ")}`);
}

/** The first group of every match of `pattern` in the document `path`. */
function marked(path: string, pattern: RegExp): string[] {
  return [...textOf(path).matchAll(pattern)].map((match) => match[1]!);
}

/** `path: what` for every match of a pattern in the bare code of `paths`. */
function findings(paths: readonly string[], patterns: readonly RegExp[]): string[] {
  return paths.flatMap((path) => {
    const bare = bareCode(textOf(path));
    return patterns.flatMap((pattern) => {
      const match = pattern.exec(bare);
      return match ? [`${path}: ${match[0]}`] : [];
    });
  });
}

suite("layers", () => {
  test("every folder of src/ is in the house", () => {
    assertNone(
      sources.filter((path) => !roomOf(path)),
      "give the folder a rank in test/tidy/house.ts and a line in ARCHITECTURE.md",
    );
  });

  test("imports go down only, and stay inside src/", () => {
    const offenders = sources.flatMap((path) =>
      importsOf(textOf(path))
        .filter((specifier) => specifier.startsWith("."))
        .map((specifier) => resolveImport(path, specifier))
        .filter((target) => target !== "package.json")
        .filter((target) => {
          const [from, to] = [roomOf(path), roomOf(target)];
          if (!to) return !(isTest(path) && target.startsWith("test/"));
          return from !== to && from !== undefined && to.rank >= from.rank;
        })
        .map((target) => `${path} imports ${target}`),
    );
    assertNone(offenders, "a folder imports only from lower ranks");
  });

  test("a folder inside a folder is private to its parent", () => {
    const offenders = sources.flatMap((path) =>
      importsOf(textOf(path))
        .filter((specifier) => specifier.startsWith("."))
        .map((specifier) => resolveImport(path, specifier))
        .filter((target) => {
          const folder = dirname(target);
          return folder.split("/").length > 2 && !path.startsWith(`${dirname(folder)}/`);
        })
        .map((target) => `${path} imports ${target}`),
    );
    assertNone(offenders, "import from the face of the folder instead");
  });

  test("relative imports name a file that exists, with its extension", () => {
    // Not in kernels/: their compiler wants no extension.
    const offenders = node.flatMap((path) =>
      importsOf(textOf(path))
        .filter((specifier) => /^[.#/]/.test(specifier))
        .filter((specifier) => !all.includes(resolveImport(path, specifier)))
        .map((specifier) => `${path} imports ${specifier}`),
    );
    assertNone(offenders, "write the path as it is, ending in .ts");
  });

  test("no file only passes on what others export", () => {
    assertNone(
      findings(sources, [/export\s+\*\s+(as\s+\w+\s+)?from/]),
      "import from the file itself",
    );
  });
});

suite("purity", () => {
  const pure = product.filter((path) => roomOf(path)?.pure);

  test("pure folders do no I/O and know neither process nor timers", () => {
    const banned =
      /^(node:)?(fs|net|tls|https?|http2|dgram|dns|child_process|cluster|worker_threads|os|process|timers|readline|tty)(\/|$)/;
    const offenders = pure.flatMap((path) =>
      importsOf(textOf(path))
        .filter((specifier) => banned.test(specifier))
        .map((specifier) => `${path} imports ${specifier}`),
    );
    assertNone(offenders, "take bytes and values as arguments instead");
    assertNone(
      findings(pure, [/\bprocess\./, /\bset(Timeout|Interval|Immediate)\(/, /\bfetch\(/]),
      "take values as arguments instead",
    );
  });

  test("below cli/ only base/clock.ts reads the machine's clock and random source", () => {
    const machine = [
      /\bDate\.now\b/,
      /\bnew Date\(\s*\)/,
      /\bperformance\.\w+/,
      /\bMath\.random\b/,
      /\bprocess\.hrtime\b/,
      /\brandom(Bytes|Fill|FillSync|Int|UUID)\(/,
      /\bgetRandomValues\b/,
    ];
    const below = product.filter(
      (path) => roomOf(path)?.folder !== "cli" && path !== "src/base/clock.ts",
    );
    assertNone(findings(below, machine), "take a Clock or a Random as an argument");
  });

  test("only cli/ reads the command line and environment, exits and prints", () => {
    const below = product.filter((path) => roomOf(path)?.folder !== "cli");
    assertNone(
      findings(below, [/\bprocess\.(env|argv|exit|exitCode|stdin|stdout|stderr)\b/, /\bconsole\./]),
      "take what you need as an argument, return or throw what you have to say",
    );
  });
});

suite("names and sizes", () => {
  test("names are kebab-case and say what is inside", () => {
    const offenders = code.filter((path) =>
      path
        .split("/")
        .slice(1)
        .map((part) => part.replace(/(\.test|\.fuzz|\.d)?\.(ts|mjs)$/, ""))
        .some((part) => EMPTY_NAMES.includes(part) || !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(part)),
    );
    assertNone(offenders, "name a file for the noun or verb it exports");
  });

  test(`no file has more than ${LINES_MAX} lines`, (t) => {
    const sizes = code.map((path) => ({ path, lines: textOf(path).trimEnd().split("\n").length }));
    const ordered = sizes.map(({ lines }) => lines).toSorted((a, b) => a - b);
    t.diagnostic(`${code.length} files, median ${ordered[ordered.length >> 1]} lines`);
    assertNone(
      sizes
        .filter(({ path, lines }) => lines > LINES_MAX && !(path in LONG_FILES))
        .map(({ path, lines }) => `${path}: ${lines} lines`),
      "a second room in disguise: divide it",
    );
    assertNone(
      Object.keys(LONG_FILES).filter((path) => !all.includes(path)),
      "exceptions without a file",
    );
  });

  test("every file opens with a comment that says what it is", () => {
    assertNone(
      code.filter((path) => {
        // A test beside the code is about the file of its name.
        const besideCode = isTest(path) && all.includes(path.replace(".test.ts", ".ts"));
        return !besideCode && !/^(#!.*\n)?\/[/*]/.test(textOf(path));
      }),
      "open with a few lines of comment",
    );
  });

  test("every test file tests something", () => {
    assertNone(
      code.filter(
        (path) =>
          isTest(path) && !/\b(test|it)\w*\(|[Cc]onformance\w*\(/.test(bareCode(textOf(path))),
      ),
      "node --test calls a file without tests a success",
    );
    assertNone(
      findings(code.filter(isTest), [/\b(test|it|suite|describe)\.only\(/, /\bonly:\s*true/]),
      "a leftover `only` switches the others off",
    );
  });
});

suite("documents", () => {
  /** Marks of a path in a document or a comment that ought to exist in the project. */
  const PATH =
    /(?<![\w./@-])((?:src|test|bench|scripts|kernels|docs|bin|changelog|deploy)\/[\w./-]*[\w/]|(?:README|ARCHITECTURE|CONTRIBUTING|SECURITY)\.md)(#[\w-]+)?/g;

  const named = [...documents, ...code].flatMap((path) =>
    [...textOf(path).matchAll(PATH)].map((match) => ({
      path,
      target: match[1]!.replace(/\/$/, ""),
      anchor: match[2]?.slice(1),
    })),
  );

  test("paths named in documents and comments exist", () => {
    const offenders = named
      .filter(({ path }) => documents.includes(path) || path !== "test/tidy.test.ts")
      .filter(({ target }) => !existsSync(join(ROOT, target)))
      .map(({ path, target }) => `${path} names ${target}`);
    assertNone([...new Set(offenders)], "the path does not exist");
  });

  test("sections named in documents and comments exist", () => {
    const offenders = named
      .filter(({ target, anchor }) => anchor && all.includes(target) && target.endsWith(".md"))
      .filter(({ target, anchor }) => !anchorsOf(textOf(target)).has(anchor!))
      .map(({ path, target, anchor }) => `${path} names ${target}#${anchor}`);
    assertNone(offenders, "no heading makes that anchor");
  });

  test("links between documents lead somewhere", () => {
    const offenders = documents.flatMap((path) =>
      [...textOf(path).matchAll(/\]\((?!https?:|mailto:)([^)#\s]*)(#[^)\s]+)?\)/g)]
        .filter(([, file, anchor]) => {
          const target = file ? resolveImport(path, file) : path;
          if (!existsSync(join(ROOT, target))) return true;
          return anchor !== undefined && !anchorsOf(textOf(target)).has(anchor.slice(1));
        })
        .map(([link]) => `${path}: ${link.slice(2, -1)}`),
    );
    assertNone(offenders, "the link is dead");
  });

  test("symbols named beside a path are in that file", () => {
    const beside = /`(src\/[\w/-]+\.ts)`\s*\(`(\w+)`\)|`(\w+)`\s+(?:\(|in )`(src\/[\w/-]+\.ts)`/g;
    const offenders = documents.flatMap((path) =>
      [...textOf(path).matchAll(beside)]
        .map((match) => ({ file: match[1] ?? match[4]!, symbol: match[2] ?? match[3]! }))
        .filter(({ file, symbol }) => !new RegExp(`\\b${symbol}\\b`).test(bareCode(textOf(file))))
        .map(({ file, symbol }) => `${path}: ${symbol} is not in ${file}`),
    );
    assertNone(offenders, "the symbol has moved or gone");
    const lines = documents.filter((path) => /\.(ts|mjs):\d/.test(textOf(path)));
    assertNone(lines, "line numbers rot: name the symbol");
  });

  test("docs/errors.md describes exactly the codes there are", () => {
    const described = marked("docs/errors.md", /^### (\w+)$/gm);
    assert.deepEqual(described.toSorted(), Object.keys(ERROR_CODES).toSorted());
  });

  test("docs/errors.md gives each code the exit status it has", () => {
    const claimed = textOf("docs/errors.md").matchAll(/^### (\w+)\n\n[^#]*?Exit status (\d+)\./gm);
    assert.deepEqual(
      Object.fromEntries([...claimed].map(([, code, status]) => [code, Number(status)])),
      Object.fromEntries(
        (Object.keys(ERROR_CODES) as ErrorCode[]).map((code) => [
          code,
          exitStatus(new HoldfastError(code, "")),
        ]),
      ),
    );
  });

  test("ARCHITECTURE.md draws the house as it is", () => {
    assert.deepEqual(
      marked("ARCHITECTURE.md", /^\| `(\w+\/` \| \d+P?) \|/gm),
      HOUSE.map(({ folder, rank, pure }) => `${folder}/\` | ${rank}${pure ? "P" : ""}`),
    );
  });

  test("README.md names every command, and no other", () => {
    const modules = product
      .filter((path) => dirname(path) === "src/cli/commands")
      .map((path) => basename(path, ".ts"));
    // `repair-index` is a verb of `repair`.
    const commands = modules.filter(
      (name) => !modules.some((family) => name.startsWith(`${family}-`)),
    );
    const rows = new Set(marked("README.md", /^\| `holdfast ([a-z-]+)/gm));
    assert.deepEqual([...rows].toSorted(), commands);
  });

  test("changelog entries follow changelog/TEMPLATE", () => {
    const entry =
      /^(Added|Changed|Fixed|Removed|Security): [A-Z`].{10,98}[^.\n]\n\n[A-Z`][\s\S]{40,}\n$/;
    assertNone(
      all.filter((path) => /^changelog\/.*\.md$/.test(path) && !entry.test(textOf(path))),
      "see changelog/TEMPLATE",
    );
  });

  test("nothing speaks of the place where it was made, or of work left over", () => {
    const words =
      /\/(?:work|farm)\/|[.]library\b|registry[.]npm|deb[.]debian|proxy[.]golang|\bsub-?agents?\b|\b(?:TO[D]O|FIX[M]E|XX[X])\b|\bthe brief\b|\breference\/\w+[.]md/;
    const offenders = all
      .filter((path) => /(\.(ts|mjs|md|json|yaml|yml|sh|txt)|\/[\w-]+)$/.test(path))
      .filter((path) => path !== "package-lock.json" && path !== "test/tidy.test.ts")
      .flatMap((path) => {
        const match = words.exec(textOf(path));
        return match ? [`${path}: ${match[0]}`] : [];
      });
    assertNone(offenders, "speak of the product alone");
  });
});
