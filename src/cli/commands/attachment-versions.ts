// `attachment versions`: everything that the catalogue knows of an attachment, from its first version to its end.

import { HoldfastError } from "../../base/errors.ts";
import { searchCatalogue } from "../../odoo/catalogue-search.ts";
import { attachmentMessage, historyLines } from "../attachment-report.ts";
import {
  addCatalogueOptions,
  addQueryOptions,
  attachmentQuery,
  openNamedCatalogue,
  type AttachmentFlags,
} from "../attachment-session.ts";
import type { CommandModule } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { openInstance } from "../instance-session.ts";
import { wholeNumber } from "../option-values.ts";

interface VersionFlags extends AttachmentFlags {
  limit: number;
}

export const attachmentVersionsCommand: CommandModule = {
  stopsWithReader: true,

  configure(command) {
    command.argument("[attachments...]", "numbers of attachments, or the SHA-1 of a content");
    addQueryOptions(command);
    command.option("--limit <count>", "show at most so many attachments", wholeNumber, 20);
    addCatalogueOptions(command);
    command.addHelpText(
      "after",
      `
Examples:
  holdfast attachment versions 1234
  holdfast attachment versions --model res.partner --id 42 --field image_1920
  holdfast attachment versions 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12 --json

Shows when each version began and ended, deleted attachments as well. The SHA-1 is what \`attachment restore\` takes.`,
    );
  },

  async run(context, names, options) {
    const flags = options as unknown as VersionFlags;
    const { output } = context;
    const query = attachmentQuery(names, flags);
    if (query.isEmpty) {
      throw new HoldfastError("USAGE", "no attachment is named", {
        hint: "Name one by its number, or its record with --model and --id.",
      });
    }
    await using instance = await openInstance(context, flags, { lock: "read" });
    const { signal } = instance;
    const catalogue = await openNamedCatalogue(context, flags, instance);
    const { found, isCut } = await searchCatalogue(catalogue, query, {
      max: Math.max(1, flags.limit),
      signal,
    });
    if (found.length === 0) {
      throw new HoldfastError("ATTACHMENT_NOT_FOUND", "no attachment matches", {
        hint: "`holdfast attachment find` looks for them by name or record; --deleted shows those that are gone.",
      });
    }
    for (const [i, history] of found.entries()) {
      if (output.isJson) {
        output.json(attachmentMessage(history));
        continue;
      }
      if (i > 0) output.data("");
      for (const line of historyLines(history)) output.data(line);
    }
    if (isCut) output.print("There are more: --limit shows them.");
    return EXIT.ok;
  },
};
