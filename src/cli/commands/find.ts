// `find`: looks for files by their names, or for blobs, trees and packs by their ids, in all snapshots, with restic's
// options, lines and JSON.

import { fromHex, isId } from "../../base/bytes.ts";
import type { Id } from "../../base/bytes.ts";
import { HoldfastError } from "../../base/errors.ts";
import { compileSearch, findObjects } from "../../files/find-entries.ts";
import type { ObjectSearch, SearchedTree } from "../../files/find-entries.ts";
import type { BlobIndex } from "../../repository/blob-index.ts";
import { readPackListing } from "../../repository/pack-listing.ts";
import type { Repository } from "../../repository/repository.ts";
import type { FoundSnapshot } from "../../repository/snapshots.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { FindReport } from "../find-report.ts";
import { collect } from "../option-values.ts";
import { shortId } from "../format.ts";
import { withRepository } from "../session.ts";
import {
  addSnapshotFilter,
  collectSnapshots,
  openBlobs,
  snapshotFilter,
} from "../snapshot-choice.ts";
import type { FilterFlags } from "../snapshot-choice.ts";
import { parseSearchTime } from "../time-option.ts";

interface FindFlags extends FilterFlags {
  oldest?: string;
  newest?: string;
  snapshot: string[];
  blob?: boolean;
  tree?: boolean;
  pack?: boolean;
  showPackId?: boolean;
  ignoreCase?: boolean;
  reverse?: boolean;
  long?: boolean;
  humanReadable?: boolean;
}

export const findCommand: CommandModule = {
  stopsWithReader: true,

  configure(command) {
    command
      .argument("[patterns...]", "patterns of paths, or ids with --blob, --tree or --pack")
      .option("-O, --oldest <time>", "only what was changed at this time or later")
      .option("-N, --newest <time>", "only what was changed at this time or earlier")
      .option("-s, --snapshot <id>", "search in this snapshot (repeatable)", collect, [])
      .option("--blob", "the patterns are ids of blobs")
      .option("--tree", "the patterns are ids of trees")
      .option("--pack", "the patterns are ids of packs")
      .option("--show-pack-id", "with --blob or --tree: name the pack that holds it")
      .option("-i, --ignore-case", "take small and capital letters for the same")
      .option("-R, --reverse", "oldest snapshot first")
      .option("-l, --long", "mode, owner, size and time before each path")
      .option("--human-readable", "sizes with units")
      .addHelpText(
        "after",
        `
Examples:
  holdfast find '*.pdf' --newest 2026-01-31
  holdfast find -l -i 'readme*' --snapshot latest
  holdfast find --blob 4bba301e --show-pack-id`,
      );
    addSnapshotFilter(command);
  },

  async run(context, patterns, options) {
    const flags = options as unknown as FindFlags;
    const search = readSearch(patterns, flags);
    const find = compileSearch(search);
    return await withRepository(context, "read", async (repository, signal) => {
      const { output } = context;
      const filter = snapshotFilter(flags, context);
      const reader = await openBlobs(context, repository, signal);
      const objects = await objectsOf(patterns, flags, { repository, index: reader.index, signal });
      const names = flags.snapshot;
      const collected = await collectSnapshots(context, repository, { names, filter, signal });
      let { complete } = collected;
      const report = new FindReport(output, {
        long: flags.long === true,
        humanReadable: flags.humanReadable === true,
      });
      const ordered = flags.reverse === true ? collected.found : collected.found.toReversed();
      for (const snapshot of ordered) {
        const searched: SearchedTree = {
          reader,
          tree: snapshot.snapshot.tree,
          onDamage: (tree, { message }) => {
            complete = false;
            tellDamage(context, snapshot, tree, message);
          },
          signal,
        };
        if (objects === undefined) {
          for await (const entry of find(searched)) {
            report.entry(snapshot, entry);
            await output.drained();
          }
        } else {
          for await (const found of findObjects(objects, searched)) {
            report.object(snapshot, found);
            await output.drained();
          }
        }
      }
      report.finish();
      if (objects !== undefined && flags.showPackId === true)
        tellPacks(context, objects, reader.index);
      return complete ? EXIT.ok : EXIT.incomplete;
    });
  },
};

