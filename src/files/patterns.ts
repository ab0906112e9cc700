// Exclude and include patterns with restic's meaning: components as in name-pattern.ts, `**` for any number of
// directories, a leading "/" anchors at the root, without it a pattern fits at any depth, what is below a match
// matches too, and "!" takes back what earlier patterns of the same list matched.
// Paths are byte strings (one character per byte), "/" between components, already clean. No I/O.

import { posix } from "node:path";
import { HoldfastError } from "../base/errors.ts";
import { textToByteString } from "../restic/byte-string.ts";
import { compileName, lowerCase } from "./name-pattern.ts";
import type { NameMatcher } from "./name-pattern.ts";

const ROOT = "/";

interface Pattern {
  readonly negated: boolean;
  /** Its first component is the root. */
  readonly rooted: boolean;
  /** The components between the `**`s: one run when there is none. */
  readonly runs: readonly (readonly NameMatcher[])[];
  /** Number of components, each `**` counting as one. */
  readonly length: number;
}

/** What is known of a pattern for every entry of one directory. */
interface Prospect {
  /** The directory itself matches, so all of its entries do. */
  inherited: boolean;
  /** Decides by the entry's name; undefined when no entry of this directory can match. */
  last: NameMatcher | undefined;
  /** Whether something below an entry may match, or a matcher that decides by the entry's name. */
  below: boolean | NameMatcher;
}

/** A compiled list. It remembers the last directory asked about, so ask for siblings in a row. */
export interface PatternList {
  readonly patterns: readonly Pattern[];
  readonly ignoreCase: boolean;
  /** The directory that `components` and `prospects` are about. */
  directory: string | undefined;
  components: readonly string[];
  prospects: readonly Prospect[];
}

export interface PatternOptions {
  ignoreCase?: boolean;
  /** How the patterns are given: "text" (default), or "bytes" for byte strings. */
  encoding?: "text" | "bytes";
  /** Where they come from, for errors: "--exclude". */
  source?: string;
}

/** `childMayMatch`: something below this path may match, so a search for matches must enter it. */
export interface PatternMatch {
  readonly matched: boolean;
  readonly childMayMatch: boolean;
}

// Answers are shared: a walk asks millions of times.
const ANSWERS: readonly PatternMatch[] = [
  { matched: false, childMayMatch: false },
  { matched: true, childMayMatch: false },
  { matched: false, childMayMatch: true },
  { matched: true, childMayMatch: true },
];

/** Compiles a list of patterns; empty ones are ignored. Throws USAGE naming every malformed one. */
export function compilePatterns(
  patterns: readonly string[],
  options: PatternOptions = {},
): PatternList {
  const { ignoreCase = false, encoding = "text" } = options;
  const compiled: Pattern[] = [];
  const faults: string[] = [];
  for (const pattern of patterns) {
    if (pattern === "") continue;
    const bytes = encoding === "text" ? textToByteString(pattern) : pattern;
    try {
      compiled.push(compilePattern(ignoreCase ? lowerCase(bytes) : bytes));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      faults.push(`${pattern} (${error.message})`);
    }
  }
  if (faults.length > 0) {
    const source = options.source === undefined ? "" : `${options.source}: `;
    throw new HoldfastError(
      "USAGE",
      `${source}invalid pattern(s) provided:\n${faults.join("\n")}`,
      {
        hint: 'Put a backslash before a "[", "*" or "?" that is part of a name.',
      },
    );
  }
  return { patterns: compiled, ignoreCase, directory: undefined, components: [], prospects: [] };
}

/** What the list says about a path (a clean byte string, not empty). */
export function matches(list: PatternList, path: string): PatternMatch {
  if (list.patterns.length === 0) return ANSWERS[0] as PatternMatch;
  const slash = path.lastIndexOf("/");
  const known = list.directory;
  if (known === undefined || slash !== known.length - 1 || !path.startsWith(known)) {
    enter(list, path.slice(0, slash + 1));
  }
  const rest = path.slice(slash + 1);
  const name = list.ignoreCase ? lowerCase(rest) : rest;

  let matched = false;
  let below = false;
  for (let i = 0; i < list.patterns.length; i++) {
    const pattern = list.patterns[i] as Pattern;
    const prospect = list.prospects[i] as Prospect;
    const fits = prospect.inherited || (prospect.last !== undefined && prospect.last(name));
    if (pattern.negated) {
      matched &&= !fits;
      below &&= !fits;
    } else {
      matched ||= fits;
      below ||= typeof prospect.below === "boolean" ? prospect.below : prospect.below(name);
    }
  }
  return ANSWERS[(matched ? 1 : 0) + (below ? 2 : 0)] as PatternMatch;
}

