// JSON with two spaces for each level, as Go's MarshalIndent writes it: what `cat` prints.

import { goJson } from "../restic/json-fields.ts";

/** The text of any value of JSON, without a newline at its end. */
export function indentedJson(value: unknown, indent = ""): string {
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    const items = value.map((item) => inner + indentedJson(item, inner));
    return items.length === 0 ? "[]" : `[\n${items.join(",\n")}\n${indent}]`;
  }
  if (typeof value !== "object" || value === null) return goJson(value);
  const members = Object.entries(value).map(
    ([key, item]) => `${inner}${goJson(key)}: ${indentedJson(item, inner)}`,
  );
  return members.length === 0 ? "{}" : `{\n${members.join(",\n")}\n${indent}}`;
}
