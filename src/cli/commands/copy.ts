// `copy`: copies snapshots from another repository into this one, with restic's options and words.

import { copySnapshots } from "../../repository/copy.ts";
import type { Repository } from "../../repository/repository.ts";
import { PACK_SIZE_DEFAULT } from "../../repository/writer.ts";
import type { CommandModule, Context } from "../command.ts";
import { CopyReporter } from "../copy-report.ts";
import { EXIT } from "../exit-status.ts";
import { addFromOptions, sourceContext } from "../from-options.ts";
import type { FromFlags } from "../from-options.ts";
import { findRepositorySource } from "../repository-source.ts";
import { withRepository } from "../session.ts";
import { addSnapshotFilter, collectSnapshots, snapshotFilter } from "../snapshot-choice.ts";
import type { FilterFlags } from "../snapshot-choice.ts";

interface CopyFlags extends FromFlags, FilterFlags {}

export const copyCommand: CommandModule = {
  configure(command) {
    command.argument(
      "[snapshots...]",
      "ids, or starts of them, or `latest`; all that pass without any",
    );
    addFromOptions(command);
    addSnapshotFilter(command);
    command.addHelpText(
      "after",
      `
Examples:
  holdfast copy -r gs:offsite:/filestore --from-repo /srv/backup
  holdfast copy -r /mnt/disk/backup --from-repo gs:company:/filestore --from-password-file /etc/backup-password latest

What the target has already is not copied again, so an interrupted copy goes on where it was. Files are cut as the source
cut them: make the target with \`init --copy-chunker-params\` if it gets backups of its own.`,
    );
  },

  async run(context, names, options) {
    const flags = options as unknown as CopyFlags;
    const from = sourceContext(context, flags);
    // Before anybody is asked for a password.
    findRepositorySource(from.flags, from.environment, from.role);
    findRepositorySource(context.flags, context.environment);
    // --no-lock is about the source alone.
    const settings = { ...context.settings, lock: true };
    return await withRepository(from, "read", (source, readSignal) =>
      withRepository({ ...context, settings }, "append", (target, signal) =>
        copyAll(context, { source, target, names, flags }, AbortSignal.any([readSignal, signal])),
      ),
    );
  },
};

async function copyAll(
  context: Context,
  work: { source: Repository; target: Repository; names: readonly string[]; flags: CopyFlags },
  signal: AbortSignal,
): Promise<number> {
  const { source, target, names, flags } = work;
  const { output, clock, settings, cores } = context;
  const filter = snapshotFilter(flags, context);
  const { found, complete } = await collectSnapshots(context, source, { names, filter, signal });
  if (source.config.chunkerPolynomial !== target.config.chunkerPolynomial) {
    output.terminal("the repositories cut files differently: what both back up is stored twice");
  }
  const reporter = new CopyReporter({ output, clock, framesPerSecond: settings.progressFps });
  const { damaged } = await reporter.during(() =>
    copySnapshots({
      source,
      target,
      snapshots: found,
      packSize: settings.packSize ?? PACK_SIZE_DEFAULT,
      verify: settings.extraVerify,
      recompress: settings.compression !== "auto",
      workers: Math.min(cores, 8),
      events: reporter.events,
      signal,
    }),
  );
  return complete && damaged === 0 ? EXIT.ok : EXIT.incomplete;
}
