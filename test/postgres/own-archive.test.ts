// Our own backups of real servers: a plain one, one with a tablespace, and what another major's manifest says; found whole
// by our verification, and let go of by Barman's and our own expiry alike.

import assert from "node:assert/strict";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { parseRetentionPolicy } from "../../src/barman/retention.ts";
import { loadCatalogue } from "../../src/postgres/archive.ts";
import { expire, previewExpire } from "../../src/postgres/expire.ts";
import { verifyArchive } from "../../src/postgres/verify.ts";
import { backUpServer, makeFolderArchive } from "./base-backups.ts";
import { MAJORS, serverOwnedFolder, skipWithoutServer, startTestServer } from "./servers.ts";

for (const major of MAJORS) {
  suite(`an archive of ours of PostgreSQL ${major}`, { skip: skipWithoutServer(major) }, () => {
    test("is verified to the last file, and expires without a rest", async () => {
      const { folder, archive, archiveCommand } = await makeFolderArchive();
      const space = serverOwnedFolder("space");
      const server = await startTestServer({ major, archiveCommand });
      try {
        await server.sql(`CREATE TABLESPACE elsewhere LOCATION '${space}'`);
        await server.sql("CREATE TABLE far TABLESPACE elsewhere AS SELECT generate_series(1, 999)");
        const first = await backUpServer(server, { archive });
        const second = await backUpServer(server, { archive });
        const now = Date.now();
        const verify = { archive, now, shuffle: <T>(items: readonly T[]): T[] => [...items] };
        const report = await verifyArchive(verify);
        assert.deepEqual(
          report.backups.map(({ id, verdict, findings }) => [id, verdict, findings]),
          [first, second].map(({ id }) => [id, "verified", []]),
        );
        assert.deepEqual([report.wal.verdict, report.wal.findings], ["verified", []]);

        const settings = { policy: parseRetentionPolicy("REDUNDANCY 1", "policy") };
        const shown = await previewExpire({ ...settings, archive, now });
        const { backups } = await expire({ ...settings, archive, shown, now: () => now });
        assert.deepEqual(backups, [first.id]);
        for (const area of ["base", "meta"]) {
          assert.ok(!existsSync(join(folder, "pg", area, first.id, "backup_manifest")));
          assert.ok(existsSync(join(folder, "pg", area, second.id)));
        }
        const after = await loadCatalogue(archive, { now });
        assert.deepEqual([after.orphans, after.problems, after.gaps], [[], [], []]);
        const again = await verifyArchive(verify);
        assert.deepEqual(
          again.backups.map(({ id, verdict }) => [id, verdict]),
          [[second.id, "verified"]],
        );
      } finally {
        await server.stop();
        for (const one of [folder, space]) rmSync(one, { recursive: true, force: true });
      }
    });
  });
}
