// Keys that Holdfast does not open itself: those of services that need clients of their own, and those of age's plugins. The
// `sops` of this machine does, by its key service: it is given one wrapped key, never a document.

import { HoldfastError } from "../../base/errors.ts";
import type { KeyAttempt, KeyContext, KeyKind, WrappedKey } from "../key-source.ts";
import { keyReply, keyRequest, type ServiceKey } from "./key-service.ts";
import { plain, tryPlaces } from "./places.ts";

const SERVICES: Readonly<Partial<Record<KeyKind, readonly [service: string, needs: string]>>> = {
  kms: ["AWS KMS", "credentials of AWS that may use it"],
  azure_kv: ["Azure Key Vault", "an Azure login that may use it"],
  hc_vault: ["HashiCorp Vault", "VAULT_TOKEN or what `vault login` keeps"],
  hckms: ["Huawei Cloud KMS", "credentials of Huawei Cloud"],
};
const ENC_MAX = 131_072;
/** What services say is longer than what we say, and the reason is at its end. */
const SAID_MAX = 480;
const OFFLINE = "not asked: --offline";

/** Has sops open a key of a service. Throws only CANCELLED. */
export function openElsewhere(key: WrappedKey, context: KeyContext): Promise<KeyAttempt> {
  const [service, needs] = servedBy(key.kind);
  const look = async (): Promise<Uint8Array | string> => {
    if (context.offline) return OFFLINE;
    const opened = await openWithSops(key, context);
    if (typeof opened !== "string") return opened;
    return `${opened}\nneeded are \`sops\` and ${needs}; \`sops rotate --in-place --add-age RECIPIENT\` adds a key that opens here`;
  };
  return tryPlaces([{ name: `${service}, by sops`, look }], context);
}

/** What sops opens `key` to, or why it does not. */
export async function openWithSops(
  key: WrappedKey,
  context: KeyContext,
): Promise<Uint8Array | string> {
  if (key.enc.length > ENC_MAX) return "the wrapped key is too long";
  return askSops("Decrypt", key, Buffer.from(key.enc), context);
}

/** `dataKey` wrapped by sops with a key of a service. USAGE, SOPS_NO_KEY. */
export async function wrapElsewhere(
  key: ServiceKey,
  dataKey: Uint8Array,
  context: KeyContext,
): Promise<string> {
  const [service, needs] = servedBy(key.kind);
  const wrapped = context.offline ? { why: OFFLINE } : await wrapWithSops(key, dataKey, context);
  if ("enc" in wrapped) return wrapped.enc;
  const what = `cannot encrypt with the ${service} key ${plain(key.id)}: ${wrapped.why}`;
  throw new HoldfastError("SOPS_NO_KEY", what, {
    hint: `install \`sops\` and give it ${needs}, or encrypt to an age recipient`,
  });
}

/** `dataKey` wrapped by sops, or why it is not. */
export async function wrapWithSops(
  key: ServiceKey,
  dataKey: Uint8Array,
  context: KeyContext,
): Promise<{ enc: string } | { why: string }> {
  const wrapped = await askSops("Encrypt", key, dataKey, context);
  if (typeof wrapped === "string") return { why: wrapped };
  const enc = Buffer.from(wrapped).toString();
  const isText = wrapped.length > 0 && Buffer.from(enc).equals(wrapped);
  return isText && enc.length <= ENC_MAX ? { enc } : { why: "its answer is damaged" };
}

function servedBy(kind: KeyKind): readonly [service: string, needs: string] {
  return SERVICES[kind] ?? [kind, "its credentials"];
}

async function askSops(
  method: "Decrypt" | "Encrypt",
  key: ServiceKey,
  bytes: Uint8Array,
  context: KeyContext,
): Promise<Uint8Array | string> {
  const request = keyRequest(key, bytes);
  if (!request) return `no name of a key: ${plain(key.id)}`;
  const reply = await context.askSops(method, request);
  if (typeof reply === "string") return plain(withoutIdentities(reply), SAID_MAX);
  return keyReply(reply) ?? "its answer is damaged";
}

/** sops quotes a line that is no identity, which may be one with a typing error. */
function withoutIdentities(said: string): string {
  return said
    .replaceAll(/AGE-[A-Z0-9+._-]+/g, "AGE-…")
    .replaceAll(/(identity type: )("(?:[^"\\]|\\.)*"|\S+)/g, "$1…");
}
