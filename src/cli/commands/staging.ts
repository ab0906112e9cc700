// `staging`: a copy of an instance at a moment, under a new name, harmless before anybody can connect to it.

import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { errnoOf, HoldfastError, messageOf } from "../../base/errors.ts";
import type { SqlHook } from "../../odoo/staging.ts";
import type { CommandModule, Context } from "../command.ts";
import { namedDatabase } from "../database-option.ts";
import { addCapturesOption } from "../instance-options.ts";
import { collect } from "../option-values.ts";
import { pathFrom } from "../recover-options.ts";
import { addScratchOptions } from "../scratch-session.ts";
import { stage, type StagingFlags } from "../staging-run.ts";

function configure(command: Command): void {
  command
    .option("--new-database <name>", "the name of the copy")
    .option("--into-server <conninfo>", "a running server that gets the copy as a new database")
    .option("--filestore <directory>", "for --into-server: a new folder for its files")
    .option("--to <directory>", "instead: a new directory for pgdata and filestore/NAME")
    .option("--addons <directory>", "a folder of addons, for their neutralize.sql", collect, [])
    .option("--base-url <url>", "where the copy is reached (web.base.url, frozen)")
    .option("--sql <file>", "run this as well, at the end", collect, [])
    .option("--at <time>", "the moment: 2026-01-31 15:04:05 (default: the end of the archive)")
    .option("--latest-complete", "the newest moment whose files are all captured")
    .option("--database <name>", "the original (default: the captured one, or the only one)")
    .option("--allow-unknown-modules", "go on with modules that are in no folder of addons")
    .option("--allow-mail", "go on though mail servers are active in the copy")
    .option("--keep-storage", "leave the copy the keys to storage outside")
    .option("--leave-as-is <name>", "do not neutralise at all: say the new name again")
    .option("--owner <uid[:gid]>", "for --to: who owns pgdata (root only)")
    .option("--files-owner <uid[:gid]>", "who owns the files (root only)")
    .option("-n, --dry-run", "show the plan and write nothing");
  addScratchOptions(command);
  addCapturesOption(command);
  command.addHelpText(
    "after",
    `
Examples:
  holdfast staging --new-database odoo-test --into-server "host=db2 user=odoo dbname=postgres" \\
    --filestore /var/lib/odoo/filestore/odoo-test --addons /opt/odoo/odoo/addons --addons /opt/odoo/addons \\
    --addons /opt/custom --base-url https://test.example.com --sql mask-customers.sql
  holdfast staging --new-database odoo-may --to /srv/odoo-may --at "2026-05-03 12:00" --addons /opt/odoo/addons

The copy is neutralised where it is recovered, on a server of its own behind a private socket. It reaches the
named server, or gets its name, when it is harmless: there is no moment at which an Odoo could start it before.`,
  );
}

export const stagingCommand: CommandModule = {
  configure,

  async run(context, _, options) {
    const flags = options as unknown as StagingFlags;
    const name = newName(flags);
    const addons = addonsOf(context, flags, name);
    const hooks = await hooksOf(context, flags.sql);
    const server =
      flags.intoServer === undefined
        ? undefined
        : await namedDatabase(context, { dbname: flags.intoServer });
    if ((flags.to === undefined) === (server === undefined)) {
      throw new HoldfastError("USAGE", "say where the copy goes", {
        hint: "Use --into-server CONNINFO with --filestore DIR, or --to DIR.",
      });
    }
    return await stage(context, flags, { name, addons, hooks, server });
  },
};

function newName({ newDatabase }: StagingFlags): string {
  if (newDatabase !== undefined && newDatabase !== "") return newDatabase;
  throw new HoldfastError("USAGE", "the copy has no name", {
    hint: "Give it one with --new-database NAME.",
  });
}

/** The folders of addons; undefined when the copy is to stay as it is, which has to be said with its name. */
function addonsOf(
  context: Context,
  { addons, leaveAsIs }: StagingFlags,
  name: string,
): readonly string[] | undefined {
  if (leaveAsIs !== undefined) {
    if (leaveAsIs === name && addons.length === 0) return undefined;
    throw new HoldfastError("USAGE", "--leave-as-is does not name the copy, or addons are named", {
      hint: `To leave the copy as the original is, which may send mail and take payments: --leave-as-is ${name}.`,
    });
  }
  if (addons.length > 0) return addons.map((folder) => pathFrom(context, folder));
  throw new HoldfastError(
    "USAGE",
    "no folder of addons is named, so nothing could be neutralised",
    {
      hint: "Name every folder that Odoo has in addons_path with --addons, its own ones too.",
    },
  );
}

async function hooksOf(context: Context, names: readonly string[]): Promise<SqlHook[]> {
  const hooks: SqlHook[] = [];
  for (const name of names) {
    const path = pathFrom(context, name);
    try {
      hooks.push({ path, sql: await readFile(path, "utf8") });
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      throw new HoldfastError("USAGE", `--sql: ${path} cannot be read: ${messageOf(error)}`);
    }
  }
  return hooks;
}
