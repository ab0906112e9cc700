// Reads SSH keys: private ones as ssh-keygen writes them (PROTOCOL.key of OpenSSH: "openssh-key-v1") or as PEM, public
// ones as a line of authorized_keys. Only Ed25519 and RSA, the two that age knows. Messages never quote the key.

import { createPrivateKey, type KeyObject } from "node:crypto";
import { HoldfastError } from "../../base/errors.ts";
import { WireReader, wireInteger, wireStrings } from "./ssh-wire.ts";

export type SshKeyType = "ssh-ed25519" | "ssh-rsa";

export interface SshPrivateKey {
  readonly type: SshKeyType;
  readonly key: KeyObject;
  /** The public key as it is on the wire. */
  readonly wire: Buffer;
}

export interface SshPublicKey {
  readonly type: SshKeyType;
  readonly wire: Buffer;
  /** What the wire holds after the type: an Ed25519 point, or exponent and modulus. */
  readonly parts: readonly Buffer[];
}

const MAGIC = "openssh-key-v1\0";
const ARMORED =
  /^\s*-----BEGIN OPENSSH PRIVATE KEY-----([A-Za-z0-9+/=\s]*)-----END OPENSSH PRIVATE KEY-----\s*$/;
/** PKCS #8 around the seed of an Ed25519 key. */
const ED25519_PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");
const RSA_BITS = { min: 1024, max: 16384 };

/** The private key in `text`. Throws KEY_DAMAGED with the reason why it cannot be used. */
export function parseSshPrivateKey(text: string): SshPrivateKey {
  try {
    const armored = ARMORED.exec(text)?.[1];
    const key = armored === undefined ? pemKey(text) : opensshKey(Buffer.from(armored, "base64"));
    return withWire(key);
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    // The cause stays behind: it may quote the key.
    throw unusable("the SSH key is damaged");
  }
}

/** The public key in a line of the form "ssh-ed25519 AAAA… comment", or undefined when it is none. */
export function parseSshPublicKey(line: string): SshPublicKey | undefined {
  const match = /^(ssh-ed25519|ssh-rsa) +([A-Za-z0-9+/]+={0,2})(?: .*)?$/.exec(line.trim());
  if (!match) return undefined;
  const type = match[1] as SshKeyType;
  const wire = Buffer.from(match[2]!, "base64");
  try {
    const reader = new WireReader(wire);
    if (reader.text() !== type) return undefined;
    const parts = type === "ssh-ed25519" ? [reader.string()] : [reader.integer(), reader.integer()];
    const bits = parts.at(-1)!.length * 8;
    const sized = type === "ssh-ed25519" ? bits === 256 : sizeServes(bits);
    return reader.ended && sized ? { type, wire, parts } : undefined;
  } catch {
    return undefined;
  }
}

function sizeServes(bits: number): boolean {
  return bits >= RSA_BITS.min && bits <= RSA_BITS.max;
}

function unusable(why: string): HoldfastError {
  return new HoldfastError("KEY_DAMAGED", why);
}

function locked(): HoldfastError {
  return unusable("the SSH key has a passphrase, which is not asked for here");
}

function pemKey(text: string): KeyObject {
  if (!/-----BEGIN ((RSA |ENCRYPTED )?PRIVATE KEY|OPENSSH PRIVATE KEY)-----/.test(text)) {
    throw unusable("no SSH private key");
  }
  if (/^Proc-Type:.*ENCRYPTED/m.test(text) || text.includes("BEGIN ENCRYPTED")) throw locked();
  return createPrivateKey(text);
}

function opensshKey(bytes: Buffer): KeyObject {
  if (bytes.toString("latin1", 0, MAGIC.length) !== MAGIC) throw new RangeError("no OpenSSH key");
  const outer = new WireReader(bytes.subarray(MAGIC.length));
  const cipher = outer.text();
  outer.string();
  outer.string();
  if (outer.uint32() !== 1) throw unusable("the file holds more than one SSH key");
  outer.string();
  if (cipher !== "none") throw locked();
  const inner = new WireReader(outer.string());
  if (inner.uint32() !== inner.uint32()) throw new RangeError("the check numbers differ");
  const type = inner.text();
  if (type === "ssh-ed25519") {
    const point = inner.string();
    const seedAndPoint = inner.string();
    if (seedAndPoint.length !== 64) throw new RangeError("wrong size of an Ed25519 key");
    const der = Buffer.concat([ED25519_PKCS8, seedAndPoint.subarray(0, 32)]);
    const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
    if (key.export({ format: "jwk" }).x !== point.toString("base64url")) {
      throw new RangeError("the public half belongs to another key");
    }
    return key;
  }
  if (type === "ssh-rsa") return rsaKey(inner);
  throw unusable(`age knows no ${/^[a-z0-9@.-]{1,60}$/.test(type) ? type : "such"} keys`);
}

function rsaKey(reader: WireReader): KeyObject {
  const [n, e, d, qi, p, q] = Array.from({ length: 6 }, () => reader.integer());
  if (!sizeServes(n!.length * 8)) throw unusable("an RSA key of a size that nobody uses");
  const text = (bytes: Buffer | undefined): string => bytes!.toString("base64url");
  const exponent = (prime: Buffer | undefined): string => {
    const rest = BigInt(`0x${d!.toString("hex")}`) % (BigInt(`0x${prime!.toString("hex")}`) - 1n);
    return text(Buffer.from(rest.toString(16).padStart(prime!.length * 2, "0"), "hex"));
  };
  const numbers = { n: text(n), e: text(e), d: text(d), p: text(p), q: text(q), qi: text(qi) };
  return createPrivateKey({
    key: { kty: "RSA", ...numbers, dp: exponent(p), dq: exponent(q) },
    format: "jwk",
  });
}

function withWire(key: KeyObject): SshPrivateKey {
  const { x, e, n } = key.export({ format: "jwk" });
  const name = (type: SshKeyType): Buffer => Buffer.from(type, "latin1");
  const bytes = (text: string): Buffer => Buffer.from(text, "base64url");
  if (key.asymmetricKeyType === "ed25519" && x !== undefined) {
    return { type: "ssh-ed25519", key, wire: wireStrings(name("ssh-ed25519"), bytes(x)) };
  }
  if (key.asymmetricKeyType === "rsa" && e !== undefined && n !== undefined) {
    const numbers = [wireInteger(bytes(e)), wireInteger(bytes(n))];
    return { type: "ssh-rsa", key, wire: wireStrings(name("ssh-rsa"), ...numbers) };
  }
  throw unusable(`age knows no ${key.asymmetricKeyType ?? "such"} keys`);
}
