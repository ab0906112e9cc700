// `recover`: with a moment, an Odoo database and its files as they were then; without, a snapshot of everything that no
// snapshot holds any more, as restic's command of that name makes it.

import { recover } from "../../repository/recover.ts";
import { repairIndex } from "../../repository/repair-index.ts";
import { PACK_SIZE_DEFAULT } from "../../repository/writer.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { shortId } from "../format.ts";
import { addRecoverOptions, isMomentWanted, type RecoverFlags } from "../recover-options.ts";
import { repairIndexEvents } from "../repair-index-report.ts";
import { withRepository } from "../session.ts";
import { StepProgress } from "../step-progress.ts";
import { PROGRAM_VERSION } from "../version.ts";

export const recoverCommand: CommandModule = {
  configure(command) {
    addRecoverOptions(command);
    command.addHelpText(
      "after",
      `
Examples:
  holdfast recover --at "2026-01-31 15:04:05" --to /recovered --dry-run
  holdfast recover --latest-complete --to /recovered
  holdfast recover --at "2026-01-31 15:04:05" --into-server host=db1 --new-database odoo_then --filestore /srv/filestore/odoo_then
  holdfast recover --heal --filestore /var/lib/odoo/filestore/odoo -d 'host=db1 dbname=odoo'
  holdfast recover

With a moment, the database is recovered to it from the archive, and exactly the files that it refers to from the
repository and its captures, each checked, into a new directory: pgdata, filestore/DATABASE and a report. The plan is
shown first. Nothing live is touched. The status is 3 when files are missing; the report names them.

With --heal, files that are missing or damaged in a live filestore are looked for, and with --yes put back. One that is
right is never touched, and what is replaced is kept beside.

Without any of these options it is restic's command, for a snapshot that was removed by mistake, until the next
\`prune\`. What is found lies in the new snapshot under directories named by ids. What was lost before is lost still:
\`repair snapshots\` takes it out.`,
    );
  },

  async run(context, _, options) {
    const flags = options as unknown as RecoverFlags;
    if (flags.heal === true) {
      const { healFilestore } = await import("../heal-run.ts");
      return await healFilestore(context, flags);
    }
    if (isMomentWanted(flags)) {
      const { recoverNamedMoment } = await import("../recover-moment.ts");
      return await recoverNamedMoment(context, flags);
    }
    return await recoverSnapshots(context);
  },
};

/** restic's command. */
async function recoverSnapshots(context: Context): Promise<number> {
  const { output, clock, settings } = context;
  const steps = new StepProgress({ output, clock, framesPerSecond: settings.progressFps });
  const { roots, snapshot } = await withRepository(context, "exclusive", (repository, signal) =>
    steps.during(async () => {
      output.print("ensuring index is complete");
      const events = repairIndexEvents(output, steps);
      await repairIndex(repository, { readAllPacks: false, events, signal });
      steps.begin(["load index files"]);
      return await recover(repository, {
        packSize: settings.packSize ?? PACK_SIZE_DEFAULT,
        programVersion: `holdfast ${PROGRAM_VERSION}`,
        events: {
          trees: (total) => steps.begin([`load ${total} trees`], "trees loaded", total),
          done: (count) => steps.done(count),
          snapshots: () => steps.begin(["load snapshots", "done"]),
          unreadable: (tree, error) =>
            output.warn(`unable to load tree ${shortId(tree)}: ${error.message}`),
          root: (tree) => output.verbose(`found root tree ${shortId(tree)}`),
        },
        signal,
      });
    }),
  );
  if (output.isJson) {
    output.json({ message_type: "summary", roots, snapshot_id: snapshot ?? null });
  }
  output.print("");
  output.print(`found ${roots} unreferenced roots`);
  if (snapshot === undefined) output.print("no snapshot to write.");
  else output.print(`saved new snapshot ${shortId(snapshot)}`);
  return EXIT.ok;
}
