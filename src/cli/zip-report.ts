// What `export-zip` says of the zip that it made.

import type { ZipReport } from "../odoo/export-zip.ts";
import { formatBytes, formatDuration } from "./format.ts";
import type { Output } from "./output.ts";
import { quoteUnprintable } from "./terminal-text.ts";

/** Tells it. */
export function reportZip(
  output: Output,
  report: ZipReport,
  made: { readonly path: string; readonly seconds: number },
): void {
  const { references, manifest, position, dumpBytes, files, fileBytes, fromPool } = report;
  const { zipBytes, absent } = report;
  const external = [...references.external.values()].reduce((sum, n) => sum + n, references.cloud);
  if (output.isJson) {
    output.json({
      message_type: "summary",
      path: made.path,
      database: manifest.db_name,
      version: manifest.version,
      time: new Date(position.time).toISOString(),
      dump_bytes: dumpBytes,
      files,
      file_bytes: fileBytes,
      files_from_backups: fromPool,
      zip_bytes: zipBytes,
      absent: absent.map(({ sha1, why, isRegenerable }) => ({
        sha1,
        why,
        regenerable: isRegenerable,
      })),
      external,
      seconds: made.seconds,
    });
    return;
  }
  const from = fromPool > 0 && fromPool < files ? `, ${fromPool} of them out of backups` : "";
  output.print(
    `${quoteUnprintable(manifest.db_name)}, Odoo ${quoteUnprintable(manifest.version)}: dump.sql ${formatBytes(dumpBytes)}, ${files} files ${formatBytes(fileBytes)}${from}, each as its name says`,
  );
  if (absent.length > 0) output.print(`${absent.length} files are not in the zip`);
  if (external > 0) output.print(`${external} attachments are in other stores, and not in the zip`);
  output.print(
    `${quoteUnprintable(made.path)}: ${formatBytes(zipBytes)} in ${formatDuration(made.seconds)}`,
  );
}