function compilePattern(text: string): Pattern {
  const negated = text.startsWith("!");
  const parts = split(clean(negated ? text.slice(1) : text));
  const runs: NameMatcher[][] = [[]];
  for (const part of parts) {
    // The pattern "/" ends in an empty component, which restic takes for a `**` as well.
    if (part === "**" || part === "") runs.push([]);
    else runs.at(-1)?.push(part === ROOT ? isRoot : compileName(part));
  }
  return { negated, rooted: parts[0] === ROOT, runs, length: parts.length };
}

function isRoot(name: string): boolean {
  return name === ROOT;
}

/** The path without ".", "..", doubled and trailing slashes; "." when nothing is left. */
function clean(path: string): string {
  const normal = posix.normalize(path);
  return normal.length > 1 && normal.endsWith("/") ? normal.slice(0, -1) : normal;
}

/** Components of a path; an absolute one starts with the component "/". */
function split(path: string): string[] {
  const parts = path.split("/");
  if (parts[0] === "") parts[0] = ROOT;
  return parts;
}

/** Works out what the entries of `directory` (with its slash; empty for a bare name) have in common. */
function enter(list: PatternList, directory: string): void {
  const parent = directory.slice(0, -1);
  const components = directory === "" ? [] : split(list.ignoreCase ? lowerCase(parent) : parent);
  list.directory = directory;
  list.components = components;
  list.prospects = list.patterns.map((pattern) => ({
    inherited: fitsPath(pattern, components),
    last: lastMatcher(pattern, components),
    below: belowMatcher(pattern, components),
  }));
}

/** Decides for an entry of the directory `components` that has not inherited a match. */
function lastMatcher(pattern: Pattern, components: readonly string[]): NameMatcher | undefined {
  const [run = []] = pattern.runs;
  if (pattern.runs.length > 1) return (name) => fitsPath(pattern, [...components, name]);
  const before = run.length - 1;
  const offset = components.length - before;
  if (pattern.rooted ? offset !== 0 : offset < firstOffset(components)) return undefined;
  return fitsRun(run, components, offset, before) ? run[before] : undefined;
}

/** Whether something below an entry of the directory `components` may match the pattern. */
function belowMatcher(pattern: Pattern, components: readonly string[]): boolean | NameMatcher {
  const [run = []] = pattern.runs;
  if (!pattern.rooted) return true;
  const compared = Math.min(components.length, run.length);
  if (!fitsRun(run, components, 0, compared)) return false;
  return run[components.length] ?? true;
}

/** Offset 0 is the root marker in an absolute path, where only rooted patterns start. */
function firstOffset(components: readonly string[]): number {
  return components[0] === ROOT ? 1 : 0;
}

/** Whether the pattern fits the path, or a directory above it. */
function fitsPath(pattern: Pattern, components: readonly string[]): boolean {
  // restic expands each `**` in turn to at most this many components, and the next one to what this one has left
  // plus one; so a pattern with two `**` may miss a path where both stand for nothing.
  const budget = components.length - pattern.length + 1;
  if (pattern.runs.length > 1 && budget < 0) return false;
  const first = pattern.rooted ? 0 : firstOffset(components);
  const last = pattern.rooted ? 0 : components.length;
  for (let offset = first; offset <= last; offset++) {
    if (fitsFrom(pattern.runs, 0, components, offset, offset, budget)) return true;
  }
  return false;
}

/** Whether the runs from `index` on fit from `at` on, for a pattern that began to fit at `start`. */
function fitsFrom(
  runs: Pattern["runs"],
  index: number,
  components: readonly string[],
  start: number,
  at: number,
  budget: number,
): boolean {
  const run = runs[index] as readonly NameMatcher[];
  const end = at + run.length;
  if (end > components.length || !fitsRun(run, components, at, run.length)) return false;
  // A pattern of nothing but `**`s that stand for nothing fits no path.
  if (index === runs.length - 1) return end > start;
  const room = Math.min(budget, components.length - end);
  for (let width = 0; width <= room; width++) {
    if (fitsFrom(runs, index + 1, components, start, end + width, budget + 1 - width)) return true;
  }
  return false;
}

/** Whether the first `count` matchers of the run match the components from `offset` on. */
function fitsRun(
  run: readonly NameMatcher[],
  components: readonly string[],
  offset: number,
  count: number,
): boolean {
  for (let i = 0; i < count; i++) {
    const name = components[offset + i];
    if (name === undefined || !(run[i] as NameMatcher)(name)) return false;
  }
  return true;
}
