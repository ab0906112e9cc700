import assert from "node:assert/strict";
import { test } from "node:test";
import { baseBackupCommand } from "./command.ts";

test("bare words up to 14, a list from 15 on, and no label breaks out of its quotes", () => {
  assert.equal(
    baseBackupCommand({ major: 14, label: "it's", checkpoint: "fast", maxRate: 1024 }),
    "BASE_BACKUP LABEL 'it''s' PROGRESS FAST NOWAIT MAX_RATE 1024 MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'",
  );
  assert.equal(
    baseBackupCommand({ major: 13, label: "a", checkpoint: "spread" }),
    "BASE_BACKUP LABEL 'a' PROGRESS NOWAIT MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'",
  );
  assert.equal(
    baseBackupCommand({ major: 15, label: "it's", checkpoint: "spread", maxRate: 32 }),
    "BASE_BACKUP (LABEL 'it''s', PROGRESS true, CHECKPOINT 'spread', WAIT false, MAX_RATE 32, MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C')",
  );
});
