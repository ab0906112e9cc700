// The few Python literals that backup.info holds: texts, numbers, None, True, False, lists and tuples of those, in the
// form that Python's repr gives them (docs/formats/barman.md#python-literals). Nothing is ever evaluated.

/** A literal; a tuple is read as a list. */
export type Literal = string | number | boolean | null | Literal[];

const DEPTH_MAX = 20;

/** Control characters, separators other than the space, formats, surrogates, private and unassigned ones. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;

const SHORT: Readonly<Record<string, string>> = {
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\\": "\\\\",
};

/** `text` as Python's repr writes it. */
export function quoteText(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let quoted = "";
  for (const char of text) {
    if (char === quote) quoted += `\\${quote}`;
    else if (SHORT[char] !== undefined) quoted += SHORT[char];
    else if (UNPRINTABLE.test(char)) quoted += escape(char.codePointAt(0)!);
    else quoted += char;
  }
  return quote + quoted + quote;
}

function escape(code: number): string {
  const [letter, digits] = code < 0x100 ? ["x", 2] : code < 0x10000 ? ["u", 4] : ["U", 8];
  return `\\${letter}${code.toString(16).padStart(digits, "0")}`;
}

const TOKEN =
  /[ \t]*(?:(?<text>[uU]?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))|(?<number>-?\d{1,15}(?:\.\d+)?(?:e[+-]?\d{1,3})?)(?![\w.])|(?<word>None|True|False)(?!\w)|(?<mark>[[\](),]))[ \t]*/suy;

/** The value of a literal; undefined when `text` is none, or one of another kind. */
export function readLiteral(text: string): Literal | undefined {
  const reader = new Reader(text);
  const value = reader.value(0);
  return reader.isAtEnd() ? value : undefined;
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  isAtEnd(): boolean {
    return this.#at === this.#text.length;
  }

  #next(): Record<string, string | undefined> | undefined {
    TOKEN.lastIndex = this.#at;
    const match = TOKEN.exec(this.#text);
    if (!match) return undefined;
    this.#at = TOKEN.lastIndex;
    return match.groups;
  }

  value(depth: number): Literal | undefined {
    const token = this.#next();
    if (!token || depth > DEPTH_MAX) return undefined;
    if (token["text"] !== undefined) return unquote(token["text"].replace(/^[uU]/, ""));
    if (token["number"] !== undefined) return Number(token["number"]);
    if (token["word"] !== undefined)
      return { None: null, True: true, False: false }[token["word"]]!;
    if (token["mark"] === "[") return this.#items("]", depth);
    return token["mark"] === "(" ? this.#items(")", depth) : undefined;
  }

  #items(close: string, depth: number): Literal[] | undefined {
    const items: Literal[] = [];
    while (true) {
      const before = this.#at;
      if (this.#next()?.["mark"] === close) return items;
      this.#at = before;
      const item = this.value(depth + 1);
      if (item === undefined) return undefined;
      items.push(item);
      const mark = this.#next()?.["mark"];
      if (mark === close) return items;
      if (mark !== ",") return undefined;
    }
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: "\n",
  r: "\r",
  t: "\t",
  a: "\x07",
  b: "\b",
  f: "\f",
  v: "\v",
  "\\": "\\",
  "'": "'",
  '"': '"',
};

function unquote(quoted: string): string | undefined {
  let isValid = true;
  const text = quoted
    .slice(1, -1)
    .replace(
      /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|(.))/gsu,
      (_, x?: string, u?: string, big?: string, octal?: string, char?: string) => {
        if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8));
        if (char === undefined) {
          const code = Number.parseInt((x ?? u ?? big)!, 16);
          if (code <= 0x10ffff) return String.fromCodePoint(code);
        } else if (ESCAPES[char] !== undefined) return ESCAPES[char];
        isValid = false;
        return "";
      },
    );
  return isValid ? text : undefined;
}
