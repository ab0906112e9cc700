// Changes one value of an encrypted document, and with it the MAC and the time; every other byte stays. Implements
// docs/formats/sops.md#changing-a-value.

import { HoldfastError } from "../base/errors.ts";
import { IV_BYTES, sealValue } from "./cipher.ts";
import { nodeAt, type Decrypted } from "./decrypt.ts";
import type { SopsDocument } from "./document.ts";
import { replaceScalar, scalarText } from "./layout.ts";
import { metadataEdits } from "./metadata-edits.ts";
import { applyEdits, failAt, pathText } from "./tree.ts";
import type { Edit, Leaf, Mapping } from "./tree.ts";
import { valueOf, type Value } from "./value.ts";
import { walkDocuments } from "./walk.ts";

export interface SetOptions {
  readonly dataKey: Uint8Array;
  /** Keys and places from the root, as parsePath gives them. */
  readonly path: readonly string[];
  readonly value: Value;
  /** RFC 3339 to the second, in UTC. */
  readonly lastModified: string;
  readonly random: (length: number) => Uint8Array;
}

/** The leaf to change. */
function targetOf(document: SopsDocument, path: readonly string[]): Leaf {
  const node = nodeAt(document.roots, path);
  if (node?.kind === "leaf") return node;
  const what = node ? "is no single value" : "does not exist";
  throw new HoldfastError("USAGE", `${document.name}: ${pathText(path)} ${what}`, {
    hint: "Name a value that is there; add one with `holdfast secrets edit`.",
  });
}

/** The file with one value changed. `decrypted` is what decryptDocument made of `document`. Throws USAGE, SOPS_INVALID. */
export function setValue(
  document: SopsDocument,
  decrypted: Decrypted,
  options: SetOptions,
): Uint8Array {
  const { dataKey, path, value, lastModified, random } = options;
  const { text, format, metadata } = document;
  const target = targetOf(document, path);
  const edits: Edit[] = [];
  // A null is not walked: it is nothing to the MAC. What it becomes is.
  const roots =
    target.value === undefined ? replaceNull(decrypted.roots, target, value) : decrypted.roots;
  const { mac } = walkDocuments(roots, metadata, {
    leaf: (leaf, encrypted, { additional, parent }) => {
      if (leaf.at.start !== target.at.start) return { plain: leaf.value, becomes: leaf.value };
      if (edits.length > 0)
        throw failAt(document, leaf.at.start, "the value is used in several places, by an alias");
      const isEmpty = value.bytes.length === 0;
      const shown =
        encrypted && !isEmpty
          ? valueOf("str", sealValue(value, dataKey, additional, random(IV_BYTES)))
          : value;
      edits.push(replaceScalar(text, leaf.at, scalarText(text, format, parent, shown)));
      return { plain: value, becomes: value };
    },
    comment: (comment) => comment.text,
  });
  const sealed = sealValue(valueOf("str", mac), dataKey, lastModified, random(IV_BYTES));
  edits.push(...metadataEdits(document, { mac: sealed, lastmodified: lastModified }));
  return Buffer.from(applyEdits(text, edits), "utf8");
}

/** The trees with `value` in place of a null. */
function replaceNull(roots: readonly Mapping[], target: Leaf, value: Value): Mapping[] {
  const replace = <N extends { kind: string }>(node: N): N => {
    const some = node as unknown as Leaf | Mapping | { kind: "entry"; node: Leaf };
    if (some.kind === "leaf")
      return (some.at.start === target.at.start ? { ...some, value } : some) as unknown as N;
    if (some.kind === "entry") return { ...some, node: replace(some.node) } as unknown as N;
    if (!("items" in some)) return node;
    return { ...some, items: some.items.map((item) => replace(item)) } as unknown as N;
  };
  return roots.map((root) => replace(root));
}
