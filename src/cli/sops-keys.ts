// The keys of HOLDFAST_SOPS_KEYS and --sops-keys: a decryption Secret as Flux takes it, as its manifest, plain or encrypted by
// SOPS for another key of this machine, or as the folder that a pod mounts it at.

import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, HoldfastError, isHoldfastError, messageOf } from "../base/errors.ts";
import { retrieveDataKey } from "../sops/data-key.ts";
import { decryptDocument } from "../sops/decrypt.ts";
import { looksLikeSops, openDocument, parseTrees, placeOf } from "../sops/document.ts";
import { ENTRY_NAME, givenKeys, isKeyEntry } from "../sops/given-keys.ts";
import type { SecretEntry } from "../sops/given-keys.ts";
import type { GivenKeys, KeyContext } from "../sops/key-source.ts";
import { openKey } from "../sops/keys.ts";
import { secretEntries } from "../sops/manifest.ts";
import type { Choice } from "./environment.ts";

/**
 * The keys at the place that was chosen; `notice` is told of what Flux would use and Holdfast does not. USAGE for what is no
 * such place, with the line where there is one; SOPS_NO_KEY for an encrypted manifest that no key here opens.
 */
export async function readSopsKeys(
  { value: place, source }: Choice,
  keys: KeyContext,
  notice: (text: string) => void,
): Promise<GivenKeys> {
  try {
    const isFolder = (await stat(place)).isDirectory();
    const entries = isFolder ? await folderEntries(place) : await manifestEntries(place, keys);
    tellUnused(place, entries, notice);
    return givenKeys(place, entries);
  } catch (error) {
    if (isHoldfastError(error, "CANCELLED")) throw error;
    const hint = isHoldfastError(error) ? error.hint : undefined;
    throw new HoldfastError(
      isHoldfastError(error, "SOPS_NO_KEY") ? "SOPS_NO_KEY" : "USAGE",
      `${source}: ${isHoldfastError(error) ? error.message : `${place} ${whyUnread(error)}`}`,
      { cause: error, ...(hint !== undefined && { hint }) },
    );
  }
}

function whyUnread(error: unknown): string {
  return errnoOf(error) === "ENOENT" ? "does not exist" : `cannot be read: ${messageOf(error)}`;
}

/** The files of a mounted Secret. Names with two dots first are the kubelet's own; the others are links into them. */
async function folderEntries(folder: string): Promise<SecretEntry[]> {
  const entries: SecretEntry[] = [];
  for (const entry of (await readdir(folder)).toSorted()) {
    if (entry.startsWith("..") || !ENTRY_NAME.test(entry)) continue;
    const name = join(folder, entry);
    // What holds no key is none of our business, whatever it is.
    const content = isKeyEntry(entry) ? await readFile(name) : new Uint8Array();
    entries.push({ entry, name, content });
  }
  return entries;
}

async function manifestEntries(file: string, keys: KeyContext): Promise<SecretEntry[]> {
  const content = await readFile(file);
  // A pipe has no name that tells the format; JSON is YAML, too.
  const format = file.endsWith(".json") ? "json" : "yaml";
  let place = placeOf(content, file);
  let roots;
  if (looksLikeSops(content, file, format)) {
    const document = openDocument(content, { name: file, format });
    // The keys in it are not there to open it.
    const others = { ...keys, given: () => Promise.resolve(undefined) };
    const { dataKey } = await retrieveDataKey(document, openKey, others);
    ({ roots } = decryptDocument(document, dataKey));
    place = document;
  } else {
    roots = parseTrees(place, format);
  }
  return [...secretEntries(place, roots, ENTRY_NAME)].map(([entry, bytes]) => ({
    entry,
    name: `${file}: ${entry}`,
    content: bytes,
  }));
}

function tellUnused(
  place: string,
  entries: readonly SecretEntry[],
  notice: (text: string) => void,
): void {
  const unused = entries.map(({ entry }) => entry).filter((entry) => !isKeyEntry(entry));
  if (unused.length > 0) notice(`${place}: not used: ${unused.join(", ")}`);
  if (unused.length < entries.length || unused.some((entry) => entry.startsWith("sops."))) return;
  throw new HoldfastError("USAGE", `${place} has no key in it`, {
    hint: "Flux's decryption Secrets have entries named *.agekey, *.asc or sops.gcp-kms.",
  });
}
