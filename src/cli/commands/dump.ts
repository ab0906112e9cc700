// `dump`: writes a file of a snapshot, or a directory as a tar or zip, to standard output or into a file, piece by piece.

import { open, unlink } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { posix } from "node:path";
import { HoldfastError, errnoOf, messageOf } from "../../base/errors.ts";
import { ARCHIVE_FORMATS, dumpArchive } from "../../files/dump-archive.ts";
import { readFileContent } from "../../files/file-content.ts";
import { findNode } from "../../files/find-path.ts";
import type { Id } from "../../base/bytes.ts";
import { textToByteString } from "../../restic/byte-string.ts";
import type { TreeNode } from "../../restic/tree-node.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { withRepository } from "../session.ts";
import { addSnapshotFilter, openSnapshot, snapshotFilter } from "../snapshot-choice.ts";
import type { FilterFlags } from "../snapshot-choice.ts";

interface DumpFlags extends FilterFlags {
  archive: string;
  target?: string;
}

/** Blobs to fetch at once: at most 32 MiB of content are in memory. */
const AHEAD_MAX = 4;

export const dumpCommand: CommandModule = {
  stopsWithReader: true,

  configure(command) {
    command
      .argument("<snapshot[:directory]>", "snapshot id, `latest`, or a directory of one")
      .argument("<path>", "path in it of a file, or of a directory to write as an archive")
      .option("-t, --target <file>", "write into this file instead of standard output")
      .option("-a, --archive <format>", "how to write a directory: tar or zip", "tar")
      .addHelpText(
        "after",
        `
Examples:
  holdfast dump latest /production.sql | psql production
  holdfast dump 4bba301e:/etc hosts --target /tmp/hosts
  holdfast dump latest:/srv / --archive zip > srv.zip`,
      );
    addSnapshotFilter(command, ", for `latest`");
  },

  async run(context, [name = "", path = ""], options) {
    const flags = options as unknown as DumpFlags;
    const format = ARCHIVE_FORMATS.find((each) => each === flags.archive);
    if (format === undefined) {
      throw new HoldfastError("USAGE", `unknown archive format ${JSON.stringify(flags.archive)}`);
    }
    await withRepository(context, "read", async (repository, signal) => {
      const filter = snapshotFilter(flags, context);
      const { reader, tree } = await openSnapshot(context, repository, name, { filter, signal });
      const node = await findNode(reader, tree, textToByteString(path), signal);
      const ahead = Math.min(AHEAD_MAX, repository.storage.traits.connections);
      const reading = { reader, ahead, signal };
      let content: AsyncIterable<Uint8Array>;
      if (node?.type === "file") content = readFileContent({ ...reading, node });
      else {
        const directory = directoryOf(node, tree, path);
        if (flags.target === undefined && context.output.isTerminal) {
          throw new HoldfastError("USAGE", "stdout is the terminal, please redirect output", {
            hint: "Or name a file with --target.",
          });
        }
        const inside = posix.normalize(`/${textToByteString(path)}`);
        content = dumpArchive(format, { ...reading, tree: directory, path: inside });
      }
      if (flags.target === undefined) await print(context, content);
      else await store(flags.target, content);
    });
    return EXIT.ok;
  },
};

/** The tree of a directory, that of the snapshot where the path leads nowhere else. */
function directoryOf(node: TreeNode | undefined, root: Id, path: string): Id {
  if (node === undefined) return root;
  if (node.subtree !== null) return node.subtree;
  throw new HoldfastError("USAGE", `${path} should be a file, but is a ${node.type}`);
}

/** A slow reader slows the reading down, so that memory stays bounded. */
async function print({ output }: Context, content: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const piece of content) {
    output.raw(piece);
    await output.drained();
  }
}

/** A file that was made for this is removed again when its content cannot be written to the end. */
async function store(path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
  const { file, isNew } = await openTarget(path);
  let written = false;
  try {
    for await (const piece of content) {
      await file.writeFile(piece).catch((error: unknown) => failWriting(path, error));
    }
    // A pipe or a device has nothing to synchronise.
    await file.sync().catch((error: unknown) => {
      if (errnoOf(error) !== "EINVAL") failWriting(path, error);
    });
    written = true;
  } finally {
    await file.close();
    if (!written && isNew) await unlink(path);
  }
}

async function openTarget(path: string): Promise<{ file: FileHandle; isNew: boolean }> {
  try {
    return { file: await open(path, "wx"), isNew: true };
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") failWriting(path, error);
  }
  try {
    return { file: await open(path, "w"), isNew: false };
  } catch (error) {
    return failWriting(path, error);
  }
}

function failWriting(path: string, error: unknown): never {
  throw new HoldfastError("TARGET_UNWRITABLE", `cannot write ${path}: ${messageOf(error)}`, {
    cause: error,
  });
}
