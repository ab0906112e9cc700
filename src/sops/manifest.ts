// A Kubernetes Secret, or a file of variables, as an environment: what a mover in the cluster would be given by it. `data` is
// decoded, `stringData` lies on top, as the API server does it.

import { HoldfastError } from "../base/errors.ts";
import { looksEncrypted } from "./cipher.ts";
import type { Format } from "./document.ts";
import { entryOf, failAt, lineOf } from "./tree.ts";
import type { Mapping, Place } from "./tree.ts";
import { textOf } from "./value.ts";

/** What a variable may be called; a pod leaves others out as well. */
export const VARIABLE_NAME: RegExp = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** The variables in `roots`, which hold plain values. SOPS_INVALID when there is no Secret in them. */
export function environmentOf(
  place: Place,
  format: Format,
  roots: readonly Mapping[],
): Map<string, string> {
  const entries =
    format === "dotenv"
      ? entriesOf(place, roots[0], plainBytes, VARIABLE_NAME)
      : secretEntries(place, roots, VARIABLE_NAME);
  return new Map([...entries].map(([name, bytes]) => [name, bytes.toString("utf8")]));
}

/** The entries of the Secrets in `roots` whose names match. SOPS_INVALID when there is no Secret in them. */
export function secretEntries(
  place: Place,
  roots: readonly Mapping[],
  names: RegExp,
): Map<string, Buffer> {
  const secrets = roots.filter((root) => textAt(root, "kind") === "Secret");
  if (secrets.length === 0) {
    throw new HoldfastError("SOPS_INVALID", `${place.name}: there is no Secret in it`, {
      hint: "Give a manifest with `kind: Secret`, or a file of variables whose name ends in .env.",
    });
  }
  const values = new Map<string, Buffer>();
  for (const secret of secrets) {
    for (const [key, read] of [
      ["data", fromBase64],
      ["stringData", plainBytes],
    ] as const) {
      const entries = entriesOf(place, mappingAt(secret, key), read, names);
      for (const [name, bytes] of entries) values.set(name, bytes);
    }
  }
  return values;
}

/** The text of a scalar of the mapping. */
export function textAt(mapping: Mapping, key: string): string | undefined {
  const node = entryOf(mapping, key)?.node;
  return node?.kind === "leaf" && node.value !== undefined ? textOf(node.value) : undefined;
}

function mappingAt(mapping: Mapping, key: string): Mapping | undefined {
  const node = entryOf(mapping, key)?.node;
  return node?.kind === "map" ? node : undefined;
}

/** The bytes that a text stands for; `key` and `offset` are for messages. */
type Read = (text: string, place: Place, key: string, offset: number) => Buffer;

function entriesOf(
  place: Place,
  mapping: Mapping | undefined,
  read: Read,
  names: RegExp,
): Map<string, Buffer> {
  const values = new Map<string, Buffer>();
  for (const item of mapping?.items ?? []) {
    if (item.kind !== "entry" || !names.test(item.key)) continue;
    const { key, node } = item;
    if (node.kind !== "leaf") throw failAt(place, item.keyAt.start, `${key} is no text`);
    const type = node.value?.type ?? "str";
    if (type !== "str" && type !== "bytes" && type !== "comment") {
      throw failAt(place, node.at.start, `${key} is no text, and may not be what was typed`, {
        hint: "Put it in quotes: without them, 0123 is the number 83. Kubernetes takes no numbers either.",
      });
    }
    const text = node.value === undefined ? "" : textOf(node.value);
    if (looksEncrypted(text)) {
      throw failAt(
        place,
        node.at.start,
        `${key} is encrypted, and the file has no metadata to open it`,
      );
    }
    values.set(key, read(text, place, key, node.at.start));
  }
  return values;
}

function plainBytes(text: string): Buffer {
  return Buffer.from(text, "utf8");
}

function fromBase64(text: string, place: Place, key: string, offset: number): Buffer {
  const compact = text.replace(/\s+/g, "");
  const bytes = Buffer.from(compact, "base64");
  if (bytes.toString("base64").replace(/=+$/, "") === compact.replace(/=+$/, "")) return bytes;
  const line = lineOf(place.text, offset);
  throw new HoldfastError("SOPS_INVALID", `${place.name}, line ${line}: data.${key} is no base64`, {
    hint: "Put text that is not encoded under stringData.",
  });
}
