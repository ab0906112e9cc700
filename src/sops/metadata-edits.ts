// Puts a new MAC and a new time into the metadata of a document, of which every other byte stays.

import type { SopsDocument } from "./document.ts";
import { replaceScalar, scalarText } from "./layout.ts";
import { FLAT_PREFIX } from "./metadata.ts";
import { metadataText } from "./metadata-text.ts";
import { applyEdits, entryOf } from "./tree.ts";
import type { Edit, Entry, Leaf, Mapping } from "./tree.ts";
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

/**
 * The block of metadata of the first document, changed, as it can stand at the end of a new text: what of it stands in lines of
 * its own stays as it is.
 */
export function changedMetadata(document: SopsDocument, changed: ChangedMetadata): string {
  const { text, format } = document;
  const entries = document.blocks[0]!;
  const edits = metadataEdits(document, changed);
  if (format === "dotenv")
    return entries.map((entry) => `${editedSpan(text, entry, edits)}\n`).join("");
  const entry = entries[0]!;
  return format === "yaml" && !hasOwnLines(text, entry)
    ? metadataText(replaced(entry.node as Mapping, changed), format)
    : editedSpan(text, entry, edits);
}

/** Whether an entry of YAML begins a line, and its value another: not in braces, and not in a mapping that is indented. */
function hasOwnLines(text: string, { keyAt, node }: Entry): boolean {
  const isFirst = keyAt.start === 0 || text[keyAt.start - 1] === "\n";
  return isFirst && /^[ \t]*:[ \t]*\r?\n/.test(text.slice(keyAt.end, node.at.start));
}

/** An entry as it stands in the text, with the edits that are in it. */
function editedSpan(text: string, { keyAt, node }: Entry, edits: readonly Edit[]): string {
  const [start, end] = [keyAt.start, node.at.end];
  const own = edits
    .filter((edit) => edit.start >= start && edit.end <= end)
    .map((edit) => ({ ...edit, start: edit.start - start, end: edit.end - start }));
  return applyEdits(text.slice(start, end), own);
}

function replaced(block: Mapping, changed: ChangedMetadata): Mapping {
  const texts = new Map<string, string>(Object.entries<string>({ ...changed }));
  const items = block.items.map((item) => {
    const text = item.kind === "entry" ? texts.get(item.key) : undefined;
    if (item.kind !== "entry" || text === undefined) return item;
    return { ...item, node: { ...item.node, kind: "leaf", value: valueOf("str", text) } as Leaf };
  });
  return { ...block, items };
}
