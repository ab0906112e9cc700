// Data keys under age recipients: X25519, the post-quantum hybrid and scrypt are age-encryption's work, SSH keys are ours
// (ssh-stanza.ts), and plugins are run by sops. The library is loaded only when a document names such a recipient.

import { HoldfastError } from "../../base/errors.ts";
import type { KeyAttempt, KeyContext, WrappedKey } from "../key-source.ts";
import { identityPlaces, type IdentityPlace, type Platform } from "./age-places.ts";
import { openWithSops, wrapWithSops } from "./elsewhere.ts";
import { givenPlaces } from "./given.ts";
import { readIdentities, type Identities } from "./identity-text.ts";
import { once } from "./memory.ts";
import { plain, tryPlaces, type Finding, type Place } from "./places.ts";
import { parseSshPublicKey } from "./ssh-key.ts";
import { sshRecipient } from "./ssh-stanza.ts";

type Age = typeof import("age-encryption");

/** An `enc` field is a few hundred bytes, a few thousand with post-quantum keys. */
const ENC_MAX = 65_536;
/** Identities, and lines that are none, that one reason names. */
const SHOWN_MAX = 3;

/** Tries the given age identities, then all of this machine, on `key`. Throws as OpenKey does. */
export async function openAge(
  key: WrappedKey,
  context: KeyContext,
  platform: Platform,
): Promise<KeyAttempt> {
  const age = await import("age-encryption");
  const file = await fileIn(age, key.enc);
  if (file === undefined) return { opened: false, reason: "the wrapped key is no age file" };
  const given = await givenPlaces(context, "age", ({ name, content }) =>
    look(age, file, { name, file: name, read: () => Promise.resolve(content) }, context),
  );
  const own = identityPlaces(key.id, context, platform).map((place): Place => ({
    name: place.name,
    look: () => look(age, file, place, context),
  }));
  const places = [...given, ...own];
  const plugin = pluginOf(key.id);
  if (plugin !== undefined) {
    // It may want to be touched, so it is asked last.
    const ask = (): Promise<Uint8Array | string> => openWithSops(key, context);
    places.push({ name: `age-plugin-${plugin}, by sops`, look: () => Promise.resolve(ask) });
  }
  return tryPlaces(places, context);
}

/** `dataKey` as an armored age file for one recipient. USAGE when that is none, SOPS_NO_KEY when its plugin does not help. */
export async function wrapAge(
  id: string,
  dataKey: Uint8Array,
  context: KeyContext,
): Promise<string> {
  const plugin = pluginOf(id.trim());
  if (plugin !== undefined) return wrapByPlugin(plugin, id.trim(), dataKey, context);
  const age = await import("age-encryption");
  const encrypter = new age.Encrypter();
  const sshKey = parseSshPublicKey(id);
  try {
    encrypter.addRecipient(
      sshKey
        ? sshRecipient(sshKey, context.random, (args, body) => new age.Stanza(args, body))
        : id.trim(),
    );
    return age.armor.encode(await encrypter.encrypt(dataKey));
  } catch {
    // A private key given by mistake must not be repeated.
    const named = /^(age1|ssh-)/.test(id) ? `${plain(id)} is` : "it is";
    throw new HoldfastError("USAGE", `not an age recipient: ${named} none that can be used`, {
      hint: 'give a public key: "age1…", "ssh-ed25519 …" or "ssh-rsa …"',
    });
  }
}

async function wrapByPlugin(
  plugin: string,
  id: string,
  dataKey: Uint8Array,
  context: KeyContext,
): Promise<string> {
  const wrapped = await wrapWithSops({ kind: "age", id }, dataKey, context);
  if ("enc" in wrapped) return wrapped.enc;
  const what = `cannot encrypt to ${plain(id)}: ${wrapped.why}`;
  throw new HoldfastError("SOPS_NO_KEY", what, {
    hint: `install \`sops\` and age-plugin-${plugin}, which it runs`,
  });
}

