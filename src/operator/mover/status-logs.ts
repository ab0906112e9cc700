// The part of a mover's log that stands in `status.latestMoverStatus.logs`: of a success the lines that say what was done, of a
// failure everything; the end of it, because a resource is no place for a log. Pure.

/** As VolSync's MOVER_LOG_MAX_BYTES. */
const MAX_BYTES = 1024;

/** What tells of a success in one look. */
const TELLING: readonly RegExp[] = [
  /^== /,
  /^=== /,
  /created restic repository/,
  /^(?:using|no) parent snapshot/,
  /^(?:Files|Dirs):\s/,
  /^Added to the repository/,
  /^processed .* files/,
  /^snapshot .* saved/,
  /^(?:Warning|Problem): /,
  /^Directory is empty/,
  /^(?:Applying Policy|keep \d+ snapshots|remove \d+ snapshots|\d+ snapshots have been removed)/,
  /^successfully removed \d+ locks/,
  /^No eligible snapshots found/,
  /^restoring /i,
  // With what: upstream's tests look for it.
  /^RESTORE_OPTIONS: \S/,
  /^Summary: Restored/,
  /^Restic completed in/,
];

/** At most 1,024 bytes of whole lines, the last ones. */
export function statusLogs(log: string, result: "Successful" | "Failed"): string {
  // What a terminal acts on is shown by kubectl as it is.
  const shown = log.replaceAll(/[^\P{C}\n\t]+/gu, " ");
  const lines = shown
    .split("\n")
    .map((line) => line.trimEnd())
    .filter((line) => line !== "");
  const chosen =
    result === "Failed" ? lines : lines.filter((line) => TELLING.some((each) => each.test(line)));
  let bytes = 0;
  const kept: string[] = [];
  for (const line of chosen.toReversed()) {
    bytes += Buffer.byteLength(line) + 1;
    if (bytes > MAX_BYTES + 1) break;
    kept.unshift(line);
  }
  if (kept.length > 0 || chosen.length === 0) return kept.join("\n");
  // One line that is longer than all there is room for.
  return Buffer.from(chosen.at(-1) ?? "")
    .subarray(-MAX_BYTES)
    .toString("utf8")
    .replace(/^\uFFFD+/, "");
}
