// What a `.sops.yaml` says of a file that is to be encrypted: for whom, and which of its values. Implements
// docs/formats/sops.md#creation-rules. Files that exist keep what their metadata says.

import type { HoldfastError } from "../base/errors.ts";
import type { KeyKind } from "./key-source.ts";
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
}

export interface CreationRule {
  readonly groups: readonly (readonly Recipient[])[];
  readonly threshold: number | undefined;
  readonly rule: Rule;
  readonly macOnlyEncrypted: boolean;
}

/** How a configuration calls the kinds, and the field that names a key in a group. */
const KINDS: readonly { readonly kind: KeyKind; readonly name: string; readonly field?: string }[] =
  [
    { kind: "age", name: "age" },
    { kind: "pgp", name: "pgp" },
    { kind: "kms", name: "kms", field: "arn" },
    { kind: "gcp_kms", name: "gcp_kms", field: "resource_id" },
  ];
const UNSUPPORTED = ["azure_keyvault", "hc_vault_transit_uri", "hc_vault", "hckms"];

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

  /** The texts of a list, or of one text with commas. */
  #texts(mapping: Mapping, key: string, field: string | undefined): string[] {
    const node = entryOf(mapping, key)?.node;
    if (node?.kind !== "list") {
      const all = this.text(mapping, key) ?? "";
      return all
        .split(",")
        .map((one) => one.trim())
        .filter((one) => one !== "");
    }
    return node.items.flatMap((item) => {
      if (item.kind === "comment") return [];
      if (item.kind === "leaf" && item.value) return [textOf(item.value).trim()];
      const named = item.kind === "map" && field !== undefined ? this.text(item, field) : undefined;
      if (named === undefined) throw this.fail(item, `${key} holds something that is no key`);
      return [named];
    });
  }

  #recipients(mapping: Mapping): Recipient[] {
    const other = UNSUPPORTED.find((name) => entryOf(mapping, name));
    if (other)
      throw this.fail(
        entryOf(mapping, other)!.node,
        `keys of ${other} cannot be used for encryption here`,
      );
    return KINDS.flatMap(({ kind, name, field }) =>
      this.#texts(mapping, name, field).map((id) => ({ kind, id })),
    );
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
