// The keys in a decryption Secret as Flux takes it, told apart by the names of its entries.

import type { GivenKey, GivenKeys } from "./key-source.ts";

/** What an entry of a Secret may be called. */
export const ENTRY_NAME: RegExp = /^[-._a-zA-Z0-9]+$/;

const ENTRIES: Readonly<Record<keyof Omit<GivenKeys, "place">, RegExp>> = {
  age: /\.agekey$/,
  pgp: /\.asc$/,
  gcpKms: /^sops\.gcp-kms$/,
};

export interface SecretEntry extends GivenKey {
  /** Its name in the Secret. */
  readonly entry: string;
}

/** Whether an entry of this name holds a key that is used here. */
export function isKeyEntry(entry: string): boolean {
  return Object.values(ENTRIES).some((pattern) => pattern.test(entry));
}

/** The keys among `entries`, which are those of `place`. */
export function givenKeys(place: string, entries: readonly SecretEntry[]): GivenKeys {
  const named = (pattern: RegExp): SecretEntry[] =>
    entries.filter(({ entry }) => pattern.test(entry));
  return {
    place,
    age: named(ENTRIES.age),
    pgp: named(ENTRIES.pgp),
    gcpKms: named(ENTRIES.gcpKms),
  };
}
