// Reads a regular expression in Go's (RE2's) syntax into a small program for src/sops/re2.ts. JavaScript's own expressions
// neither have this syntax nor linear time, and both pattern and text come out of files that others wrote.

/** One character's test. Code points, not UTF-16 units. */
export type CharTest = (point: number) => boolean;
export type Assertion = "begin" | "end" | "lineBegin" | "lineEnd" | "word" | "notWord";

export type Instruction =
  | { readonly op: "char"; readonly test: CharTest }
  | { readonly op: "split"; a: number; b: number }
  | { readonly op: "jump"; to: number }
  | { readonly op: "assert"; readonly what: Assertion }
  | { readonly op: "match" };

type Part =
  | { readonly kind: "char"; readonly test: CharTest }
  | { readonly kind: "assert"; readonly what: Assertion }
  | { readonly kind: "all"; readonly parts: readonly Part[] }
  | { readonly kind: "any"; readonly parts: readonly Part[] }
  | { readonly kind: "repeat"; readonly part: Part; readonly min: number; readonly max: number };

interface Flags {
  readonly i: boolean;
  readonly m: boolean;
  readonly s: boolean;
}

/** A pattern that RE2 would not take, or that is too large for us. The message says what is wrong with it. */
export class PatternError extends Error {}

const PROGRAM_MAX = 4000;
const REPEAT_MAX = 1000;
const NESTING_MAX = 100;
const POSIX: Readonly<Record<string, string>> = {
  alnum: "[0-9A-Za-z]",
  alpha: "[A-Za-z]",
  ascii: "[\\x00-\\x7F]",
  blank: "[\\t ]",
  cntrl: "[\\x00-\\x1F\\x7F]",
  digit: "[0-9]",
  graph: "[!-~]",
  lower: "[a-z]",
  print: "[ -~]",
  punct: "[!-/:-@\\[-`{-~]",
  space: "[\\t\\n\\v\\f\\r ]",
  upper: "[A-Z]",
  word: "[0-9A-Za-z_]",
  xdigit: "[0-9A-Fa-f]",
};
const PERL: Readonly<Record<string, string>> = {
  d: "[0-9]",
  w: "[0-9A-Za-z_]",
  s: "[\\t\\n\\f\\r ]",
};
const ESCAPES: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 };

function not(test: CharTest): CharTest {
  return (point) => !test(point);
}

/** A test by an expression for exactly one character. */
function oneOf(source: string): CharTest {
  const pattern = new RegExp(`^(?:${source})$`, "u");
  return (point) => pattern.test(String.fromCodePoint(point));
}

/** `test` for every case of a letter. */
function folded(test: CharTest): CharTest {
  return (point) => {
    if (test(point)) return true;
    const text = String.fromCodePoint(point);
    return [text.toLowerCase(), text.toUpperCase(), text.toUpperCase().toLowerCase()].some(
      (other) => [...other].length === 1 && test(other.codePointAt(0)!),
    );
  };
}

class Syntax {
  readonly #points: readonly string[];
  #at = 0;
  #depth = 0;
  #flags: Flags = { i: false, m: false, s: false };

  constructor(pattern: string) {
    this.#points = [...pattern];
  }

  whole(): Part {
    const part = this.#alternatives();
    if (this.#at < this.#points.length) throw new PatternError("unexpected )");
    return part;
  }

  #peek(text: string): boolean {
    return this.#points.slice(this.#at, this.#at + text.length).join("") === text;
  }

  #take(text: string): boolean {
    if (!this.#peek(text)) return false;
    this.#at += text.length;
    return true;
  }

