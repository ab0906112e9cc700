// What the archive of a server holds, read for the commands that show it.

import type { HoldfastError } from "../base/errors.ts";
import { takeInventory } from "../barman/inventory.ts";
import { loadCatalogue, requireArchive, type Archive } from "../postgres/archive.ts";
import type { ListedServer } from "./archive-message.ts";
import type { Context } from "./command.ts";
import type { Output } from "./output.ts";
import { quoteUnprintable } from "./terminal-text.ts";

/** Reads the catalogue of one server. Throws ARCHIVE_NOT_FOUND where nothing lies. */
export async function takeStock(
  { clock, signal }: Pick<Context, "clock" | "signal">,
  archive: Archive,
): Promise<ListedServer> {
  const { server, location } = archive;
  const now = clock.now();
  const catalogue = await loadCatalogue(archive, { now, signal });
  requireArchive(archive, catalogue);
  return { server, location, inventory: takeInventory(catalogue, now) };
}

/** What could not be read or understood, for a person. */
export function warnProblems(output: Output, problems: readonly HoldfastError[]): void {
  for (const { message, hint } of problems) {
    output.warn(quoteUnprintable(message));
    if (hint !== undefined) output.warn(`hint: ${hint}`);
  }
}
