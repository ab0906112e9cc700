// `pg expire`: deletes the backups and the WAL that a retention policy lets go of, and what is left over.

import type { Command } from "commander";
import { parseDuration } from "../../base/duration.ts";
import { HoldfastError } from "../../base/errors.ts";
import { parseRetentionPolicy, type RetentionPolicy } from "../../barman/retention.ts";
import { expire, previewExpire, requireDeletable } from "../../postgres/expire.ts";
import type { ExpireReport } from "../../postgres/expire.ts";
import { addArchiveOptions, openNamedArchive, type ArchiveFlags } from "../archive-session.ts";
import type { CommandModule } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { expireMessage, viewOutcome, viewPlan } from "../expire-report.ts";
import { wholeNumber } from "../option-values.ts";

const GRACE_MIN = 86_400_000;

interface ExpireFlags extends ArchiveFlags {
  retentionPolicy?: string;
  recoveryWindow?: string;
  redundancy?: number;
  minimumRedundancy: number;
  grace: string;
  dryRun?: boolean;
}

function configure(command: Command): void {
  addArchiveOptions(command);
  command
    .option(
      "--retention-policy <policy>",
      "as Barman writes it: REDUNDANCY n, RECOVERY WINDOW OF n DAYS",
    )
    .option(
      "--recovery-window <time>",
      'how far back any moment must be recoverable: "7 days", 30d, 4w',
    )
    .option("--redundancy <n>", "how many backups to keep", wholeNumber)
    .option("--minimum-redundancy <n>", "keep so many backups in any case", wholeNumber, 0)
    .option("--grace <duration>", "age from which what failed or was cut off goes", "168h")
    .option("-n, --dry-run", "only say what would go, and why the rest stays")
    .addHelpText(
      "after",
      `
Examples:
  holdfast pg expire --recovery-window "30 days" --dry-run
  holdfast pg expire --retention-policy "REDUNDANCY 3" --archive gs://company-backups/base --server odoo-db

Backups marked with \`pg keep\` stay. A backup stops being one before anything else of it goes, and WAL goes last, so that
a run that is killed leaves nothing that looks whole and is not. Nothing at all is deleted while a backup.info cannot be
read, or has fields of a program that is not known. The status is 3 when the storage would not delete something.`,
    );
}

export const pgExpireCommand: CommandModule = {
  configure,

  async run(context, _, options) {
    const { output, clock, signal, settings } = context;
    const flags = options as unknown as ExpireFlags;
    const policy = policyOf(flags);
    const minimum = flags.minimumRedundancy;
    if (minimum < 0) throw new HoldfastError("USAGE", "--minimum-redundancy takes 0 or more");
    const rules = { policy, minimum, grace: graceOf(flags) };
    const archive = await openNamedArchive(context, flags);
    const now = clock.now();
    const preview = await previewExpire({ ...rules, archive, now, signal });
    const shown = { archive, policy, preview, now };
    if (!output.isJson) for (const line of viewPlan(shown, settings.timeZone)) output.print(line);
    requireDeletable(preview, archive);
    let report: ExpireReport | undefined;
    if (flags.dryRun !== true) {
      report = await expire({
        ...rules,
        archive,
        shown: preview,
        now: () => clock.now(),
        onDeleted: (objects) => {
          for (const { path } of objects) output.verbose(`deleted ${path}`);
        },
        signal,
      });
    }
    if (output.isJson) output.json(expireMessage(shown, report));
    else for (const line of viewOutcome(preview, report)) output.print(line);
    if (report === undefined || report.refusals.length === 0) return EXIT.ok;
    throw new HoldfastError(
      "INCOMPLETE",
      "the storage would not delete everything; nothing is lost",
      {
        hint: "Grant the right to delete, or wait until the retention of the bucket lets the objects go.",
      },
    );
  },
};

/** The policy of exactly one of three options. */
function policyOf({ retentionPolicy, recoveryWindow, redundancy }: ExpireFlags): RetentionPolicy {
  const given = [
    retentionPolicy && (() => parseRetentionPolicy(retentionPolicy, "--retention-policy")),
    recoveryWindow && (() => windowOf(recoveryWindow)),
    redundancy !== undefined &&
      (() => parseRetentionPolicy(`REDUNDANCY ${redundancy}`, "--redundancy")),
  ].filter((parse) => typeof parse === "function");
  const [parse, ...more] = given;
  if (parse !== undefined && more.length === 0) return parse();
  throw new HoldfastError("USAGE", "exactly one policy must be given", {
    hint: "Use --recovery-window, --redundancy or --retention-policy.",
  });
}

/** What is younger than a day may be a large backup under way, of which nothing shows before its first part is whole. */
function graceOf({ grace }: ExpireFlags): number {
  const milliseconds = parseDuration(grace, "--grace");
  if (milliseconds >= GRACE_MIN) return milliseconds;
  throw new HoldfastError("USAGE", "--grace takes 24h or more", {
    hint: "A backup that is under way looks like one that was cut off.",
  });
}

function windowOf(text: string): RetentionPolicy {
  const policy = parseRetentionPolicy(text, "--recovery-window");
  if (policy.kind === "window") return policy;
  throw new HoldfastError("USAGE", `--recovery-window: "${text}" is not a time`, {
    hint: 'Write it as "7 days", "4 weeks" or 30d.',
  });
}
