// One encrypted value of a SOPS document: its text form, and AES-256-GCM around it. Implements
// docs/formats/sops.md#values. Must never put a plaintext into an error, nor open what the tag does not prove.

import { createCipheriv, createDecipheriv, createSecretKey } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { canonical, VALUE_TYPES, type Value, type ValueType } from "./value.ts";

const TAG_BYTES = 16;
/** Bytes of the initialisation vectors that SOPS makes; reading takes the length from the file. */
export const IV_BYTES = 32;
export const DATA_KEY_BYTES = 32;

export interface EncryptedValue {
  readonly type: ValueType;
  readonly data: Uint8Array;
  readonly iv: Uint8Array;
  readonly tag: Uint8Array;
}

const PREFIX = "ENC[AES256_GCM,data:";

/** True when `text` claims to be an encrypted value. */
export function looksEncrypted(text: string): boolean {
  return text.startsWith(PREFIX);
}

/** Takes the text form apart; undefined when it is none. No pattern over the whole, so that long values cost no more. */
export function parseEncrypted(text: string): EncryptedValue | undefined {
  if (!looksEncrypted(text) || !text.endsWith("]")) return undefined;
  const parts = text.slice(PREFIX.length, -1).split(",");
  const [data, iv, tag, type] = parts;
  if (parts.length !== 4 || !iv?.startsWith("iv:") || !tag?.startsWith("tag:")) return undefined;
  if (!type?.startsWith("type:")) return undefined;
  const known = VALUE_TYPES.find((name) => name === type.slice(5));
  const fields = [data!, iv.slice(3), tag.slice(4)];
  const decoded = fields.map((field) => Buffer.from(field, "base64"));
  // Node skips what is no base64; a pattern over megabytes would exhaust the stack.
  const isExact = decoded.every((bytes, at) => bytes.toString("base64") === fields[at]);
  if (known === undefined || !isExact) return undefined;
  const [dataBytes, ivBytes, tagBytes] = decoded;
  if (ivBytes!.length === 0 || tagBytes!.length !== TAG_BYTES) return undefined;
  return { type: known, data: dataBytes!, iv: ivBytes!, tag: tagBytes! };
}

/** The text form of an encrypted value. */
export function formatEncrypted({ type, data, iv, tag }: EncryptedValue): string {
  const [dataText, ivText, tagText] = [data, iv, tag].map((bytes) =>
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64"),
  );
  return `${PREFIX}${dataText},iv:${ivText},tag:${tagText},type:${type}]`;
}

/** Node makes a cipher from a key object in a quarter of the time that the bytes take. */
const keyObjects = new WeakMap<Uint8Array, KeyObject>();

function keyObject(dataKey: Uint8Array): KeyObject {
  const known = keyObjects.get(dataKey);
  if (known) return known;
  const made = createSecretKey(dataKey);
  keyObjects.set(dataKey, made);
  return made;
}

/** The bytes that were encrypted; undefined when they do not open. */
export function openBytes(
  encrypted: EncryptedValue,
  dataKey: Uint8Array,
  additional: string,
): Uint8Array | undefined {
  try {
    const cipher = createDecipheriv("aes-256-gcm", keyObject(dataKey), encrypted.iv, {
      authTagLength: TAG_BYTES,
    });
    cipher.setAAD(Buffer.from(additional, "utf8"));
    cipher.setAuthTag(encrypted.tag);
    return Buffer.concat([cipher.update(encrypted.data), cipher.final()]);
  } catch {
    return undefined;
  }
}

/** Opens a value; undefined when it does not open, or is not what its type says. */
export function openValue(
  encrypted: EncryptedValue,
  dataKey: Uint8Array,
  additional: string,
): Value | undefined {
  const bytes = openBytes(encrypted, dataKey, additional);
  return bytes && canonical(encrypted.type, bytes);
}

/** Encrypts a value. `iv` must be new for every pair of value and `additional` under one data key. */
export function sealValue(
  value: Value,
  dataKey: Uint8Array,
  additional: string,
  iv: Uint8Array,
): string {
  const cipher = createCipheriv("aes-256-gcm", keyObject(dataKey), iv, {
    authTagLength: TAG_BYTES,
  });
  cipher.setAAD(Buffer.from(additional, "utf8"));
  const data = Buffer.concat([cipher.update(value.bytes), cipher.final()]);
  return formatEncrypted({ type: value.type, data, iv, tag: cipher.getAuthTag() });
}
