import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import assert from "node:assert/strict";
import { Command } from "commander";
import type { CommandFamily, CommandModule } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { addGlobalOptions } from "./global-options.ts";

/** The help text of a command, with what it adds behind its options. */
function helpOf(module: CommandModule): string {
  const command = new Command("command");
  let text = "";
  command.configureOutput({ writeOut: (part) => (text += part) });
  module.configure(command);
  command.outputHelp();
  return text;
}

async function leaves(
  name: string,
  loaded: CommandModule | CommandFamily,
): Promise<[string, CommandModule][]> {
  if (!("members" in loaded)) return [[name, loaded]];
  return await Promise.all(
    loaded.members.map(async (member): Promise<[string, CommandModule]> => [
      `${name} ${member.name}`,
      await member.load(),
    ]),
  );
}

test("every command that takes something has examples, which call it by its name", async () => {
  for (const { name, load } of COMMANDS) {
    for (const [words, module] of await leaves(name, await load())) {
      const help = helpOf(module);
      if (!/^Arguments:|^ {2}--/m.test(help)) continue;
      assert.match(help, /^Examples?:\n/m, `${words} has no examples`);
      assert.ok(help.includes(`  holdfast ${words}`), `${words} has no example of itself`);
    }
  }
});

test("commands that only print end with their reader, all others go on", async () => {
  const stopping: string[] = [];
  for (const { name, load } of COMMANDS) {
    for (const [words, module] of await leaves(name, await load())) {
      if (module.stopsWithReader === true) stopping.push(words);
    }
  }
  assert.deepEqual(stopping, [
    "snapshots",
    "ls",
    "dump",
    "diff",
    "find",
    "stats",
    "list",
    "cat",
    "key list",
    "cache",
    "secrets decrypt",
    "secrets get",
    "secrets check",
    "status",
    "plan check",
    "plan schema",
    "pg list",
    "pg info",
    "attachment find",
    "attachment versions",
    "operator crds",
    "version",
  ]);
});

/** What restic has too is compared with it; what is ours alone has a page of its own, with a section for each verb. */
const OWN_PAGES: Readonly<Record<string, string>> = {
  pg: "operations/postgres.md",
  capture: "operations/odoo-capture.md",
  attachment: "operations/attachments.md",
  status: "operations/odoo-status.md",
  run: "operations/plan.md",
  plan: "operations/plan.md",
  verify: "operations/odoo-verify.md",
  drill: "operations/drill.md",
  staging: "operations/staging.md",
  "export-zip": "operations/export-zip.md",
  mover: "operations/mover.md",
  migrate: "operations/kubernetes.md",
  operator: "operations/operator.md",
};

test("the manual has a section for every command and names every option in it", async () => {
  const docs = join(import.meta.dirname, "..", "..", "docs");
  const missing: string[] = [];
  const look = async (page: string, title: string, command: Command): Promise<void> => {
    const text = await readFile(join(docs, page), "utf8");
    const section = new RegExp(`^## ${title}$([^]*?)(?=^## |(?![^]))`, "m").exec(text)?.[1];
    if (section === undefined) missing.push(`${page} ${title}`);
    for (const { long, short } of command.options) {
      for (const flag of [long, short]) {
        if (flag && !section?.includes(`\`${flag}\``)) missing.push(`${page} ${title} ${flag}`);
      }
    }
  };
  const program = new Command();
  addGlobalOptions(program);
  await look("compatibility.md", "Everywhere", program);
  for (const { name, load } of COMMANDS) {
    for (const [words, module] of await leaves(name, await load())) {
      const command = new Command(name);
      module.configure(command);
      const page = OWN_PAGES[name];
      await look(page ?? "compatibility.md", page === undefined ? name : words, command);
    }
  }
  assert.deepEqual(missing, []);
});
