// Data keys under PGP keys: first with exported keys in files, in this process; then gpg, which alone reaches its own
// keyring, its agent and smartcards.

import { HoldfastError } from "../../base/errors.ts";
import type { GivenKey, KeyAttempt, KeyContext, WrappedKey } from "../key-source.ts";
import type { Platform } from "./age-places.ts";
import { givenPlaces } from "./given.ts";
import { gpgDecrypt, gpgEncrypt, gpgProgram } from "./gpg.ts";
import { openWithFile, wrapWithFile, type KeyFile } from "./pgp-file.ts";
import { plain, tryPlaces, type Place } from "./places.ts";

/** Several files in one variable, as in PATH. */
const KEY_FILES = "HOLDFAST_PGP_KEY_FILE";
const ENC_MAX = 262_144;

/** Tries given keys, exported ones in files, then gpg, on `key`. Throws as OpenKey does. */
export async function openPgp(
  key: WrappedKey,
  context: KeyContext,
  platform: Platform,
): Promise<KeyAttempt> {
  if (key.enc.length > ENC_MAX || !key.enc.includes("-----BEGIN PGP MESSAGE-----")) {
    return { opened: false, reason: "the wrapped key is no PGP message" };
  }
  const given = await givenPlaces(context, "pgp", (one) =>
    openWithFile(givenFile(one), key.enc, context),
  );
  const files = keyFiles(context, platform);
  const inFiles = files.map((file): Place => ({
    name: `${KEY_FILES} (${file.name})`,
    look: () => openWithFile(file, key.enc, context),
  }));
  const none: Place = { name: KEY_FILES, look: () => Promise.resolve("not set") };
  const gpg: Place = {
    name: gpgProgram(context.env),
    look: () => gpgDecrypt(key.enc, context),
  };
  return tryPlaces([...given, ...(files.length > 0 ? inFiles : [none]), gpg], context);
}

/** `dataKey` as an armored PGP message for the key with the fingerprint `id`. USAGE, SOPS_NO_KEY. */
export async function wrapPgp(
  id: string,
  dataKey: Uint8Array,
  context: KeyContext,
  platform: Platform,
): Promise<string> {
  const fingerprint = id.replaceAll(" ", "").toUpperCase();
  if (!/^([0-9A-F]{40}|[0-9A-F]{64})$/.test(fingerprint)) {
    throw new HoldfastError("USAGE", `not the fingerprint of a PGP key: ${plain(id)}`, {
      hint: "give all 40 digits that `gpg --list-keys` prints; shorter ones can be forged",
    });
  }
  const given = (await context.given())?.pgp ?? [];
  const reasons: string[] = [];
  for (const file of [...given.map(givenFile), ...keyFiles(context, platform)]) {
    const wrapped = await wrapWithFile(file, fingerprint, dataKey, context);
    if ("message" in wrapped) return wrapped.message;
    reasons.push(`${file.name}: ${wrapped.reason}`);
  }
  const wrapped = await gpgEncrypt(fingerprint, dataKey, context);
  if ("message" in wrapped) return wrapped.message;
  reasons.push(`${gpgProgram(context.env)}: ${wrapped.reason}`);
  throw new HoldfastError(
    "SOPS_NO_KEY",
    `cannot encrypt for the PGP key ${fingerprint}: ${reasons.join("; ")}`,
    { hint: `import its public key into gpg, or name a file with it in ${KEY_FILES}` },
  );
}

function givenFile({ name, content }: GivenKey): KeyFile {
  return { name, read: () => Promise.resolve(content) };
}

function keyFiles({ env, readFile }: KeyContext, platform: Platform): KeyFile[] {
  const paths = (env[KEY_FILES] ?? "").split(platform === "win32" ? ";" : ":");
  return paths
    .filter((path) => path !== "")
    .map((path) => ({ name: path, read: () => readFile(path) }));
}
