// The live instance of the run: a PostgreSQL server with the roles that docs/operations/postgres-roles.md asks for, and an
// Odoo with its database and filestore in a folder of their own. Also what is started on a recovered copy of both.

import { rmSync } from "node:fs";
import { join } from "node:path";
import { query, startTestServer, type TestServer } from "../../test/postgres/servers.ts";
import type { OdooProgram } from "./install.ts";
import { filestoreOf, initialise, ODOO_ROLE, startOdoo } from "./server.ts";
import type { OdooPlace, OdooServer } from "./server.ts";

export const DATABASE = "shop";
/** The role that Holdfast connects as. */
const ROLE = "holdfast";

export interface Instance extends AsyncDisposable {
  readonly postgres: TestServer;
  readonly place: OdooPlace;
  readonly server: OdooServer;
  readonly filestore: string;
  /** How Holdfast connects. */
  readonly conninfo: string;
  /** How long Odoo took to make its database. */
  readonly initialSeconds: number;
  /** Ends both programs and removes the filestore and the database. */
  destroy: () => Promise<void>;
}

/** Makes a database with `modules` and starts Odoo on it. */
export async function startInstance(options: {
  readonly odoo: OdooProgram;
  readonly folder: string;
  readonly modules: string;
}): Promise<Instance> {
  const { odoo, folder, modules } = options;
  const postgres = await startTestServer({
    tcp: true,
    settings: { max_slot_wal_keep_size: "4GB", shared_buffers: "128MB", fsync: "on" },
  });
  try {
    await postgres.sql(`CREATE ROLE ${ODOO_ROLE} LOGIN CREATEDB`);
    const place: OdooPlace = {
      odoo,
      folder: join(folder, "odoo"),
      dataDirectory: join(folder, "odoo", "data"),
      database: DATABASE,
      host: "127.0.0.1",
      port: postgres.port,
    };
    const initialSeconds = await initialise(place, modules);
    await grantRole(postgres);
    const server = await startOdoo(place, { crons: true });
    const filestore = filestoreOf(place);
    const end = async (): Promise<void> => {
      await server.stop();
      await postgres.stop();
    };
    return {
      postgres,
      place,
      server,
      filestore,
      conninfo: conninfoOf(postgres),
      initialSeconds,
      async destroy() {
        await end();
        rmSync(place.dataDirectory, { recursive: true, force: true });
      },
      [Symbol.asyncDispose]: end,
    };
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

/** How Holdfast connects to the live server, or to that of a copy. */
export function conninfoOf({ port }: TestServer): string {
  return `host=127.0.0.1 port=${port} user=${ROLE} dbname=${DATABASE}`;
}

/** The statements of docs/operations/postgres-roles.md, and no more. */
async function grantRole(postgres: TestServer): Promise<void> {
  const statements = [
    `CREATE ROLE ${ROLE} LOGIN REPLICATION`,
    `GRANT pg_read_all_settings TO ${ROLE}`,
    `GRANT EXECUTE ON FUNCTION pg_switch_wal() TO ${ROLE}`,
    `GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO ${ROLE}`,
    `GRANT USAGE ON SCHEMA public TO ${ROLE}`,
    `GRANT SELECT ON public.ir_attachment TO ${ROLE}`,
  ];
  for (const statement of statements) await query(postgres.connection(DATABASE), statement);
}
