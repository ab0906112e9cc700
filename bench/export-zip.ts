// `node bench/export-zip.ts`: the same zip for Odoo's database manager by `holdfast export-zip` and Odoo's own way, in turns: a copy of
// the filestore, pg_dump into the copy, and Python's zipfile over it. Prints medians, how many times as fast, what the zips
// weigh, and how much room each took besides.
//
//   node bench/export-zip.ts --files 13000 --megabytes 300 --runs 3

import { mkdtempSync, mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Client } from "pg";
import { storePath } from "../src/odoo/store-name.ts";
import { createOdooSchema } from "../test/odoo/odoo-schema.ts";
import { startTestServer } from "../test/postgres/servers.ts";
import { generateDataSet } from "./data-set.ts";
import { measure, run, settle, type Command, type Measured } from "./run/measure.ts";
import { median } from "./run/report.ts";

const { values: options } = parseArgs({
  options: {
    files: { type: "string", default: "13000" },
    megabytes: { type: "string", default: "300" },
    /** Rows of tables that are not attachments: a dump of about a kilobyte for each four. */
    rows: { type: "string", default: "200000" },
    runs: { type: "string", default: "3" },
  },
});

/** Odoo's way, as its dump_db goes: the order in which it writes, and the method. */
const ODOO = `
import os, shutil, subprocess, sys, tempfile, zipfile
pg_dump, filestore, out = sys.argv[1:4]
with tempfile.TemporaryDirectory() as folder:
    shutil.copytree(filestore, os.path.join(folder, 'filestore'))
    with open(os.path.join(folder, 'manifest.json'), 'w') as manifest:
        manifest.write('{}')
    subprocess.run([pg_dump, '--no-owner', '--file=' + os.path.join(folder, 'dump.sql')], check=True)
    names = []
    for root, _, files in os.walk(folder):
        names += [os.path.relpath(os.path.join(root, name), folder) for name in files]
    names.sort(key=lambda name: name != 'dump.sql')
    with zipfile.ZipFile(out, 'w', compression=zipfile.ZIP_DEFLATED, allowZip64=True) as target:
        for name in names:
            target.write(os.path.join(folder, name), name)
`;

const root = mkdtempSync(join(tmpdir(), "holdfast-bench-zip-"));
const server = await startTestServer();
try {
  const filestore = join(root, "filestore");
  const { entries, files, bytes } = generateDataSet({
    out: filestore,
    profile: "S",
    files: Number(options.files),
    bytes: Number(options.megabytes) * 1e6,
  });
  const client = new Client(server.connection());
  await client.connect();
  await createOdooSchema(client);
  for (const { sha1, size } of entries)
    await client.query(
      `INSERT INTO ir_attachment (name, type, store_fname, checksum, file_size, mimetype, res_model, res_id, create_date)
         VALUES ('document', 'binary', $1, $2, $3, 'application/pdf', 'account.move', 1, now())`,
      [storePath(sha1), sha1, size],
    );
  await client.query(
    `CREATE TABLE account_move_line AS SELECT i AS id, md5(i::text) AS name, 'draft' AS state, (i * 7919 % 100000) / 100.0 AS debit,
       now() - i * interval '1 minute' AS create_date, i % 400 AS account_id, 'EUR' AS currency,
       'Delivery of goods for order S' || i AS note FROM generate_series(1, ${Number(options.rows)}) i`,
  );
  await client.end();
  const script = join(root, "odoo.py");
  writeFileSync(script, ODOO);
  const env = {
    PGHOST: server.host,
    PGPORT: `${server.port}`,
    PGUSER: "postgres",
    PGDATABASE: "postgres",
  };
  const zips = join(root, "zips");
  mkdirSync(zips);
  const holdfast = join(import.meta.dirname, "..", "bin", "holdfast");
  const commandOf = (tool: string, path: string): Command =>
    tool === "odoo"
      ? { argv: ["python3", script, join(server.programs, "pg_dump"), filestore, path], env }
      : {
          argv: [
            holdfast,
            "export-zip",
            "--quiet",
            "--filestore",
            filestore,
            "--to",
            path,
            "--postgres-bin",
            server.programs,
          ],
          env: { ...env, RESTIC_REPOSITORY: "" },
        };
  const samples = new Map<string, (Measured & { bytes: number })[]>();
  for (let number = 0; number < Number(options.runs); number++)
    for (const tool of ["odoo", "holdfast"]) {
      const path = join(zips, `${tool}-${number}.zip`);
      settle();
      const measured = measure(commandOf(tool, path));
      const { size } = statSync(path);
      run({
        argv: [
          "python3",
          "-c",
          "import sys, zipfile; assert zipfile.ZipFile(sys.argv[1]).testzip() is None",
          path,
        ],
      });
      rmSync(path);
      const before = samples.get(tool) ?? [];
      samples.set(tool, [...before, { ...measured, bytes: size }]);
    }
  const middle = (tool: string, of: keyof Measured | "bytes"): number =>
    median(samples.get(tool)!.map((sample) => sample[of]));
  console.log(
    `${files} files, ${(bytes / 1e6).toFixed(0)} MB, ${options.rows} other rows, ${options.runs} runs`,
  );
  for (const tool of ["odoo", "holdfast"])
    console.log(
      `${tool.padEnd(9)} ${middle(tool, "wall").toFixed(2)} s, CPU ${middle(tool, "cpu").toFixed(2)} s, ${(middle(tool, "memory") / 2 ** 20).toFixed(0)} MiB of memory, zip of ${(middle(tool, "bytes") / 1e6).toFixed(1)} MB`,
    );
  console.log(
    `holdfast is ${(middle("odoo", "wall") / middle("holdfast", "wall")).toFixed(2)} times as fast`,
  );
} finally {
  await server.stop();
  rmSync(root, { recursive: true, force: true });
}
