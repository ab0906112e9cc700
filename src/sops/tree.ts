// A SOPS document as a tree, the same for every file format: mappings, lists, scalars and comments in the order of the file,
// each with the place in the text that it was read from. Mappings are lists of entries, so that no key of a hostile
// file can be a property of anything.

import { HoldfastError, type ErrorCode } from "../base/errors.ts";
import type { Value } from "./value.ts";

/** Offsets into the text in UTF-16 units, `end` exclusive. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface Leaf {
  readonly kind: "leaf";
  /** Undefined is null, which is neither encrypted nor in the MAC. */
  readonly value: Value | undefined;
  readonly at: Span;
}

export interface Comment {
  readonly kind: "comment";
  /** All that follows the `#`. */
  readonly text: string;
  readonly at: Span;
}

export interface Entry {
  readonly kind: "entry";
  readonly key: string;
  readonly keyAt: Span;
  readonly node: Node;
}

export interface Mapping {
  readonly kind: "map";
  readonly items: readonly (Entry | Comment)[];
  readonly at: Span;
}

export interface List {
  readonly kind: "list";
  readonly items: readonly (Node | Comment)[];
  readonly at: Span;
}

export type Node = Leaf | Mapping | List;

/** Deeper nesting is refused; nobody writes it, and walking it would exhaust the stack. */
export const DEPTH_MAX = 200;
/** Nodes of a document after aliases are expanded. */
export const NODES_MAX = 2_000_000;
/** Characters of a document. */
export const LENGTH_MAX: number = 64 * 1024 * 1024;

/** Where in which file something is, for messages. */
export interface Place {
  readonly name: string;
  readonly text: string;
}

/** The line, from 1, that an offset is in. */
export function lineOf(text: string, offset: number): number {
  let line = 1;
  for (let i = text.indexOf("\n"); i !== -1 && i < offset; i = text.indexOf("\n", i + 1)) line++;
  return line;
}

/** The column, from 0, of an offset. */
export function columnOf(text: string, offset: number): number {
  return offset - (text.lastIndexOf("\n", offset - 1) + 1);
}

/** Characters of tags and anchors before a key that are looked at. */
const TAG_MAX = 200;

/** The column that the items of a block stand at; before its first key there may be a tag. */
export function blockColumn(text: string, { at }: Mapping | List): number {
  const column = columnOf(text, at.start);
  const before = text.slice(at.start - Math.min(column, TAG_MAX), at.start);
  return column - (/(?:[!&]\S*[ \t]+)+$/.exec(before)?.[0].length ?? 0);
}

/** A failure at an offset. `what` must not hold a value of the document. */
export function failAt(
  { name, text }: Place,
  offset: number,
  what: string,
  { code = "SOPS_INVALID", hint }: { code?: ErrorCode; hint?: string } = {},
): HoldfastError {
  const message = `${name}, line ${lineOf(text, offset)}: ${what}`;
  return new HoldfastError(code, message, hint === undefined ? {} : { hint });
}

/** Keys from the root as a person would write them, for messages. */
export function pathText(path: readonly string[]): string {
  return path.length === 0 ? "the top" : JSON.stringify(path.join("."));
}

/** The entry of `mapping` called `key`. */
export function entryOf(mapping: Mapping, key: string): Entry | undefined {
  return mapping.items.find((item): item is Entry => item.kind === "entry" && item.key === key);
}

/** Refuses a second entry of one name; returns what adds a name. */
export function uniqueKeys(place: Place): (key: string, at: Span) => void {
  const seen = new Set<string>();
  return (key, at) => {
    if (seen.has(key))
      throw failAt(place, at.start, `the key ${JSON.stringify(key)} is there twice`);
    seen.add(key);
  };
}

export interface Edit extends Span {
  readonly text: string;
}

/** `text` with `edits`, which do not overlap, applied; everything else stays as it is. */
export function applyEdits(text: string, edits: readonly Edit[]): string {
  const parts: string[] = [];
  let at = 0;
  for (const edit of edits.toSorted((a, b) => a.start - b.start)) {
    parts.push(text.slice(at, edit.start), edit.text);
    at = edit.end;
  }
  return parts.join("") + text.slice(at);
}