function readSearch(patterns: readonly string[], flags: FindFlags) {
  if (patterns.length === 0) {
    throw new HoldfastError("USAGE", "wrong number of arguments", {
      hint: "Name what to look for, such as '*.pdf'.",
    });
  }
  const [oldest, newest] = [flags.oldest, flags.newest].map((text) =>
    text === undefined || text === "" ? undefined : parseSearchTime(text),
  );
  if (oldest !== undefined && newest !== undefined && oldest > newest) {
    throw new HoldfastError("USAGE", "--oldest must specify a time before --newest");
  }
  if ([flags.blob, flags.tree, flags.pack].filter((flag) => flag === true).length > 1) {
    throw new HoldfastError("USAGE", "cannot have several ID types");
  }
  return { patterns, ignoreCase: flags.ignoreCase === true, oldest, newest };
}

interface Place {
  repository: Repository;
  index: BlobIndex;
  signal: AbortSignal;
}

/** What is looked for by id, or undefined where the patterns are of paths. */
async function objectsOf(
  ids: readonly string[],
  flags: FindFlags,
  place: Place,
): Promise<ObjectSearch | undefined> {
  const none = new Set<string>();
  if (flags.blob === true) return { blobs: new Set(ids), trees: none };
  if (flags.tree === true) return { blobs: none, trees: new Set(ids) };
  return flags.pack === true ? await blobsOfPacks(ids, place) : undefined;
}

/** The blobs of packs, by the index, or else by the packs themselves. */
async function blobsOfPacks(
  ids: readonly string[],
  { repository, index, signal }: Place,
): Promise<ObjectSearch> {
  const missing = new Set(ids);
  const take = (pack: Id): boolean => {
    const isWanted = ids.includes(pack) || ids.includes(shortId(pack));
    missing.delete(pack);
    missing.delete(shortId(pack));
    return isWanted;
  };
  const [blobs, trees] = [new Set<Id>(), new Set<Id>()];
  const numbers = new Set([...index.packs.keys()].filter((number) => take(index.packs[number]!)));
  for (let entry = 0; entry < index.count; entry++) {
    if (!numbers.has(index.packNumber(entry))) continue;
    (index.isTree(entry) ? trees : blobs).add(index.idAt(entry));
  }
  const files = missing.size > 0 ? await repository.list("pack", signal) : [];
  for (const file of files.filter(({ id }) => take(id))) {
    for (const { type, id } of await readPackListing(repository, file, signal)) {
      (type === "tree" ? trees : blobs).add(id);
    }
  }
  if (missing.size === 0) return { blobs, trees };
  const list = [...missing].toSorted().join(" ");
  throw new HoldfastError("BLOB_MISSING", `unable to find pack(s): [${list}]`, {
    hint: "Give a whole id or its first eight digits; `list packs` shows them.",
  });
}

/** restic's two lines about a listing that cannot be read, and why. */
function tellDamage({ output }: Context, snapshot: FoundSnapshot, tree: Id, message: string): void {
  output.warn(
    `Unable to load tree ${tree}: ${message}\n ... which belongs to snapshot ${snapshot.id}`,
  );
}

function tellPacks({ output }: Context, { blobs, trees }: ObjectSearch, index: BlobIndex): void {
  const tell = (type: "data" | "tree", ids: ReadonlySet<string>): void => {
    for (const id of ids) {
      const entry = isId(id) ? index.find(type, fromHex(id)) : -1;
      if (entry < 0) {
        output.print(`Object ${type} with id ${id} not found in the index`);
        continue;
      }
      const { pack, offset, length, uncompressedLength } = index.place(entry);
      const lengths = `offset ${offset}, length ${length}, uncompressed length ${uncompressedLength}`;
      output.print(`Object belongs to pack ${pack}`);
      output.print(` ... Pack ${shortId(pack)}: <Blob (${type}) ${shortId(id)}, ${lengths}>`);
    }
  };
  tell("data", blobs);
  tell("tree", trees);
}
