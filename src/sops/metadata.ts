// What a SOPS document says of itself: who can open it, what of it is encrypted, when it was changed, and its MAC. Implements
// docs/formats/sops.md#metadata.

import { KEY_FIELDS, keyId } from "./key-names.ts";
import type { AwsDetails, WrappedKey } from "./key-source.ts";
import { PatternError } from "./re2-syntax.ts";
import { DEFAULT_RULE, RULES, selectionOf, type Rule, type Selection } from "./selection.ts";
import { entryOf, failAt } from "./tree.ts";
import type { Entry, Leaf, Mapping, Node, Place } from "./tree.ts";
import { textOf } from "./value.ts";

export interface Metadata {
  /** Each group opens its share of the data key; a single one the whole key. */
  readonly groups: readonly (readonly WrappedKey[])[];
  /** Groups that are needed. */
  readonly threshold: number;
  readonly rule: Rule;
  readonly selection: Selection;
  readonly macOnlyEncrypted: boolean;
  readonly lastModified: string;
  /** As it is in the file; empty when there is none. */
  readonly mac: string;
  readonly version: string;
  /** Where the two are that change with every edit. */
  readonly leaves: { readonly mac: Leaf | undefined; readonly lastModified: Leaf | undefined };
}

/** The lists of keys in the order in which SOPS reads them. */
const KEY_LISTS = ["kms", "gcp_kms", "hckms", "azure_kv", "hc_vault", "pgp", "age"] as const;

const GROUPS_MAX = 255;

class MetadataReader {
  readonly #place: Place;
  readonly #block: Mapping;

  constructor(place: Place, block: Mapping) {
    this.#place = place;
    this.#block = block;
  }

  read(): Metadata {
    const rule = this.#rule();
    const groups = this.#groups();
    const threshold = this.#threshold(groups.length);
    return {
      groups,
      threshold,
      rule,
      selection: this.#selection(rule),
      macOnlyEncrypted: /^true$/i.test(this.#text(this.#block, "mac_only_encrypted")),
      lastModified: this.#text(this.#block, "lastmodified"),
      mac: this.#text(this.#block, "mac"),
      version: this.#text(this.#block, "version"),
      leaves: {
        mac: this.#leaf(this.#block, "mac"),
        lastModified: this.#leaf(this.#block, "lastmodified"),
      },
    };
  }

  #fail(node: Node | Entry, what: string): Error {
    const at = node.kind === "entry" ? node.keyAt : node.at;
    return failAt(this.#place, at.start, what);
  }

  #leaf(mapping: Mapping, key: string): Leaf | undefined {
    const entry = entryOf(mapping, key);
    if (!entry) return undefined;
    if (entry.node.kind !== "leaf") throw this.#fail(entry, `sops.${key} is not a text`);
    return entry.node;
  }

