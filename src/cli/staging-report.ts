// What `staging` says of a copy: what was done to it, and what it could still do.

import type { CopiedDatabase } from "../odoo/copy-database.ts";
import type { StagingReport } from "../odoo/staging.ts";
import type { Output } from "./output.ts";
import { quoteUnprintable } from "./terminal-text.ts";

/** How many names a line lists. */
const NAMED = 8;

/** Where the copy is, and what was left out of it. */
export interface StagedPlace {
  readonly database: string;
  readonly filestore: string;
  /** Undefined for a data directory of its own. */
  readonly copied: CopiedDatabase | undefined;
  readonly dataDirectory: string | undefined;
  /** Other databases of the cluster, which are not in the copy. */
  readonly dropped: readonly string[];
}

/** Tells it. */
export function reportStaging(output: Output, staged: StagingReport, place: StagedPlace): void {
  if (output.isJson) {
    const { neutralized, installed, unknown, uuid, changes, hooks, active } = staged;
    output.json({
      message_type: "staging",
      database: place.database,
      filestore: place.filestore,
      server: place.copied?.place,
      tables: place.copied?.tables,
      rows: place.copied?.rows,
      data_directory: place.dataDirectory,
      dropped_databases: place.dropped,
      neutralized_modules: neutralized ?? null,
      installed_modules: installed,
      unknown_modules: unknown,
      uuid,
      storage_cut: changes.storage,
      secrets_left: changes.secretsLeft,
      hooks,
      active: {
        crons: active.crons,
        mail_servers: active.mailServers,
        fetchmail_servers: active.fetchmailServers,
        payment_providers: active.paymentProviders,
      },
    });
    return;
  }
  for (const line of lines(staged, place)) output.print(line);
  for (const line of warnings(staged)) output.warn(line);
}

function* lines(staged: StagingReport, place: StagedPlace): Generator<string> {
  const { neutralized, installed, uuid, changes, hooks, active } = staged;
  const where =
    place.copied === undefined
      ? `in ${quoteUnprintable(place.dataDirectory ?? "")}`
      : `on ${quoteUnprintable(place.copied.place)}, ${place.copied.tables} tables with ${place.copied.rows} rows`;
  yield "";
  yield `database     ${quoteUnprintable(place.database)} ${where}`;
  yield `files        ${quoteUnprintable(place.filestore)}`;
  yield neutralized === undefined
    ? "neutralised  NO: the copy is as the original was"
    : `neutralised  by the SQL of ${neutralized.length} of ${installed} modules: ${named(neutralized)}`;
  yield `identity     database.uuid ${uuid}, and a new secret`;
  if (changes.storage.length > 0) yield `cut off      storage outside: ${named(changes.storage)}`;
  if (hooks.length > 0) yield `your SQL     ${named(hooks)}`;
  if (place.dropped.length > 0)
    yield `left out     other databases of the cluster: ${named(place.dropped)}`;
  yield `still runs   ${active.crons.length === 0 ? "no scheduled action" : named(active.crons)}`;
}

function* warnings({ unknown, changes, active }: StagingReport): Generator<string> {
  if (unknown.length > 0)
    yield `${unknown.length} modules were in no folder of addons, and may not be neutralised: ${named(unknown)}`;
  if (active.mailServers.length > 0) yield `mail servers are active: ${named(active.mailServers)}`;
  if (active.fetchmailServers.length > 0)
    yield `incoming mail servers are active: ${named(active.fetchmailServers)}`;
  if (active.paymentProviders.length > 0)
    yield `payment providers are enabled: ${named(active.paymentProviders)}`;
  if (changes.secretsLeft.length > 0)
    yield `parameters that look like secrets of the original were left: ${named(changes.secretsLeft)}`;
}

function named(names: readonly string[]): string {
  const shown = names.slice(0, NAMED).map(quoteUnprintable).join(", ");
  return names.length > NAMED ? `${shown} and ${names.length - NAMED} more` : shown;
}
