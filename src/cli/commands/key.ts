// `key`: lists, adds, changes and removes the passwords that open the repository.

import type { Command } from "commander";
import { HoldfastError } from "../../base/errors.ts";
import { addKey, listKeys, removeKey } from "../../repository/keys.ts";
import type { KeyInfo } from "../../repository/keys.ts";
import type { Id } from "../../base/bytes.ts";
import type { Repository } from "../../repository/repository.ts";
import { findFile } from "../../repository/snapshots.ts";
import { parseTime } from "../../restic/go-time.ts";
import { goJson } from "../../restic/json-fields.ts";
import type { CommandFamily, CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { formatLocalTime, shortId } from "../format.ts";
import { readNewPassword } from "../repository-source.ts";
import type { PasswordSource } from "../repository-source.ts";
import { withRepository } from "../session.ts";
import { formatTable } from "../table.ts";
import { quoteUnprintable } from "../terminal-text.ts";

interface NewKeyFlags {
  newPasswordFile?: string;
  newInsecureNoPassword?: boolean;
  user?: string;
  host?: string;
}

const list: CommandModule = {
  stopsWithReader: true,
  configure() {},
  async run(context) {
    const { output } = context;
    const keys = await withRepository(context, "read", listKeys);
    const created = (key: KeyInfo): string =>
      key.created === "" ? "" : formatLocalTime(Number(parseTime(key.created) / 1_000_000n));
    if (output.isJson) {
      const messages = keys.map((key) => ({
        current: key.current,
        id: key.id,
        userName: key.username,
        hostName: key.hostname,
        created: created(key),
      }));
      output.data(goJson(messages));
      return EXIT.ok;
    }
    const rows = keys.map((key) => [
      (key.current ? "*" : " ") + shortId(key.id),
      quoteUnprintable(key.username),
      quoteUnprintable(key.hostname),
      created(key),
    ]);
    const table = formatTable({ headers: [" ID", "User", "Host", "Created"], rows });
    for (const line of table) output.data(line);
    return EXIT.ok;
  },
};

const add: CommandModule = {
  configure(command) {
    configureNewKey(command, "add");
  },
  async run(context, _parameters, options) {
    await withRepository(context, "append", async (repository, signal) => {
      const id = await addNewKey(context, repository, options, signal);
      const { output } = context;
      if (output.isJson) output.json({ message_type: "summary", key_id: id });
      output.print(`saved new key with ID ${id}`);
    });
    return EXIT.ok;
  },
};

const passwd: CommandModule = {
  configure(command) {
    configureNewKey(command, "passwd");
  },
  async run(context, _parameters, options) {
    await withRepository(context, "exclusive", async (repository, signal) => {
      const id = await addNewKey(context, repository, options, signal);
      // The new one is stored and proved to open before the old one goes.
      await repository.remove("key", repository.keyId, signal);
      const { output } = context;
      const message = { message_type: "summary", key_id: id, removed_key_id: repository.keyId };
      if (output.isJson) output.json(message);
      output.print(`saved new key as ${id}`);
    });
    return EXIT.ok;
  },
};

const remove: CommandModule = {
  configure(command) {
    command
      .argument("<id>", "key, or the start of its id; see `key list`")
      .addHelpText("after", "\nExample:\n  holdfast key remove 4bba301e");
  },
  async run(context, [name = ""]) {
    await withRepository(context, "exclusive", async (repository, signal) => {
      const id = await findFile(repository, "key", name, signal);
      await removeKey(repository, id, signal);
      const { output } = context;
      if (output.isJson) output.json({ message_type: "summary", removed_key_id: id });
      output.print(`removed key ${id}`);
    });
    return EXIT.ok;
  },
};

export const keyCommand: CommandFamily = {
  members: [
    { name: "list", summary: "List the keys", load: () => Promise.resolve(list) },
    { name: "add", summary: "Add a password", load: () => Promise.resolve(add) },
    {
      name: "passwd",
      summary: "Change the password that opened the repository",
      load: () => Promise.resolve(passwd),
    },
    { name: "remove", summary: "Remove a key", load: () => Promise.resolve(remove) },
  ],
};

function configureNewKey(command: Command, verb: string): void {
  command
    .option("--new-password-file <file>", "file with the new password (default: asked for)")
    .option("--new-insecure-no-password", "the new password is empty")
    .option("--user <name>", "user name of the new key (default: yours)")
    .option("--host <name>", "host name of the new key (default: this machine's)")
    .addHelpText(
      "after",
      `
Examples:
  holdfast key ${verb}
  holdfast key ${verb} --new-password-file /etc/holdfast/new-password --user odoo`,
    );
}

async function addNewKey(
  context: Context,
  repository: Repository,
  options: Record<string, unknown>,
  signal: AbortSignal,
): Promise<Id> {
  const flags = options as NewKeyFlags;
  const prompt = "enter new password: ";
  const password = await readNewPassword(newPasswordSource(flags), context.secrets, prompt);
  const { storage, key: master, machine } = repository;
  return addKey({
    storage,
    master,
    password,
    machine,
    signal,
    ...(flags.user && { username: flags.user }),
    ...(flags.host && { hostname: flags.host }),
  });
}

function newPasswordSource(flags: NewKeyFlags): PasswordSource {
  const { newPasswordFile: name, newInsecureNoPassword: none } = flags;
  if (none !== true) {
    return name === undefined
      ? { kind: "ask" }
      : { kind: "file", name, source: "--new-password-file" };
  }
  if (name === undefined) return { kind: "none" };
  throw new HoldfastError(
    "USAGE",
    "only either --new-password-file or --new-insecure-no-password may be specified",
  );
}
