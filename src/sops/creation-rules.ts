// What a `.sops.yaml` says of a file that is to be encrypted: for whom, and which of its values. Implements
// docs/formats/sops.md#creation-rules. Files that exist keep what their metadata says.

import type { HoldfastError } from "../base/errors.ts";
import { keyId } from "./key-names.ts";
import type { AwsDetails, KeyKind } from "./key-source.ts";
import { PatternError } from "./re2-syntax.ts";
import { compileRe2 } from "./re2.ts";
import { DEFAULT_RULE, RULES, type Rule } from "./selection.ts";
import { entryOf, failAt } from "./tree.ts";
import type { Mapping, Node, Place } from "./tree.ts";
import { textOf } from "./value.ts";
import { parseYaml } from "./yaml-tree.ts";

/** A key that a new document is to be encrypted to. */
export interface Recipient {
  readonly kind: KeyKind;
  readonly id: string;
  readonly aws?: AwsDetails;
}

export interface CreationRule {
  readonly groups: readonly (readonly Recipient[])[];
  readonly threshold: number | undefined;
  readonly rule: Rule;
  readonly macOnlyEncrypted: boolean;
}

interface KindOfKeys {
  readonly kind: KeyKind;
  /** How a configuration calls it. */
  readonly name: string;
  /** The fields that name a key in a group, where it is a mapping there. */
  readonly fields?: readonly string[];
}

const KINDS: readonly KindOfKeys[] = [
  { kind: "age", name: "age" },
  { kind: "pgp", name: "pgp" },
  { kind: "kms", name: "kms", fields: ["arn"] },
  { kind: "gcp_kms", name: "gcp_kms", fields: ["resource_id"] },
  { kind: "hckms", name: "hckms", fields: ["key_id"] },
  { kind: "azure_kv", name: "azure_keyvault", fields: ["vaultUrl", "key", "version"] },
  { kind: "hc_vault", name: "hc_vault_transit_uri" },
  { kind: "hc_vault", name: "hc_vault" },
];

/** The ids that a key of a service can have; without its version a key of Azure would be another one after a while. */
const IDS: Readonly<Partial<Record<KeyKind, readonly [pattern: RegExp, form: string]>>> = {
  azure_kv: [/^(https:\/\/[^/]+)\/keys\/([^/]+)\/([^/]+)$/, "https://VAULT/keys/NAME/VERSION"],
  hc_vault: [
    /^(https?:\/\/[^/]+)\/v\d+\/([^/]+(?:\/[^/]+)*)\/keys\/([^/]+)\/?$/,
    "https://VAULT/v1/ENGINE/keys/NAME",
  ],
};

class RuleReader {
  readonly #place: Place;

  constructor(place: Place) {
    this.#place = place;
  }

