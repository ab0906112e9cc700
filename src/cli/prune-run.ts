// One prune as the command line runs it: for `prune`, and for `forget --prune` after it has released its own lock.

import type { Id } from "../base/bytes.ts";
import { HoldfastError } from "../base/errors.ts";
import { pruneRepository } from "../repository/prune.ts";
import type { PruneOptions } from "../repository/prune.ts";
import type { Repository } from "../repository/repository.ts";
import { PACK_SIZE_DEFAULT } from "../repository/writer.ts";
import type { Context } from "./command.ts";
import { pruneCriteria } from "./prune-options.ts";
import type { PruneFlags } from "./prune-options.ts";
import { PruneReporter } from "./prune-report.ts";

export interface PruneRun {
  repository: Repository;
  flags: PruneFlags;
  dryRun: boolean;
  /** Plan as if these snapshots were gone: those that a dry run of a forget would remove. */
  ignoreSnapshots?: ReadonlySet<Id>;
  /** A listing of the locks that was begun just before. */
  listed?: Exclude<PruneOptions["lock"], false>["listed"];
}

/** Prunes and reports. It takes its locks by itself: call it without holding any. Throws what pruneRepository does. */
export async function runPrune(context: Context, run: PruneRun): Promise<void> {
  const { repository, flags, dryRun, ignoreSnapshots, listed } = run;
  const { output, clock, settings, cores, signal } = context;
  const criteria = pruneCriteria(flags, context);
  if (!settings.lock && !dryRun) {
    throw new HoldfastError(
      "USAGE",
      "--no-lock is only applicable in combination with --dry-run for prune command",
    );
  }
  if (criteria.repackUncompressed && repository.config.version < 2) {
    throw new HoldfastError("USAGE", "compression requires at least repository format version 2");
  }
  const framesPerSecond = settings.progressFps;
  const reporter = new PruneReporter({ output, clock, framesPerSecond, dryRun });
  try {
    await pruneRepository(repository, {
      criteria,
      packSize: settings.packSize ?? PACK_SIZE_DEFAULT,
      dryRun,
      ...(ignoreSnapshots && { ignoreSnapshots }),
      workers: Math.min(cores, 8),
      lock: settings.lock && {
        retryFor: settings.retryLock,
        onNotice: (message) => output.warn(message),
        listed,
      },
      events: reporter.events,
      signal,
    });
  } catch (error) {
    reporter.end("failed");
    throw error;
  }
  reporter.finish();
}
