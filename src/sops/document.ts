// Opens a SOPS document: its format, its trees and what it says of itself, with nothing decrypted yet. Implements
// docs/formats/sops.md#files.

import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { parseDotenv } from "./dotenv-tree.ts";
import { parseJson } from "./json-tree.ts";
import type { WrappedKey } from "./key-source.ts";
import { FLAT_PREFIX, readMetadata, unflatten, type Metadata } from "./metadata.ts";
import { entryOf, failAt } from "./tree.ts";
import type { Entry, Mapping, Place } from "./tree.ts";
import { parseYaml } from "./yaml-tree.ts";

export const FORMATS = ["yaml", "json", "dotenv", "binary"] as const;
/** What every encrypted value begins with. */
const ENCRYPTED_MARK = "ENC[AES256_GCM,";
/** Metadata as SOPS writes them in YAML, JSON and .env files: for files that cannot be parsed. */
const METADATA =
  /^["']?sops["']?\s*:[ \t]*(?:\{|#|\r?$)|^[ \t]*"sops"\s*:\s*\{|[{,]\s*"sops"\s*:\s*\{|^sops_mac=/m;
export type Format = (typeof FORMATS)[number];

export interface SopsDocument extends Place {
  readonly format: Format;
  readonly metadata: Metadata;
  /** Who can open it, by group; the same as in the metadata. */
  readonly recipients: readonly (readonly WrappedKey[])[];
  /** The documents without their metadata. */
  readonly roots: readonly Mapping[];
  /** The entries that hold the metadata, by document. */
  readonly blocks: readonly (readonly Entry[])[];
}

export interface DocumentOptions {
  /** For messages, and to tell the format by its end. */
  readonly name: string;
  readonly format?: Format | undefined;
}

/** The format of a file by its name. Throws SOPS_INVALID for INI, which is not read here. */
export function formatOf(name: string): Format {
  if (/\.ya?ml$/.test(name)) return "yaml";
  if (name.endsWith(".json")) return "json";
  if (name.endsWith(".env")) return "dotenv";
  if (!name.endsWith(".ini")) return "binary";
  throw new HoldfastError("SOPS_INVALID", `${name}: INI files are not supported`, {
    hint: "Keep the secrets in YAML, JSON or a .env file.",
  });
}

/** Whether a file says that it is a SOPS document, be it a sound one or a damaged one. */
export function looksLikeSops(content: Uint8Array, name: string, format?: Format): boolean {
  const { buffer, byteOffset, length } = content;
  const bytes = Buffer.from(buffer, byteOffset, length);
  // Most files do not have the word in them, and need not be parsed.
  if (!bytes.includes("sops")) return false;
  if (name.endsWith(".ini")) return /^\[sops\]/m.test(bytes.toString("latin1"));
  try {
    const place = placeOf(content, name);
    const known = format ?? formatOf(name);
    const isSealed = place.text.includes(ENCRYPTED_MARK);
    return parseTrees(place, known).some((root) => isBlock(metadataEntries(root, known), isSealed));
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    const text = bytes.toString("latin1");
    // Of formats that are not known only JSON is one that SOPS writes.
    const isKnown = /\.(?:ya?ml|json|env)$/.test(name) || text.trimStart().startsWith("{");
    return isKnown && METADATA.test(text);
  }
}

/** `sops` may be the name of anything; metadata tell when the document was changed, or stand beside encrypted values. */
function isBlock(entries: readonly Entry[], isSealed: boolean): boolean {
  return entries.some(({ key, node }) =>
    node.kind === "map"
      ? isSealed ||
        entryOf(node, "lastmodified") !== undefined ||
        entryOf(node, "mac") !== undefined
      : /^sops_(?:mac|lastmodified|version)$/.test(key),
  );
}

/** The text of a file. Throws SOPS_INVALID when it is no UTF-8. */
export function placeOf(content: Uint8Array | string, name: string): Place {
  if (typeof content === "string") return { name, text: content };
  try {
    return { name, text: new TextDecoder("utf-8", { fatal: true }).decode(content) };
  } catch {
    throw new HoldfastError("SOPS_INVALID", `${name}: not UTF-8 text`);
  }
}

/** The trees of a file that need not be a SOPS document. A binary one is the JSON around it. */
export function parseTrees(place: Place, format: Format): Mapping[] {
  if (format === "yaml") return parseYaml(place);
  return [format === "dotenv" ? parseDotenv(place) : parseJson(place)];
}

/** The entries of a document that are its metadata. */
export function metadataEntries(root: Mapping, format: Format): Entry[] {
  return root.items.filter(
    (item): item is Entry =>
      item.kind === "entry" &&
      (format === "dotenv" ? item.key.startsWith(FLAT_PREFIX) : item.key === "sops"),
  );
}

function blockOf(place: Place, format: Format, entries: readonly Entry[]): Mapping | undefined {
  if (entries.length === 0) return undefined;
  if (format === "dotenv") return unflatten(place, entries);
  const { node } = entries[0]!;
  return node.kind === "map" ? node : undefined;
}

/** Reads a SOPS document. Throws SOPS_INVALID with file and line when it is none, or a damaged one. */
export function openDocument(
  content: Uint8Array | string,
  { name, format = formatOf(name) }: DocumentOptions,
): SopsDocument {
  const place = placeOf(content, name);
  const trees = parseTrees(place, format);
  const blocks = trees.map((root) => metadataEntries(root, format));
  const block = blockOf(place, format, blocks[0] ?? []);
  if (!block || !(entryOf(block, "lastmodified") ?? entryOf(block, "mac"))) {
    throw new HoldfastError("SOPS_INVALID", `${name}: not a SOPS document: it has no sops block`, {
      hint: "Encrypt it before it goes anywhere.",
    });
  }
  const metadata = readMetadata(place, block);
  const roots = trees.map((root, index) => ({
    ...root,
    items: root.items.filter((item) => !blocks[index]!.includes(item as Entry)),
  }));
  if (format === "binary" && !entryOf(roots[0]!, "data")) {
    throw failAt(place, 0, "no data in a binary SOPS document");
  }
  return { ...place, format, metadata, recipients: metadata.groups, roots, blocks };
}
