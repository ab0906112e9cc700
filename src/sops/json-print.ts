// Writes scalars as Go writes them in JSON. Implements docs/formats/sops.md#printing.

import type { Node } from "./tree.ts";
import { textOf, type Value } from "./value.ts";

/** A text in quotes. Go escapes what would mean something in HTML. */
export function jsonString(text: string): string {
  const json = JSON.stringify(text.toWellFormed());
  return json.replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A value as JSON. */
export function jsonScalar(value: Value | undefined): string {
  if (value === undefined) return "null";
  const text = textOf(value);
  if (value.type === "bool") return text.toLowerCase();
  if (value.type === "int") return text;
  // JSON has no infinity; a string says more than a failure would.
  if (value.type === "float" && /\d/.test(text)) return String(Number(text));
  return jsonString(text);
}

/** A tree as JSON without comments, indented as SOPS does. */
export function printJson(node: Node, indent = ""): string {
  if (node.kind === "leaf") return jsonScalar(node.value);
  const inner = `${indent}\t`;
  const items = (node.items as readonly (typeof node.items)[number][]).flatMap((item) => {
    if (item.kind === "comment") return [];
    if (item.kind === "entry")
      return [`${inner}${jsonString(item.key)}: ${printJson(item.node, inner)}`];
    return [inner + printJson(item, inner)];
  });
  const [open, close] = node.kind === "map" ? ["{", "}"] : ["[", "]"];
  return items.length === 0 ? open + close : `${open}\n${items.join(",\n")}\n${indent}${close}`;
}
