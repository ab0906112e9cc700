// What our excludes and includes choose on a small tree of awkward names is what real restic chooses. The random patterns are the
// same in every run; HOLDFAST_SEED asks for other ones.

import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { isHoldfastError } from "../../src/base/errors.ts";
import { byteStringToText, fromByteString } from "../../src/restic/byte-string.ts";
import { compileExcluder } from "../../src/files/excludes.ts";
import type { ExcludeOptions } from "../../src/files/excludes.ts";
import { readFileStart } from "../../src/files/file-start.ts";
import { compileSelector } from "../../src/files/selection.ts";
import type { SelectionOptions } from "../../src/files/selection.ts";
import { resticPath, skipWithout } from "../peers.ts";
import { createQuickRepository } from "./quick-repository.ts";
import { EXCLUDES, FILES, LISTS, PATTERNS } from "./exclude-cases.ts";

const skip = skipWithout("restic-newest");
const SEED = Number(process.env["HOLDFAST_SEED"] ?? 20_261);
const VARIABLES = { PART: "b", EMPTY: "", LANG_é: "x" } as const;

let root = "";
let tree = "";
/** Every entry of the tree as an absolute byte string, directories (with "/" behind them) before what is in them. */
const entries: { path: string; isDirectory: boolean; size: number }[] = [];

before(async () => {
  if (skip) return;
  root = mkdtempSync(join(tmpdir(), "holdfast-excludes-"));
  tree = join(root, "srv");
  const found = new Map<string, number>();
  for (const [name, content] of FILES) {
    const path = `${tree}/${name}`;
    for (
      let slash = path.indexOf("/", root.length + 1);
      slash > 0;
      slash = path.indexOf("/", slash + 1)
    ) {
      found.set(path.slice(0, slash + 1), 0);
      mkdirSync(fromByteString(path.slice(0, slash)), { recursive: true });
    }
    if (name.endsWith("/")) continue;
    writeFileSync(fromByteString(path), content);
    found.set(path, content.length);
  }
  for (const [path, size] of [...found].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const isDirectory = path.endsWith("/");
    entries.push({ path: isDirectory ? path.slice(0, -1) : path, isDirectory, size });
  }
  for (const [name, content] of Object.entries(LISTS)) writeFileSync(join(root, name), content);
  await createQuickRepository(join(root, "repository"), "test");
  await restic(["backup", "--quiet", tree]);
});

after(() => {
  if (root !== "") rmSync(root, { recursive: true });
});

/** Runs restic; the paths of its verbose messages, or undefined when it refuses its options. */
function restic(args: string[]): Promise<string[] | undefined> {
  const env = {
    ...VARIABLES,
    RESTIC_PASSWORD: "test",
    RESTIC_REPOSITORY: join(root, "repository"),
  };
  const options = { env, cwd: root, encoding: "utf8", maxBuffer: 1 << 26 } as const;
  return new Promise((resolve, reject) => {
    execFile(resticPath("newest"), ["--no-cache", ...args], options, (error, output, errors) => {
      if (error && /invalid pattern/.test(errors)) return resolve(undefined);
      if (error) return reject(new Error(`${args.join(" ")}: ${errors}`, { cause: error }));
      const messages = output.split("\n").filter((line) => line.includes('"verbose_status"'));
      const items = messages.map((line) => (JSON.parse(line) as { item: string }).item);
      resolve(items.map((item) => item.replace(/\/$/, "")).filter((item) => item.startsWith(tree)));
    });
  });
}

function flags(options: ExcludeOptions | SelectionOptions): string[] {
  return Object.entries(options).flatMap(([name, value]) => {
    const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    if (value === true) return [flag];
    return (Array.isArray(value) ? (value as string[]) : [value as string]).map(
      (each) => `${flag}=${each}`,
    );
  });
}

const io = {
  readFile: (name: string) => readFile(join(root, name)),
  variables: (name: string) => (VARIABLES as Record<string, string>)[name],
  readStart: readFileStart,
  warn: () => {},
};

/** What `enter` lets a walk of the tree find; undefined when the options are refused. */
async function ours(
  chooser: () => Promise<
    (entry: (typeof entries)[number]) => { listed: boolean; entered: boolean }
  >,
): Promise<string[] | undefined> {
  let choose;
  try {
    choose = await chooser();
  } catch (error) {
    if (isHoldfastError(error, "USAGE")) return undefined;
    throw error;
  }
  const closed: string[] = [];
  const listed: string[] = [];
  for (const entry of entries) {
    if (closed.some((directory) => entry.path.startsWith(directory))) continue;
    const choice = choose(entry);
    if (choice.listed) listed.push(entry.path);
    if (!choice.entered) closed.push(`${entry.path}/`);
  }
  return listed;
}

function backedUp(options: ExcludeOptions): Promise<string[] | undefined> {
  return ours(async () => {
    const excluder = await compileExcluder(options, io);
    return (entry) => {
      // The tree itself is the target of the backup, named explicitly.
      const listed =
        entry.path === tree ||
        !(excluder.excludesPath(entry.path) || excluder.excludesEntry(entry.path, entry));
      return { listed, entered: listed };
    };
  });
}

