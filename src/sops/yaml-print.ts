// Writes scalars and trees as YAML in the way of Go's YAML library, so that what is decrypted here is what `sops decrypt`
// prints. Implements docs/formats/sops.md#printing.

import type { List, Mapping, Node } from "./tree.ts";
import { textOf, valueOf, type Value } from "./value.ts";
import { plainScalar } from "./yaml-scalar.ts";

/** Columns that SOPS indents by. */
export const INDENT = 4;

/** Where a scalar is to stand. */
export interface Spot {
  /** The column for lines of a block. */
  readonly column: number;
  /** The column that such a block's indentation is counted from. */
  readonly base: number;
  /** Inside [] or {}, where blocks cannot be. */
  readonly flow: boolean;
}

/** What YAML 1.1 calls a boolean or a number to the base 60: quoted for the sake of other readers. */
const OLD_WORDS = /^(?:y|Y|yes|Yes|YES|on|On|ON|n|N|no|No|NO|off|Off|OFF)$/;
const BASE_60 = /^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$/;
const UNPRINTABLE = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\ud800-\udfff\ufeff\ufffe\uffff]/u;
const UNPRINTABLE_OR_ASTRAL = new RegExp(`${UNPRINTABLE.source}|[\\u{10000}-\\u{10ffff}]`, "u");

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ["\0", "\\0"],
  ["\x07", "\\a"],
  ["\b", "\\b"],
  ["\t", "\\t"],
  ["\n", "\\n"],
  ["\v", "\\v"],
  ["\f", "\\f"],
  ["\r", "\\r"],
  ["\x1b", "\\e"],
  ['"', '\\"'],
  ["\\", "\\\\"],
  ["\u0085", "\\N"],
  ["\u2028", "\\L"],
  ["\u2029", "\\P"],
]);

function escaped(point: string): string {
  const known = ESCAPES.get(point);
  if (known !== undefined) return known;
  if (!UNPRINTABLE_OR_ASTRAL.test(point)) return point;
  const hex = point.codePointAt(0)!.toString(16).toUpperCase();
  if (hex.length <= 2) return `\\x${hex.padStart(2, "0")}`;
  return hex.length <= 4 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}

function doubleQuoted(text: string): string {
  return `"${Array.from(text, escaped).join("")}"`;
}

/** Whether a one-line text can stand without quotes. */
function isPlain(text: string, flow: boolean): boolean {
  if (/^(?:---|\.\.\.)/.test(text) || /^ | $/.test(text)) return false;
  if (/^[#,[\]{}&*!|>'"%@`]/.test(text) || /^[?:-](?: |$)/.test(text)) return false;
  if (/:(?: |$)/.test(text) || / #/.test(text)) return false;
  return !flow || !(/[,?[\]{}:]/.test(text) || text.startsWith("-"));
}

function blockText(text: string, { column, base }: Spot): string {
  const hint = /^[ \n]/.test(text) ? String(column - base) : "";
  const chomp = !text.endsWith("\n") ? "-" : text === "\n" || text.endsWith("\n\n") ? "+" : "";
  const lines = (text.endsWith("\n") ? text.slice(0, -1) : text).split("\n");
  const indent = " ".repeat(column);
  return `|${hint}${chomp}\n${lines.map((line) => (line === "" ? "" : indent + line)).join("\n")}`;
}

/** A text as a scalar. The last line is without its newline. */
function stringText(text: string, spot: Spot): string {
  if (UNPRINTABLE_OR_ASTRAL.test(text.replaceAll("\t", "")) || /[\r\u2028\u2029]/.test(text)) {
    return doubleQuoted(text);
  }
  if (text.includes("\n")) {
    // Go cannot read a block with a tab before a line, and counts the indentation of one in a list wrongly.
    const isReadable =
      !/^\t/m.test(text) && (spot.column - spot.base === INDENT || !/^[ \n]/.test(text));
    const isBlock = !spot.flow && !/ \n| $/.test(text) && isReadable;
    return isBlock ? blockText(text, spot) : doubleQuoted(text);
  }
  const scalar = plainScalar(text);
  const isString = "value" in scalar && scalar.value?.type === "str";
  if (!isString || OLD_WORDS.test(text) || BASE_60.test(text)) return doubleQuoted(text);
  if (text.includes("\t")) return doubleQuoted(text);
  return isPlain(text, spot.flow) ? text : `'${text.replaceAll("'", "''")}'`;
}

/** Powers of ten from which Go's `%g` uses an exponent. */
const PLAIN_POWERS = 6;

/** A float as Go writes it in YAML: with an exponent when it is large, however many digits it has, or below 10^-4. */
function floatText(text: string): string {
  if (text === "NaN") return ".nan";
  if (text.endsWith("Inf")) return text.startsWith("-") ? "-.inf" : ".inf";
  const number = Number(text);
  const [mantissa = "", exponent = "0"] = Math.abs(number).toExponential().split("e");
  const power = Number(exponent);
  if (power >= -4 && power < PLAIN_POWERS) return text;
  const sign = text.startsWith("-") ? "-" : "";
  return `${sign}${mantissa}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}

/** A value as a scalar of YAML; one of several lines is a block at the spot. */
export function yamlScalar(value: Value | undefined, spot: Spot): string {
  if (value === undefined) return "null";
  const text = textOf(value);
  if (value.type === "bool") return text.toLowerCase();
  if (value.type === "float") return floatText(text);
  if (value.type === "int" || value.type === "time") return text;
  if (!Buffer.from(text, "utf8").equals(value.bytes)) {
    return `!!binary ${Buffer.from(value.bytes).toString("base64")}`;
  }
  return stringText(text, spot);
}

/** The column that SOPS indents to next. */
export function nextColumn(column: number): number {
  return INDENT * Math.floor((column + INDENT) / INDENT);
}

/** A key of a mapping. */
export function yamlKey(key: string): string {
  return yamlScalar(valueOf("str", key), { column: 0, base: 0, flow: true });
}

function printNode(node: Node, column: number, inList: boolean): string {
  if (node.kind === "leaf") {
    const block = inList ? column + 2 : nextColumn(column);
    return ` ${yamlScalar(node.value, { column: block, base: column, flow: false })}\n`;
  }
  if (node.items.every(({ kind }) => kind === "comment"))
    return node.kind === "map" ? " {}\n" : " []\n";
  const inner = inList ? column + 2 : nextColumn(column);
  const text = printItems(node, inner);
  return inList ? ` ${text.slice(inner)}` : `\n${text}`;
}

function printItems(node: Mapping | List, column: number): string {
  const indent = " ".repeat(column);
  const parts = (node.items as readonly Mapping["items"][number][]).map((item) => {
    if (item.kind === "comment") return `${indent}#${item.text}\n`;
    if (item.kind === "entry")
      return `${indent}${yamlKey(item.key)}:${printNode(item.node, column, false)}`;
    return `${indent}-${printNode(item, column, true)}`;
  });
  return parts.join("");
}

/** A mapping or list as a block at `column`, with its last newline. */
export function printYaml(node: Node, column = 0): string {
  if (node.kind === "leaf") return printNode(node, column, false).slice(1);
  const isEmpty = node.items.every(({ kind }) => kind === "comment");
  if (isEmpty) return node.kind === "map" ? "{}\n" : "[]\n";
  return printItems(node, column);
}
