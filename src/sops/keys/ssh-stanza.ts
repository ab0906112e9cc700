// The two kinds of age stanzas for SSH keys (age's own specification leaves them to the program): "ssh-ed25519" turns the
// key into an X25519 one and mixes in a value made of the SSH key, "ssh-rsa" is RSA-OAEP with SHA-256 and a label.
// Both name their key by the first four bytes of its SHA-256. Cryptography is Node's.

import {
  constants,
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hash,
  hkdfSync,
  privateDecrypt,
  publicEncrypt,
} from "node:crypto";
import type { Identity, Recipient, Stanza } from "age-encryption";
import { sha256 } from "../../base/bytes.ts";
import type { SshPrivateKey, SshPublicKey } from "./ssh-key.ts";

const LABEL = {
  "ssh-ed25519": "age-encryption.org/v1/ssh-ed25519",
  "ssh-rsa": "age-encryption.org/v1/ssh-rsa",
};
const X25519_PKCS8 = Buffer.from("302e020100300506032b656e04220420", "hex");
const X25519_SPKI = Buffer.from("302a300506032b656e032100", "hex");
const BASE_POINT = Buffer.alloc(32);
BASE_POINT[0] = 9;
const FILE_KEY_BYTES = 16;
const SEAL_BYTES = 16;

type MakeStanza = (args: string[], body: Uint8Array) => Stanza;

/** What opens stanzas for the SSH key `own`. */
export function sshIdentity(own: SshPrivateKey): Identity {
  return {
    unwrapFileKey: (stanzas) => {
      for (const { args, body } of stanzas) {
        if (args[0] !== own.type || args[1] !== tagOf(own.wire)) continue;
        const fileKey =
          own.type === "ssh-rsa" ? openRsa(own, args, body) : openEd25519(own, args, body);
        if (fileKey.length !== FILE_KEY_BYTES) throw new RangeError("wrong size of a file key");
        return fileKey;
      }
      return null;
    },
  };
}

/** What makes stanzas for the SSH key `theirs`. */
export function sshRecipient(
  theirs: SshPublicKey,
  random: (length: number) => Uint8Array,
  make: MakeStanza,
): Recipient {
  return {
    wrapFileKey: (fileKey) => {
      const tag = tagOf(theirs.wire);
      if (theirs.type === "ssh-rsa") return [make(["ssh-rsa", tag], sealRsa(theirs, fileKey))];
      const secret = random(32);
      const share = x25519(secret, BASE_POINT);
      const point = montgomeryOf(theirs.parts[0]!);
      const key = wrappingKey(theirs.wire, x25519(secret, point), share, point);
      return [make(["ssh-ed25519", tag, base64(share)], seal(key, fileKey))];
    },
  };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64").replaceAll("=", "");
}

function tagOf(wire: Uint8Array): string {
  return base64(sha256(wire).subarray(0, 4));
}

function openRsa(own: SshPrivateKey, args: readonly string[], body: Uint8Array): Uint8Array {
  if (args.length !== 2) throw new RangeError("wrong number of arguments");
  return privateDecrypt(
    {
      key: own.key,
      padding: constants.RSA_PKCS1_OAEP_PADDING,
      oaepHash: "sha256",
      oaepLabel: Buffer.from(LABEL["ssh-rsa"]),
    },
    body,
  );
}

function sealRsa(theirs: SshPublicKey, fileKey: Uint8Array): Uint8Array {
  const [e, n] = theirs.parts.map((part) => part.toString("base64url"));
  return publicEncrypt(
    {
      key: createPublicKey({ key: { kty: "RSA", e: e!, n: n! }, format: "jwk" }),
      padding: constants.RSA_PKCS1_OAEP_PADDING,
      oaepHash: "sha256",
      oaepLabel: Buffer.from(LABEL["ssh-rsa"]),
    },
    fileKey,
  );
}

function openEd25519(own: SshPrivateKey, args: readonly string[], body: Uint8Array): Uint8Array {
  const share = Buffer.from(args[2] ?? "", "base64");
  const sized = share.length === 32 && body.length === FILE_KEY_BYTES + SEAL_BYTES;
  if (args.length !== 3 || !sized || base64(share) !== args[2]) {
    throw new RangeError("wrong arguments of a stanza");
  }
  const seed = Buffer.from(own.key.export({ format: "jwk" }).d ?? "", "base64url");
  const secret = hash("sha512", seed, "buffer").subarray(0, 32);
  const key = wrappingKey(own.wire, x25519(secret, share), share, x25519(secret, BASE_POINT));
  const opener = createDecipheriv("chacha20-poly1305", key, Buffer.alloc(12), {
    authTagLength: SEAL_BYTES,
  });
  opener.setAuthTag(body.subarray(FILE_KEY_BYTES));
  return Buffer.concat([opener.update(body.subarray(0, FILE_KEY_BYTES)), opener.final()]);
}

function seal(key: Uint8Array, fileKey: Uint8Array): Uint8Array {
  const sealer = createCipheriv("chacha20-poly1305", key, Buffer.alloc(12), {
    authTagLength: SEAL_BYTES,
  });
  return Buffer.concat([sealer.update(fileKey), sealer.final(), sealer.getAuthTag()]);
}

/** The key that wraps the file key: `shared` multiplied by what the SSH key hashes to, bound to both public values. */
function wrappingKey(
  wire: Uint8Array,
  shared: Uint8Array,
  share: Uint8Array,
  point: Uint8Array,
): Uint8Array {
  const info = LABEL["ssh-ed25519"];
  const tweak = new Uint8Array(hkdfSync("sha256", new Uint8Array(), wire, info, 32));
  const salt = Buffer.concat([share, point]);
  return new Uint8Array(hkdfSync("sha256", x25519(tweak, shared), salt, info, 32));
}

/** X25519; throws when the result would be zero, as for a point chosen to make it so. */
function x25519(secret: Uint8Array, point: Uint8Array): Uint8Array {
  return diffieHellman({
    privateKey: createPrivateKey({
      key: Buffer.concat([X25519_PKCS8, secret]),
      format: "der",
      type: "pkcs8",
    }),
    publicKey: createPublicKey({
      key: Buffer.concat([X25519_SPKI, point]),
      format: "der",
      type: "spki",
    }),
  });
}

const PRIME = 2n ** 255n - 19n;

/** The X25519 point of an Ed25519 one (RFC 7748 §4.1): u = (1 + y) / (1 - y). It is public: time may depend on it. */
function montgomeryOf(edwards: Uint8Array): Uint8Array {
  const number = Buffer.from(edwards).reverse();
  number[0]! &= 0x7f;
  const y = BigInt(`0x${number.toString("hex")}`) % PRIME;
  const u = ((1n + y) * power((1n - y + PRIME) % PRIME, PRIME - 2n)) % PRIME;
  return Buffer.from(u.toString(16).padStart(64, "0"), "hex").reverse();
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let square = base, rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % PRIME;
    square = (square * square) % PRIME;
  }
  return result;
}
