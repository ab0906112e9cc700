// Encrypts a document, for the first time or after an edit. Implements docs/formats/sops.md#making-a-document. The text keeps its form: values are
// replaced where they stand, and the metadata is added at the end.

import { HoldfastError } from "../base/errors.ts";
import { DATA_KEY_BYTES, IV_BYTES, sealValue } from "./cipher.ts";
import { formatOf, metadataEntries, parseTrees, placeOf } from "./document.ts";
import type { Format, SopsDocument } from "./document.ts";
import { jsonString } from "./json-print.ts";
import type { KnownIvs } from "./known-ivs.ts";
import { replaceScalar, scalarText } from "./layout.ts";
import { changedMetadata } from "./metadata-edits.ts";
import { metadataBlock, metadataText, type NewMetadata } from "./metadata-text.ts";
import { PatternError } from "./re2-syntax.ts";
import { DEFAULT_RULE, selectionOf, type Selection } from "./selection.ts";
import { applyEdits, blockColumn, failAt, type Edit, type Mapping, type Place } from "./tree.ts";
import { valueOf, type Value } from "./value.ts";
import { walkDocuments } from "./walk.ts";
import { printYaml } from "./yaml-print.ts";
import { usesReferences } from "./yaml-tree.ts";

export interface EncryptOptions extends NewMetadata {
  readonly name: string;
  readonly format?: Format | undefined;
  /** 32 bytes that are used for this document only. */
  readonly dataKey: Uint8Array;
  readonly random: (length: number) => Uint8Array;
  /** What this document takes the place of, under the same data key: metadata and values that did not change stay. */
  readonly before?: Before | undefined;
}

/** A document before an edit. */
export interface Before {
  readonly document: SopsDocument;
  readonly ivs: KnownIvs;
}

const DATA_ENTRY = (at: Mapping["at"], bytes: Uint8Array): Mapping => ({
  kind: "map",
  items: [
    {
      kind: "entry",
      key: "data",
      keyAt: at,
      node: { kind: "leaf", value: { type: "str", bytes }, at },
    },
  ],
  at,
});

interface Plain {
  readonly place: Place;
  readonly roots: readonly Mapping[];
  /** Where each document of a YAML file ends, when the text was written here. */
  readonly ends?: readonly number[];
}

function isEmpty(root: Mapping): boolean {
  return !root.items.some(({ kind }) => kind === "entry");
}

/** The content as text into which encrypted values can be put. */
function plainOf(content: Uint8Array | string, name: string, format: Format): Plain {
  if (format === "binary") {
    const text = `{\n\t"data": ""\n}\n`;
    const at = { start: text.indexOf('""'), end: text.indexOf('""') + 2 };
    const bytes = typeof content === "string" ? Buffer.from(content, "utf8") : content;
    return {
      place: { name, text },
      roots: [{ ...DATA_ENTRY(at, bytes), at: { start: 0, end: text.length - 1 } }],
    };
  }
  const place = placeOf(content, name);
  const roots = parseTrees(place, format);
  for (const root of roots) {
    const [entry] = metadataEntries(root, format);
    if (entry)
      throw failAt(place, entry.keyAt.start, "the document is encrypted already", {
        code: "SOPS_ENCRYPTED",
      });
  }
  if (format !== "yaml") return { place, roots };
  if (roots.every((root) => root.items.length === 0)) {
    throw new HoldfastError("SOPS_INVALID", `${name}: there is nothing to encrypt in it`);
  }
  const isPlain = roots.every(
    (root) =>
      !isEmpty(root) && place.text[root.at.start] !== "{" && blockColumn(place.text, root) === 0,
  );
  return isPlain && !usesReferences(place.text) ? { place, roots } : rewritten(name, roots);
}

/**
 * YAML written anew. What an alias stands for is encrypted at each use anew, so it must be written out; neither flow style, nor a
 * mapping that is indented, nor a document without values has room for metadata.
 */
function rewritten(name: string, roots: readonly Mapping[]): Plain {
  let text = "";
  const marker = roots.some(isEmpty) ? "---\n" : "";
  const ends = roots.map((root, index) => {
    text += index === 0 ? marker : "---\n";
    if (!isEmpty(root)) text += printYaml(root);
    else for (const item of root.items) if (item.kind === "comment") text += `#${item.text}\n`;
    return text.length;
  });
  const place = { name, text };
  return { place, roots: parseTrees(place, "yaml"), ends };
}

/** Puts the metadata at the end of each document. */
function metadataEdits({ place, roots, ends }: Plain, format: Format, block: string): Edit[] {
  const { text } = place;
  const insert = (at: number, what: string): Edit => ({ start: at, end: at, text: what });
  const newline = (at: number): string => (at > 0 && text[at - 1] !== "\n" ? "\n" : "");
  return roots.map((root, index) => {
    const end = ends?.[index];
    if (end !== undefined) return insert(end, newline(end) + block);
    if (format === "dotenv") return insert(text.length, newline(text.length) + block);
    if (format === "yaml") {
      const marker = /^(?:---|\.\.\.)(?=\s|$)/m.exec(text.slice(root.at.start));
      const at = marker ? root.at.start + marker.index : text.length;
      return insert(at, newline(at) + block);
    }
    const last = root.items.at(-1);
    if (last?.kind === "entry") return insert(last.node.at.end, `,\n\t${block}`);
    return insert(root.at.start + 1, `\n\t${block}\n`);
  });
}

function selectionFor({ rule = DEFAULT_RULE, name }: EncryptOptions): Selection {
  try {
    return selectionOf(rule);
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    throw new HoldfastError("USAGE", `${name}: ${rule.name} is no pattern: ${error.message}`);
  }
}

/** Encrypts what the rule says, at first or anew. Throws SOPS_INVALID with the line, SOPS_ENCRYPTED. */
export function encryptDocument(content: Uint8Array | string, options: EncryptOptions): Uint8Array {
  const { name, format = formatOf(name), dataKey, random, lastModified, before } = options;
  if (dataKey.length !== DATA_KEY_BYTES) throw new RangeError("a data key has 32 bytes");
  const plain = plainOf(content, name, format);
  const { text } = plain.place;
  const edits: Edit[] = [];
  const seal = (value: Value, additional: string): string =>
    sealValue(value, dataKey, additional, before?.ivs.take(value, additional) ?? random(IV_BYTES));
  const rules = {
    selection: selectionFor(options),
    macOnlyEncrypted: options.macOnlyEncrypted ?? false,
  };
  const { mac } = walkDocuments(plain.roots, rules, {
    leaf: ({ value, at }, encrypted, { additional, parent }) => {
      if (encrypted && value.bytes.length > 0) {
        const sealed = seal(value, additional);
        const shown =
          format === "binary"
            ? jsonString(sealed)
            : scalarText(text, format, parent, valueOf("str", sealed));
        edits.push(replaceScalar(text, at, shown));
      }
      return { plain: value, becomes: value };
    },
    comment: (comment, encrypted, { additional }) => {
      if (encrypted && comment.text !== "") {
        edits.push({
          ...comment.at,
          text: `#${seal(valueOf("comment", comment.text), additional)}`,
        });
      }
      return comment.text;
    },
  });
  const sealed = seal(valueOf("str", mac), lastModified);
  const block = before
    ? changedMetadata(before.document, { mac: sealed, lastmodified: lastModified })
    : metadataText(metadataBlock(options, sealed), format);
  return Buffer.from(applyEdits(text, [...edits, ...metadataEdits(plain, format, block)]), "utf8");
}
