// Signatures of reports: Ed25519 over the exact bytes of the JSON, 64 bytes in a file beside it, with keys as PEM, so that
// `openssl pkeyutl -verify` is enough to check one (docs/operations/drill.md#signatures). A report says what somebody saw who
// had the key; it proves nothing about who can read the key.

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
  type KeyObject,
} from "node:crypto";
import { HoldfastError } from "../../base/errors.ts";

/** A new pair of keys, both PEM. */
export function makeSigningKey(): { privateKey: string; publicKey: string } {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return {
    privateKey: String(privateKey.export({ type: "pkcs8", format: "pem" })),
    publicKey: String(publicKey.export({ type: "spki", format: "pem" })),
  };
}

/** Reads a private key. Throws USAGE, and never shows it. */
export function readSigningKey(pem: string): KeyObject {
  return ed25519(() => createPrivateKey(pem), "the signing key");
}

/** Reads a public key, or that of a private one. Throws USAGE. */
export function readPublicKey(pem: string): KeyObject {
  return ed25519(() => createPublicKey(pem), "the public key");
}

function ed25519(read: () => KeyObject, what: string): KeyObject {
  let key: KeyObject | undefined;
  try {
    key = read();
  } catch {
    // What Node says about it may quote it.
  }
  if (key?.asymmetricKeyType === "ed25519") return key;
  throw new HoldfastError("USAGE", `${what} is no Ed25519 key in PEM`, {
    hint: "Make a pair of keys with `holdfast drill --make-key FILE`.",
  });
}

/** The public key's fingerprint, as a report's readers know it: SHA-256 of its DER, the first 16 digits. */
export function fingerprint(key: KeyObject): string {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  const der = publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(der).digest("hex").slice(0, 16);
}

export function signReport(bytes: Uint8Array, key: KeyObject): Buffer {
  return sign(null, bytes, key);
}

export function isSignedBy(bytes: Uint8Array, signature: Uint8Array, key: KeyObject): boolean {
  return signature.length === 64 && verify(null, bytes, key, signature);
}
