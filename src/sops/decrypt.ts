// Decrypts a SOPS document with its data key and checks that nobody changed it. Implements docs/formats/sops.md#mac. Must never
// put a value into an error, nor hand out anything of a document whose MAC is wrong, unless told to.

import { HoldfastError } from "../base/errors.ts";
import { DATA_KEY_BYTES, openBytes, openValue, parseEncrypted } from "./cipher.ts";
import type { EncryptedValue } from "./cipher.ts";
import type { SopsDocument } from "./document.ts";
import { printJson } from "./json-print.ts";
import { KnownIvs } from "./known-ivs.ts";
import { cutMetadata, itemToComment, replaceScalar, scalarText } from "./layout.ts";
import { applyEdits, entryOf, failAt, pathText } from "./tree.ts";
import type { Comment, Edit, Leaf, List, Mapping, Node } from "./tree.ts";
import { canonical, canonicalTime, textOf, type Value } from "./value.ts";
import { walkDocuments, type Visit } from "./walk.ts";
import { printYaml } from "./yaml-print.ts";

/** What the MAC says of a document. */
export type MacState = "right" | "wrong" | "missing";

export interface Decrypted {
  /** The documents in plain, without metadata. */
  readonly roots: readonly Mapping[];
  readonly mac: MacState;
  /** Of all values that were encrypted; whoever encrypts them anew takes them out. */
  readonly ivs: KnownIvs;
  /** The whole file as `sops decrypt` prints it. */
  readonly emit: () => Uint8Array;
}

export interface DecryptOptions {
  /** Decrypt even when the MAC is wrong or missing. */
  readonly ignoreMac?: boolean;
}

const HINT_MAC = "See in the history who changed it; edit it with sops or holdfast only.";

class Decryption {
  readonly #document: SopsDocument;
  readonly #dataKey: Uint8Array;
  readonly ivs: KnownIvs = new KnownIvs();
  readonly edits = new Map<number, Edit>();

  constructor(document: SopsDocument, dataKey: Uint8Array) {
    this.#document = document;
    this.#dataKey = dataKey;
  }

  /** The value of an encrypted leaf. */
  leaf(leaf: Leaf & { value: Value }, { path, additional, parent }: Visit): Value {
    const { value, at } = leaf;
    if (value.type !== "str")
      throw this.#fail(leaf, path, "is not encrypted, but the rules say it is");
    if (value.bytes.length === 0) return value;
    const encrypted = parseEncrypted(textOf(value));
    if (!encrypted) throw this.#fail(leaf, path, "is not encrypted, but the rules say it is");
    const plain = this.#open(encrypted, additional);
    if (!plain) throw this.#fail(leaf, path, "does not open with the data key");
    if (!this.edits.has(at.start)) this.edits.set(at.start, this.#edit(leaf, parent, plain));
    return plain;
  }

  /** The text of an encrypted comment; as it is, when it was never encrypted. */
  comment(comment: Comment, path: readonly string[]): string {
    const encrypted = parseEncrypted(comment.text);
    if (!encrypted) return comment.text;
    const plain = this.#openComment(encrypted, path);
    if (plain === undefined) return comment.text;
    const text = textOf(plain);
    // Such a comment was one of several lines once, each with its own mark.
    const lines = text.replace(/\n/g, "\n#");
    this.edits.set(comment.at.start, { ...comment.at, text: `#${lines}` });
    return text;
  }

  /** Where a comment stood when it was encrypted is not always where it stands: any mapping around it may be meant. */
  #openComment(encrypted: EncryptedValue, path: readonly string[]): Value | undefined {
    for (let depth = path.length; depth >= 0; depth--) {
      const additional = `${path.slice(0, depth).join(":")}:`;
      const plain = this.#open(encrypted, additional);
      if (plain) return plain;
    }
    return undefined;
  }

  /**
   * The value. Its vector may serve again for the very bytes that it encrypted, never for another way to write them: two
   * messages under one vector give both away.
   */
  #open(encrypted: EncryptedValue, additional: string): Value | undefined {
    const bytes = openBytes(encrypted, this.#dataKey, additional);
    const plain = bytes && canonical(encrypted.type, bytes);
    if (plain && Buffer.compare(plain.bytes, bytes) === 0)
      this.ivs.add(plain, additional, encrypted.iv);
    return plain;
  }

  #edit({ at }: Leaf, parent: Mapping | List, plain: Value): Edit {
    const { text, format } = this.#document;
    if (
      plain.type === "comment" &&
      format === "yaml" &&
      parent.kind === "list" &&
      text[parent.at.start] === "-"
    ) {
      return itemToComment(text, at, textOf(plain));
    }
    return replaceScalar(text, at, scalarText(text, format, parent, plain));
  }

  #fail(leaf: Leaf, path: readonly string[], what: string): HoldfastError {
    return failAt(this.#document, leaf.at.start, `the value at ${pathText(path)} ${what}`, {
      code: "SOPS_DECRYPT_FAILED",
      hint: "Take the value from an older version of the file, or set it anew.",
    });
  }
}

