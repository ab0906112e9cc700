// One component of an exclude or include pattern, matched against one component of a path: `*`, `?`, `[a-z]`, `[^a]`
// and `\` with the meaning that restic gives them (Go's filepath.Match), including its odd corners: `*` and literals
// work on bytes, `?` and classes on UTF-8 characters, where a byte that belongs to none counts as U+FFFD.
// Names and patterns are byte strings (one character per byte).

import { codePointAt, isAscii, textToByteString, utf8Width } from "../restic/byte-string.ts";

/** True when the name matches. The name has no "/", except the marker "/" that stands for the root. */
export type NameMatcher = (name: string) => boolean;

/** One character of these pairs of first and last code point, or of none of them. */
interface CharacterClass {
  readonly negated: boolean;
  readonly ranges: number[];
}

const ANY = Symbol("any character");
type Step = string | typeof ANY | CharacterClass;

/** Steps that follow each other directly, after any number of bytes when `star`. */
interface Chunk {
  readonly star: boolean;
  readonly steps: Step[];
}

const REPLACEMENT = 0xfffd;

/** Compiles one pattern component; throws SyntaxError with the reason when it is malformed. */
export function compileName(pattern: string): NameMatcher {
  const chunks = parse(pattern);
  return simpleMatcher(chunks) ?? ((name) => matchChunks(chunks, name));
}

/** A faster matcher for the usual shapes: `name`, `*`, `*.ext`, `prefix*`. */
function simpleMatcher(chunks: readonly Chunk[]): NameMatcher | undefined {
  const [first, second] = chunks;
  if (first === undefined) return (name) => name === "";
  if (chunks.length > 2 || first.steps.length > 1 || second?.steps.length) return undefined;
  const text = first.steps[0] ?? "";
  if (typeof text !== "string" || text.includes("/")) return undefined;
  if (second !== undefined) {
    return first.star ? undefined : (name) => name.startsWith(text);
  }
  if (!first.star) return (name) => name === text;
  return text === "" ? (name) => name !== "/" : (name) => name.endsWith(text);
}

function parse(pattern: string): Chunk[] {
  const chunks: Chunk[] = [];
  let steps: Step[] | undefined;
  let at = 0;
  while (at < pattern.length) {
    const char = pattern.charAt(at);
    if (char === "*") {
      while (pattern.charAt(at) === "*") at++;
      steps = [];
      chunks.push({ star: true, steps });
      continue;
    }
    if (steps === undefined) chunks.push({ star: false, steps: (steps = []) });
    if (char === "?") {
      steps.push(ANY);
      at++;
    } else if (char === "[") {
      at = parseClass(pattern, at + 1, steps);
    } else {
      if (char === "\\") at++;
      if (at === pattern.length) throw new SyntaxError("nothing follows the last backslash");
      const last = steps.at(-1);
      if (typeof last === "string") steps[steps.length - 1] = last + pattern.charAt(at);
      else steps.push(pattern.charAt(at));
      at++;
    }
  }
  return chunks;
}

/** Reads a class from behind its "[", adds it to `steps`, returns the position behind its "]". */
function parseClass(pattern: string, start: number, steps: Step[]): number {
  const negated = pattern.charAt(start) === "^";
  const ranges: number[] = [];
  let at = negated ? start + 1 : start;
  while (ranges.length === 0 || pattern.charAt(at) !== "]") {
    at = classCharacter(pattern, at, ranges);
    const low = ranges.at(-1) ?? 0;
    if (pattern.charAt(at) === "-") at = classCharacter(pattern, at + 1, ranges);
    else ranges.push(low);
  }
  steps.push({ negated, ranges });
  return at + 1;
}

/** Reads one character of a class at `at` into `ranges`, returns the position behind it. */
function classCharacter(pattern: string, at: number, ranges: number[]): number {
  const char = pattern.charAt(at);
  if (char === "-" || char === "]") {
    throw new SyntaxError(`a "${char}" stands where "[" needs a character; write "\\${char}"`);
  }
  const from = char === "\\" ? at + 1 : at;
  const rune = runeAt(pattern, from);
  const end = from + runeWidth(pattern, from);
  if (end >= pattern.length) throw new SyntaxError('a "[" has no "]"');
  if (rune === REPLACEMENT && end === from + 1) throw new SyntaxError("it is not valid UTF-8");
  ranges.push(rune);
  return end;
}

/** Whether all of `name` matches. Like Go, takes for each star the first place where its chunk fits. */
function matchChunks(chunks: readonly Chunk[], name: string): boolean {
  let at = 0;
  for (let index = 0; index < chunks.length; index++) {
    const { star, steps } = chunks[index] as Chunk;
    const last = index === chunks.length - 1;
    if (star && steps.length === 0) return !name.includes("/", at);
    let end = matchSteps(steps, name, at);
    if (star) {
      while (end < 0 || (last && end < name.length)) {
        if (at >= name.length || name.charAt(at) === "/") return false;
        end = matchSteps(steps, name, ++at);
      }
    }
    if (end < 0) return false;
    at = end;
  }
  return at === name.length;
}

/** Position behind the steps when they match `name` at `at`, or -1. */
function matchSteps(steps: readonly Step[], name: string, at: number): number {
  for (const step of steps) {
    if (at >= name.length) return -1;
    if (typeof step === "string") {
      if (!name.startsWith(step, at)) return -1;
      at += step.length;
      continue;
    }
    if (step === ANY ? name.charAt(at) === "/" : !inClass(step, runeAt(name, at))) return -1;
    at += runeWidth(name, at);
  }
  return at;
}

function inClass(step: CharacterClass, rune: number): boolean {
  const { ranges } = step;
  for (let i = 0; i < ranges.length; i += 2) {
    if ((ranges[i] as number) <= rune && rune <= (ranges[i + 1] as number)) return !step.negated;
  }
  return step.negated;
}

/** Bytes of the UTF-8 character at `at`; 1 when there is none that is valid. */
function runeWidth(bytes: string, at: number): number {
  const point = codePointAt(bytes, at);
  return point < 0 ? 1 : utf8Width(point);
}

/** Code point of the UTF-8 character at `at`; U+FFFD when there is none that is valid. */
function runeAt(bytes: string, at: number): number {
  const point = codePointAt(bytes, at);
  return point < 0 ? REPLACEMENT : point;
}

/**
 * Lower case of a byte string as Go's strings.ToLower: character by character, no locale and no context; in a string
 * that is not ASCII, each byte that is not UTF-8 becomes U+FFFD.
 */
export function lowerCase(bytes: string): string {
  if (isAscii(bytes)) return bytes.toLowerCase();
  let text = "";
  for (let at = 0; at < bytes.length; at += runeWidth(bytes, at)) {
    const rune = runeAt(bytes, at);
    // JavaScript turns U+0130 into two characters, Go into a plain "i".
    text += rune === 0x130 ? "i" : String.fromCodePoint(rune).toLowerCase();
  }
  return textToByteString(text);
}
