// The services that SOPS knows and Holdfast does not speak: what a person can do instead.

import type { KeyAttempt, KeyKind, WrappedKey } from "../key-source.ts";
import { plain } from "./places.ts";

const SERVICES: Readonly<Partial<Record<KeyKind, readonly [service: string, needs: string]>>> = {
  kms: ["AWS KMS", "credentials of AWS that may decrypt with it"],
  azure_kv: ["Azure Key Vault", "an Azure login that may decrypt with it"],
  hc_vault: ["HashiCorp Vault", "VAULT_ADDR and VAULT_TOKEN"],
  hckms: ["Huawei Cloud KMS", "credentials of Huawei Cloud"],
};

/** Why a key of a service that Holdfast does not speak stays closed. */
export function notOpenedHere({ kind, id }: WrappedKey): KeyAttempt {
  const [service, needs] = SERVICES[kind] ?? [kind, "its credentials"];
  const reason =
    `${service} (${plain(id)}): not asked by Holdfast; \`sops decrypt\` does with ${needs}, ` +
    "and `sops rotate --in-place --add-age RECIPIENT` adds a key that opens here";
  return { opened: false, reason };
}