/** Compares the MAC of the walk with the one that is in the file. */
function macState({ metadata }: SopsDocument, dataKey: Uint8Array, actual: string): MacState {
  const { mac, lastModified } = metadata;
  if (mac === "") return "missing";
  const encrypted = parseEncrypted(mac);
  if (!encrypted) return "wrong";
  // SOPS writes the time anew before it uses it, so another notation of the same second is right too.
  const times = [lastModified, canonicalTime(lastModified)?.replace(/\.\d+/, "")];
  const opened = times.flatMap((time) => {
    const value = time === undefined ? undefined : openValue(encrypted, dataKey, time);
    return value ? [textOf(value)] : [];
  });
  return opened[0] === actual ? "right" : "wrong";
}

function refuseMac(document: SopsDocument, state: Exclude<MacState, "right">): HoldfastError {
  const { mac } = document.metadata.leaves;
  const what =
    state === "missing"
      ? "the document has no MAC, so nothing proves that it is whole"
      : "the MAC is not that of the document: it was changed after it was encrypted";
  return failAt(document, mac?.at.start ?? 0, what, { code: "SOPS_MAC_MISMATCH", hint: HINT_MAC });
}

/** Binary documents are what is in them. */
function binaryContent(document: SopsDocument, roots: readonly Mapping[]): Uint8Array {
  const node = entryOf(roots[0]!, "data")?.node;
  if (node?.kind === "leaf" && node.value) return node.value.bytes;
  throw failAt(document, 0, "no data in a binary SOPS document");
}

/** Decrypts every value. Throws SOPS_DECRYPT_FAILED with line and path of the first that does not open, SOPS_MAC_MISMATCH. */
export function decryptDocument(
  document: SopsDocument,
  dataKey: Uint8Array,
  { ignoreMac = false }: DecryptOptions = {},
): Decrypted {
  if (dataKey.length !== DATA_KEY_BYTES) {
    throw new HoldfastError(
      "SOPS_DECRYPT_FAILED",
      `${document.name}: the data key has not 32 bytes`,
    );
  }
  const decryption = new Decryption(document, dataKey);
  const { roots, mac } = walkDocuments(document.roots, document.metadata, {
    leaf: (leaf, encrypted, visit) => {
      const plain = encrypted ? decryption.leaf(leaf, visit) : leaf.value;
      return { plain, becomes: plain };
    },
    comment: (comment, encrypted, { path }) =>
      encrypted ? decryption.comment(comment, path) : comment.text,
  });
  const state = macState(document, dataKey, mac);
  if (state !== "right" && !ignoreMac) throw refuseMac(document, state);
  return {
    roots,
    mac: state,
    // Types are not authenticated; in what somebody changed they may make a value of other bytes.
    ivs: state === "right" ? decryption.ivs : new KnownIvs(),
    emit: () => {
      if (document.format === "binary") return binaryContent(document, roots);
      const edits = [...decryption.edits.values(), ...cutMetadata(document)];
      return Buffer.from(applyEdits(document.text, edits), "utf8");
    },
  };
}

/** Steps of a path in SOPS' notation, `["a"][0]["b"]`, or with dots, `a.0.b`. Throws USAGE. */
export function parsePath(text: string): string[] {
  if (!text.startsWith("[")) return text === "" ? [] : text.split(".");
  const step = /\[\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|(\d+))\s*\]/y;
  const steps: string[] = [];
  while (step.lastIndex < text.length) {
    const match = step.exec(text);
    if (!match) {
      throw new HoldfastError("USAGE", `not a path into a document: ${text}`, {
        hint: 'Write it like ["stringData"]["RESTIC_PASSWORD"] or stringData.RESTIC_PASSWORD.',
      });
    }
    steps.push(match[1]?.replace(/\\(.)/g, "$1") ?? match[2] ?? match[3]!);
  }
  return steps;
}

/** What is at `path` in the first document that has it, or undefined. */
export function nodeAt(roots: readonly Mapping[], path: readonly string[]): Node | undefined {
  const down = (node: Node | undefined, step: string): Node | undefined => {
    if (node?.kind === "map") return entryOf(node, step)?.node;
    if (node?.kind !== "list" || !/^\d{1,9}$/.test(step)) return undefined;
    return node.items.filter((item): item is Node => item.kind !== "comment")[Number(step)];
  };
  for (const root of roots) {
    const found = path.reduce<Node | undefined>(down, root);
    if (found) return found;
  }
  return undefined;
}

/** A part of a document as `sops decrypt --extract` prints it: a text bare, the rest in the document's format. */
export function printPart(node: Node, format: SopsDocument["format"]): Uint8Array {
  if (node.kind === "leaf" && (node.value?.type === "str" || node.value?.type === "bytes"))
    return node.value.bytes;
  return Buffer.from(format === "yaml" ? printYaml(node) : printJson(node), "utf8");
}
