// A small instance whose every file and row a test knows: a database on a server and a filestore's folder, made by hand.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { connect, type Connection } from "../../src/postgres/connection.ts";
import { storePath } from "../../src/odoo/store-name.ts";
import { settingsOf } from "../postgres/base-backups.ts";
import { startTestServer, type TestServer } from "../postgres/servers.ts";
import { fileRow, sha1Of } from "./attachment-rows.ts";
import { createOdooSchema } from "./odoo-schema.ts";

export class HandMadeInstance implements AsyncDisposable {
  readonly server: TestServer;
  readonly connection: Connection;
  /** Removed with the instance. */
  readonly folder: string;
  /** Of the files: …/filestore/odoo. */
  readonly filestore: string;

  private constructor(server: TestServer, connection: Connection, folder: string) {
    this.server = server;
    this.connection = connection;
    this.folder = folder;
    this.filestore = join(folder, "data", "filestore", "odoo");
    mkdirSync(join(this.filestore, "checklist"), { recursive: true });
  }

  static async make(): Promise<HandMadeInstance> {
    const server = await startTestServer({ major: 15 });
    await server.sql("CREATE DATABASE odoo");
    const connection = await connect({ settings: { ...settingsOf(server), database: "odoo" } });
    await createOdooSchema(connection);
    const folder = mkdtempSync(join(tmpdir(), "holdfast-instance-"));
    return new HandMadeInstance(server, connection, folder);
  }

  /** PG* variables that lead to the database. */
  get environment(): Record<string, string> {
    const { host, port } = this.server;
    return { PGHOST: host, PGPORT: String(port), PGUSER: "postgres", PGDATABASE: "odoo" };
  }

  path(text: string): string {
    return join(this.filestore, storePath(sha1Of(text)));
  }

  /** A file with that content, or with another one under its name. */
  write(text: string, content: string = text): void {
    mkdirSync(dirname(this.path(text)), { recursive: true });
    writeFileSync(this.path(text), content);
  }

  /** An attachment: its file and its row; the row's number. */
  async attach(text: string, columns: Readonly<Record<string, unknown>> = {}): Promise<number> {
    this.write(text);
    return await this.row(text, columns);
  }

  /** A row without a file; its number. */
  async row(text: string, columns: Readonly<Record<string, unknown>> = {}): Promise<number> {
    const statement = fileRow(text, columns).replace(/;$/, " RETURNING id");
    const [{ id } = {}] = await this.connection.query(statement);
    return Number(id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.connection.close();
    await this.server.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
