// `ls`: lists the files of a snapshot, with restic's options, lines and JSON.

import { HoldfastError } from "../../base/errors.ts";
import { walkSnapshot } from "../../files/snapshot-walk.ts";
import type { WalkedEntry } from "../../files/snapshot-walk.ts";
import { textToByteString } from "../../restic/byte-string.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { formatNode, nodeMessage } from "../node-line.ts";
import { ENTRY_ORDERS, compareEntries } from "../node-order.ts";
import type { EntryOrder } from "../node-order.ts";
import { withRepository } from "../session.ts";
import { addSnapshotFilter, openSnapshot, snapshotFilter } from "../snapshot-choice.ts";
import type { FilterFlags, OpenSnapshot } from "../snapshot-choice.ts";
import { snapshotMessage } from "../snapshot-message.ts";
import { describeSnapshot } from "../snapshot-table.ts";

interface LsFlags extends FilterFlags {
  long?: boolean;
  recursive?: boolean;
  humanReadable?: boolean;
  sort: string;
  reverse?: boolean;
}

export const lsCommand: CommandModule = {
  stopsWithReader: true,

  configure(command) {
    command
      .argument("<snapshot[:directory]>", "snapshot id, `latest`, or a directory of one")
      .argument("[directories...]", "list only these directories, and what is directly in them")
      .option("-l, --long", "mode, owner, size and time before each path")
      .option("--recursive", "with directories: everything below them")
      .option("--human-readable", "sizes with units")
      .option("-s, --sort <order>", `sort by ${Object.keys(ENTRY_ORDERS).join(", ")}`, "name")
      .option("--reverse", "the other way round")
      .addHelpText(
        "after",
        `
Examples:
  holdfast ls latest
  holdfast ls -l latest /var/lib/odoo/filestore/production
  holdfast ls latest --host web1 --json`,
      );
    addSnapshotFilter(command, ", for `latest`");
  },

  async run(context, [name = "", ...directories], options) {
    const flags = options as unknown as LsFlags;
    const order = orderOf(flags.sort);
    const within = selectDirectories(directories, flags.recursive === true);
    await withRepository(context, "read", async (repository, signal) => {
      const filter = snapshotFilter(flags, context);
      const opened = await openSnapshot(context, repository, name, { filter, signal });
      printHeader(context, opened, directories);
      const listed = listEntries(opened, within, signal);
      for await (const entry of inOrder(listed, order, flags.reverse === true)) {
        printEntry(context, flags, entry);
        await context.output.drained();
      }
    });
    return EXIT.ok;
  },
};

function orderOf(text: string): EntryOrder {
  const order = ENTRY_ORDERS[text];
  if (order !== undefined) return order;
  throw new HoldfastError("USAGE", `--sort: unknown order ${JSON.stringify(text)}`, {
    hint: `Use one of ${Object.keys(ENTRY_ORDERS).join(", ")}.`,
  });
}

interface Within {
  lists(path: string): boolean;
  enters(path: string): boolean;
}

/** Which paths the directories on the command line mean. */
function selectDirectories(directories: readonly string[], recursive: boolean): Within {
  const wanted = directories.map((directory) => {
    if (directory.startsWith("/")) return textToByteString(directory.replace(/(?<=.)\/+$/, ""));
    throw new HoldfastError("USAGE", `not an absolute path: ${directory}`, {
      hint: "Directories are paths inside the snapshot and begin with a slash.",
    });
  });
  if (wanted.length === 0) return { lists: () => true, enters: () => true };
  const below = (path: string, directory: string): boolean =>
    path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`);
  const lists = (path: string): boolean => wanted.some((directory) => below(path, directory));
  return {
    lists,
    // On the way to a directory, or in it; below that only when asked for.
    enters: (path) =>
      wanted.some((directory) => below(directory, path)) || (recursive && lists(path)),
  };
}

async function* listEntries(
  { reader, tree }: OpenSnapshot,
  { lists, enters }: Within,
  signal: AbortSignal,
): AsyncGenerator<WalkedEntry> {
  for await (const entry of walkSnapshot({ reader, tree, enters, signal })) {
    if (lists(entry.path)) yield entry;
  }
}

/** The entries as they come, or all of them collected first where another order is wanted. */
async function* inOrder(
  entries: AsyncIterable<WalkedEntry>,
  order: EntryOrder,
  reverse: boolean,
): AsyncGenerator<WalkedEntry> {
  if (order === "name" && !reverse) {
    yield* entries;
    return;
  }
  const all: WalkedEntry[] = [];
  for await (const entry of entries) all.push(entry);
  if (order !== "name") all.sort(compareEntries(order));
  yield* reverse ? all.reverse() : all;
}

function printHeader(
  { output }: Context,
  { id, snapshot }: OpenSnapshot,
  directories: readonly string[],
): void {
  if (output.isJson) {
    const types = { message_type: "snapshot", struct_type: "snapshot" };
    output.json({ ...snapshotMessage({ id, snapshot }), ...types });
  } else {
    output.print(`${describeSnapshot(id, snapshot)} filtered by [${directories.join(" ")}]:`);
  }
}

function printEntry({ output }: Context, flags: LsFlags, { path, node }: WalkedEntry): void {
  if (output.isJson) {
    output.dataBytes(nodeMessage(path, node));
    return;
  }
  const long = flags.long === true;
  const humanReadable = flags.humanReadable === true;
  output.dataBytes(formatNode(path, node, { long, humanReadable, quote: output.isTerminal }));
}
