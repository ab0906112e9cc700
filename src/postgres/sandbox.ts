// The settings under which a server may run on somebody else's data directory: nothing of the owner's configuration
// runs a program, loads a library, opens a port, writes to another place or reaches for more memory than a
// scratch server should have. They are given on the command line, where they win over `postgresql.auto.conf`, which
// cannot be left out; `postgresql.conf` and `pg_hba.conf` are replaced by files of ours.

import type { MinimumSettings } from "../barman/control-file.ts";

interface Setting {
  readonly value: string;
  /** The majors that know it: from this one on, and before that one. */
  readonly from?: number;
  readonly before?: number;
}

const SANDBOX: Readonly<Record<string, Setting>> = {
  // Programs.
  archive_mode: { value: "off" },
  archive_command: { value: "" },
  archive_cleanup_command: { value: "" },
  recovery_end_command: { value: "" },
  ssl_passphrase_command: { value: "" },
  // Libraries.
  shared_preload_libraries: { value: "" },
  session_preload_libraries: { value: "" },
  local_preload_libraries: { value: "" },
  archive_library: { value: "", from: 15 },
  oauth_validator_libraries: { value: "", from: 18 },
  dynamic_library_path: { value: "$libdir" },
  extension_control_path: { value: "$system", from: 18 },
  jit: { value: "off" },
  // The network.
  listen_addresses: { value: "" },
  port: { value: "5432" },
  unix_socket_group: { value: "" },
  unix_socket_permissions: { value: "0700" },
  ssl: { value: "off" },
  bonjour: { value: "off" },
  primary_conninfo: { value: "" },
  primary_slot_name: { value: "" },
  synchronous_standby_names: { value: "" },
  synchronized_standby_slots: { value: "", from: 17 },
  sync_replication_slots: { value: "off", from: 17 },
  // Files.
  logging_collector: { value: "off" },
  log_destination: { value: "stderr" },
  event_source: { value: "PostgreSQL" },
  stats_temp_directory: { value: "pg_stat_tmp", before: 15 },
  promote_trigger_file: { value: "", before: 16 },
  // What this machine may not have.
  huge_pages: { value: "off" },
  shared_memory_type: { value: "mmap" },
  dynamic_shared_memory_type: { value: "posix" },
  min_dynamic_shared_memory: { value: "0", from: 14 },
  io_method: { value: "worker", from: 18 },
  shared_buffers: { value: "128MB" },
  maintenance_work_mem: { value: "64MB" },
  effective_io_concurrency: { value: "0" },
  maintenance_io_concurrency: { value: "0" },
  // How it behaves.
  wal_level: { value: "replica" },
  hot_standby: { value: "on" },
  autovacuum: { value: "off" },
  summarize_wal: { value: "off", from: 17 },
  recovery_min_apply_delay: { value: "0" },
  ignore_invalid_pages: { value: "off" },
  data_sync_retry: { value: "off" },
  // What of the log is read here: its language, and the lines that tell how a recovery goes.
  lc_messages: { value: "C" },
  log_line_prefix: { value: "%m [%p] " },
  log_min_messages: { value: "warning" },
  log_error_verbosity: { value: "default" },
  log_timezone: { value: "UTC" },
  log_statement: { value: "none" },
  log_min_duration_statement: { value: "-1" },
};

/** What a server of that major runs under; `minimum` as its control file has it. */
export function sandboxSettings(major: number, minimum: MinimumSettings): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const [name, { value, from = 0, before = Infinity }] of Object.entries(SANDBOX))
    if (major >= from && major < before) settings[name] = value;
  // Some for ourselves, and never fewer than what the WAL was written under.
  const least: MinimumSettings = {
    max_connections: 20,
    max_worker_processes: 8,
    max_wal_senders: 0,
    max_prepared_transactions: 0,
    max_locks_per_transaction: 64,
  };
  for (const [name, value] of Object.entries(least) as [keyof MinimumSettings, number][])
    settings[name] = String(Math.max(value, minimum[name]));
  return settings;
}

/**
 * The settings that a server asks for in its log because its WAL was written under larger ones; empty when it is
 * content.
 */
export function askedSettings(log: string): Partial<MinimumSettings> {
  const asked: Partial<Record<keyof MinimumSettings, number>> = {};
  const pattern =
    /(max_\w+) = \d+ is a lower setting than on the primary server(?:, where its value was | \(its value was )(\d+)/g;
  for (const [, name, value] of log.matchAll(pattern))
    asked[name as keyof MinimumSettings] = Number(value);
  return asked;
}