  #next(): string {
    const next = this.#points[this.#at++];
    if (next === undefined) throw new PatternError("it ends too early");
    return next;
  }

  #until(end: string): string {
    let text = "";
    for (let next = this.#next(); next !== end; next = this.#next()) text += next;
    return text;
  }

  #alternatives(): Part {
    if (++this.#depth > NESTING_MAX) throw new PatternError("nested too deeply");
    const parts = [this.#sequence()];
    while (this.#take("|")) parts.push(this.#sequence());
    this.#depth--;
    return parts.length === 1 ? parts[0]! : { kind: "any", parts };
  }

  #sequence(): Part {
    const parts: Part[] = [];
    while (this.#at < this.#points.length && !this.#peek("|") && !this.#peek(")")) {
      const atom = this.#atom();
      if (atom) parts.push(this.#repeated(atom));
    }
    return { kind: "all", parts };
  }

  #repeated(atom: Part): Part {
    let part = atom;
    for (let count = 0; ; count++) {
      const bounds = this.#bounds();
      if (!bounds) return part;
      if (count > 0) throw new PatternError("a repetition of a repetition");
      const [min, max] = bounds;
      part = { kind: "repeat", part, min, max };
      // Greedy or not: it matches the same.
      this.#take("?");
    }
  }

  #bounds(): [min: number, max: number] | undefined {
    if (this.#take("*")) return [0, Infinity];
    if (this.#take("+")) return [1, Infinity];
    if (this.#take("?")) return [0, 1];
    const rest = this.#points.slice(this.#at, this.#at + 16).join("");
    const match = /^\{(\d+)(,(\d*))?\}/.exec(rest);
    if (!match) return undefined;
    this.#at += match[0].length;
    const min = Number(match[1]);
    const max = match[2] === undefined ? min : match[3] === "" ? Infinity : Number(match[3]);
    if (min > REPEAT_MAX || (max !== Infinity && max > REPEAT_MAX) || max < min) {
      throw new PatternError("a repetition out of bounds");
    }
    return [min, max];
  }

  #char(test: CharTest): Part {
    return { kind: "char", test: this.#flags.i ? folded(test) : test };
  }

  #atom(): Part | undefined {
    if (this.#take("(")) return this.#group();
    const { m, s } = this.#flags;
    const next = this.#next();
    if (next === "[") return this.#char(this.#class());
    if (next === ".") return { kind: "char", test: s ? () => true : (point) => point !== 10 };
    if (next === "^") return { kind: "assert", what: m ? "lineBegin" : "begin" };
    if (next === "$") return { kind: "assert", what: m ? "lineEnd" : "end" };
    if (next === "*" || next === "+" || next === "?")
      throw new PatternError(`nothing before ${next}`);
    if (next === "\\") return this.#escaped();
    const point = next.codePointAt(0)!;
    return this.#char((other) => other === point);
  }

  #group(): Part | undefined {
    const outer = this.#flags;
    if (this.#take("?")) {
      if (this.#take("P<") || this.#take("<")) {
        const name = this.#until(">");
        if (!/^\w+$/.test(name))
          throw new PatternError("a group of this kind, which RE2 does not have");
      } else {
        const [, on = "", off = "", end] =
          /^([imsU]*)(?:-([imsU]+))?([:)])/.exec(
            this.#points.slice(this.#at, this.#at + 20).join(""),
          ) ?? [];
        if (end === undefined)
          throw new PatternError("a group of this kind, which RE2 does not have");
        this.#at += on.length + (off === "" ? 0 : off.length + 1) + 1;
        const flag = (name: keyof Flags): boolean =>
          (outer[name] || on.includes(name)) && !off.includes(name);
        this.#flags = { i: flag("i"), m: flag("m"), s: flag("s") };
        if (end === ")") return undefined;
      }
    }
    const part = this.#alternatives();
    if (!this.#take(")")) throw new PatternError("a missing )");
    this.#flags = outer;
    return part;
  }

  #escaped(): Part {
    const next = this.#points[this.#at];
    const assertions: Readonly<Record<string, Assertion>> = {
      A: "begin",
      z: "end",
      b: "word",
      B: "notWord",
    };
    if (next !== undefined && Object.hasOwn(assertions, next)) {
      this.#at++;
      return { kind: "assert", what: assertions[next]! };
    }
    if (this.#take("Q")) {
      const parts: Part[] = [];
      while (this.#at < this.#points.length && !this.#take("\\E")) {
        const point = this.#next().codePointAt(0)!;
        parts.push(this.#char((other) => other === point));
      }
      return { kind: "all", parts };
    }
    const found = this.#escape();
    return this.#char(typeof found === "number" ? (other) => other === found : found);
  }

  /** What follows a backslash: a set, or one character. */
  #escape(): CharTest | number {
    const next = this.#next();
    const lower = next.toLowerCase();
    if (Object.hasOwn(PERL, lower)) {
      const test = oneOf(PERL[lower]!);
      return next === lower ? test : not(test);
    }
    if (lower === "p") {
      const name = this.#take("{") ? this.#until("}") : this.#next();
      const negated = name.startsWith("^") !== (next === "P");
      const bare = name.replace("^", "");
      for (const source of [`\\p{${bare}}`, `\\p{Script=${bare}}`]) {
        try {
          const test = oneOf(source);
          return negated ? not(test) : test;
        } catch {
          // Not a class of this kind.
        }
      }
      throw new PatternError(`an unknown class of characters, \\${next}`);
    }
    if (next === "x") {
      const hex = this.#take("{") ? this.#until("}") : this.#next() + this.#next();
      const point = /^[\da-fA-F]{1,6}$/.test(hex) ? parseInt(hex, 16) : Infinity;
      if (point > 0x10ffff) throw new PatternError("a character that there is not");
      return point;
    }
    if (next === "0") {
      let digits = "0";
      while (digits.length < 3 && /[0-7]/.test(this.#points[this.#at] ?? ""))
        digits += this.#next();
      return parseInt(digits, 8);
    }
    if (Object.hasOwn(ESCAPES, next)) return ESCAPES[next]!;
    if (/[0-9A-Za-z]/.test(next)) throw new PatternError(`\\${next}, which RE2 does not have`);
    return next.codePointAt(0)!;
  }

  #class(): CharTest {
    const negated = this.#take("^");
    const tests: CharTest[] = [];
    for (let first = true; first || !this.#take("]"); first = false) {
      const posix = /^\[:(\^?)(\w+):\]/.exec(this.#points.slice(this.#at, this.#at + 12).join(""));
      if (posix) {
        if (!Object.hasOwn(POSIX, posix[2]!))
          throw new PatternError("an unknown class of characters");
        const test = oneOf(POSIX[posix[2]!]!);
        tests.push(posix[1] === "^" ? not(test) : test);
        this.#at += posix[0].length;
        continue;
      }
      const low = this.#classMember();
      if (typeof low !== "number") tests.push(low);
      else if (this.#peek("-") && this.#points[this.#at + 1] !== "]") {
        this.#at++;
        const high = this.#classMember();
        if (typeof high !== "number" || high < low) throw new PatternError("a range that is none");
        tests.push((point) => point >= low && point <= high);
      } else tests.push((point) => point === low);
    }
    const any: CharTest = (point) => tests.some((test) => test(point));
    const test = this.#flags.i ? folded(any) : any;
    return negated ? not(test) : test;
  }

  #classMember(): CharTest | number {
    return this.#take("\\") ? this.#escape() : this.#next().codePointAt(0)!;
  }
}

/** The program of a pattern. Throws PatternError. */
export function compilePattern(pattern: string): readonly Instruction[] {
  const program: Instruction[] = [];
  const add = <I extends Instruction>(instruction: I): I => {
    if (program.length >= PROGRAM_MAX) throw new PatternError("too large");
    program.push(instruction);
    return instruction;
  };
  const emit = (part: Part): void => {
    if (part.kind === "char") add({ op: "char", test: part.test });
    else if (part.kind === "assert") add({ op: "assert", what: part.what });
    else if (part.kind === "all") part.parts.forEach(emit);
    else if (part.kind === "any") {
      const jumps = part.parts.slice(0, -1).map((choice) => {
        const split = add({ op: "split", a: program.length + 1, b: 0 });
        emit(choice);
        const jump = add({ op: "jump", to: 0 });
        split.b = program.length;
        return jump;
      });
      emit(part.parts.at(-1)!);
      for (const jump of jumps) jump.to = program.length;
    } else {
      for (let i = 0; i < part.min; i++) emit(part.part);
      const loop = program.length;
      const splits = Array.from({ length: part.max === Infinity ? 1 : part.max - part.min }, () => {
        const split = add({ op: "split", a: program.length + 1, b: 0 });
        emit(part.part);
        return split;
      });
      if (part.max === Infinity) add({ op: "jump", to: loop });
      for (const split of splits) split.b = program.length;
    }
  };
  emit(new Syntax(pattern).whole());
  add({ op: "match" });
  return program;
}
