// Which instance of Odoo a command is about: its repository and the captures beside it, its archive, its database, its
// filestore. Every option has a variable, so that a secret file can name them all.

import { resolve } from "node:path";
import type { Command } from "commander";
import { HoldfastError } from "../base/errors.ts";
import { byteStringToText } from "../restic/byte-string.ts";
import type { Context } from "./command.ts";

export interface InstanceFlags {
  captures?: string;
  filestore?: string;
}

/** Adds the option that says where captures are. */
export function addCapturesOption(command: Command): void {
  command.option(
    "--captures <location>",
    "the capture repository (or HOLDFAST_CAPTURES; default: the repository's name with -captures)",
  );
}

/** Adds the option that names the folder of the files. */
export function addFilestoreOption(command: Command): void {
  command.option(
    "--filestore <directory>",
    "the database's filestore: the folder of ab/ab12… (or HOLDFAST_FILESTORE)",
  );
}

/** Where captures are said to be; undefined for beside the repository. */
export function namedCaptures(
  { environment }: Context,
  { captures }: InstanceFlags,
): string | undefined {
  return captures || environment["HOLDFAST_CAPTURES"] || undefined;
}

/** The filestore's folder as an absolute path, undefined when none is named. */
export function namedFilestore(
  { environment, cwd }: Context,
  { filestore }: InstanceFlags,
): string | undefined {
  const named = filestore || environment["HOLDFAST_FILESTORE"];
  return named ? resolve(byteStringToText(cwd), named) : undefined;
}

/** The filestore's folder. Throws USAGE when none is named. */
export function requireFilestore(context: Context, flags: InstanceFlags): string {
  const named = namedFilestore(context, flags);
  if (named !== undefined) return named;
  throw new HoldfastError("USAGE", "no filestore is named", {
    hint: "Name the folder with --filestore /var/lib/odoo/filestore/DATABASE or HOLDFAST_FILESTORE.",
  });
}
