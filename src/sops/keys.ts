// Opens and makes wrapped data keys, by the kind of master key. Each kind's code, and the library below it, is loaded when
// a document first names that kind.

import type {
  AwsDetails,
  KeyAttempt,
  KeyContext,
  KeyKind,
  OpenKey,
  WrapKey,
  WrappedKey,
} from "./key-source.ts";

/** Tries to open `key` with everything this machine has. */
export const openKey: OpenKey = async (
  key: WrappedKey,
  context: KeyContext,
): Promise<KeyAttempt> => {
  switch (key.kind) {
    case "age":
      return (await import("./keys/age.ts")).openAge(key, context, platform());
    case "pgp":
      return (await import("./keys/pgp.ts")).openPgp(key, context, platform());
    case "gcp_kms":
      return (await import("./keys/gcp-kms.ts")).openGcpKms(key, context);
    default:
      return (await import("./keys/elsewhere.ts")).openElsewhere(key, context);
  }
};

/** Wraps `dataKey` for `id`. USAGE when there can be no such recipient, SOPS_NO_KEY when its public key is not here. */
export const wrapKey: WrapKey = async (
  kind: KeyKind,
  id: string,
  dataKey: Uint8Array,
  context: KeyContext,
  aws?: AwsDetails,
): Promise<string> => {
  switch (kind) {
    case "age":
      return (await import("./keys/age.ts")).wrapAge(id, dataKey, context);
    case "pgp":
      return (await import("./keys/pgp.ts")).wrapPgp(id, dataKey, context, platform());
    case "gcp_kms":
      return (await import("./keys/gcp-kms.ts")).wrapGcpKms(id, dataKey, context);
    default:
      return (await import("./keys/elsewhere.ts")).wrapElsewhere(
        { kind, id, aws },
        dataKey,
        context,
      );
  }
};

function platform(): "linux" | "darwin" | "win32" {
  const { platform: name } = process;
  return name === "darwin" || name === "win32" ? name : "linux";
}
