// `init`: makes a repository.

import { HoldfastError } from "../../base/errors.ts";
import { initRepository } from "../../repository/init.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { addFromOptions, namesSource, sourceContext } from "../from-options.ts";
import type { FromFlags } from "../from-options.ts";
import { findRepositorySource, readNewPassword } from "../repository-source.ts";
import { openNamedRepository, openNamedStorage } from "../session.ts";

export const initCommand: CommandModule = {
  configure(command) {
    command
      .option(
        "--repository-version <version>",
        "repository format: 1, 2, latest or stable",
        "stable",
      )
      .option("--copy-chunker-params", "cut files as the repository does that --from-repo names");
    addFromOptions(command);
    command.addHelpText(
      "after",
      `
Examples:
  holdfast init -r /srv/backup/filestore
  holdfast init -r gs:offsite:/filestore --copy-chunker-params --from-repo /srv/backup/filestore
  RESTIC_PASSWORD_FILE=/etc/holdfast/password holdfast init -r /srv/backup/filestore

Without the password there is no way to the data: keep a copy of it apart from the repository.`,
    );
  },

  async run(context, _parameters, options) {
    const version = formatVersion(String(options["repositoryVersion"]));
    const flags = options as FromFlags & { copyChunkerParams?: boolean };
    const copied = flags.copyChunkerParams === true;
    const polynomial = copied ? await polynomialOf(context, flags) : refuseSource(flags);
    const storage = await openNamedStorage(context, true);
    const source = findRepositorySource(context.flags, context.environment);
    const password = await readNewPassword(source.password, context.secrets);
    const { machine, signal, output } = context;
    const { id } = await initRepository({
      storage,
      password,
      machine,
      version,
      ...(polynomial !== undefined && { chunkerPolynomial: polynomial }),
      signal,
    });
    const { location } = storage;
    if (output.isJson) {
      output.json({ message_type: "initialized", id, repository: location });
      return EXIT.ok;
    }
    output.print(`created restic repository ${id.slice(0, 10)} at ${location}`);
    if (copied) output.print(" with chunker parameters copied from secondary repository");
    output.terminal("");
    output.terminal("Please note that knowledge of your password is required to access");
    output.terminal("the repository. Losing your password means that your data is");
    output.terminal("irrecoverably lost.");
    return EXIT.ok;
  },
};

/** How the repository that --from-repo names cuts files. */
async function polynomialOf(context: Context, flags: FromFlags): Promise<bigint> {
  const { config } = await openNamedRepository(sourceContext(context, flags));
  return config.chunkerPolynomial;
}

function refuseSource(flags: FromFlags): undefined {
  if (!namesSource(flags)) return undefined;
  throw new HoldfastError(
    "USAGE",
    "Secondary repository must only be specified when copying the chunker parameters",
    { hint: "Add --copy-chunker-params, or leave the source out." },
  );
}

function formatVersion(text: string): 1 | 2 {
  if (text === "2" || text === "stable" || text === "latest" || text === "") return 2;
  if (text === "1") return 1;
  throw new HoldfastError("USAGE", `unknown repository version ${JSON.stringify(text)}`, {
    hint: "--repository-version takes 1, 2, latest or stable.",
  });
}
