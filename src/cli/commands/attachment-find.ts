// `attachment find`: attachments by record, name or time, from the catalogue in the newest capture. No PostgreSQL is asked.

import { HoldfastError } from "../../base/errors.ts";
import { searchCatalogue, versionAt } from "../../odoo/catalogue-search.ts";
import { attachmentMessage, attachmentTable } from "../attachment-report.ts";
import {
  addCatalogueOptions,
  addQueryOptions,
  attachmentQuery,
  openNamedCatalogue,
  type AttachmentFlags,
} from "../attachment-session.ts";
import type { CommandModule } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { formatAge, formatLocalTime } from "../format.ts";
import { openInstance } from "../instance-session.ts";
import { wholeNumber } from "../option-values.ts";

interface FindFlags extends AttachmentFlags {
  deleted?: boolean;
  limit: number;
}

export const attachmentFindCommand: CommandModule = {
  stopsWithReader: true,

  configure(command) {
    command.argument("[attachments...]", "numbers of attachments, or the SHA-1 of a content");
    addQueryOptions(command);
    command
      .option("--at <time>", "as they were at a moment: 2026-01-31 15:04:05, local or with +00:00")
      .option("--deleted", "those that are gone by now")
      .option("--limit <count>", "show at most so many, the newest first", wholeNumber, 100);
    addCatalogueOptions(command);
    command.addHelpText(
      "after",
      `
Examples:
  holdfast attachment find --model res.partner --id 42
  holdfast attachment find --model account.move --name '*.pdf' --at '2026-01-31 15:04:05'
  holdfast attachment find --name 'contract*' -i --deleted

Reads the catalogue that captures keep: no PostgreSQL server is needed. It knows what was there when captures began, and
everything since.`,
    );
  },

  async run(context, names, options) {
    const flags = options as unknown as FindFlags;
    const { output, clock } = context;
    const query = attachmentQuery(names, flags);
    await using instance = await openInstance(context, flags, { lock: "read" });
    const { signal } = instance;
    const catalogue = await openNamedCatalogue(context, flags, instance);
    // Without a moment, what it is now has to match, not what it was.
    const now = query.at === undefined ? "present" : undefined;
    const { found, isCut, others } = await searchCatalogue(catalogue, query, {
      max: Math.max(1, flags.limit),
      state: flags.deleted === true ? "deleted" : now,
      signal,
    });
    if (output.isJson) {
      for (const history of found) output.json(attachmentMessage(history));
    } else if (found.length > 0) {
      const shown = found.map((history) => ({
        history,
        version: versionAt(history, query.at) ?? history.versions.at(-1)!,
      }));
      for (const line of attachmentTable(shown, clock.now())) output.data(line);
      if (isCut)
        output.print(`There are more: --limit shows them, the number of a record narrows them.`);
      const age = formatAge((clock.now() - catalogue.time) / 1000);
      output.print(
        `As of ${formatLocalTime(catalogue.time)} (${age}), database ${catalogue.database}.`,
      );
    }
    if (found.length > 0) return EXIT.ok;
    throw new HoldfastError("ATTACHMENT_NOT_FOUND", "no attachment matches", {
      hint:
        others > 0 && flags.deleted !== true
          ? `${others} that matched once are deleted or were changed: add --deleted, or --at with a time.`
          : "Names are matched whole: '*invoice*'. --deleted shows those that are gone.",
    });
  },
};