async function restored(options: SelectionOptions): Promise<string[] | undefined> {
  const found = await ours(async () => {
    const select = await compileSelector(options, io);
    return ({ path, isDirectory }) => {
      const { selected, childMayBeSelected } = select(path, isDirectory);
      return { listed: selected, entered: childMayBeSelected };
    };
  });
  // restic also names the directories that it had to make on the way.
  const all = entries.filter(({ path }) =>
    found?.some((each) => `${each}/`.startsWith(`${path}/`)),
  );
  return found && all.map(({ path }) => path);
}

/**
 * Whether restic took malformed patterns among these for sound ones. It tries each component on itself, which ends where
 * that does not match, as a class does not match its "[": what stands behind the next star is not looked at. By itself it is.
 */
async function isOverlooked(options: ExcludeOptions | SelectionOptions): Promise<boolean> {
  const components = Object.values(options)
    .flat()
    .flatMap((value) => String(value).split("/"));
  const tails = components.flatMap((each) =>
    [...each.matchAll(/(?<=\*)[^*].*$/g)].map(([tail]) => tail),
  );
  const command = ["restore", "--no-lock", "--dry-run", "-t", root, "latest"];
  for (const tail of tails) {
    if ((await restic([...command, `--include=${tail}`])) === undefined) return true;
  }
  return false;
}

async function sameChoice(
  actual: string[] | undefined,
  expected: string[] | undefined,
  options: ExcludeOptions | SelectionOptions,
): Promise<void> {
  // What is malformed is refused here either way.
  if (actual === undefined && expected !== undefined && (await isOverlooked(options))) return;
  const label = JSON.stringify(options);
  const readable = actual?.map(byteStringToText).toSorted();
  assert.deepEqual(readable, expected?.toSorted(), label);
}

async function compareBackup(options: ExcludeOptions): Promise<void> {
  const expected = await restic(["backup", "--dry-run", "--json", "-vv", ...flags(options), tree]);
  await sameChoice(await backedUp(options), expected, options);
}

async function compareRestore(options: SelectionOptions): Promise<void> {
  const target = join(root, "nowhere");
  const command = ["restore", "--no-lock", "--dry-run", "--json", "-vv", "-t", target, "latest"];
  await sameChoice(await restored(options), await restic([...command, ...flags(options)]), options);
}

/** `{tree}` in a pattern stands for the absolute path of the tree. */
function placed(patterns: readonly string[]): string[] {
  return patterns.map((pattern) => pattern.replace("{tree}", tree));
}

const part = fc
  .array(
    fc.constantFrom(
      "a",
      "b",
      "A",
      "é",
      "*",
      "*",
      "**",
      "?",
      "[ab]",
      "[^a]",
      "[",
      "]",
      "\\",
      ".",
      "-",
    ),
    {
      minLength: 1,
      maxLength: 3,
    },
  )
  .map((pieces) => pieces.join(""));
const anyPart = fc.oneof(part, fc.constantFrom("a", "b", "ab", "**", "**", "*", "?", "..", ""));
const pattern = fc
  .tuple(
    fc.constantFrom("", "", "/", "{tree}/", "{tree}/", "!", "!{tree}/"),
    fc.array(anyPart, { minLength: 1, maxLength: 5 }),
  )
  .map(([head, parts]) => head + parts.join("/"));
const patterns = fc.array(pattern, { minLength: 1, maxLength: 3 });

suite("excludes and includes against real restic", { skip }, () => {
  test("the tree is seen alike without any option", async () => {
    await compareBackup({});
    await compareRestore({});
    assert.equal((await backedUp({}))?.length, entries.length);
  });

  test("every pattern set as --exclude, --iexclude and --include", async () => {
    for (const each of PATTERNS.map(placed)) {
      await compareBackup({ exclude: each });
      await compareBackup({ iexclude: each });
      await compareRestore({ include: each });
    }
  });

  test("a malformed pattern is refused also where restic overlooks it", async () => {
    const include = ["[ab]**[/a"];
    assert.equal(await restored({ include }), undefined);
    assert.equal(await isOverlooked({ include }), true);
    assert.equal(await isOverlooked({ include: ["[ab]*a", "a*[b]"] }), false);
  });

  test("every other option that excludes", async () => {
    for (const options of EXCLUDES) await compareBackup(options);
  });

  test("random patterns as --exclude or --iexclude", async () => {
    const kind = fc.constantFrom("exclude", "exclude", "iexclude");
    const property = fc.asyncProperty(patterns, kind, (list, option) =>
      compareBackup({ [option]: placed(list) }),
    );
    await fc.assert(property, { numRuns: 120, seed: SEED });
  });

  test("random patterns as --include or --iinclude", async () => {
    const kind = fc.constantFrom("include", "include", "iinclude");
    const property = fc.asyncProperty(patterns, kind, (list, option) =>
      compareRestore({ [option]: placed(list) }),
    );
    await fc.assert(property, { numRuns: 120, seed: SEED });
  });
});