  #text(mapping: Mapping, key: string): string {
    const value = this.#leaf(mapping, key)?.value;
    return value === undefined ? "" : textOf(value);
  }

  #list(mapping: Mapping, key: string): Mapping[] {
    const entry = entryOf(mapping, key);
    if (!entry || (entry.node.kind === "leaf" && entry.node.value === undefined)) return [];
    if (entry.node.kind !== "list") throw this.#fail(entry, `sops.${key} is not a list`);
    return entry.node.items.flatMap((item) => {
      if (item.kind === "comment") return [];
      if (item.kind !== "map") throw this.#fail(item, `sops.${key} holds something that is no key`);
      return [item];
    });
  }

  #keys(mapping: Mapping): WrappedKey[] {
    return KEY_LISTS.flatMap((kind) =>
      this.#list(mapping, kind).map((key) => {
        const enc = this.#text(key, "enc");
        if (enc === "") throw this.#fail(key, `a key in sops.${kind} without enc`);
        const createdAt = this.#text(key, "created_at");
        const parts = KEY_FIELDS[kind].map((field) => this.#text(key, field));
        return {
          kind,
          id: keyId(kind, parts),
          enc,
          createdAt: createdAt === "" ? undefined : createdAt,
          ...(kind === "kms" && { aws: this.#aws(key) }),
        };
      }),
    );
  }

  #aws(key: Mapping): AwsDetails {
    const node = entryOf(key, "context")?.node;
    const entries = node?.kind === "map" ? node.items.filter((item) => item.kind === "entry") : [];
    const context = entries.map((entry) => {
      if (entry.node.kind !== "leaf") throw this.#fail(entry, "a context that is not a text");
      return [entry.key, entry.node.value ? textOf(entry.node.value) : ""] as const;
    });
    return { role: this.#text(key, "role"), context, profile: this.#text(key, "aws_profile") };
  }

  #groups(): WrappedKey[][] {
    const groups = this.#list(this.#block, "key_groups").map((group) => this.#keys(group));
    if (groups.length > GROUPS_MAX) throw this.#fail(this.#block, "too many key groups");
    return groups.length > 0 ? groups : [this.#keys(this.#block)];
  }

  #threshold(groups: number): number {
    const text = this.#text(this.#block, "shamir_threshold");
    if (text === "" || text === "0" || groups === 1) return groups;
    const threshold = Number(text);
    if (!Number.isInteger(threshold) || threshold < 1 || threshold > groups) {
      throw this.#fail(
        this.#block,
        "sops.shamir_threshold asks for more key groups than there are",
      );
    }
    // One share gives nothing away, and nothing back.
    return Math.max(2, threshold);
  }

  #rule(): Rule {
    const given = RULES.map((name) => ({ name, text: this.#text(this.#block, name) }));
    const [rule, second] = given.filter(({ text }) => text !== "");
    if (second)
      throw this.#fail(
        this.#block,
        `both ${rule!.name} and ${second.name}, of which there may be one`,
      );
    return rule ?? DEFAULT_RULE;
  }

  #selection(rule: Rule): Selection {
    try {
      return selectionOf(rule);
    } catch (error) {
      if (!(error instanceof PatternError)) throw error;
      throw this.#fail(
        entryOf(this.#block, rule.name)!,
        `sops.${rule.name} is no pattern: ${error.message}`,
      );
    }
  }
}

export const FLAT_PREFIX = "sops_";
/** Steps of a flat key; those of SOPS have seven. */
const FLAT_DEPTH_MAX = 20;

/** The flat entries of a dotenv file as the mapping they stand for. Lists must be without gaps. */
export function unflatten(place: Place, entries: readonly Entry[]): Mapping {
  interface Branch {
    readonly children: Map<string, Branch>;
    entry?: Entry;
  }
  const root: Branch = { children: new Map() };
  for (const entry of entries) {
    const steps = entry.key.slice(FLAT_PREFIX.length).split(/__(?=(?:map|list)_)/);
    if (steps.length > FLAT_DEPTH_MAX) throw failAt(place, entry.keyAt.start, "nested too deeply");
    let branch = root;
    for (const step of steps) {
      let child = branch.children.get(step);
      if (!child) branch.children.set(step, (child = { children: new Map() }));
      branch = child;
    }
    branch.entry = entry;
  }
  const at = { start: 0, end: 0 };
  const nodeOf = ({ children, entry }: Branch): Node => {
    if (entry) {
      if (children.size > 0)
        throw failAt(place, entry.keyAt.start, "a key that is both a text and more");
      return entry.node;
    }
    const names = [...children.keys()];
    if (names.every((name) => /^list_\d{1,6}$/.test(name))) {
      const items = names.map((_, index) => children.get(`list_${index}`));
      if (items.includes(undefined)) throw failAt(place, 0, "a list in the sops_ lines with gaps");
      return { kind: "list", items: items.map((item) => nodeOf(item!)), at };
    }
    return mappingOf(children, "map_");
  };
  const mappingOf = (children: ReadonlyMap<string, Branch>, prefix: string): Mapping => ({
    kind: "map",
    items: [...children].map(([name, child]) => {
      const key = name.startsWith(prefix) ? name.slice(prefix.length) : name;
      const node = nodeOf(child);
      return { kind: "entry", key, keyAt: node.at, node };
    }),
    at,
  });
  return mappingOf(root.children, "");
}

/** Reads the metadata of a document from its block. Throws SOPS_INVALID. */
export function readMetadata(place: Place, block: Mapping): Metadata {
  return new MetadataReader(place, block).read();
}
