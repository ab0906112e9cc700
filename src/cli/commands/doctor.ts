// `doctor`: looks at what the product stands on, and says what to mend. It changes nothing that it does not put back.

import { redactLocation } from "../../storage/location.ts";
import { openStorage } from "../../storage/open-storage.ts";
import { probeStorage } from "../../storage/probe.ts";
import type { ProbeStep } from "../../storage/probe.ts";
import type { Storage, StorageFact } from "../../storage/storage.ts";
import { isHoldfastError } from "../../base/errors.ts";
import type { CommandFamily, CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { namedLocation, storageOptions } from "../session.ts";
import { costLine } from "../storage-cost.ts";
import { formatTable } from "../table.ts";

/** A probe should tell soon; whoever backs up has more patience. */
const RETRY = { attemptsMax: 3, delayMax: 5_000 };

const WORDS: Readonly<Record<ProbeStep["outcome"], string>> = {
  ok: "ok",
  failed: "FAILED",
  skipped: "not tried",
};

const storageCommand: CommandModule = {
  configure(command) {
    command
      .argument("[location]", "a repository or an archive (default: the repository)")
      .addHelpText(
        "after",
        `
Examples:
  holdfast doctor storage
  holdfast doctor storage gs://company-backups/base
  holdfast doctor storage -o gs.kms-key=projects/…/cryptoKeys/backup

Writes an object of 1 MiB below "holdfast-probe/", reads, lists and deletes it, tries to replace it, and shows what the
storage says of itself. Nothing is left behind. The status is 1 when anything failed.`,
      );
  },

  async run(context, [named]) {
    const location = named ?? (await namedLocation(context));
    const options = await storageOptions(context);
    const opened = await openStorage(location, {
      ...options,
      retry: { ...options.retry, ...RETRY },
      // What repositories and archives write differently is read as archives write it.
      purpose: /^\w+:\/\//.test(location) ? "archive" : "repository",
    });
    return await examine(context, context.closers.add(opened), redactLocation(location));
  },
};

export const doctorCommand: CommandFamily = {
  members: [
    {
      name: "storage",
      summary: "Try what a storage lets us do, and show how it is set up",
      load: () => Promise.resolve(storageCommand),
    },
    {
      name: "postgres",
      summary: "See what a PostgreSQL server lets us do, and what mends the rest",
      load: async () => (await import("../doctor-postgres.ts")).doctorPostgres,
    },
    {
      name: "odoo",
      summary: "Find filestores and their databases, and what no backup of them would hold",
      load: async () => (await import("../doctor-odoo.ts")).doctorOdoo,
    },
  ],
};

async function examine(context: Context, storage: Storage, location: string): Promise<number> {
  const { output, clock, random, signal, meter } = context;
  const steps = await probeStorage(storage, { clock, random, signal });
  const facts = await factsOf(storage, signal);
  const isWell = steps.every(({ outcome }) => outcome === "ok");
  if (output.isJson) {
    const checks = steps.map(({ milliseconds, ...step }) => ({
      ...step,
      milliseconds: Math.round(milliseconds),
    }));
    output.json({ message_type: "storage", location, ok: isWell, checks, facts, ...meter.read() });
  } else {
    output.data(`Storage ${storage.location}`);
    output.data("");
    for (const line of stepTable(steps)) output.data(line);
    for (const line of factLines(facts)) output.data(line);
    output.data("");
    // With -v every command ends with this line.
    if (!output.shows(2)) output.data(costLine(meter.read()) ?? "No request left this machine.");
    output.data(
      isWell ? "Everything that backups need is allowed." : "Not everything works: see above.",
    );
  }
  return isWell ? EXIT.ok : EXIT.failed;
}

async function factsOf(storage: Storage, signal: AbortSignal): Promise<StorageFact[]> {
  try {
    return (await storage.inspect?.({ signal })) ?? [];
  } catch (error) {
    if (!isHoldfastError(error) || error.code === "CANCELLED") throw error;
    return [{ name: "settings", value: undefined, note: error.message }];
  }
}

function stepTable(steps: readonly ProbeStep[]): string[] {
  const rows = steps.map(({ name, outcome, milliseconds }) => [
    name,
    WORDS[outcome],
    outcome === "skipped" ? "" : `${Math.round(milliseconds)} ms`,
  ]);
  const troubles = steps.flatMap(({ name, outcome, note, hint }) =>
    outcome === "failed"
      ? [`${name}: ${note}`, ...(hint === undefined ? [] : [`  hint: ${hint}`])]
      : [],
  );
  return [...formatTable({ headers: ["Step", "Result", "Time"], rows }), ...troubles];
}

function factLines(facts: readonly StorageFact[]): string[] {
  const width = Math.max(0, ...facts.map(({ name }) => name.length));
  const lines = facts.flatMap(({ name, value, note }) => {
    const indent = " ".repeat(width + 2);
    const first = `${name.padEnd(width)}  ${value ?? "unknown"}`;
    return note === undefined ? [first] : [first, `${indent}${note}`];
  });
  return lines.length === 0 ? [] : ["", ...lines];
}
