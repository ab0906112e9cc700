// Writes the metadata of a document as SOPS does, for each format. Implements docs/formats/sops.md#metadata.

import { HoldfastError } from "../base/errors.ts";
import { dotenvText } from "./dotenv-tree.ts";
import type { Format } from "./document.ts";
import { printJson } from "./json-print.ts";
import { KEY_FIELDS, keyParts } from "./key-names.ts";
import type { AwsDetails, KeyKind, WrappedKey } from "./key-source.ts";
import { FLAT_PREFIX } from "./metadata.ts";
import { DEFAULT_RULE, type Rule } from "./selection.ts";
import type { Entry, List, Mapping, Node } from "./tree.ts";
import { textOf, valueOf, type Value } from "./value.ts";
import { INDENT, printYaml } from "./yaml-print.ts";

/** What the metadata of a new document says. */
export interface NewMetadata {
  readonly groups: readonly (readonly WrappedKey[])[];
  /** Groups that are needed; all, when not given. */
  readonly threshold?: number | undefined;
  readonly rule?: Rule | undefined;
  readonly macOnlyEncrypted?: boolean | undefined;
  /** RFC 3339 to the second, in UTC. */
  readonly lastModified: string;
  /** The version of SOPS whose format this is. */
  readonly version?: string | undefined;
}

/** The version that documents made here name: the newest whose format they follow. */
export const FORMAT_VERSION = "3.13.1";

const NOWHERE = { start: 0, end: 0 };

function leaf(value: Value): Node {
  return { kind: "leaf", value, at: NOWHERE };
}

function text(value: string): Node {
  return leaf(valueOf("str", value));
}

function mapping(entries: readonly (readonly [key: string, node: Node])[]): Mapping {
  const items = entries.map(([key, node]): Entry => ({ kind: "entry", key, keyAt: NOWHERE, node }));
  return { kind: "map", items, at: NOWHERE };
}

function list(items: readonly Node[]): List {
  return { kind: "list", items, at: NOWHERE };
}

/** The fields that name a key of each kind, from its id. */
function namesOf({ kind, id, aws }: WrappedKey): [string, Node][] {
  const parts = keyParts(kind, id);
  if (!parts) throw new HoldfastError("USAGE", `${kind}: ${id} is no such key`);
  const names = KEY_FIELDS[kind].map((name, index): [string, Node] => [name, text(parts[index]!)]);
  return kind === "kms" ? [...names, ...awsNames(aws)] : names;
}

function awsNames({ role = "", context = [], profile = "" }: Partial<AwsDetails> = {}): [
  string,
  Node,
][] {
  const pairs = context.map(([name, value]) => [name, text(value)] as const);
  return [
    ...(role === "" ? [] : [["role", text(role)] satisfies [string, Node]]),
    ...(pairs.length === 0 ? [] : [["context", mapping(pairs)] satisfies [string, Node]]),
    ["aws_profile", text(profile)],
  ];
}

function keyNode(key: WrappedKey, lastModified: string): Node {
  const created: [string, Node][] =
    key.kind === "age" ? [] : [["created_at", text(key.createdAt ?? lastModified)]];
  return mapping([...namesOf(key), ...created, ["enc", text(key.enc)]]);
}

function keyLists(keys: readonly WrappedKey[], lastModified: string): [string, Node][] {
  const kinds = [...new Set<KeyKind>(keys.map(({ kind }) => kind))];
  return kinds.map((kind) => {
    const mine = keys.filter((key) => key.kind === kind);
    return [kind, list(mine.map((key) => keyNode(key, lastModified)))];
  });
}

/** The block of metadata. */
export function metadataBlock(metadata: NewMetadata, mac: string): Mapping {
  const { groups, lastModified, rule = DEFAULT_RULE, version = FORMAT_VERSION } = metadata;
  const several = groups.length > 1;
  const threshold = valueOf("int", String(metadata.threshold ?? groups.length));
  return mapping([
    ...(several
      ? [
          ["shamir_threshold", leaf(threshold)] as const,
          [
            "key_groups",
            list(groups.map((keys) => mapping(keyLists(keys, lastModified)))),
          ] as const,
        ]
      : keyLists(groups[0] ?? [], lastModified)),
    ["lastmodified", text(lastModified)],
    ["mac", text(mac)],
    [rule.name, text(rule.text)],
    ...(metadata.macOnlyEncrypted
      ? [["mac_only_encrypted", leaf(valueOf("bool", "True"))] as const]
      : []),
    ["version", text(version)],
  ]);
}

/** The lines of a dotenv file that stand for `node`. */
function flatLines(node: Node, name: string): string[] {
  if (node.kind === "leaf") {
    const value = node.value ? textOf(node.value) : "";
    return [`${name}=${dotenvText(node.value?.type === "bool" ? value.toLowerCase() : value)}`];
  }
  if (node.kind === "map") {
    return node.items.flatMap((item) =>
      item.kind === "entry" ? flatLines(item.node, `${name}__map_${item.key}`) : [],
    );
  }
  return node.items.flatMap((item, index) =>
    item.kind === "comment" ? [] : flatLines(item, `${name}__list_${index}`),
  );
}

/** The block as it stands in a file of `format`. */
export function metadataText(block: Mapping, format: Format): string {
  if (format === "yaml") return `sops:\n${printYaml(block, INDENT)}`;
  if (format !== "dotenv") return `"sops": ${printJson(block, "\t")}`;
  const lines = block.items.flatMap((item) =>
    item.kind === "entry" ? flatLines(item.node, FLAT_PREFIX + item.key) : [],
  );
  return lines.map((line) => `${line}\n`).join("");
}
