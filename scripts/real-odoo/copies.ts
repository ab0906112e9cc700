// The other ways back, on the same backups: a single attachment that was deleted, a copy for tests that is neutralised before
// it can be used, and a zip that Odoo's own database manager loads. Each is proved as a recovery is.

import { createHash } from "node:crypto";
import { chownSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { query, startTestServer } from "../../test/postgres/servers.ts";
import { DATABASE } from "./instance.ts";
import { timeWords, truthAt, type JournalLine } from "./journal.ts";
import { modulesOf, type OdooProgram } from "./install.ts";
import { prove, proveOn, type Proof } from "./proof.ts";
import { LIFE_SECONDS } from "./traffic.ts";
import type { Protection } from "./protection.ts";
import { ODOO_ROLE, odooAccount, runOdoo, writeConfiguration, type OdooPlace } from "./server.ts";

export interface CopyOptions {
  readonly odoo: OdooProgram;
  readonly protection: Protection;
  readonly journal: readonly JournalLine[];
  /** For what is made; the account of Holdfast may write there. */
  readonly folder: string;
}

/** Brings one attachment back that was deleted while Odoo worked, without PostgreSQL. */
export async function proveAttachment(options: CopyOptions): Promise<Proof> {
  const { protection, journal, folder } = options;
  const gone = deletedAttachment(journal);
  if (gone === undefined) return { facts: [], faults: ["no attachment lived long enough"] };
  const { id, sha1 } = gone;
  await protection.run(["attachment", "versions", String(id)]);
  const target = join(folder, "attachment");
  await protection.run(["attachment", "restore", String(id), "--to", target]);
  const found = createHash("sha1").update(readFileSync(target)).digest("hex");
  return found === sha1
    ? { facts: [`attachment ${id}, deleted, is back byte for byte`], faults: [] }
    : { facts: [], faults: [`attachment ${id} came back as ${found}, and it was ${sha1}`] };
}

/** An attachment that lived long, with a single content, and was deleted. */
function deletedAttachment(
  journal: readonly JournalLine[],
): { id: number; sha1: string } | undefined {
  const lives = new Map<string, { sha1: string; after: number }>();
  const rewritten = new Set<string>();
  for (const { after, changes = {} } of journal) {
    for (const [id, sha1] of Object.entries(changes)) {
      const life = lives.get(id);
      if (sha1 !== null) {
        if (life) rewritten.add(id);
        else lives.set(id, { sha1, after });
      } else if (life && !rewritten.has(id) && after - life.after > LIFE_SECONDS) {
        return { id: Number(id), sha1: life.sha1 };
      }
    }
  }
  return undefined;
}

/** Makes a copy for tests, and starts PostgreSQL and Odoo on it. */
export async function proveStaging(options: CopyOptions): Promise<Proof> {
  const { odoo, protection, journal, folder } = options;
  const name = `${DATABASE}_test`;
  const target = join(folder, "staging");
  const words = ["staging", "--new-database", name, "--to", target];
  const addons = modulesOf(odoo).flatMap((path) => ["--addons", path]);
  await protection.run([...words, ...addons, "--base-url", "https://test.example.com"]);
  const facts: string[] = [];
  const proof = await prove({
    odoo,
    dataDirectory: join(target, "pgdata"),
    odooData: target,
    database: name,
    folder: join(folder, "odoo-of-staging"),
    truth: truthAt(journal, { from: Infinity, to: Infinity }),
    meanwhile: async (postgres) => {
      const [row] = await query<{ neutral: string; url: string; crons: string; mail: string }>(
        postgres.connection(name),
        `SELECT (SELECT value FROM ir_config_parameter WHERE key = 'database.is_neutralized') AS neutral,
          (SELECT value FROM ir_config_parameter WHERE key = 'web.base.url') AS url,
          (SELECT count(*) FROM ir_cron WHERE active) AS crons,
          (SELECT string_agg(smtp_host, ', ') FROM ir_mail_server WHERE active) AS mail`,
      );
      facts.push(
        `database.is_neutralized ${row?.neutral}, web.base.url ${row?.url}, ${row?.crons} scheduled action active, ` +
          `mail goes to ${row?.mail ?? "nobody"}`,
      );
    },
  });
  rmSync(target, { recursive: true, force: true });
  return { facts: [...facts, ...proof.facts], faults: proof.faults };
}

/** Makes a zip of the database and its files, and lets Odoo load it into an empty server. */
export async function proveZip(options: CopyOptions): Promise<Proof> {
  const { odoo, protection, journal, folder } = options;
  const moment = zipMoment(journal);
  const zip = join(folder, "shop.zip");
  await protection.run(["export-zip", "--at", timeWords(moment), "--to", zip]);
  // Made for its owner's eyes alone, who is not Odoo here.
  const account = odooAccount();
  if (account) chownSync(zip, account.uid, account.gid);
  await using postgres = await startTestServer({ tcp: true });
  await postgres.sql(`CREATE ROLE ${ODOO_ROLE} LOGIN CREATEDB`);
  const place: OdooPlace = {
    odoo,
    folder: join(folder, "odoo-of-zip"),
    dataDirectory: join(folder, "odoo-of-zip", "data"),
    database: "loaded",
    host: "127.0.0.1",
    port: postgres.port,
  };
  const words = ["db", "--config", writeConfiguration(place), "load", place.database, zip];
  const { status, output, seconds } = await runOdoo(place, words);
  if (status !== 0) return { facts: [], faults: [`odoo db load: ${output.slice(-2000)}`] };
  const proof = await proveOn(postgres, {
    odoo,
    odooData: place.dataDirectory,
    database: place.database,
    folder: place.folder,
    truth: truthAt(journal, { from: moment, to: moment }),
    meanwhile: async () => {},
  });
  const loaded = `odoo db load took the zip in ${seconds.toFixed(0)} s`;
  return { facts: [loaded, ...proof.facts], faults: proof.faults };
}

/** The middle of the journal. */
function zipMoment(journal: readonly JournalLine[]): number {
  return (journal[0]!.after + journal.at(-1)!.after) / 2;
}
