// Encrypts a document for the first time. Implements docs/formats/sops.md#making-a-document. The text keeps its form: values are
// replaced where they stand, and the metadata is added at the end.

import { HoldfastError } from "../base/errors.ts";
import { DATA_KEY_BYTES, IV_BYTES, sealValue } from "./cipher.ts";
import { formatOf, metadataEntries, parseTrees, placeOf, type Format } from "./document.ts";
import { jsonString } from "./json-print.ts";
import { replaceScalar, scalarText } from "./layout.ts";
import { metadataBlock, metadataText, type NewMetadata } from "./metadata-text.ts";
import { PatternError } from "./re2-syntax.ts";
import { DEFAULT_RULE, selectionOf, type Selection } from "./selection.ts";
import { applyEdits, failAt, type Edit, type Mapping, type Place } from "./tree.ts";
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
    const isEmpty = !root.items.some(({ kind }) => kind === "entry");
    if (isEmpty && format === "yaml")
      throw failAt(place, root.at.start, "a document with nothing to encrypt");
  }
  // What an alias stands for is encrypted at each use anew, so it must be written out; flow style has no room for metadata.
  const plain =
    format !== "yaml" ||
    !(usesReferences(place.text) || roots.some((root) => place.text[root.at.start] === "{"));
  if (plain) return { place, roots };
  const text = roots.map((root) => printYaml(root)).join("---\n");
  return { place: { name, text }, roots: parseTrees({ name, text }, format) };
}

/** Puts the metadata at the end of each document. */
function metadataEdits({ place, roots }: Plain, format: Format, block: string): Edit[] {
  const { text } = place;
  const insert = (at: number, what: string): Edit => ({ start: at, end: at, text: what });
  const newline = (at: number): string => (at > 0 && text[at - 1] !== "\n" ? "\n" : "");
  return roots.map((root) => {
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

/** Encrypts what the rule says. Throws SOPS_INVALID with the line, SOPS_ENCRYPTED. */
export function encryptDocument(content: Uint8Array | string, options: EncryptOptions): Uint8Array {
  const { name, format = formatOf(name), dataKey, random, lastModified } = options;
  if (dataKey.length !== DATA_KEY_BYTES) throw new RangeError("a data key has 32 bytes");
  const plain = plainOf(content, name, format);
  const { text } = plain.place;
  const edits: Edit[] = [];
  const seal = (value: Value, additional: string): string =>
    sealValue(value, dataKey, additional, random(IV_BYTES));
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
  const block = metadataText(
    metadataBlock(options, seal(valueOf("str", mac), lastModified)),
    format,
  );
  return Buffer.from(applyEdits(text, [...edits, ...metadataEdits(plain, format, block)]), "utf8");
}
