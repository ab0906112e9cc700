// `attachment restore`: the content of one attachment, out of the newest good copy that any snapshot or capture has, into a
// file. No PostgreSQL is asked.

import { resolve } from "node:path";
import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { AttachmentVersion } from "../../odoo/catalogue-lines.ts";
import { searchCatalogue, versionAt } from "../../odoo/catalogue-search.ts";
import { openPool } from "../../odoo/pool.ts";
import { insertStatement, restoreAttachment } from "../../odoo/restore-attachment.ts";
import type { RestoredAttachment } from "../../odoo/restore-attachment.ts";
import { Sha1Set } from "../../odoo/sha1-set.ts";
import { storePath } from "../../odoo/store-name.ts";
import { byteStringToText } from "../../restic/byte-string.ts";
import { ownerText } from "../attachment-report.ts";
import {
  addCatalogueOptions,
  attachmentQuery,
  openNamedCatalogue,
  type AttachmentFlags,
} from "../attachment-session.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { formatBytes, formatLocalTime, shortId } from "../format.ts";
import { openInstance, type OpenedInstance } from "../instance-session.ts";
import { quoteUnprintable } from "../terminal-text.ts";

interface RestoreFlags extends AttachmentFlags {
  to?: string;
  sql?: boolean;
}

export const attachmentRestoreCommand: CommandModule = {
  configure(command) {
    command
      .argument("<attachment>", "the number of an attachment, or the SHA-1 of a content")
      .option("--to <path>", "a file that is absent, or a folder")
      .option("--at <time>", "what it was at a moment (default: what it was last)")
      .option("--sql", "print the statement that makes its row again");
    addCatalogueOptions(command);
    command.addHelpText(
      "after",
      `
Examples:
  holdfast attachment restore 1234 --to /tmp
  holdfast attachment restore 1234 --at '2026-01-31 15:04:05' --to /tmp/invoice.pdf
  holdfast attachment restore 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12 --to /tmp --sql

The content is checked before the file has its name, and no file is ever replaced. A SHA-1 needs no catalogue: whatever any
snapshot holds can be restored by it.`,
    );
  },

  async run(context, names, options) {
    const flags = options as unknown as RestoreFlags;
    const { output, machine, cwd } = context;
    const query = attachmentQuery(names, flags);
    if (flags.to === undefined || flags.to === "") {
      throw new HoldfastError("USAGE", "nothing is said of where it goes", {
        hint: "Name a file that is absent, or a folder, with --to.",
      });
    }
    await using instance = await openInstance(context, flags, { lock: "read" });
    const { repository, captures, signal } = instance;
    const version = await versionOf(context, flags, { query, instance });
    const sha1 = query.sha1 ?? version?.sha1;
    if (!sha1 || (query.sha1 === undefined && version?.elsewhere !== undefined)) {
      throw notInFilestore(version);
    }
    const wanted = new Sha1Set(1);
    wanted.add(sha1);
    const pool = await openPool({
      sources: [
        { repository, kind: "snapshots" },
        ...(captures ? [{ repository: captures, kind: "captures" } as const] : []),
      ],
      wanted,
      onDamage: (what, error) => output.warn(`${what}: ${error.message}`),
      signal,
    });
    const restored = await restoreAttachment({
      pool,
      sha1,
      // A slash at the end says that it is a folder.
      to: resolve(byteStringToText(cwd), flags.to) + (flags.to.endsWith("/") ? "/" : ""),
      name: version?.name ?? sha1,
      random: machine.random,
      signal,
    });
    tell(context, { sha1, version, restored, sql: flags.sql === true });
    return EXIT.ok;
  },
};

/** What is said of it: the version that is wanted, or for a SHA-1 any that had it; undefined where nothing is known. */
async function versionOf(
  context: Context,
  flags: RestoreFlags,
  wanted: {
    readonly query: ReturnType<typeof attachmentQuery>;
    readonly instance: OpenedInstance;
  },
): Promise<AttachmentVersion | undefined> {
  const { query, instance } = wanted;
  const { sha1, at } = query;
  try {
    const catalogue = await openNamedCatalogue(context, flags, instance);
    const everywhen = { ...query, at: undefined };
    const { found } = await searchCatalogue(catalogue, everywhen, {
      max: 1,
      signal: instance.signal,
    });
    const [history] = found;
    if (sha1 !== undefined) return history?.versions.findLast((version) => version.sha1 === sha1);
    if (history === undefined) {
      throw new HoldfastError("ATTACHMENT_NOT_FOUND", "the catalogue has no such attachment", {
        hint: "`holdfast attachment find` looks for it by name or record; --deleted shows those that are gone.",
      });
    }
    const version = versionAt(history, at);
    if (version !== undefined) return version;
    const from = formatLocalTime(Date.parse(history.versions[0]!.from.time));
    throw new HoldfastError("ATTACHMENT_NOT_FOUND", `attachment ${history.id} was not there then`, {
      hint: `It is known since ${from}: see \`holdfast attachment versions ${history.id}\`.`,
    });
  } catch (error) {
    // A content can be had without anybody knowing its name.
    const isBare =
      isHoldfastError(error, "ATTACHMENT_NOT_FOUND") || isHoldfastError(error, "USAGE");
    if (sha1 === undefined || flags.database !== undefined || !isBare) throw error;
    return undefined;
  }
}

function notInFilestore(version: AttachmentVersion | undefined): HoldfastError {
  const where = version?.elsewhere ?? "nowhere";
  const places: Record<string, string> = {
    database: "in the database itself: recover that to a moment",
    cloud: "in a bucket of cloud_storage, which no backup of the filestore holds",
    external: "in a store outside, which no backup of the filestore holds",
    url: "no content at all, but a link",
    empty: "empty",
  };
  return new HoldfastError(
    "ATTACHMENT_NOT_FOUND",
    `the content of attachment ${version?.id ?? "?"} is not in the filestore: it is ${places[where] ?? "unknown"}`,
    { hint: "`holdfast attachment versions` shows whether another version had a file." },
  );
}

function tell(
  { output }: Context,
  what: {
    readonly sha1: string;
    readonly version: AttachmentVersion | undefined;
    readonly restored: RestoredAttachment;
    readonly sql: boolean;
  },
): void {
  const { sha1, version, restored } = what;
  const { path, size, wasThere, copy } = restored;
  const sql = what.sql && version ? insertStatement(version) : undefined;
  if (output.isJson) {
    output.json({
      message_type: "restored_attachment",
      path,
      sha1,
      size,
      was_there: wasThere,
      snapshot: copy?.snapshot,
      kind: copy?.kind,
      attachment: version,
      sql,
    });
    return;
  }
  const from =
    copy === undefined
      ? ""
      : ` from ${copy.kind === "captures" ? "capture" : "snapshot"} ${shortId(copy.snapshot)}`;
  const was = wasThere ? " (it was there already)" : "";
  output.print(
    `${quoteUnprintable(path)}: ${formatBytes(size)}${from}, SHA-1 ${sha1} checked${was}`,
  );
  if (version !== undefined) {
    const owner = ownerText(version);
    output.verbose(`attachment ${version.id}${owner === "" ? "" : ` of ${owner}`}`);
  }
  if (sql !== undefined) {
    output.data("");
    output.data(`-- The file has to be in the filestore as ${storePath(sha1)}.`);
    output.data(sql);
  } else if (what.sql) {
    output.warn("no catalogue says which row had this content: there is no statement to print");
  }
}
