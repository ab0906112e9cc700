// Puts a new MAC and a new time into the metadata of a document, of which every other byte stays.

import type { SopsDocument } from "./document.ts";
import { replaceScalar, scalarText } from "./layout.ts";
import { FLAT_PREFIX } from "./metadata.ts";
import { applyEdits, entryOf } from "./tree.ts";
import type { Edit, Leaf, Mapping } from "./tree.ts";
import { valueOf } from "./value.ts";

/** What changes in the metadata with every edit of a document. */
export interface ChangedMetadata {
  /** Encrypted. */
  readonly mac: string;
  /** RFC 3339 to the second, in UTC. */
  readonly lastmodified: string;
}

/** Where the metadata says `key`, in every document, and what that stands in. */
function metadataLeaves(document: SopsDocument, key: string): { leaf: Leaf; parent: Mapping }[] {
  return document.blocks.flatMap((entries, index) => {
    const root = document.roots[index]!;
    const found =
      document.format === "dotenv"
        ? entries.find((entry) => entry.key === FLAT_PREFIX + key)?.node
        : entries[0]?.node.kind === "map"
          ? entryOf(entries[0].node, key)?.node
          : undefined;
    const parent =
      document.format === "dotenv" || entries[0]?.node.kind !== "map" ? root : entries[0].node;
    return found?.kind === "leaf" ? [{ leaf: found, parent }] : [];
  });
}

/** The edits of the document's text. */
export function metadataEdits(document: SopsDocument, changed: ChangedMetadata): Edit[] {
  const { text, format } = document;
  return Object.entries<string>({ ...changed }).flatMap(([key, content]) =>
    metadataLeaves(document, key).map(({ leaf, parent }) =>
      replaceScalar(text, leaf.at, scalarText(text, format, parent, valueOf("str", content))),
    ),
  );
}

/** The block of metadata of the first document as it stands in the text, changed. */
export function changedMetadata(document: SopsDocument, changed: ChangedMetadata): string {
  const entries = document.blocks[0]!;
  const start = entries[0]!.keyAt.start;
  const end = entries.at(-1)!.node.at.end;
  const edits = metadataEdits(document, changed)
    .filter((edit) => edit.start >= start && edit.end <= end)
    .map((edit) => ({ ...edit, start: edit.start - start, end: edit.end - start }));
  return applyEdits(document.text.slice(start, end), edits);
}
