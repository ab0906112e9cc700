// `cache`: lists the local caches, restic's as well as ours, and removes old ones, with restic's options and table.

import { HoldfastError, messageOf } from "../../base/errors.ts";
import { cacheBytes, listCacheFolders, removeCacheFolder } from "../../repository/cache-folders.ts";
import type { CacheFolder } from "../../repository/cache-folders.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { formatBytes } from "../format.ts";
import { wholeNumber } from "../option-values.ts";
import { formatTable } from "../table.ts";

interface CacheFlags {
  cleanup?: boolean;
  maxAge: number;
  /** False with --no-size. */
  size: boolean;
}

const DAY_MS = 86_400_000;

export const cacheCommand: CommandModule = {
  stopsWithReader: true,

  configure(command) {
    command
      .option("--cleanup", "remove old caches")
      .option("--max-age <days>", "days without use after which a cache is old", wholeNumber, 30)
      .option("--no-size", "do not add up sizes")
      .addHelpText(
        "after",
        `
Examples:
  holdfast cache
  holdfast cache --cleanup --max-age 7`,
      );
  },

  async run(context, _parameters, options) {
    const flags = options as unknown as CacheFlags;
    const { settings, output, clock } = context;
    const folder = settings.cacheFolder;
    if (folder === undefined) {
      throw new HoldfastError("USAGE", "Refusing to do anything, the cache is disabled");
    }
    if (flags.maxAge < 0) throw new HoldfastError("USAGE", "--max-age: an age is not negative");
    const caches = await listCacheFolders(folder);
    const isOld = ({ usedAt }: CacheFolder): boolean =>
      usedAt < clock.now() - flags.maxAge * DAY_MS;
    if (flags.cleanup === true) return await cleanUp(context, caches.filter(isOld));
    if (caches.length === 0) {
      output.data(`no cache dirs found, basedir is ${folder}`);
      return EXIT.ok;
    }
    const rows = [];
    for (const cache of caches) {
      const days = Math.max(0, Math.trunc((clock.now() - cache.usedAt) / DAY_MS));
      const name = cache.name.length === 64 ? cache.name.slice(0, 10) : cache.name;
      const size = flags.size ? [formatBytes(await cacheBytes(cache)).padStart(11)] : [];
      rows.push([name, `${days} days ago`, isOld(cache) ? "yes" : "", ...size]);
    }
    const headers = ["Repo ID", "Last Used", "Old", ...(flags.size ? ["Size"] : [])];
    for (const line of formatTable({ headers, rows })) output.data(line);
    output.data(`${caches.length} cache dirs in ${folder}`);
    return EXIT.ok;
  },
};

async function cleanUp({ output }: Context, old: readonly CacheFolder[]): Promise<number> {
  if (old.length === 0) {
    output.print("no old cache dirs found");
    return EXIT.ok;
  }
  output.print(`remove ${old.length} old cache directories`);
  let status: number = EXIT.ok;
  for (const cache of old) {
    try {
      await removeCacheFolder(cache);
    } catch (error) {
      output.warn(`unable to remove ${cache.path}: ${messageOf(error)}`);
      status = EXIT.incomplete;
    }
  }
  return status;
}