/** The name of the plugin that a recipient is for, or undefined when it needs none. */
function pluginOf(recipient: string): string | undefined {
  const name = /^age1([a-z0-9+._-]+)1[a-z0-9]+$/.exec(recipient)?.[1];
  // Every recipient has a "1" after "age"; what bech32 encodes has none.
  return name === undefined || name === "pq" ? undefined : name;
}

/** The age file in an `enc` field, or undefined when it has no whole header. */
async function fileIn(age: Age, enc: string): Promise<Uint8Array | undefined> {
  if (enc.length > ENC_MAX) return undefined;
  try {
    const file = age.armor.decode(enc);
    return (await unmatched(age, file, [])) ? file : undefined;
  } catch {
    return undefined;
  }
}

/** What `identities` open `file` to; undefined when none of them matches. Throws when one does and the file is damaged. */
async function decrypt(
  age: Age,
  file: Uint8Array,
  identities: Identities["identities"],
): Promise<Uint8Array | undefined> {
  const decrypter = new age.Decrypter();
  for (const identity of identities) decrypter.addIdentity(identity);
  // Asked last, and only when no other answered: the library tells this and damage by the same kind of error.
  let asked = false;
  decrypter.addIdentity({
    unwrapFileKey: () => {
      asked = true;
      return null;
    },
  });
  try {
    return await decrypter.decrypt(file);
  } catch (error) {
    if (asked) return undefined;
    throw error;
  }
}

async function unmatched(
  age: Age,
  file: Uint8Array,
  identities: Identities["identities"],
): Promise<boolean> {
  return (await decrypt(age, file, identities)) === undefined;
}

async function look(
  age: Age,
  file: Uint8Array,
  place: IdentityPlace,
  context: KeyContext,
): Promise<Finding> {
  const content = await place.read();
  if (typeof content === "string") return content;
  const found = await readIdentities(content, place.file, age.identityToRecipient);
  if (!("locked" in found)) return tryIdentities(age, file, found);
  const ask = context.askPassphrase;
  if (!ask) return "needs a passphrase, and there is nobody to ask";
  return async () => {
    const unlocked = await once(context, `unlock ${place.file}`, () =>
      unlock(age, found.locked, place.file, ask),
    );
    return typeof unlocked === "string" ? unlocked : tryIdentities(age, file, unlocked);
  };
}

async function unlock(
  age: Age,
  locked: Uint8Array,
  file: string,
  ask: (what: string) => Promise<string>,
): Promise<Identities | string> {
  const passphrase = await ask(file);
  let content: Uint8Array;
  try {
    const decrypter = new age.Decrypter();
    decrypter.addPassphrase(passphrase);
    const armored = Buffer.from(locked).toString("latin1").trimStart().startsWith("-----");
    content = await decrypter.decrypt(
      armored ? age.armor.decode(Buffer.from(locked).toString("latin1")) : locked,
    );
  } catch {
    return "wrong passphrase, or a damaged file";
  }
  const found = await readIdentities(content, file, age.identityToRecipient);
  return "locked" in found ? "an encrypted file within an encrypted file" : found;
}

async function tryIdentities(
  age: Age,
  file: Uint8Array,
  { identities, holds, faults }: Identities,
): Promise<Uint8Array | string> {
  let said: string;
  try {
    const dataKey = await decrypt(age, file, identities);
    if (dataKey) return dataKey;
    const shown = [...holds.slice(0, SHOWN_MAX), ...(holds.length > SHOWN_MAX ? ["…"] : [])];
    const count = `${holds.length} ${holds.length === 1 ? "identity" : "identities"}`;
    said = `${count}, none for this recipient (${shown.join(", ")})`;
  } catch {
    said = "has the identity, but the wrapped key is damaged";
  }
  if (identities.length === 0) said = faults.length > 0 ? "" : "no identity in it";
  const more = faults.length - SHOWN_MAX;
  return [said, ...faults.slice(0, SHOWN_MAX), more > 0 ? `${more} more` : ""]
    .filter((part) => part !== "")
    .join("; ");
}
