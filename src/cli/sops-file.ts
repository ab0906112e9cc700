// A SOPS file on this machine: read, opened with whatever key is here, checked. What it holds stays in memory.

import { readFile, stat } from "node:fs/promises";
import { errnoOf, HoldfastError, isHoldfastError, messageOf } from "../base/errors.ts";
import { retrieveDataKey } from "../sops/data-key.ts";
import type { RetrievedKey } from "../sops/data-key.ts";
import { decryptDocument } from "../sops/decrypt.ts";
import type { Decrypted } from "../sops/decrypt.ts";
import { openDocument } from "../sops/document.ts";
import type { SopsDocument } from "../sops/document.ts";
import { findLeaks } from "../sops/leaks.ts";
import { openKey } from "../sops/keys.ts";
import type { Context } from "./command.ts";
import { keyContext } from "./key-context.ts";

export interface SopsFlags {
  /** Open it although its MAC is wrong or missing. */
  readonly ignoreMac?: boolean;
  /** Ask no service. */
  readonly offline?: boolean;
}

export interface OpenedFile extends RetrievedKey {
  readonly document: SopsDocument;
  readonly decrypted: Decrypted;
}

/** Pipes that a shell has opened: `<(…)`. */
const OPEN_ALREADY = /^\/(?:dev|proc\/(?:self|\d+))\/(?:fd\/|stdin$)/;

/** The content of a file. USAGE when it cannot be read. */
export async function readNamedFile(path: string): Promise<Uint8Array> {
  try {
    const stats = await stat(path);
    if (stats.isDirectory()) throw new HoldfastError("USAGE", `${path} is a directory`);
    // Reading one waits for a writer, and nothing can end that.
    if (stats.isFIFO() && !OPEN_ALREADY.test(path)) {
      throw new HoldfastError("USAGE", `${path} is a named pipe, not a file`);
    }
    return await readFile(path);
  } catch (error) {
    if (isHoldfastError(error)) throw error;
    const why =
      errnoOf(error) === "ENOENT" ? "does not exist" : `cannot be read: ${messageOf(error)}`;
    throw new HoldfastError("USAGE", `${path} ${why}`);
  }
}

/** Opens the document in `content`, which is that of the file `name`. SOPS_* errors name what is wrong, never a value. */
export async function openSopsContent(
  context: Context,
  name: string,
  content: Uint8Array,
  { ignoreMac = false, offline = false }: SopsFlags = {},
): Promise<OpenedFile> {
  const document = openDocument(content, { name });
  const retrieved = await retrieveDataKey(document, openKey, keyContext(context, offline));
  const decrypted = decryptDocument(document, retrieved.dataKey, { ignoreMac });
  if (decrypted.mac !== "right") {
    context.output.warn(
      `warning: ${name}: its MAC is ${decrypted.mac}: nothing proves that it is whole`,
    );
  }
  return { ...retrieved, document, decrypted };
}

/** Warns of values of a Secret that the rules leave readable: a rule that fits nothing encrypts nothing, and says nothing. */
export function warnOfLeaks({ output }: Context, document: SopsDocument): void {
  const [first, ...more] = findLeaks(document);
  if (first === undefined) return;
  const rest = more.length === 0 ? "" : ` and ${more.length} more`;
  output.warn(`warning: ${document.name}: not encrypted: ${first}${rest}`);
}

/** This moment as the metadata of SOPS tells it: RFC 3339 to the second, in UTC. */
export function sopsTime({ clock }: Context): string {
  return new Date(clock.now()).toISOString().replace(/\.\d+/, "");
}

/** Opens a SOPS file. */
export async function openSopsFile(
  context: Context,
  path: string,
  flags: SopsFlags = {},
): Promise<OpenedFile> {
  return await openSopsContent(context, path, await readNamedFile(path), flags);
}
