// `list`: prints the ids of all repository files of a kind, or of all blobs.

import { toHex } from "../../base/bytes.ts";
import { HoldfastError } from "../../base/errors.ts";
import type { FileKind } from "../../repository/layout.ts";
import type { Repository } from "../../repository/repository.ts";
import { decodeIndexFile } from "../../restic/index-file.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { withRepository } from "../session.ts";

const KINDS: Readonly<Record<string, FileKind>> = {
  packs: "pack",
  index: "index",
  snapshots: "snapshot",
  keys: "key",
  locks: "lock",
};

export const listCommand: CommandModule = {
  stopsWithReader: true,

  configure(command) {
    command
      .argument("<type>", "blobs, packs, index, snapshots, keys or locks")
      .addHelpText(
        "after",
        "\nExamples:\n  holdfast list snapshots\n  holdfast list blobs | wc -l",
      );
  },

  async run(context, [type = ""]) {
    const kind = Object.hasOwn(KINDS, type) ? KINDS[type] : undefined;
    if (kind === undefined && type !== "blobs") {
      throw new HoldfastError("USAGE", `unknown type ${JSON.stringify(type)}`, {
        hint: `Use one of blobs, ${Object.keys(KINDS).join(", ")}.`,
      });
    }
    // Our own lock would be among those that somebody is looking for.
    await withRepository(context, kind === "lock" ? "none" : "read", async (repository, signal) => {
      if (kind === undefined) await printBlobs(context, repository, signal);
      else for (const { id } of await repository.list(kind, signal)) context.output.data(id);
    });
    return EXIT.ok;
  },
};

/** Every place of every blob, index file by index file: nothing is held in memory but one of them. */
async function printBlobs(
  { output }: Context,
  repository: Repository,
  signal: AbortSignal,
): Promise<void> {
  for (const { id } of await repository.list("index", signal)) {
    decodeIndexFile(await repository.load("index", id, signal), {
      pack: () => {},
      blob: (type, blob) => output.data(`${type === 1 ? "tree" : "data"} ${toHex(blob)}`),
    });
    await output.drained();
  }
}
