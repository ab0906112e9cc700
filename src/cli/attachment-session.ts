// From what a person typed to attachments in a catalogue: the options of `attachment`, the catalogue in the newest capture, and
// the query.

import type { Command } from "commander";
import { textToByteString } from "../restic/byte-string.ts";
import { HoldfastError } from "../base/errors.ts";
import { compileName } from "../files/name-pattern.ts";
import { openCatalogue, type OpenedCatalogue } from "../odoo/catalogue-source.ts";
import type { AttachmentQuery } from "../odoo/catalogue-search.ts";
import { isSha1 } from "../odoo/store-name.ts";
import type { Repository } from "../repository/repository.ts";
import type { Context } from "./command.ts";
import { addCapturesOption, type InstanceFlags } from "./instance-options.ts";
import { readMoment } from "./recovery-target-option.ts";

export interface AttachmentFlags extends InstanceFlags {
  database?: string;
  model?: string;
  id?: string;
  field?: string;
  name?: string;
  ignoreCase?: boolean;
  at?: string;
}

/** Adds the options that say where to look. */
export function addCatalogueOptions(command: Command): void {
  command.option("--database <name>", "Odoo's database (default: the only one that was captured)");
  addCapturesOption(command);
}

/** Adds the options that say what to look for. */
export function addQueryOptions(command: Command): void {
  command
    .option("--model <model>", "of this model: res.partner")
    .option("--id <number>", "of this record, by its number, with --model")
    .option("--field <name>", "of this field: image_1920")
    .option("--name <pattern>", "whose name matches: '*.pdf'")
    .option("-i, --ignore-case", "take small and capital letters in names for the same");
}

/** Opens the catalogue of the named database. Throws ATTACHMENT_NOT_FOUND, USAGE. */
export async function openNamedCatalogue(
  { output }: Context,
  flags: AttachmentFlags,
  { captures, signal }: { captures: Repository | undefined; signal: AbortSignal },
): Promise<OpenedCatalogue> {
  if (captures === undefined) {
    throw new HoldfastError("ATTACHMENT_NOT_FOUND", "there are no captures beside the repository", {
      hint: "`holdfast capture` keeps a catalogue of attachments there; --captures names another place.",
    });
  }
  return await openCatalogue({
    captures,
    database: flags.database,
    onDamage: (what, error) => output.warn(`${what}: ${error.message}; going on without it`),
    signal,
  });
}

/** What is looked for. `names`: numbers of attachments, or SHA-1s. Throws USAGE. */
export function attachmentQuery(
  names: readonly string[],
  flags: AttachmentFlags,
): AttachmentQuery & { readonly isEmpty: boolean } {
  const { model, field, at, ignoreCase } = flags;
  const sha1s = names.filter(isSha1);
  const ids = names.filter((name) => !isSha1(name)).map(attachmentId);
  if (sha1s.length > 1 || (sha1s.length > 0 && ids.length > 0)) {
    throw new HoldfastError("USAGE", "one SHA-1 at a time", {
      hint: "Name attachments by their numbers, or one content by its SHA-1.",
    });
  }
  if (flags.id !== undefined && model === undefined) {
    throw new HoldfastError("USAGE", "--id is the number of a record, of which model is not said", {
      hint: "Add --model, or name the attachment itself: `holdfast attachment versions 1234`.",
    });
  }
  const recordId = flags.id === undefined ? undefined : numberOf(flags.id, "--id");
  const name = flags.name === undefined ? undefined : nameMatcher(flags.name, ignoreCase === true);
  const isEmpty =
    names.length === 0 && [model, recordId, field, name].every((each) => each === undefined);
  return {
    ids: ids.length > 0 ? new Set(ids) : undefined,
    sha1: sha1s[0],
    model,
    recordId,
    field,
    name,
    at: at === undefined ? undefined : Math.floor(readMoment(at, "--at") / 1000),
    isEmpty,
  };
}

function attachmentId(name: string): number {
  if (/^[1-9]\d{0,9}$/.test(name)) return Number(name);
  throw new HoldfastError("USAGE", `${JSON.stringify(name)} is no attachment`, {
    hint: "Name it by its number in ir_attachment, or its content by the 40 digits of its SHA-1.",
  });
}

function numberOf(text: string, option: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new HoldfastError("USAGE", `${option}: ${JSON.stringify(text)} is not a number`, {
    hint: "Records have numbers: 42.",
  });
}

function nameMatcher(pattern: string, ignoresCase: boolean): (name: string) => boolean {
  const folded = (text: string): string => (ignoresCase ? text.toLowerCase() : text);
  // "/" divides paths, and is a character like others in the name of an attachment.
  const plain = (text: string): string => textToByteString(folded(text).replaceAll("/", "\u2044"));
  try {
    const compiled = compileName(plain(pattern));
    return (name) => compiled(plain(name));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new HoldfastError("USAGE", `--name: ${error.message}`, {
      hint: "Patterns have *, ? and [a-z]: '*.pdf'.",
    });
  }
}
