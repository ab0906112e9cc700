// How a value is put into the text of a document, and its metadata taken out, with every other byte left as it is. Implements
// docs/formats/sops.md#printing.

import { dotenvText } from "./dotenv-tree.ts";
import { jsonScalar } from "./json-print.ts";
import type { Format, SopsDocument } from "./document.ts";
import { blockColumn, columnOf } from "./tree.ts";
import type { Edit, Entry, List, Mapping, Span } from "./tree.ts";
import { textOf, type Value } from "./value.ts";
import { nextColumn, yamlScalar, type Spot } from "./yaml-print.ts";

function spotIn(text: string, parent: Mapping | List): Spot {
  const flow = /[{[]/.test(text[parent.at.start] ?? "");
  // Not looked for in flow style, which may be one line of megabytes.
  const base = flow ? 0 : blockColumn(text, parent);
  return { column: parent.kind === "list" ? base + 2 : nextColumn(base), base, flow };
}

/** What `value` looks like as a child of `parent` in a file of `format`. */
export function scalarText(
  text: string,
  format: Format,
  parent: Mapping | List,
  value: Value | undefined,
): string {
  if (format === "yaml") return yamlScalar(value, spotIn(text, parent));
  if (format === "dotenv") return value === undefined ? "" : dotenvText(textOf(value));
  return jsonScalar(value);
}

/** The edit that puts `replacement` in place of a scalar. A block takes its last newline with it. */
export function replaceScalar(text: string, at: Span, replacement: string): Edit {
  const block = /[|>]/.test(text[at.start] ?? "") && text[at.end - 1] === "\n";
  // Nothing stood there: a space keeps the colon of the key apart.
  const space = at.start === at.end && /[:-]/.test(text[at.start - 1] ?? "") ? " " : "";
  return { ...at, text: space + replacement + (block ? "\n" : "") };
}

/** The edit that turns an item of a list in a block into a comment. */
export function itemToComment(text: string, at: Span, comment: string): Edit {
  const dash = text.lastIndexOf("-", at.start);
  const indent = " ".repeat(columnOf(text, dash));
  return { start: dash, end: at.end, text: `#${comment.replace(/\n/g, `\n${indent}#`)}` };
}

function lineStart(text: string, offset: number): number {
  return text.lastIndexOf("\n", offset - 1) + 1;
}

/** Takes an entry out of an object in braces, with the comma. */
function cutFromBraces(root: Mapping, entry: Entry): Edit {
  const entries = root.items.filter((item) => item.kind === "entry");
  const index = entries.findIndex((item) => item.keyAt.start === entry.keyAt.start);
  const [before, after] = [entries[index - 1], entries[index + 1]];
  if (before) return { start: before.node.at.end, end: entry.node.at.end, text: "" };
  if (after) return { start: entry.keyAt.start, end: after.keyAt.start, text: "" };
  return { start: root.at.start + 1, end: root.at.end - 1, text: "" };
}

/** Takes an entry out of a block of YAML, line by line. */
function cutFromBlock(text: string, entry: Entry, isOnly: boolean): Edit {
  const start = lineStart(text, entry.keyAt.start);
  // What follows the block is not the block's: a comment, an empty line.
  const last = text[entry.node.at.end - 1] === "\n" ? entry.node.at.end - 1 : entry.node.at.end;
  const newline = text.indexOf("\n", last);
  const end = newline === -1 ? text.length : newline + 1;
  return { start, end, text: isOnly ? "{}\n" : "" };
}

/** The edits that take the metadata out of the text. */
export function cutMetadata(document: SopsDocument): Edit[] {
  const { text, format } = document;
  return document.roots.flatMap((root, index) => {
    const block = document.blocks[index]!;
    if (format === "dotenv") {
      return block.map(({ keyAt, node }) => ({
        start: keyAt.start,
        end: Math.min(text.length, node.at.end + 1),
        text: "",
      }));
    }
    const whole: Mapping = {
      ...root,
      items: [...root.items, ...block].toSorted((a, b) => place(a) - place(b)),
    };
    const isOnly = root.items.every(({ kind }) => kind === "comment");
    return block.map((entry) =>
      text[root.at.start] === "{" ? cutFromBraces(whole, entry) : cutFromBlock(text, entry, isOnly),
    );
  });
}

function place(item: Mapping["items"][number]): number {
  return item.kind === "entry" ? item.keyAt.start : item.at.start;
}
