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
    "list",
    "cat",
    "key list",
    "secrets decrypt",
    "secrets get",
    "secrets check",
    "version",
  ]);
});

test("docs/compatibility.md has a section for every command and names every option in it", async () => {
  const root = join(import.meta.dirname, "..", "..");
  const page = await readFile(join(root, "docs", "compatibility.md"), "utf8");
  const section = (title: string): string =>
    new RegExp(`^## ${title}$([^]*?)(?=^## )`, "m").exec(page)?.[1] ?? "";
  const missing: string[] = [];
  const look = (title: string, command: Command): void => {
    if (section(title) === "") missing.push(title);
    for (const { long, short } of command.options) {
      for (const flag of [long, short]) {
        if (flag && !section(title).includes(`\`${flag}\``)) missing.push(`${title} ${flag}`);
      }
    }
  };
  const program = new Command();
  addGlobalOptions(program);
  look("Everywhere", program);
  for (const { name, load } of COMMANDS) {
    for (const [, module] of await leaves(name, await load())) {
      const command = new Command(name);
      module.configure(command);
      look(name, command);
    }
  }
  assert.deepEqual(missing, []);
});
