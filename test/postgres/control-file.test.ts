// What we read of pg_control, against what the server says of itself, in every major that runs here.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isHoldfastError } from "../../src/base/errors.ts";
import { parseControlFile } from "../../src/barman/control-file.ts";
import { formatLsn } from "../../src/barman/lsn.ts";
import { MAJORS, skipWithoutServer, startTestServer } from "./servers.ts";

for (const major of MAJORS) {
  test(`pg_control of PostgreSQL ${major}`, { skip: skipWithoutServer(major) }, async () => {
    const server = await startTestServer({
      major,
      segmentMegabytes: 64,
      checksums: major % 2 === 0,
      settings: {
        max_connections: 37,
        max_worker_processes: 11,
        max_wal_senders: 13,
        max_prepared_transactions: 5,
        max_locks_per_transaction: 77,
      },
    });
    try {
      await server.sql("CHECKPOINT");
      const bytes = readFileSync(join(server.dataDirectory, "global", "pg_control"));
      const read = parseControlFile(bytes, "pg_control");
      const [row] = await server.sql<Record<string, string | number>>(
        `SELECT system_identifier::text AS id, catalog_version_no AS catalog, checkpoint_lsn::text AS checkpoint,
                redo_lsn::text AS redo, timeline_id AS timeline
         FROM pg_control_system(), pg_control_checkpoint()`,
      );
      assert.deepEqual(row, {
        id: read.systemId,
        catalog: read.catalogVersion,
        checkpoint: formatLsn(read.checkpoint),
        redo: formatLsn(read.redo),
        timeline: read.timeline,
      });
      assert.deepEqual(read.minimumSettings, {
        max_connections: 37,
        max_worker_processes: 11,
        max_wal_senders: 13,
        max_prepared_transactions: 5,
        max_locks_per_transaction: 77,
      });
      assert.equal(read.segmentSize, 64 << 20);
      assert.equal(read.hasChecksums, major % 2 === 0);
      for (const at of [0, 33, 181, 287]) {
        const damaged = Buffer.from(bytes);
        damaged[at]! ^= 1;
        assert.throws(
          () => parseControlFile(damaged, "pg_control"),
          (error) => isHoldfastError(error, "BACKUP_DAMAGED"),
        );
      }
    } finally {
      await server.stop();
    }
  });
}
