// What goes to the key service of `sops` and comes back: protobuf messages, of which there are few enough to write them by
// hand. A request names one master key and holds what is to be encrypted or decrypted with it; a reply holds the result.

import { KEY_FIELDS, keyParts } from "../key-names.ts";
import type { KeyKind, WrappedKey } from "../key-source.ts";

/** A master key as a request names it. */
export type ServiceKey = Pick<WrappedKey, "kind" | "id" | "aws">;

/** Where a message of the key's kind stands in the message `Key`; the kinds that we ask for. */
const KEY_NUMBERS: Readonly<Partial<Record<KeyKind, number>>> = {
  kms: 1,
  azure_kv: 4,
  hc_vault: 5,
  age: 6,
  hckms: 7,
};
/** A field of bytes, texts or a message. */
const LENGTH_DELIMITED = 2;
const VARINT_BYTES_MAX = 5;

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes.push((rest & 0x7f) | 0x80);
  return Uint8Array.of(...bytes, rest);
}

function field(number: number, content: Uint8Array | string): Uint8Array {
  const bytes = Buffer.from(content);
  return Buffer.concat([varint((number << 3) | LENGTH_DELIMITED), varint(bytes.length), bytes]);
}

/** Fields that are texts, from number 1; what is empty is left out, as protobuf has it. */
function texts(values: readonly string[]): Uint8Array[] {
  return values.flatMap((value, index) => (value === "" ? [] : [field(index + 1, value)]));
}

/** A request for `bytes`; undefined when there can be no such key. */
export function keyRequest(
  { kind, id, aws }: ServiceKey,
  bytes: Uint8Array,
): Uint8Array | undefined {
  const number = KEY_NUMBERS[kind];
  const parts = keyParts(kind, id);
  if (number === undefined || parts?.length !== KEY_FIELDS[kind].length) return undefined;
  const key = texts(parts);
  if (aws) {
    if (aws.role !== "") key.push(field(2, aws.role));
    for (const pair of aws.context) key.push(field(3, Buffer.concat(texts(pair))));
    if (aws.profile !== "") key.push(field(4, aws.profile));
  }
  return Buffer.concat([field(1, field(number, Buffer.concat(key))), field(2, bytes)]);
}

/** The bytes that a reply holds; undefined when it is not a reply. */
export function keyReply(message: Uint8Array): Uint8Array | undefined {
  // Nothing is what protobuf makes of no bytes.
  if (message.length === 0) return message;
  if (message[0] !== ((1 << 3) | LENGTH_DELIMITED)) return undefined;
  let length = 0;
  for (let at = 1; at <= VARINT_BYTES_MAX && at < message.length; at++) {
    const byte = message[at]!;
    length += (byte & 0x7f) * 2 ** (7 * (at - 1));
    if (byte > 0x7f) continue;
    return at + 1 + length === message.length ? message.subarray(at + 1) : undefined;
  }
  return undefined;
}
