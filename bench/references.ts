// How long it takes to read what a million attachments refer to, to compare that with a filestore's names, and to keep and
// search their catalogue:
//   node scripts/run.mjs bench/references.ts [--rows N]
// Beside it the same statement with nobody reading its answer but a counter: what lies above is ours.

import { createHash } from "node:crypto";
import { parseArgs } from "node:util";
import { AttachmentCatalogue } from "../src/odoo/catalogue.ts";
import { searchCatalogue } from "../src/odoo/catalogue-search.ts";
import { connect } from "../src/postgres/connection.ts";
import { readReferences } from "../src/odoo/read-references.ts";
import { Sha1Set } from "../src/odoo/sha1-set.ts";
import { settingsOf } from "../test/postgres/base-backups.ts";
import { startTestServer } from "../test/postgres/servers.ts";
import { createOdooSchema } from "../test/odoo/odoo-schema.ts";

const { values: given } = parseArgs({ options: { rows: { type: "string", default: "1000000" } } });
const count = Number(given.rows);
const server = await startTestServer({ major: 15, settings: { max_wal_size: "4GB" } });
try {
  await server.sql("CREATE DATABASE odoo");
  const connection = await connect({ settings: { ...settingsOf(server), database: "odoo" } });
  await createOdooSchema(connection);
  await connection.query(`ALTER TABLE ir_attachment DISABLE TRIGGER ALL;
    INSERT INTO ir_attachment (name, type, res_model, res_field, res_id, store_fname, checksum, file_size, mimetype, create_date)
    SELECT 'attachment ' || i, 'binary', 'product.template', CASE WHEN i % 3 = 0 THEN 'image_1920' END, i,
      substr(h, 1, 2) || '/' || h, h, i % 100000, 'image/png', now()
    FROM (SELECT i, encode(substr(sha256(i::text::bytea), 1, 20), 'hex') AS h FROM generate_series(1, ${count}) i) s;
    ANALYZE ir_attachment`);
  const time = async <T>(what: string, work: () => T | Promise<T>): Promise<T> => {
    const cpu = process.cpuUsage();
    const begun = process.hrtime.bigint();
    const result = await work();
    const ms = Number(process.hrtime.bigint() - begun) / 1e6;
    const { user, system } = process.cpuUsage(cpu);
    console.log(
      `${what.padEnd(44)} ${ms.toFixed(0).padStart(6)} ms, CPU here ${((user + system) / 1000).toFixed(0)} ms, RSS ${(process.memoryUsage.rss() / 1e6).toFixed(0)} MB`,
    );
    return result;
  };
  for (let round = 0; round < 2; round++) {
    await time("the statement alone (count in the server)", async () => {
      await connection.query(
        "SELECT count(*), max(store_fname), max(checksum), max(file_size), max(url) FROM ir_attachment",
      );
    });
    const references = await time("all references", () => readReferences(connection));
    const { names } = references.files;
    const present = new Sha1Set(count);
    for (let i = 1; i <= count; i++) {
      present.add(createHash("sha256").update(`${i}`).digest("hex").slice(0, 40));
    }
    await time("compared with a filestore's names", () => {
      let missing = 0;
      for (const name of names) if (!present.has(name)) missing++;
      if (missing > 0) throw new Error(`${missing} missing of ${names.size}`);
    });
  }
  const catalogue = new AttachmentCatalogue();
  const segments = new Map<string, Buffer>();
  const store = (): void => {
    for (const { name, bytes } of catalogue.changes().add) segments.set(name, Buffer.from(bytes));
    for (const name of catalogue.changes().drop) segments.delete(name);
    catalogue.stored();
  };
  await time("a catalogue of all, as at its beginning", async () => {
    let waiting: number;
    let isFirst = true;
    do {
      ({ waiting } = await catalogue.observe({ connection, full: isFirst }));
      isFirst = false;
      store();
    } while (waiting > 0);
  });
  const size = [...segments.values()].reduce((sum, { length }) => sum + length, 0);
  console.log(`  ${segments.size} segments, ${(size / 1e6).toFixed(0)} MB`);
  await time("a tick without news", () => catalogue.observe({ connection, full: false }));
  await time("all rows compared, without news", () =>
    catalogue.observe({ connection, full: true }),
  );
  await time("loaded again, as after a restart", () => {
    const again = new AttachmentCatalogue();
    for (const [name, bytes] of segments) again.load(name, bytes);
    if (again.size !== count) throw new Error(`${again.size} of ${count} rows`);
  });
  const opened = {
    segments: () => segments.values(),
  };
  await time("one attachment by its number", () =>
    searchCatalogue(opened, { ids: new Set([count >> 1]) }, { max: 10 }),
  );
  await time("those of one record", () =>
    searchCatalogue(opened, { model: "product.template", recordId: 4711 }, { max: 10 }),
  );
  await time("by a pattern of names", () =>
    searchCatalogue(opened, { name: (name) => name.endsWith("4711") }, { max: 1000 }),
  );
  await connection.close();
} finally {
  await server.stop();
}
