// What a restored data directory is told for its recovery: settings at the end of `postgresql.auto.conf`, in place of those
// of an earlier recovery, and `recovery.signal`. The rest of the owner's configuration stays as it is, but for what would
// make the copy write where the original does. No credential is ever written here.

import { chown, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../base/errors.ts";
import type { ServerAccount } from "../server-process.ts";

/** Settings of recoveries and standbys: those of an earlier one would contradict ours, or be followed after it. */
const OF_RECOVERY =
  /^(?:restore_command|recovery_end_command|archive_cleanup_command|recovery_target\w*|recovery_min_apply_delay|primary_conninfo|primary_slot_name|promote_trigger_file)$/i;

/**
 * What holds where a recovery says nothing else. `postgresql.conf`, and what it includes, may still have the target of a recovery
 * long past, or a command that clears the archive of a standby: they would end ours early, or delete WAL that others need. Targets
 * without a value come before the one that has one: PostgreSQL takes a second one for a contradiction.
 */
const OTHERWISE: Readonly<Record<string, string>> = {
  recovery_target: "",
  recovery_target_name: "",
  recovery_target_time: "",
  recovery_target_xid: "",
  recovery_target_lsn: "",
  recovery_target_inclusive: "on",
  recovery_min_apply_delay: "0",
  recovery_end_command: "",
  archive_cleanup_command: "",
};

export interface RecoveryConfig {
  /** Settings by name, without quotes. */
  readonly settings: Readonly<Record<string, string>>;
  /** True: the restored server does not archive, whatever its configuration says. */
  readonly archivingOff: boolean;
}

/** A line of a configuration file; PostgreSQL takes a name, perhaps "=", and a value. */
const LINE = /^\s*([A-Za-z_][\w.]*)\s*(?:=|\s)/;

/** The content of `postgresql.auto.conf`, a byte string: `before` without what recoveries set, then ours. */
export function autoConf(before: string, { settings, archivingOff }: RecoveryConfig): string {
  const unsaid = Object.entries(OTHERWISE).filter(([name]) => !Object.hasOwn(settings, name));
  const all: Record<string, string> = { ...Object.fromEntries(unsaid), ...settings };
  if (archivingOff) all["archive_mode"] = "off";
  const kept = before.split("\n").filter((line) => {
    const name = LINE.exec(line)?.[1]?.toLowerCase();
    return name === undefined || !(OF_RECOVERY.test(name) || Object.hasOwn(all, name));
  });
  while (kept.at(-1)?.trim() === "") kept.pop();
  const ours = Object.entries(all).map(
    // Byte strings, as the rest of the file.
    ([name, value]) => `${name} = ${Buffer.from(quoteSetting(value)).toString("latin1")}`,
  );
  return [...kept, "# Recovery, by holdfast pg restore", ...ours, ""].join("\n");
}

/** A value as configuration files have it. Line breaks have no place in one. */
export function quoteSetting(value: string): string {
  return `'${value
    .replaceAll("\\", "\\\\")
    .replaceAll("'", "''")
    .replace(/[\r\n]+/g, " ")}'`;
}

/**
 * `postgresql.conf` without `data_directory`, which would start the server on the original's data; undefined when there
 * is none in it.
 */
export function withoutDataDirectory(text: string): string | undefined {
  let found = false;
  const lines = text.split("\n").map((line) => {
    if (LINE.exec(line)?.[1]?.toLowerCase() !== "data_directory") return line;
    found = true;
    return `# ${line}  # not in a restored copy`;
  });
  return found ? lines.join("\n") : undefined;
}

/** Writes it all into the restored data directory; what was done, for people. */
export async function writeRecoveryConfig(options: {
  readonly folder: string;
  readonly config: RecoveryConfig;
  readonly account: ServerAccount | undefined;
}): Promise<string[]> {
  const { folder, config, account } = options;
  const notes: string[] = [];
  const write = async (name: string, content: string): Promise<void> => {
    const path = join(folder, name);
    await writeFile(path, content, { encoding: "latin1", mode: 0o600 });
    if (account) await chown(path, account.uid, account.gid);
  };
  const auto = await readIfThere(join(folder, "postgresql.auto.conf"));
  await write("postgresql.auto.conf", autoConf(auto ?? "", config));
  await write("recovery.signal", "");
  const main = await readIfThere(join(folder, "postgresql.conf"));
  if (main === undefined)
    notes.push(
      "the backup has no postgresql.conf, because its server keeps it elsewhere: bring it, or start with -c config_file=…",
    );
  const changed = main === undefined ? undefined : withoutDataDirectory(main);
  if (changed !== undefined) {
    await write("postgresql.conf", changed);
    notes.push("data_directory in postgresql.conf led to the original and is commented out");
  }
  if (config.archivingOff)
    notes.push(
      "archiving is off, so that the copy does not write to the archive of the original; when it replaces that one: ALTER SYSTEM RESET archive_mode, and restart",
    );
  return notes;
}

/** The text of a file that may not be there, one character for each byte: not all are UTF-8. */
async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "latin1");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
