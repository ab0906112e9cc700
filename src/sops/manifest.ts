// A Kubernetes Secret, or a file of variables, as an environment: what a mover in the cluster would be given by it. `data` is
// decoded, `stringData` lies on top, as the API server does it.

import { HoldfastError } from "../base/errors.ts";
import type { Format } from "./document.ts";
import { entryOf, failAt, lineOf } from "./tree.ts";
import type { Mapping, Place } from "./tree.ts";
import { textOf } from "./value.ts";

/** What a variable may be called; a pod leaves others out as well. */
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** The variables in `roots`, which hold plain values. SOPS_INVALID when there is no Secret in them. */
export function environmentOf(
  place: Place,
  format: Format,
  roots: readonly Mapping[],
): Map<string, string> {
  if (format === "dotenv") return entriesOf(place, roots[0], undefined);
  const secrets = roots.filter((root) => textAt(root, "kind") === "Secret");
  if (secrets.length === 0) {
    throw new HoldfastError("SOPS_INVALID", `${place.name}: there is no Secret in it`, {
      hint: "Give a manifest with `kind: Secret`, or a file of variables whose name ends in .env.",
    });
  }
  const values = new Map<string, string>();
  for (const secret of secrets) {
    for (const [name, text] of entriesOf(place, mappingAt(secret, "data"), "base64")) {
      values.set(name, text);
    }
    for (const [name, text] of entriesOf(place, mappingAt(secret, "stringData"), undefined)) {
      values.set(name, text);
    }
  }
  return values;
}

function textAt(mapping: Mapping, key: string): string | undefined {
  const node = entryOf(mapping, key)?.node;
  return node?.kind === "leaf" && node.value !== undefined ? textOf(node.value) : undefined;
}

function mappingAt(mapping: Mapping, key: string): Mapping | undefined {
  const node = entryOf(mapping, key)?.node;
  return node?.kind === "map" ? node : undefined;
}

function entriesOf(
  place: Place,
  mapping: Mapping | undefined,
  encoding: "base64" | undefined,
): Map<string, string> {
  const values = new Map<string, string>();
  for (const item of mapping?.items ?? []) {
    if (item.kind !== "entry" || !NAME.test(item.key)) continue;
    const { node } = item;
    if (node.kind !== "leaf") {
      throw failAt(place, item.keyAt.start, `${item.key} is no text`);
    }
    const text = node.value === undefined ? "" : textOf(node.value);
    values.set(
      item.key,
      encoding === undefined ? text : decode(place, item.key, text, node.at.start),
    );
  }
  return values;
}

function decode(place: Place, key: string, text: string, offset: number): string {
  const compact = text.replace(/\s+/g, "");
  const bytes = Buffer.from(compact, "base64");
  if (bytes.toString("base64").replace(/=+$/, "") === compact.replace(/=+$/, "")) {
    return bytes.toString("utf8");
  }
  const line = lineOf(place.text, offset);
  throw new HoldfastError("SOPS_INVALID", `${place.name}, line ${line}: data.${key} is no base64`, {
    hint: "Put text that is not encoded under stringData.",
  });
}
