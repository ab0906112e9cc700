// An instance of Odoo that holds still: a database with Odoo's tables on a real server, and a filestore with files of every
// kind that its rows refer to. For tests of what is made out of an instance; those of what happens meanwhile have
// test/odoo/simulated-odoo.ts.

import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { deflateSync } from "node:zlib";
import { Client } from "pg";
import { storePath } from "../../src/odoo/store-name.ts";
import type { ConnectionSettings } from "../../src/postgres/connection.ts";
import { settingsOf } from "../postgres/base-backups.ts";
import { query, type TestServer } from "../postgres/servers.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { createOdooSchema } from "./odoo-schema.ts";

export interface SmallInstance {
  readonly database: string;
  readonly settings: ConnectionSettings;
  /** …/filestore/<database>. */
  readonly folder: string;
  /** Contents by path below the folder. */
  readonly files: ReadonlyMap<string, Buffer>;
  sql: <Row = Record<string, string>>(text: string) => Promise<Row[]>;
  /** Adds a row and its file; the path. */
  attach: (name: string, content: Buffer, more?: AttachmentWishes) => Promise<string>;
  remove: () => void;
}

export interface AttachmentWishes {
  readonly url?: string;
  /** Where an old version would have put the file. */
  readonly path?: string;
}

/** Makes a database `database` on `server` and a filestore beside it in a temporary folder. */
export async function makeSmallInstance(
  server: TestServer,
  database: string = "odoo",
): Promise<SmallInstance> {
  await server.sql(`CREATE DATABASE "${database}"`);
  const root = mkdtempSync(join(tmpdir(), "holdfast-instance-"));
  const folder = join(root, "filestore", database);
  mkdirSync(folder, { recursive: true });
  const files = new Map<string, Buffer>();
  const sql = async <Row>(text: string): Promise<Row[]> =>
    await query<Row>(server.connection(database), text);
  const client = new Client(server.connection(database));
  await client.connect();
  try {
    await createOdooSchema(client);
  } finally {
    await client.end();
  }
  const attach: SmallInstance["attach"] = async (name, content, more = {}) => {
    const sha1 = createHash("sha1").update(content).digest("hex");
    const path = more.path ?? storePath(sha1);
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
    files.set(path, content);
    await query(
      server.connection(database),
      `INSERT INTO ir_attachment (name, type, url, store_fname, checksum, file_size)
         VALUES ($1, 'binary', $2, $3, $4, $5)`,
      [name, more.url ?? null, path, sha1, content.length],
    );
    return path;
  };
  await attach("empty-ish.txt", Buffer.from("x"));
  await attach("words.txt", Buffer.from("so many words, ".repeat(20_000)));
  await attach("again.txt", Buffer.from("so many words, ".repeat(20_000)));
  await attach("picture.png", pngOf(4000));
  await attach("noise.bin", seededBytes("noise", 300_000));
  const old = Buffer.from("a file that an old version stored");
  const sha1 = createHash("sha1").update(old).digest("hex");
  await attach("old.txt", old, { path: `${sha1.slice(0, 3)}/${sha1}` });
  await attach("bundle.js", Buffer.from("function(){}".repeat(5000)), {
    url: "/web/assets/1/abc/web.assets.min.js",
  });
  return {
    database,
    settings: settingsOf(server, { database }),
    folder,
    files,
    sql,
    attach,
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

/** Something that begins as a PNG does, and would not become smaller. */
function pngOf(size: number): Buffer {
  const magic = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([magic, deflateSync(seededBytes("picture", size))]);
}
