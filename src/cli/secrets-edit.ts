// `secrets edit`: a SOPS file, or a plain one that is to become one, in the editor of whoever sits here. In plain it exists in
// memory alone.

import { readFile } from "node:fs/promises";
import { errnoOf, HoldfastError, isHoldfastError, messageOf } from "../base/errors.ts";
import { decryptDocument } from "../sops/decrypt.ts";
import { looksLikeSops, openDocument } from "../sops/document.ts";
import { encryptDocument } from "../sops/encrypt.ts";
import type { Context } from "./command.ts";
import { openEditor } from "./editor.ts";
import { EXIT } from "./exit-status.ts";
import { createFile, replaceFile } from "./replace-file.ts";
import { encryptContent, requireRule } from "./sops-encrypt.ts";
import type { EncryptFlags } from "./sops-encrypt.ts";
import { openSopsContent, sopsTime } from "./sops-file.ts";
import type { SopsFlags } from "./sops-file.ts";

export type EditFlags = SopsFlags & EncryptFlags;

/** What is being edited. */
interface Subject {
  /** In plain. */
  readonly text: Uint8Array;
  /** The file was encrypted before. */
  readonly isEncrypted: boolean;
  /** The content to write for an edited text. Throws when it is no such document. */
  readonly encrypt: (text: Uint8Array) => Promise<Uint8Array>;
}

/** Edits the file at `path`, which need not exist. */
export async function editSecrets(
  context: Context,
  path: string,
  flags: EditFlags,
): Promise<number> {
  const before = await contentOf(path);
  const subject =
    before !== undefined && looksLikeSops(before)
      ? await sopsSubject(context, path, before, flags)
      : await plainSubject(context, path, before ?? new Uint8Array(), flags);
  const content = await edited(context, path, subject);
  if (content === undefined) {
    context.output.print(`${path} was not changed`);
    return EXIT.unchanged;
  }
  if (before === undefined) await createFile(path, content);
  else await replaceEdited(context, path, before, content);
  context.output.print(subject.isEncrypted ? `${path} is saved` : `${path} is encrypted`);
  return EXIT.ok;
}

async function contentOf(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw new HoldfastError("USAGE", `${path} cannot be read: ${messageOf(error)}`);
  }
}

/** Opens it, and encrypts what comes back for the same recipients under the same data key: what was not changed stays as it is. */
async function sopsSubject(
  context: Context,
  path: string,
  content: Uint8Array,
  flags: EditFlags,
): Promise<Subject> {
  const { document, decrypted, dataKey } = await openSopsContent(context, path, content, flags);
  const { format, metadata } = document;
  const encrypt = (text: Uint8Array): Uint8Array => {
    const encrypted = encryptDocument(text, {
      ...metadata,
      name: path,
      format,
      dataKey,
      lastModified: sopsTime(context),
      random: context.random,
      // What is known of IVs is used up by an attempt, so it is found out anew.
      before: { document, ivs: decryptDocument(document, dataKey, flags).ivs },
    });
    decryptDocument(openDocument(encrypted, { name: path, format }), dataKey);
    return encrypted;
  };
  return {
    text: decrypted.emit(),
    isEncrypted: true,
    encrypt: (text) => Promise.resolve(text).then(encrypt),
  };
}

async function plainSubject(
  context: Context,
  path: string,
  text: Uint8Array,
  flags: EditFlags,
): Promise<Subject> {
  // Nobody should type a secret that cannot be saved.
  await requireRule(context, path, flags);
  return {
    text,
    isEncrypted: false,
    encrypt: (changed) => encryptContent(context, path, changed, flags),
  };
}

/** The content to write, or undefined when nothing was changed. A text that cannot be saved goes back to the editor. */
async function edited(
  context: Context,
  path: string,
  { text, isEncrypted, encrypt }: Subject,
): Promise<Uint8Array | undefined> {
  const editing = await openEditor(context, path, text);
  try {
    for (;;) {
      const changed = await editing.edit();
      const isSame = Buffer.compare(changed, text) === 0;
      if (isSame && (isEncrypted || text.length === 0)) return undefined;
      try {
        return await encrypt(changed);
      } catch (error) {
        await askAgain(context, error);
      }
    }
  } finally {
    await editing.close();
  }
}

/** Returns when the person wants to go on editing; throws the error when there is nobody, or they give up. */
async function askAgain({ output, secrets }: Context, error: unknown): Promise<void> {
  if (secrets.ask === undefined || !isHoldfastError(error, "SOPS_INVALID", "SOPS_ENCRYPTED")) {
    throw error;
  }
  output.warn(error.message);
  await secrets.ask("press Enter to edit it again, or Ctrl-C to leave the file as it was ");
}

async function replaceEdited(
  { random }: Context,
  path: string,
  before: Uint8Array,
  content: Uint8Array,
): Promise<void> {
  const now = await contentOf(path);
  if (now !== undefined && Buffer.compare(now, before) === 0) {
    await replaceFile(path, content, random);
    return;
  }
  const aside = `${path}.edited`;
  await createFile(aside, content);
  throw new HoldfastError("USAGE", `${path} was changed by somebody else meanwhile`, {
    hint: `It is as they left it; what you saved is in ${aside}, encrypted.`,
  });
}
