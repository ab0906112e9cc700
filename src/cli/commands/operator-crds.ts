// `operator crds`: prints the CRDs of ReplicationSource and ReplicationDestination, or writes them to a folder.

import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { crdDocuments } from "../../operator/crd-documents.ts";
import type { CommandModule } from "../command.ts";
import { EXIT } from "../exit-status.ts";

interface Flags {
  to?: string;
  keep?: boolean;
}

export const operatorCrdsCommand: CommandModule = {
  stopsWithReader: true,

  configure(command) {
    command
      .option("--to <folder>", "write one file for each kind there")
      .option("--keep", "mark the kinds to be kept when a release of Helm's is removed")
      .addHelpText(
        "after",
        `
Examples:
  holdfast operator crds | kubectl apply --server-side -f -
  holdfast operator crds --to deploy/crds
  holdfast operator crds --keep --to deploy/chart/crds-of-release`,
      );
  },

  async run({ output, cwd }, _parameters, options) {
    const { to, keep = false } = options as Flags;
    const documents = crdDocuments({ keep });
    if (to === undefined) {
      for (const { text } of documents) output.data(`---\n${text.trimEnd()}`);
      return EXIT.ok;
    }
    for (const { file, text } of documents) {
      await writeFile(resolve(cwd, to, file), text);
      output.print(`wrote ${join(to, file)}`);
    }
    return EXIT.ok;
  },
};
