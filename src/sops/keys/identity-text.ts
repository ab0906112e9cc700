// What a text with age identities holds: a line each, comments after "#", or one SSH key, or an age file that a passphrase
// opens. A line that is none is told by its number and never quoted.

import type { Identity } from "age-encryption";
import { HoldfastError } from "../../base/errors.ts";
import { decodeTextFile } from "../../base/text-file.ts";
import { parseSshPrivateKey } from "./ssh-key.ts";
import { sshIdentity } from "./ssh-stanza.ts";

export interface Identities {
  readonly identities: readonly (string | Identity)[];
  /** The lines that are no identity, as "FILE:LINE …". */
  readonly faults: readonly string[];
}

/** An age file around the text, to be opened by a passphrase. */
export interface LockedIdentities {
  readonly locked: Uint8Array;
}

const BINARY = "age-encryption.org/v1\n";
const ARMOR = "-----BEGIN AGE ENCRYPTED FILE-----";

/** Throws when a text is no identity that it knows; age-encryption's identityToRecipient. */
export type CheckIdentity = (identity: string) => Promise<unknown>;

/** Reads `content`, which is called `file`. Never throws for what is in it. */
export async function readIdentities(
  content: Uint8Array,
  file: string,
  check: CheckIdentity,
): Promise<Identities | LockedIdentities> {
  const text = decodeTextFile(content);
  const start = text.trimStart();
  if (text.startsWith(BINARY)) return { locked: content };
  if (start.startsWith(ARMOR)) return { locked: Buffer.from(text, "latin1") };
  if (start.startsWith("-----BEGIN ")) return readSshKey(text, file);
  const identities: string[] = [];
  const faults: string[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trimStart().startsWith("#")) continue;
    // In a variable, spaces may have taken the place of line ends.
    for (const word of line.split(/\s+/).filter((part) => part !== "")) {
      const fault = await faultOf(word, check);
      if (fault === undefined) identities.push(word);
      else faults.push(`${file}:${index + 1} ${fault}`);
    }
  }
  return { identities, faults };
}

function readSshKey(text: string, file: string): Identities {
  try {
    return { identities: [sshIdentity(parseSshPrivateKey(text))], faults: [] };
  } catch (error) {
    const why = error instanceof HoldfastError ? error.message : "the SSH key is damaged";
    return { identities: [], faults: [`${file}: ${why}`] };
  }
}

async function faultOf(word: string, check: CheckIdentity): Promise<string | undefined> {
  const plugin = /^AGE-PLUGIN-([A-Z0-9+._-]{1,40}?)-1[A-Z0-9]+$/.exec(word)?.[1];
  if (plugin !== undefined) {
    return `is for age-plugin-${plugin.toLowerCase()}, which \`sops\` runs and Holdfast does not`;
  }
  if (/^age1[a-z0-9]+$/.test(word)) return "is a recipient, which cannot open anything";
  if (!/^AGE-SECRET-KEY-(PQ-)?1[A-Z0-9]+$/.test(word)) return "is no age identity";
  try {
    await check(word);
    return undefined;
  } catch {
    // What the library says quotes the key.
    return "is a damaged age identity";
  }
}
