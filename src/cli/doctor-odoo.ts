// `doctor odoo`: which instances are in a data directory, in which layout, and what of their attachments no backup of the
// filestore would hold.

import { resolve } from "node:path";
import { isHoldfastError } from "../base/errors.ts";
import { findStores, listDatabases, type Discovery, type FoundStore } from "../odoo/discovery.ts";
import { examineInstance, type InstanceFacts } from "../odoo/examine-instance.ts";
import { connect } from "../postgres/connection.ts";
import { byteStringToText } from "../restic/byte-string.ts";
import { HoldfastError } from "../base/errors.ts";
import type { CommandModule, Context } from "./command.ts";
import { plural } from "./consistency-report.ts";
import { addDatabaseOptions, namedDatabase, type DatabaseFlags } from "./database-option.ts";
import { EXIT } from "./exit-status.ts";
import { formatBytes } from "./format.ts";
import { formatTable } from "./table.ts";
import { quoteUnprintable } from "./terminal-text.ts";

interface Flags extends DatabaseFlags {
  dataDir?: string;
}

/** One instance, or half of one. */
interface Instance {
  readonly database: string;
  readonly store: FoundStore | undefined;
  /** Whether the server has a database of that name; undefined when no server was asked. */
  readonly onServer: boolean | undefined;
  readonly facts: InstanceFacts | undefined;
  /** Why there are no facts. */
  readonly trouble: string | undefined;
}

interface Remark {
  readonly outcome: "warning" | "failed";
  readonly database: string;
  readonly text: string;
}

export const doctorOdoo: CommandModule = {
  configure(command) {
    command.option(
      "--data-dir <directory>",
      "Odoo's data directory, or any folder above filestores",
    );
    addDatabaseOptions(command);
    command.addHelpText(
      "after",
      `
Examples:
  holdfast doctor odoo --data-dir /var/lib/odoo
  holdfast doctor odoo --data-dir /var/lib/odoo -d 'host=db1 user=holdfast dbname=odoo'
  holdfast doctor odoo -d 'host=db1 user=holdfast dbname=odoo'

Looks at names alone and changes nothing. With a server, every database that has a filestore is looked at as well: where its
attachments are, and which of them no backup of the filestore holds. The status is 1 when a database has no filestore here.`,
    );
  },

  async run(context, _, options) {
    const flags = options as Flags;
    const { output, signal, environment, cwd } = context;
    const asksServer = flags.dbname !== undefined || Boolean(environment["HOLDFAST_DATABASE"]);
    if (flags.dataDir === undefined && !asksServer) {
      throw new HoldfastError("USAGE", "neither a data directory nor a database is named", {
        hint: "Name one with --data-dir /var/lib/odoo, the other with -d 'host=db1 dbname=odoo'.",
      });
    }
    const discovery: Discovery | undefined =
      flags.dataDir === undefined
        ? undefined
        : await findStores(resolve(byteStringToText(cwd), flags.dataDir), { signal });
    const instances = asksServer
      ? await examineAll(context, flags, discovery)
      : (discovery?.stores ?? []).map((store) => ({
          database: store.database,
          store,
          onServer: undefined,
          facts: undefined,
          trouble: undefined,
        }));
    const remarks = instances.flatMap((instance) => remarksOf(instance, discovery !== undefined));
    const isWell = remarks.every(({ outcome }) => outcome !== "failed");
    if (output.isJson) {
      output.json({
        message_type: "odoo",
        ok: isWell,
        instances: instances.map(instanceMessage),
        remarks,
        unreadable: discovery?.unreadable ?? [],
        sessions: discovery?.sessions ?? [],
      });
    } else for (const line of describe(instances, remarks, discovery)) output.data(line);
    return isWell && instances.length > 0 ? EXIT.ok : EXIT.failed;
  },
};

/** The named database, and those that have a filestore. */
async function examineAll(
  context: Context,
  flags: Flags,
  discovery: Discovery | undefined,
): Promise<Instance[]> {
  const { signal } = context;
  const settings = await namedDatabase(context, flags);
  const first = await connect({ settings, signal });
  let databases: Set<string>;
  try {
    databases = new Set(await listDatabases(first, { signal }));
  } finally {
    await first.close();
  }
  const stores = discovery?.stores ?? [];
  const isNamedFound = stores.some(({ database }) => database === settings.database);
  const wanted: { database: string; store: FoundStore | undefined }[] = stores.map((store) => ({
    database: store.database,
    store,
  }));
  if (!isNamedFound) wanted.unshift({ database: settings.database, store: undefined });
  const instances: Instance[] = [];
  for (const { database, store } of wanted) {
    const onServer = databases.has(database);
    let facts: InstanceFacts | undefined;
    let trouble: string | undefined;
    if (onServer) {
      try {
        const connection = await connect({ settings: { ...settings, database }, signal });
        try {
          facts = await examineInstance(connection, { signal });
        } finally {
          await connection.close();
        }
      } catch (error) {
        if (!isHoldfastError(error) || error.code === "CANCELLED") throw error;
        trouble = error.message;
      }
    }
    // The one that was named to get in may be any, such as `postgres`.
    const isStranger = store === undefined && facts === undefined && stores.length > 0;
    if (!isStranger) instances.push({ database, store, onServer, facts, trouble });
  }
  return instances;
}

