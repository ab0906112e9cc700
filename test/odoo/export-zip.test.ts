// A zip for Odoo's database manager, made of a real database by the real pg_dump, and read by Python, whose reader is the one
// that Odoo uses.

import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { systemClock } from "../../src/base/clock.ts";
import { Progress } from "../../src/base/progress.ts";
import { exportZip, type ExportZipOptions, type ZipReport } from "../../src/odoo/export-zip.ts";
import { findClientProgram, type ClientProgram } from "../../src/postgres/client-programs.ts";
import { connect } from "../../src/postgres/connection.ts";
import { query, skipWithoutServer, startTestServer, type TestServer } from "../postgres/servers.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { makeSmallInstance, type SmallInstance } from "./small-instance.ts";

const skip =
  skipWithoutServer() || (hasPython() ? false : "there is no python3, whose zipfile reads the zip");

function hasPython(): boolean {
  try {
    execFileSync("python3", ["-c", "import zipfile"]);
    return true;
  } catch {
    return false;
  }
}

let server: TestServer;
let instance: SmallInstance;
let program: ClientProgram;
const scratch = mkdtempSync(join(tmpdir(), "holdfast-zip-"));

before(async () => {
  if (skip) return;
  server = await startTestServer();
  instance = await makeSmallInstance(server);
  program = await findClientProgram("pg_dump", { major: 15, folder: server.programs });
});

after(async () => {
  rmSync(scratch, { recursive: true, force: true });
  instance?.remove();
  await server?.stop();
});

async function exported(
  more: Partial<ExportZipOptions> = {},
): Promise<{ zip: Buffer; report: ZipReport }> {
  const pieces: Buffer[] = [];
  const report = await exportZip({
    connect: async () => await connect({ settings: instance.settings }),
    settings: instance.settings,
    program,
    folder: instance.folder,
    allowMissing: false,
    write: async (bytes) => {
      pieces.push(Buffer.from(bytes));
      await Promise.resolve();
    },
    clock: systemClock,
    cores: 2,
    progress: new Progress(),
    ...more,
  });
  return { zip: Buffer.concat(pieces), report };
}

interface PythonEntry {
  readonly name: string;
  readonly size: number;
  readonly packed: number;
  readonly method: number;
  readonly sha1: string;
}

