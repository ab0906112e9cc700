// A dotenv file to a tree: `name=value` a line, no quoting at all, `\n` for a newline, `#` only where a line begins.
// Implements docs/formats/sops.md#dotenv.

import { failAt, LENGTH_MAX, uniqueKeys } from "./tree.ts";
import type { Comment, Entry, Mapping, Place } from "./tree.ts";
import { valueOf } from "./value.ts";

/** The tree of a dotenv file. Throws SOPS_INVALID with the line. */
export function parseDotenv(place: Place): Mapping {
  const { text } = place;
  if (text.length > LENGTH_MAX) throw failAt(place, 0, "too large for a SOPS document");
  const items: (Entry | Comment)[] = [];
  const add = uniqueKeys(place);
  for (let start = 0; start < text.length;) {
    const newline = text.indexOf("\n", start);
    const end = newline === -1 ? text.length : newline;
    const line = text.slice(start, end);
    if (line.startsWith("#")) {
      items.push({ kind: "comment", text: line.slice(1), at: { start, end } });
    } else if (line !== "") {
      const equals = line.indexOf("=");
      if (equals === -1) throw failAt(place, start, "a line without =");
      const key = line.slice(0, equals);
      const keyAt = { start, end: start + equals };
      add(key, keyAt);
      const value = valueOf("str", line.slice(equals + 1).replaceAll("\\n", "\n"));
      const at = { start: keyAt.end + 1, end };
      items.push({ kind: "entry", key, keyAt, node: { kind: "leaf", value, at } });
    }
    start = end + 1;
  }
  return { kind: "map", items, at: { start: 0, end: text.length } };
}

/** A value as it stands in a dotenv file. */
export function dotenvText(text: string): string {
  return text.replaceAll("\n", "\\n");
}
