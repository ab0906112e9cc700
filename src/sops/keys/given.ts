// The keys of the decryption Secret that was given, as the places to look at first.

import type { GivenKey, GivenKeys, KeyContext } from "../key-source.ts";
import type { Finding, Place } from "./places.ts";

type Kind = keyof Omit<GivenKeys, "place">;

const ENTRIES: Readonly<Record<Kind, string>> = {
  age: "*.agekey",
  pgp: "*.asc",
  gcpKms: "sops.gcp-kms",
};

/** A place for each given key of a kind; one that says so when there is none of it. Throws what is wrong with the Secret. */
export async function givenPlaces(
  context: KeyContext,
  kind: Kind,
  look: (key: GivenKey) => Promise<Finding>,
): Promise<Place[]> {
  const given = await context.given();
  if (given === undefined) return [];
  const places = given[kind].map((key): Place => ({ name: key.name, look: () => look(key) }));
  const none = (): Promise<string> => Promise.resolve(`no ${ENTRIES[kind]} in it`);
  return places.length > 0 ? places : [{ name: given.place, look: none }];
}
