// Whether a regular expression of Go's kind occurs in a text, in time linear in both. Implements the matching of
// docs/formats/sops.md#selection.

import { compilePattern, type Assertion, type Instruction } from "./re2-syntax.ts";

const isWord = (point: number | undefined): boolean =>
  point !== undefined && point < 128 && /\w/.test(String.fromCodePoint(point));

function holds(what: Assertion, points: readonly number[], at: number): boolean {
  const [before, after] = [points[at - 1], points[at]];
  switch (what) {
    case "begin":
      return at === 0;
    case "end":
      return at === points.length;
    case "lineBegin":
      return at === 0 || before === 10;
    case "lineEnd":
      return at === points.length || after === 10;
    case "word":
      return isWord(before) !== isWord(after);
    case "notWord":
      return isWord(before) === isWord(after);
  }
}

function matches(program: readonly Instruction[], text: string): boolean {
  const points = Array.from(text, (char) => char.codePointAt(0)!);
  let states = new Set<number>();
  for (let at = 0; at <= points.length; at++) {
    // The states that follow without reading: every one once. The expression may begin anywhere.
    const reached = new Set<number>();
    const open = [...states, 0];
    for (let state = open.pop(); state !== undefined; state = open.pop()) {
      if (reached.has(state)) continue;
      reached.add(state);
      const instruction = program[state]!;
      if (instruction.op === "match") return true;
      if (instruction.op === "jump") open.push(instruction.to);
      if (instruction.op === "split") open.push(instruction.a, instruction.b);
      if (instruction.op === "assert" && holds(instruction.what, points, at)) open.push(state + 1);
    }
    const point = points[at];
    states = new Set();
    if (point === undefined) return false;
    for (const state of reached) {
      const instruction = program[state]!;
      if (instruction.op === "char" && instruction.test(point)) states.add(state + 1);
    }
  }
  return false;
}

const ANSWERS_MAX = 10_000;

/** A test whether `pattern` occurs in a text. Answers are remembered: keys repeat. Throws PatternError. */
export function compileRe2(pattern: string): (text: string) => boolean {
  const program = compilePattern(pattern);
  const answers = new Map<string, boolean>();
  return (text) => {
    const known = answers.get(text);
    if (known !== undefined) return known;
    const answer = matches(program, text);
    if (answers.size < ANSWERS_MAX) answers.set(text, answer);
    return answer;
  };
}
