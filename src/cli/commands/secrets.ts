// `secrets`: SOPS files opened and checked without sops, gpg wrappers or exports. Values go to standard output when they are
// asked for, and nowhere else.

import type { Command } from "commander";
import { HoldfastError } from "../../base/errors.ts";
import { nodeAt, parsePath, printPart } from "../../sops/decrypt.ts";
import type { CommandFamily, CommandModule } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { checkSecrets } from "../secrets-check.ts";
import { openSopsFile } from "../sops-file.ts";
import type { SopsFlags } from "../sops-file.ts";

function addFlags(command: Command): Command {
  return command
    .option("--ignore-mac", "open it although it was changed after it was encrypted")
    .option("--offline", "ask no service for a key");
}

const decrypt: CommandModule = {
  stopsWithReader: true,
  configure(command) {
    addFlags(command.argument("<file>", "a SOPS file")).addHelpText(
      "after",
      `
Examples:
  holdfast secrets decrypt secret-filestore-restic.enc.yaml

Prints the file as \`sops decrypt\` does. Keys are looked for where sops looks; the message of a failure names every
recipient and every place.`,
    );
  },
  async run(context, [file = ""], options) {
    const { decrypted } = await openSopsFile(context, file, options as SopsFlags);
    context.output.raw(decrypted.emit());
    return EXIT.ok;
  },
};

const get: CommandModule = {
  stopsWithReader: true,
  configure(command) {
    addFlags(
      command.argument("<file>", "a SOPS file").argument("<path>", "where the value is"),
    ).addHelpText(
      "after",
      `
Examples:
  holdfast secrets get secret.enc.yaml '["stringData"]["RESTIC_PASSWORD"]'
  holdfast secrets get secret.enc.yaml stringData.RESTIC_PASSWORD

As \`sops decrypt --extract\`: a text is printed as it is, without a line end.`,
    );
  },
  async run(context, [file = "", path = ""], options) {
    const steps = parsePath(path);
    const { document, decrypted } = await openSopsFile(context, file, options as SopsFlags);
    const node = nodeAt(decrypted.roots, steps);
    if (node === undefined) {
      throw new HoldfastError("USAGE", `${file} has nothing at ${path}`, {
        hint: "Paths are those of the decrypted file: holdfast secrets decrypt shows it.",
      });
    }
    context.output.raw(printPart(node, document.format));
    return EXIT.ok;
  },
};

const check: CommandModule = {
  configure(command) {
    command
      .argument("[paths...]", "files and directories (default: the current one)")
      .option("--require-key", "fail for files that no key here opens")
      .option("--offline", "ask no service for a key")
      .addHelpText(
        "after",
        `
Examples:
  holdfast secrets check
  holdfast secrets check kubernetes/ --offline

Looks at every file that is encrypted, or is named as if it were (*.enc.yaml, *.sops.yaml and the like): whether a key
here opens it and which one, whether it was changed since, and whether anything stands in it in plain. Prints no value.
The status is 1 when something is wrong, so that it can guard a commit.`,
      );
  },
  run: checkSecrets,
};

export const secretsCommand: CommandFamily = {
  members: [
    { name: "decrypt", summary: "Print a SOPS file in plain", module: decrypt },
    { name: "get", summary: "Print one value of a SOPS file", module: get },
    {
      name: "check",
      summary: "Tell which files are sound, and which key opens them",
      module: check,
    },
  ],
};