function remarksOf(instance: Instance, wasSearched: boolean): Remark[] {
  const { database, store, onServer, facts, trouble } = instance;
  const remarks: Remark[] = [];
  const warn = (text: string): void => {
    remarks.push({ outcome: "warning", database, text });
  };
  if (trouble !== undefined) warn(`the database could not be looked at: ${trouble}`);
  if (onServer === false) warn("there are files, but the server has no database of that name");
  if (store !== undefined && store.strangers.length > 0) {
    warn(`names of no filestore among the files: ${store.strangers.join(", ")}`);
  }
  if (facts === undefined) return remarks;
  if (wasSearched && store === undefined && facts.local > 0) {
    const text = `${plural(facts.local, "attachment")} in a filestore that is not here`;
    remarks.push({ outcome: "failed", database, text });
  }
  if (facts.cloud > 0) {
    warn(
      `${plural(facts.cloud, "attachment")} of cloud_storage: in a bucket, in NO backup of the filestore. Protect that bucket as well.`,
    );
  }
  for (const [scheme, count] of facts.external) {
    warn(
      scheme === "?"
        ? `${plural(count, "attachment")} with a file name that means nothing to Odoo`
        : `${plural(count, "attachment")} in the store ${scheme}://, in NO backup of the filestore. Protect that store as well.`,
    );
  }
  if (facts.location === "db") {
    warn(
      `new attachments go into the database (ir_attachment.location = db): ${plural(facts.inDatabase, "attachment")}, ${formatBytes(facts.inDatabaseBytes)} there`,
    );
  } else if (facts.location !== "file" && facts.location !== "unknown") {
    warn(
      `ir_attachment.location is ${JSON.stringify(facts.location)}, not "file": Odoo's collector never runs, and deleted files stay`,
    );
  }
  return remarks;
}

function describe(
  instances: readonly Instance[],
  remarks: readonly Remark[],
  discovery: Discovery | undefined,
): string[] {
  const lines: string[] = [];
  if (instances.length === 0) {
    lines.push("No filestore is here: no folder with files named after their SHA-1.");
  } else {
    const rows = instances.map(({ database, store, onServer, facts }) => [
      quoteUnprintable(database),
      store === undefined ? "-" : `~${store.filesEstimate}`.padStart(9),
      store === undefined ? "-" : layoutText(store),
      onServer === undefined ? "not asked" : onServer ? (facts?.series ?? "yes") : "no",
      quoteUnprintable(store?.folder ?? ""),
    ]);
    lines.push(
      ...formatTable({ headers: ["Database", "    Files", "Layout", "On server", "Folder"], rows }),
    );
  }
  for (const { database, facts } of instances) {
    if (facts !== undefined) lines.push("", ...factLines(database, facts));
  }
  for (const folder of discovery?.sessions ?? []) {
    lines.push("", quoteUnprintable(`${folder}: logins of users. Leave it out of backups.`));
  }
  for (const what of discovery?.unreadable ?? []) {
    lines.push("", quoteUnprintable(`Not looked into: ${what}`));
  }
  if (remarks.length > 0) lines.push("");
  for (const { outcome, database, text } of remarks) {
    const word = outcome === "failed" ? "FAILED" : "WARNING";
    lines.push(quoteUnprintable(`${word}: ${database}: ${text}`));
  }
  return lines;
}

function layoutText({ folders, oldFolders, hasChecklist }: FoundStore): string {
  const kinds = [
    ...(folders > 0 || oldFolders === 0 ? ["ab/"] : []),
    ...(oldFolders > 0 ? ["abc/ (before 18)"] : []),
  ];
  return `${kinds.join(" and ")}${hasChecklist ? ", checklist" : ""}`;
}

function factLines(database: string, facts: InstanceFacts): string[] {
  const line = (name: string, count: number, more = ""): string =>
    `  ${name.padEnd(16)}${String(count).padStart(9)}${more}`;
  const modules =
    facts.storageModules.length > 0
      ? [`  storage modules: ${quoteUnprintable(facts.storageModules.join(", "))}`]
      : [];
  return [
    quoteUnprintable(
      `${database}: Odoo ${facts.series ?? "(version unknown)"}, ${plural(facts.rows, "attachment")}, location ${facts.location}`,
    ),
    line("filestore", facts.local, facts.oldPaths > 0 ? `  (${facts.oldPaths} at abc/…)` : ""),
    line("database", facts.inDatabase, `  ${formatBytes(facts.inDatabaseBytes)}`),
    line("links", facts.urls),
    line("cloud_storage", facts.cloud),
    ...[...facts.external].map(([scheme, count]) =>
      line(quoteUnprintable(scheme === "?" ? "meaningless" : `${scheme}://`), count),
    ),
    line("empty", facts.empty),
    ...modules,
  ];
}

function instanceMessage({ database, store, onServer, facts, trouble }: Instance): object {
  return {
    database,
    on_server: onServer,
    filestore: store,
    facts: facts && { ...facts, external: Object.fromEntries(facts.external) },
    trouble,
  };
}
