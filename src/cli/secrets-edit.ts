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
import {
  changedMeanwhile,
  createBeside,
  createIfAbsent,
  replaceFile,
  requireReplaceable,
} from "./replace-file.ts";
import { tellSecrets } from "./secrets-message.ts";
import { prepareEncryption } from "./sops-encrypt.ts";
import type { EncryptFlags } from "./sops-encrypt.ts";
import { openSopsContent, sopsTime, warnOfLeaks } from "./sops-file.ts";
import type { SopsFlags } from "./sops-file.ts";

export type EditFlags = SopsFlags & EncryptFlags;

/** What is being edited. */
interface Subject {
  /** The content of the file; undefined when there is none. */
  readonly before: Uint8Array | undefined;
  /** In plain. */
  readonly text: Uint8Array;
  /** The file was encrypted before. */
  readonly isEncrypted: boolean;
  /** The content to write for an edited text. Throws when it is no such document. */
  readonly encrypt: (text: Uint8Array) => Uint8Array;
}

/** Edits the file at `path`, which need not exist. */
export async function editSecrets(
  context: Context,
  path: string,
  flags: EditFlags,
): Promise<number> {
  // Nobody should type a secret that cannot be saved.
  await requireReplaceable(path);
  const before = await contentOf(path);
  const subject =
    before !== undefined && looksLikeSops(before, path)
      ? await sopsSubject(context, path, before, flags)
      : await plainSubject(context, path, before, flags);
  const changed = await editUntilSaved(context, path, subject);
  const done = subject.isEncrypted ? "saved" : "encrypted";
  const line = changed ? `${path} is ${done}` : `${path} was not changed`;
  tellSecrets(context, line, { action: "edit", file: path, changed });
  return changed ? EXIT.ok : EXIT.unchanged;
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
    const saved = openDocument(encrypted, { name: path, format });
    decryptDocument(saved, dataKey);
    warnOfLeaks(context, saved);
    return encrypted;
  };
  return { before: content, text: decrypted.emit(), isEncrypted: true, encrypt };
}

async function plainSubject(
  context: Context,
  path: string,
  before: Uint8Array | undefined,
  flags: EditFlags,
): Promise<Subject> {
  // Every recipient is tried before the editor opens.
  const encrypt = await prepareEncryption(context, path, flags);
  return {
    before,
    text: before ?? new Uint8Array(),
    isEncrypted: false,
    encrypt,
  };
}

/** False when nothing was changed. A text that cannot be saved goes back to the editor. */
async function editUntilSaved(context: Context, path: string, subject: Subject): Promise<boolean> {
  const { text, isEncrypted, encrypt } = subject;
  const editing = await openEditor(context, path, text);
  try {
    for (;;) {
      const changed = await editing.edit();
      const isSame = Buffer.compare(changed, text) === 0;
      if (isSame && (isEncrypted || text.length === 0)) return false;
      try {
        await save(context, path, subject, encrypt(changed));
        return true;
      } catch (error) {
        await askAgain(context, path, error);
      }
    }
  } finally {
    await editing.close();
  }
}

/** What was saved, but not in the file that was edited: the text is safe, and the editor has nothing more to do. */
class SavedBeside extends HoldfastError {}

async function save(
  { random, secrets }: Context,
  path: string,
  { before }: Subject,
  content: Uint8Array,
): Promise<void> {
  let error = changedMeanwhile(path);
  try {
    const isSaved =
      before === undefined
        ? await createIfAbsent(path, content)
        : await replaceFile(path, content, { random, expected: before });
    if (isSaved) return;
  } catch (failed) {
    // Whoever is there may find a way.
    if (secrets.ask !== undefined || !isHoldfastError(failed)) throw failed;
    error = failed;
  }
  const beside = await createBeside(path, content).catch(() => undefined);
  if (beside === undefined) throw error;
  throw new SavedBeside(error.code, error.message, {
    hint: `What you saved is in ${beside}, encrypted.`,
  });
}

/** Returns when the person wants to go on editing; throws the error when there is nobody, or they give up. */
async function askAgain({ output, secrets }: Context, path: string, error: unknown): Promise<void> {
  const isFinal = error instanceof SavedBeside || !isHoldfastError(error);
  if (secrets.ask === undefined || isFinal) throw error;
  output.warn(error.hint === undefined ? error.message : `${error.message}\nhint: ${error.hint}`);
  try {
    await secrets.ask(`press Enter to edit it again, or Ctrl-C to leave ${path} as it was `);
  } catch (stopped) {
    if (!isHoldfastError(stopped, "CANCELLED")) throw stopped;
    throw new HoldfastError("CANCELLED", `stopped; ${path} is as it was`);
  }
}
