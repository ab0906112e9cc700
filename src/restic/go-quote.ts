// Names in trees are written as Go's strconv.Quote writes them, without the outer quotes, and then as JSON
// (docs/formats/restic.md#names). That keeps names that are not UTF-8 whole. Both sides of this file are byte strings.

import { HoldfastError } from "../base/errors.ts";
import { codePointAt, utf8Width } from "./byte-string.ts";
import { isPrintable } from "./go-printable.ts";

const PLAIN = /^[ !#-[\]-~]*$/;

const ESCAPES: Readonly<Record<string, string>> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  '"': '\\"',
  "\\": "\\\\",
};

/** The quoted form of a name, without outer quotes, as restic built with a Unicode 15.0 Go writes it. */
export function quoteName(name: string): string {
  if (PLAIN.test(name)) return name;
  let quoted = "";
  for (let i = 0; i < name.length;) {
    const point = codePointAt(name, i);
    const width = point < 0 ? 1 : utf8Width(point);
    const bytes = name.slice(i, i + width);
    quoted += point < 0 ? `\\x${hex(name.charCodeAt(i), 2)}` : quotePoint(point, bytes);
    i += width;
  }
  return quoted;
}

function quotePoint(point: number, bytes: string): string {
  const escape = ESCAPES[bytes];
  if (escape !== undefined) return escape;
  if (isPrintable(point)) return bytes;
  if (point < 0x80) return `\\x${hex(point, 2)}`;
  return point < 0x10000 ? `\\u${hex(point, 4)}` : `\\U${hex(point, 8)}`;
}

function hex(value: number, width: number): string {
  return value.toString(16).padStart(width, "0");
}

const ESCAPE =
  /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|([abfnrtv\\"]))/y;

const UNESCAPES: ReadonlyMap<string, string> = new Map(
  Object.entries(ESCAPES).map(([byte, escape]) => [escape[1]!, byte]),
);

/**
 * The name that a quoted form stands for: accepts all that Go's strconv.Unquote accepts, whichever characters the
 * writer chose to escape. Throws TREE_DAMAGED for anything else.
 */
export function unquoteName(quoted: string): string {
  if (PLAIN.test(quoted)) return quoted;
  if (/["\n]/.test(quoted.replace(/\\[^]/g, ""))) throw damaged(quoted);
  let name = "";
  let from = 0;
  for (let at = quoted.indexOf("\\"); at >= 0; at = quoted.indexOf("\\", from)) {
    name += quoted.slice(from, at);
    ESCAPE.lastIndex = at;
    const match = ESCAPE.exec(quoted);
    if (match === null) throw damaged(quoted);
    name += unescape(match, quoted);
    from = at + match[0].length;
  }
  return name + quoted.slice(from);
}

function unescape(match: RegExpExecArray, quoted: string): string {
  const [, byte, short, long, octal, letter] = match;
  if (letter !== undefined) return UNESCAPES.get(letter)!;
  if (byte !== undefined) return String.fromCharCode(Number.parseInt(byte, 16));
  if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8));
  const point = Number.parseInt(short ?? long!, 16);
  if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) throw damaged(quoted);
  return Buffer.from(String.fromCodePoint(point), "utf8").toString("latin1");
}

function damaged(quoted: string): HoldfastError {
  return new HoldfastError("TREE_DAMAGED", `name is not validly quoted: ${JSON.stringify(quoted)}`);
}
