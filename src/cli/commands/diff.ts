// `diff`: what changed between two snapshots, or directories of them, with restic's lines and JSON.

import { diffTrees } from "../../files/diff-snapshots.ts";
import type { Diff, DiffCounts } from "../../files/diff-snapshots.ts";
import { findDirectory } from "../../files/find-path.ts";
import { findSnapshot } from "../../repository/snapshots.ts";
import { textToByteString } from "../../restic/byte-string.ts";
import { goJsonByteString } from "../../restic/go-json.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { formatBytes, shortId } from "../format.ts";
import { withRepository } from "../session.ts";
import { openBlobs, splitSnapshotName } from "../snapshot-choice.ts";
import { pathText } from "../terminal-text.ts";

interface DiffFlags {
  metadata?: boolean;
}

export const diffCommand: CommandModule = {
  stopsWithReader: true,

  configure(command) {
    command
      .argument("<older[:directory]>", "snapshot id, or a directory of one")
      .argument("<newer[:directory]>", "what to compare it with")
      .option("--metadata", "tell of changed owners, modes and times as well")
      .addHelpText(
        "after",
        `
Before each path stands what happened to it:
  +   it was added
  -   it was removed
  M   its content changed
  M?  its content changed, though its times and all else did not: a disk may have lost it
  T   it became something else, such as a link
  U   its metadata changed (with --metadata)

Examples:
  holdfast diff 4bba301e latest
  holdfast diff 4bba301e:/srv 0123abcd:/srv --metadata`,
      );
  },

  async run(context, [first = "", second = ""], options) {
    const { output } = context;
    const metadata = (options as DiffFlags).metadata === true;
    return await withRepository(context, "read", async (repository, signal) => {
      const named = [];
      for (const name of [first, second]) {
        const [id, directory] = splitSnapshotName(name);
        named.push({ ...(await findSnapshot(repository, id, {}, signal)), directory });
      }
      const [one, two] = named as [(typeof named)[0], (typeof named)[0]];
      output.print(`comparing snapshot ${shortId(one.id)} to ${shortId(two.id)}:\n`);
      const reader = await openBlobs(context, repository, signal);
      const treeOf = ({ snapshot, directory }: typeof one) =>
        findDirectory(reader, snapshot.tree, directory, signal);
      let complete = true;
      const diff = await diffTrees({
        reader,
        trees: [await treeOf(one), await treeOf(two)],
        metadata,
        onChange: async (path, modifier) => {
          printChange(context, path, modifier);
          await output.drained();
        },
        onDamage: (message) => {
          complete = false;
          output.warn(`error: ${message}`);
        },
        signal,
      });
      if (output.isJson) output.json(statistics(diff, first, second));
      else printStatistics(context, diff);
      return complete ? EXIT.ok : EXIT.incomplete;
    });
  },
};

function printChange({ output }: Context, path: string, modifier: string): void {
  if (output.verbosity === 0) return;
  if (output.isJson) {
    output.dataBytes(
      `{"message_type":"change","path":${goJsonByteString(path)},"modifier":"${modifier}"}`,
    );
    return;
  }
  const shown = output.isTerminal ? textToByteString(pathText(path)) : path;
  output.dataBytes(`${modifier.padEnd(5)}${shown}`);
}

function statistics({ changedFiles, added, removed }: Diff, first: string, second: string): object {
  const counts = ({ files, dirs, others, dataBlobs, treeBlobs, bytes }: DiffCounts): object => ({
    files,
    dirs,
    others,
    data_blobs: dataBlobs,
    tree_blobs: treeBlobs,
    bytes,
  });
  return {
    message_type: "statistics",
    source_snapshot: first,
    target_snapshot: second,
    changed_files: changedFiles,
    added: counts(added),
    removed: counts(removed),
  };
}

function printStatistics({ output }: Context, { changedFiles, added, removed }: Diff): void {
  const count = (value: number): string => String(value).padStart(5);
  const both = (name: keyof DiffCounts): string =>
    `${count(added[name])} new, ${count(removed[name])} removed`;
  output.data("");
  output.data(`Files:       ${both("files")}, ${count(changedFiles)} changed`);
  output.data(`Dirs:        ${both("dirs")}`);
  output.data(`Others:      ${both("others")}`);
  output.data(`Data Blobs:  ${both("dataBlobs")}`);
  output.data(`Tree Blobs:  ${both("treeBlobs")}`);
  output.data(`  Added:   ${formatBytes(added.bytes).padEnd(5)}`);
  output.data(`  Removed: ${formatBytes(removed.bytes).padEnd(5)}`);
}