  fail(node: Node, what: string): HoldfastError {
    return failAt(this.#place, node.at.start, what);
  }

  text(mapping: Mapping, key: string): string | undefined {
    const node = entryOf(mapping, key)?.node;
    if (node === undefined || (node.kind === "leaf" && node.value === undefined)) return undefined;
    if (node.kind !== "leaf") throw this.fail(node, `${key} is not a text`);
    return textOf(node.value!);
  }

  /** The keys in a list, or in one text with commas. */
  #keys(mapping: Mapping, kind: KindOfKeys): Recipient[] {
    const { name, fields } = kind;
    const node = entryOf(mapping, name)?.node;
    if (node?.kind !== "list") {
      const all = (this.text(mapping, name) ?? "").split(",").map((one) => one.trim());
      return all
        .filter((one) => one !== "")
        .map((one) => this.#recipient(node ?? mapping, kind, one, mapping));
    }
    return node.items.flatMap((item) => {
      if (item.kind === "comment") return [];
      if (item.kind === "leaf" && item.value)
        return [this.#recipient(item, kind, textOf(item.value).trim(), mapping)];
      const parts =
        item.kind === "map" ? fields?.map((field) => this.text(item, field) ?? "") : undefined;
      if (item.kind !== "map" || !parts?.[0])
        throw this.fail(item, `${name} holds something that is no key`);
      return [this.#recipient(item, kind, keyId(kind.kind, parts), item)];
    });
  }

  /** The key with `id`; what else is said of it stands in `more`. */
  #recipient(node: Node, { kind, name }: KindOfKeys, id: string, more: Mapping): Recipient {
    if (kind === "kms") return { kind, ...this.#aws(id, more) };
    const [pattern, form] = IDS[kind] ?? [];
    if (!pattern) return { kind, id };
    const parts = pattern.exec(id)?.slice(1);
    if (!parts) throw this.fail(node, `${name} holds something other than ${form}`);
    return { kind, id: keyId(kind, parts) };
  }

  /** `id` may hold the role as well, after a plus sign. */
  #aws(id: string, more: Mapping): Pick<Recipient, "id" | "aws"> {
    const [arn, given] = id.replaceAll(" ", "").split(/\+(?=arn:aws[\w-]*:iam::)/);
    const node = entryOf(more, "context")?.node;
    const items = node?.kind === "map" ? node.items : [];
    const context = items.flatMap((item) =>
      item.kind === "entry"
        ? [[item.key, this.text(node as Mapping, item.key) ?? ""] as const]
        : [],
    );
    const role = given ?? this.text(more, "role") ?? "";
    return { id: arn!, aws: { role, context, profile: this.text(more, "aws_profile") ?? "" } };
  }

  /** The keys of a rule or of a group, and those of the groups that it merges. */
  #recipients(mapping: Mapping): Recipient[] {
    const merged = entryOf(mapping, "merge")?.node;
    const groups = merged?.kind === "list" ? merged.items : [];
    const all = [
      ...groups.flatMap((group) => (group.kind === "map" ? this.#recipients(group) : [])),
      ...KINDS.flatMap((kind) => this.#keys(mapping, kind)),
    ];
    const isFirst = ({ kind, id }: Recipient, index: number): boolean =>
      all.findIndex((other) => other.kind === kind && other.id === id) === index;
    return all.filter(isFirst);
  }

  #threshold(mapping: Mapping, groups: number): number | undefined {
    const text = this.text(mapping, "shamir_threshold");
    if (text === undefined || text === "0" || groups === 1) return undefined;
    const threshold = Number(text);
    if (Number.isInteger(threshold) && threshold >= 2 && threshold <= groups) return threshold;
    throw this.fail(mapping, "a shamir_threshold that the key groups do not allow");
  }

  rule(mapping: Mapping): CreationRule {
    const groupsNode = entryOf(mapping, "key_groups")?.node;
    const groups =
      groupsNode?.kind === "list"
        ? groupsNode.items.flatMap((item) => (item.kind === "map" ? [this.#recipients(item)] : []))
        : [this.#recipients(mapping)];
    if (groups.some((group) => group.length === 0))
      throw this.fail(mapping, "a rule with nobody to encrypt to");
    const given = RULES.map((name) => ({ name, text: this.text(mapping, name) ?? "" })).filter(
      ({ text }) => text !== "",
    );
    if (given.length > 1)
      throw this.fail(
        mapping,
        `both ${given[0]!.name} and ${given[1]!.name}, of which there may be one`,
      );
    return {
      groups,
      threshold: this.#threshold(mapping, groups.length),
      rule: given[0] ?? DEFAULT_RULE,
      macOnlyEncrypted: this.text(mapping, "mac_only_encrypted") === "True",
    };
  }
}

/**
 * The first rule of a configuration that is for `path`, which is relative to the folder of the configuration, with `/`; undefined when none is.
 * Throws SOPS_INVALID with the line.
 */
export function creationRule(
  config: { name: string; text: string },
  path: string,
): CreationRule | undefined {
  const [root] = parseYaml(config);
  const rules = root && entryOf(root, "creation_rules")?.node;
  if (rules === undefined) return undefined;
  if (rules.kind !== "list") throw failAt(config, rules.at.start, "creation_rules is not a list");
  const reader = new RuleReader(config);
  for (const item of rules.items) {
    if (item.kind === "comment") continue;
    if (item.kind !== "map") throw reader.fail(item, "a creation rule that is not a mapping");
    const pattern = reader.text(item, "path_regex");
    try {
      if (pattern === undefined || compileRe2(pattern)(path)) return reader.rule(item);
    } catch (error) {
      if (!(error instanceof PatternError)) throw error;
      throw reader.fail(item, `path_regex is no pattern: ${error.message}`);
    }
  }
  return undefined;
}
