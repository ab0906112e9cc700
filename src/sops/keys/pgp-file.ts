// Exported PGP keys (`gpg --export-secret-keys`, `gpg --export`, the *.asc that Flux is given) through openpgp, without gpg.
// The library is loaded only when such a file is named. It reads no GnuPG keyring: that is gpg's own.

import type { DecryptOptions, EncryptOptions, Key, Message, PrivateKey } from "openpgp";
import type { KeyContext } from "../key-source.ts";
import { once } from "./memory.ts";
import { whyNot, type Finding } from "./places.ts";

type OpenPgp = typeof import("openpgp");

// The library's own types of these two need those of a package that it does not bring.
type Encrypt = (options: EncryptOptions & { message: Message<Uint8Array> }) => Promise<string>;
type Decrypt = (options: DecryptOptions) => Promise<{ data: Uint8Array }>;

/** A wrapped data key is 33 bytes; a message that grows beyond this was not made by SOPS. */
const MESSAGE_MAX = 65_536;
const ARMORED =
  /-----BEGIN PGP (?:PUBLIC|PRIVATE) KEY BLOCK-----[^]*?-----END PGP (?:PUBLIC|PRIVATE) KEY BLOCK-----/g;

/** Where exported keys are. */
export interface KeyFile {
  /** For people, and unlike that of any other file. */
  readonly name: string;
  /** Undefined when it does not exist. */
  readonly read: () => Promise<Uint8Array | undefined>;
}

/** The data key in the armored message `enc`, or why the keys in the file do not open it. */
export async function openWithFile(
  file: KeyFile,
  enc: string,
  context: KeyContext,
): Promise<Finding> {
  const pgp = await import("openpgp");
  const keys = await keysIn(pgp, file, context);
  if (typeof keys === "string") return keys;
  let message: Message<string>;
  try {
    message = await pgp.readMessage({ armoredMessage: enc });
  } catch {
    return "the wrapped key is a damaged PGP message";
  }
  const ids = message.getEncryptionKeyIDs();
  const meant = keys.filter((key) =>
    key.getKeyIDs().some((own) => ids.some((id) => id.equals(own, true))),
  );
  if (meant.length === 0) return `${count(keys)}, none that the message is for`;
  const secret = meant.filter((key): key is PrivateKey => key.isPrivate());
  if (secret.length === 0) return "has the public key only";
  const packets = secret.flatMap((key) =>
    key
      .getKeys()
      .filter((part) => ids.some((id) => id.equals(part.getKeyID(), true)))
      .map((part) => part.keyPacket),
  );
  if (packets.every((packet) => "isDummy" in packet && packet.isDummy())) {
    return "holds a stub: the secret part is on a smartcard or elsewhere";
  }
  const open = secret.filter((key) => isUsable(key, ids));
  if (open.length > 0) return decrypt(pgp, message, open);
  const ask = context.askPassphrase;
  if (!ask) return "the key has a passphrase, and there is nobody to ask";
  return async () => {
    const passphrase = await once(context, `passphrase ${file.name}`, () => ask(file.name));
    const unlocked = await unlock(pgp, secret, passphrase);
    return unlocked.length > 0 ? decrypt(pgp, message, unlocked) : "wrong passphrase";
  };
}

/** `dataKey` encrypted with the key of this fingerprint in the file, or why not. */
export async function wrapWithFile(
  file: KeyFile,
  fingerprint: string,
  dataKey: Uint8Array,
  context: KeyContext,
): Promise<{ message: string } | { reason: string }> {
  try {
    const pgp = await import("openpgp");
    const keys = await keysIn(pgp, file, context);
    if (typeof keys === "string") return { reason: keys };
    const wanted = fingerprint.toLowerCase();
    const key = keys.find((one) => one.getKeys().some((part) => part.getFingerprint() === wanted));
    if (!key) return { reason: `${count(keys)}, none with this fingerprint` };
    const problem = await key.getEncryptionKey().then(
      () => undefined,
      () => "the key is expired, revoked, or not for encryption",
    );
    if (problem !== undefined) return { reason: problem };
    const message = await (pgp.encrypt as unknown as Encrypt)({
      message: await pgp.createMessage({ binary: dataKey }),
      encryptionKeys: key.toPublic(),
    });
    return { message };
  } catch (error) {
    return { reason: whyNot(error) };
  }
}

function count(keys: readonly Key[]): string {
  return `${keys.length} PGP ${keys.length === 1 ? "key" : "keys"}`;
}

function isUsable(
  key: PrivateKey,
  ids: ReturnType<Message<string>["getEncryptionKeyIDs"]>,
): boolean {
  return key
    .getKeys()
    .some((part) => ids.some((id) => id.equals(part.getKeyID(), true)) && part.isDecrypted());
}

/** The keys in a file, or why there are none. */
function keysIn(pgp: OpenPgp, file: KeyFile, context: KeyContext): Promise<Key[] | string> {
  return once(context, `pgp ${file.name}`, async () => {
    const content = await file.read();
    if (!content) return "missing";
    try {
      const text = Buffer.from(content).toString("latin1");
      const blocks = text.match(ARMORED);
      if (!blocks) return await pgp.readKeys({ binaryKeys: content });
      // The library reads the first of several blocks only.
      const read = blocks.map((armoredKeys) => pgp.readKeys({ armoredKeys }));
      return (await Promise.all(read)).flat();
    } catch {
      // What the library says may quote the file.
      return "no PGP key in it, or a damaged one";
    }
  });
}

async function unlock(
  pgp: OpenPgp,
  keys: readonly PrivateKey[],
  passphrase: string,
): Promise<PrivateKey[]> {
  const unlocked: PrivateKey[] = [];
  for (const privateKey of keys) {
    try {
      unlocked.push(await pgp.decryptKey({ privateKey, passphrase }));
    } catch {
      // Another key of the file may have this passphrase.
    }
  }
  return unlocked;
}

async function decrypt(
  pgp: OpenPgp,
  message: Message<string>,
  decryptionKeys: PrivateKey[],
): Promise<Uint8Array | string> {
  try {
    const { data } = await (pgp.decrypt as unknown as Decrypt)({
      message,
      decryptionKeys,
      format: "binary",
      config: { maxDecompressedMessageSize: MESSAGE_MAX },
    });
    return data;
  } catch {
    return "has the key, but the wrapped key is damaged";
  }
}
