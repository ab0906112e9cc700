// How a key is called: by fields in SOPS's metadata, by one text everywhere else.

import type { KeyKind } from "./key-source.ts";

/** The fields of SOPS's metadata that tell a key from others of its kind, in the order of SOPS's key service. */
export const KEY_FIELDS: Readonly<Record<KeyKind, readonly string[]>> = {
  age: ["recipient"],
  pgp: ["fp"],
  gcp_kms: ["resource_id"],
  kms: ["arn"],
  azure_kv: ["vault_url", "name", "version"],
  hc_vault: ["vault_address", "engine_path", "key_name"],
  hckms: ["key_id"],
};

/** A longer one is no name of anything. */
const ID_MAX = 4096;
const COMPOSED: Readonly<Partial<Record<KeyKind, RegExp>>> = {
  azure_kv: /^(.*)\/keys\/([^/]+)\/([^/]*)$/,
  hc_vault: /^(.*?)\/v1\/(.*)\/keys\/([^/]+)$/,
};

/** How a key is called in messages and where it is opened, from the values of KEY_FIELDS. */
export function keyId(kind: KeyKind, parts: readonly string[]): string {
  if (kind === "azure_kv") return `${parts[0]}/keys/${parts[1]}/${parts[2]}`;
  if (kind === "hc_vault") return `${parts[0]}/v1/${parts[1]}/keys/${parts[2]}`;
  return parts[0]!;
}

/** The values of KEY_FIELDS, or undefined when `id` can be none of this kind. */
export function keyParts(kind: KeyKind, id: string): readonly string[] | undefined {
  if (id.length > ID_MAX) return undefined;
  const pattern = COMPOSED[kind];
  return pattern ? pattern.exec(id)?.slice(1) : [id];
}
