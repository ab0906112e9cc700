// How a server that is being recovered gets its WAL: by this program, out of the archive that was named.

import { resolve } from "node:path";
import { parseLocation } from "../storage/location.ts";
import { namedArchive, type ArchiveFlags } from "./archive-session.ts";
import type { Context } from "./command.ts";
import { programPath } from "./program-path.ts";
import { restoreCommand } from "./restore-command.ts";

/** The restore_command for the named archive's server, and the variables that it needs in the server's environment. */
export function walCommand(
  context: Context,
  flags: ArchiveFlags,
  server: string,
): { command: string; variables: readonly string[] } {
  const { location } = namedArchive(context, flags);
  const { scheme, target } = parseLocation(location);
  return restoreCommand({
    // The server runs it somewhere else, with another PATH.
    program: programPath(import.meta.dirname),
    location:
      scheme === "local"
        ? resolve(Buffer.from(context.cwd, "latin1").toString(), target)
        : location,
    server,
    options: context.settings.storageOptions,
  });
}

/** All variables of this process, for the commands that a server runs. */
export function serverVariables({ environment }: Context): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    ),
  );
}