/** What Python's zipfile finds in it; it compares every checksum. */
function readWithPython(zip: Buffer): PythonEntry[] {
  const path = join(scratch, "read.zip");
  writeFileSync(path, zip);
  const code = `
import hashlib, json, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as z:
    assert z.testzip() is None
    print(json.dumps([dict(name=i.filename, size=i.file_size, packed=i.compress_size, method=i.compress_type,
        sha1=hashlib.sha1(z.read(i)).hexdigest()) for i in z.infolist()]))`;
  const text = execFileSync("python3", ["-c", code, path], {
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  return JSON.parse(text) as PythonEntry[];
}

function contentOf(zip: Buffer, name: string): Buffer {
  const path = join(scratch, "one.zip");
  writeFileSync(path, zip);
  const code =
    "import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))";
  return execFileSync("python3", ["-c", code, path, name], { maxBuffer: 1 << 26 });
}

test(
  "a zip has the dump first, the manifest, and exactly the files that rows refer to",
  { skip },
  async () => {
    mkdirSync(join(instance.folder, "checklist", "ab"), { recursive: true });
    writeFileSync(join(instance.folder, "checklist", "ab", "ab".repeat(20)), "");
    const { zip, report } = await exported();
    const entries = readWithPython(zip);
    assert.deepEqual(
      entries.slice(0, 2).map(({ name }) => name),
      ["dump.sql", "manifest.json"],
    );
    const files = entries.slice(2);
    assert.deepEqual(
      files.map(({ name }) => name).toSorted(),
      [...instance.files.keys()].map((path) => `filestore/${path}`).toSorted(),
    );
    for (const { name, sha1 } of files) assert.ok(name.endsWith(sha1), name);
    const size = files.reduce((sum, one) => sum + one.size, 0);
    assert.deepEqual([report.files, report.fileBytes], [files.length, size]);
    assert.equal(report.zipBytes, zip.length);
    assert.equal(report.fromPool, 0);
    // Words become small, a picture and noise stay as they are.
    const methodOf = (start: string): number =>
      files.find(({ name }) => instance.files.get(name.slice(10))!.subarray(0, 8).includes(start))!
        .method;
    assert.equal(methodOf("so many"), 8);
    assert.equal(methodOf("PNG"), 0);

    assert.deepEqual(JSON.parse(contentOf(zip, "manifest.json").toString()), {
      odoo_dump: "1",
      db_name: "odoo",
      version: "19.0",
      version_info: [19, 0, 0, "final", 0, ""],
      major_version: "19.0",
      pg_version: "15.0",
      modules: {
        base: "19.0.1.3",
        mail: "19.0.1.19",
        product: "19.0.1.2",
        sale: "19.0.1.2",
        web: "19.0.1.0",
      },
    });
  },
);

test("the dump, restored by psql, makes the same database", { skip }, async () => {
  const { zip } = await exported();
  const dump = join(scratch, "dump.sql");
  writeFileSync(dump, contentOf(zip, "dump.sql"));
  await server.sql("CREATE DATABASE again");
  const psql = join(server.programs, "psql");
  const words = [
    "-X",
    "-q",
    "-v",
    "ON_ERROR_STOP=1",
    "-h",
    server.host,
    "-U",
    "postgres",
    "-f",
    dump,
  ];
  execFileSync(psql, [...words, "again"], { stdio: ["ignore", "ignore", "pipe"] });
  const sums = "SELECT md5(string_agg(a::text, '|' ORDER BY id)) AS sum FROM";
  for (const table of ["ir_attachment", "ir_config_parameter", "res_users", "ir_module_module"]) {
    const [here] = await instance.sql(`${sums} ${table} a`);
    const [there] = await query(server.connection("again"), `${sums} ${table} a`);
    assert.deepEqual(there, here, table);
    assert.ok(here!["sum"], table);
  }
  assert.doesNotMatch(readFileSync(dump, "utf8"), /OWNER TO/);
});

test(
  "a file that is gone or of other content stops it, before anything is written where a listing tells",
  { skip },
  async () => {
    const lost = await instance.attach("lost.txt", Buffer.from("this one goes"));
    const torn = await instance.attach("torn.txt", Buffer.from("this one is cut off"));
    unlinkSync(join(instance.folder, lost));
    let written = 0;
    const count = async (bytes: Uint8Array): Promise<void> => {
      written += bytes.length;
      await Promise.resolve();
    };
    await assert.rejects(exported({ write: count }), (error: Error & { code?: string }) => {
      assert.equal(error.code, "FILES_MISSING");
      assert.ok(error.message.includes(lost.slice(3)), error.message);
      return true;
    });
    assert.equal(written, 0);

    truncateSync(join(instance.folder, torn), 5);
    const { zip, report } = await exported({ allowMissing: true });
    const names = readWithPython(zip).map(({ name }) => name);
    assert.ok(!names.includes(`filestore/${lost}`) && !names.includes(`filestore/${torn}`));
    const expected = [
      { sha1: lost.slice(3), why: "missing", isRegenerable: false },
      { sha1: torn.slice(3), why: "corrupt", isRegenerable: false },
    ].toSorted((a, b) => (a.sha1 < b.sha1 ? -1 : 1));
    assert.deepEqual(report.absent, expected);
    await instance.sql(`DELETE FROM ir_attachment WHERE name = 'lost.txt'`);
    await assert.rejects(exported(), (error: Error & { code?: string }) => {
      assert.equal(error.code, "FILES_MISSING");
      assert.ok(error.message.includes(`${torn.slice(3)} (corrupt)`), error.message);
      return true;
    });
    await instance.sql(`DELETE FROM ir_attachment WHERE name = 'torn.txt'`);
  },
);

test(
  "large files go through in pieces, a dump of several pieces is one stream",
  { skip },
  async () => {
    const large = Buffer.concat([seededBytes("large", 5 << 20), Buffer.alloc(6 << 20, "text ")]);
    const path = await instance.attach("large.bin", large);
    await instance.sql(
      "CREATE TABLE many AS SELECT i AS id, repeat(md5(i::text), 4) AS t FROM generate_series(1, 40000) i",
    );
    const { zip, report } = await exported();
    const entry = readWithPython(zip).find(({ name }) => name === `filestore/${path}`)!;
    assert.equal(entry.size, large.length);
    assert.equal(entry.method, 8);
    assert.ok(path.endsWith(entry.sha1));
    assert.ok(report.dumpBytes > 3 << 20);
    if (existsSync("/usr/bin/unzip"))
      execFileSync("/usr/bin/unzip", ["-tqq", join(scratch, "read.zip")]);
  },
);

test(
  "a failing pg_dump is an error, and so is a database that is none of Odoo's",
  { skip },
  async () => {
    await instance.sql("CREATE TABLE secret (id int); CREATE ROLE reader LOGIN");
    await instance.sql(
      "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader; REVOKE ALL ON secret FROM reader",
    );
    await instance.sql("GRANT pg_monitor TO reader");
    const reader = { ...instance.settings, user: "reader" };
    await assert.rejects(
      exported({ settings: reader, connect: async () => await connect({ settings: reader }) }),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, "POSTGRES_FAILED");
        assert.match(error.message, /permission denied for table secret/);
        return true;
      },
    );
    const bare = { ...instance.settings, database: "postgres" };
    await assert.rejects(
      exported({ settings: bare, connect: async () => await connect({ settings: bare }) }),
      { code: "ODOO_NOT_FOUND" },
    );
  },
);
