// How far a partial segment reaches, beside the server that wrote it: what is told is exactly where the server stands.

import assert from "node:assert/strict";
import { test } from "node:test";
import { parseLsn } from "../../src/barman/lsn.ts";
import { archiveOf, loadCatalogue } from "../../src/postgres/archive.ts";
import { partialReach } from "../../src/postgres/partial-reach.ts";
import { openLocalStorage } from "../../src/storage/local.ts";
import { openBench } from "./receiver-bench.ts";
import { MAJORS, skipWithoutServer, until } from "./servers.ts";

// Of records no more is read than length and checksum, which are the same in all of them.
for (const major of MAJORS.slice(-1)) {
  void test(
    `PostgreSQL ${major}: the end of the log, whatever its last record ends in`,
    { skip: skipWithoutServer(major) },
    async () => {
      const bench = await openBench({ major, segmentMegabytes: 16 });
      try {
        const receiving = await bench.receive({ spool: bench.newSpool(), partialAfter: 50 });
        await receiving.event("streaming");
        await bench.server.sql("CREATE TABLE pieces (id int, text text)");
        const archive = archiveOf(await openLocalStorage({ root: bench.archiveFolder }), "one");
        const ends: string[] = [
          "INSERT INTO pieces VALUES (1, 'x')",
          "CHECKPOINT",
          "SELECT pg_create_restore_point('a name')",
          "INSERT INTO pieces SELECT 1, repeat('long ', 3000) FROM generate_series(1, 3)",
          "SELECT pg_logical_emit_message(false, 'zeros', repeat(chr(1), 9))",
        ];
        for (const statement of ends) {
          await bench.server.sql(statement);
          const position = async (): Promise<bigint> => {
            const [row] = await bench.server.sql<{ lsn: string }>(
              "SELECT pg_current_wal_flush_lsn()::text AS lsn",
            );
            return parseLsn(row!.lsn, "the server");
          };
          // A background process may write meanwhile: the two are compared while both stand still.
          await until(`the end after ${statement}`, async () => {
            const before = await position();
            const catalogue = await loadCatalogue(archive, { now: 0 });
            const { partials, ranges } = catalogue.wal.get(1) ?? {};
            const [last] = [...(partials?.values() ?? [])].slice(-1);
            if (last === undefined) return ranges !== undefined && before % 16777216n === 0n;
            const reach = await partialReach(archive, last);
            const after = await position();
            assert.ok(reach! <= after, `${reach} lies behind ${after}`);
            return reach === before;
          });
        }
        await receiving.stop();
      } finally {
        await bench.close();
      }
    },
  );
}
