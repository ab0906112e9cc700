// What a text with age identities holds: a line each, comments after "#", or one SSH key, or an age file that a passphrase
// opens. A line that is none is told by its number and never quoted.

import type { Identity } from "age-encryption";
import { sha256 } from "../../base/bytes.ts";
import { HoldfastError } from "../../base/errors.ts";
import { decodeTextFile } from "../../base/text-file.ts";
import { parseSshPrivateKey } from "./ssh-key.ts";
import { sshIdentity } from "./ssh-stanza.ts";

export interface Identities {
  readonly identities: readonly (string | Identity)[];
  /** The public half of each, cut short: enough for people to see which one it is. */
  readonly holds: readonly string[];
  /** The lines that are no identity, as "FILE:LINE …". */
  readonly faults: readonly string[];
}

/** An age file around the text, to be opened by a passphrase. */
export interface LockedIdentities {
  readonly locked: Uint8Array;
}

const BINARY = "age-encryption.org/v1\n";
const ARMOR = "-----BEGIN AGE ENCRYPTED FILE-----";

/** The recipient of an identity; throws when a text is none. age-encryption's identityToRecipient. */
export type RecipientOf = (identity: string) => Promise<string>;

const SHOWN = 16;

/** Reads `content`, which is called `file`. Never throws for what is in it. */
export async function readIdentities(
  content: Uint8Array,
  file: string,
  recipientOf: RecipientOf,
): Promise<Identities | LockedIdentities> {
  const text = decodeTextFile(content);
  const start = text.trimStart();
  if (text.startsWith(BINARY)) return { locked: content };
  if (start.startsWith(ARMOR)) return { locked: Buffer.from(text, "latin1") };
  if (start.startsWith("-----BEGIN ")) return readSshKey(text, file);
  const identities: string[] = [];
  const holds: string[] = [];
  const faults: string[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trimStart().startsWith("#")) continue;
    // In a variable, spaces may have taken the place of line ends.
    for (const word of line.split(/\s+/).filter((part) => part !== "")) {
      const read = await readWord(word, recipientOf);
      if ("fault" in read) {
        faults.push(`${file}:${index + 1} ${read.fault}`);
      } else {
        identities.push(word);
        holds.push(`${read.recipient.slice(0, SHOWN)}…`);
      }
    }
  }
  return { identities, holds, faults };
}

function readSshKey(text: string, file: string): Identities {
  try {
    const key = parseSshPrivateKey(text);
    // As `ssh-keygen -l` names it.
    const fingerprint = sha256(key.wire).toString("base64").slice(0, SHOWN);
    const holds = [`${key.type} SHA256:${fingerprint}…`];
    return { identities: [sshIdentity(key)], holds, faults: [] };
  } catch (error) {
    const why = error instanceof HoldfastError ? error.message : "the SSH key is damaged";
    return { identities: [], holds: [], faults: [`${file}: ${why}`] };
  }
}

type Word = { readonly recipient: string } | { readonly fault: string };

async function readWord(word: string, recipientOf: RecipientOf): Promise<Word> {
  const plugin = /^AGE-PLUGIN-([A-Z0-9+._-]{1,40}?)-1[A-Z0-9]+$/.exec(word)?.[1];
  if (plugin !== undefined) {
    const name = `age-plugin-${plugin.toLowerCase()}`;
    return { fault: `is for ${name}, which opens recipients of its own, by \`sops\`` };
  }
  if (/^age1[a-z0-9]+$/.test(word)) return { fault: "is a recipient, which cannot open anything" };
  if (!/^AGE-SECRET-KEY-(PQ-)?1[A-Z0-9]+$/.test(word)) return { fault: "is no age identity" };
  try {
    return { recipient: await recipientOf(word) };
  } catch {
    // What the library says quotes the key.
    return { fault: "is a damaged age identity" };
  }
}
