// `--from-secret FILE`: the variables of a Secret manifest or of a file of variables, encrypted by SOPS or plain, over those
// of the process. They are in memory alone, and no child sees them but those that are given the environment on purpose.

import { HoldfastError } from "../base/errors.ts";
import { formatOf, parseTrees, placeOf } from "../sops/document.ts";
import { environmentOf } from "../sops/manifest.ts";
import type { Context } from "./command.ts";
import type { Environment } from "./environment.ts";
import { openSopsContent, readNamedFile } from "./sops-file.ts";

/** How a SOPS document is told from a plain file before either is parsed. */
const ENCRYPTED = /^sops:|^\s*"sops"\s*:|^sops_mac=/m;

/**
 * Names that decide what programs run, and how, or lift a protection: no secrets, and whoever may write the file may not run
 * code here.
 */
const OF_THE_PROCESS =
  /^(?:PATH|HOME|SHELL|ENV|BASH_ENV|(?:LD|DYLD|NODE)_.*|.*_PASSWORD_COMMAND|SOPS_GPG_EXEC|HOLDFAST_RCLONE_(?:PROGRAM|ARGS)|HOLDFAST_GS_ALLOW_.*)$/i;

/** The environment of `context` with what the files say on top; later files win. */
export async function withSecrets(
  context: Context,
  files: readonly string[],
): Promise<Environment> {
  const environment: Record<string, string | undefined> = { ...context.environment };
  for (const file of files) {
    for (const [name, value] of await variablesOf(context, file)) {
      if (OF_THE_PROCESS.test(name)) {
        throw new HoldfastError("USAGE", `--from-secret: ${file} sets ${name}, which is no secret`);
      }
      environment[name] = value;
    }
  }
  return environment;
}

async function variablesOf(context: Context, file: string): Promise<Map<string, string>> {
  const content = await readNamedFile(file);
  const place = placeOf(content, file);
  const format = formatOf(file);
  if (format === "binary") {
    throw new HoldfastError("USAGE", `--from-secret: ${file} is no YAML, JSON or .env file`);
  }
  if (!ENCRYPTED.test(place.text)) return environmentOf(place, format, parseTrees(place, format));
  const { document, decrypted } = await openSopsContent(context, file, content);
  return environmentOf(document, format, decrypted.roots);
}
