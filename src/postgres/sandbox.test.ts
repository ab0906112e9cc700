import assert from "node:assert/strict";
import { test } from "node:test";
import { askedSettings, sandboxSettings } from "./sandbox.ts";

const minimum = {
  max_connections: 5,
  max_worker_processes: 300,
  max_wal_senders: 0,
  max_prepared_transactions: 7,
  max_locks_per_transaction: 64,
};

test("settings are those of the major, and at least those of the WAL", () => {
  const old = sandboxSettings(13, minimum);
  assert.deepEqual(
    [old["max_connections"], old["max_worker_processes"], old["max_prepared_transactions"]],
    ["20", "300", "7"],
  );
  assert.ok("promote_trigger_file" in old && !("archive_library" in old));
  const current = sandboxSettings(18, minimum);
  assert.ok(!("promote_trigger_file" in current) && "archive_library" in current);
  assert.equal(current["archive_mode"], "off");
});

test("what a server asks for, in the words of each version", () => {
  const paused = `LOG:  hot standby is not possible because of insufficient parameter settings
DETAIL:  max_connections = 20 is a lower setting than on the primary server, where its value was 211.
LOG:  recovery has paused`;
  assert.deepEqual(askedSettings(paused), { max_connections: 211 });
  const ended = `FATAL:  hot standby is not possible because max_worker_processes = 8 is a lower setting than on the primary server (its value was 16)`;
  assert.deepEqual(askedSettings(ended), { max_worker_processes: 16 });
  assert.deepEqual(askedSettings("LOG:  redo starts at 0/2000028"), {});
});
