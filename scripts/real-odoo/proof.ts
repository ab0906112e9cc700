// Proves, without any part of Holdfast, that a recovered instance is what it should be at its moment: the rows are those of
// the journal, every file that a row refers to is there and is the content of its name, no other file is, and a real Odoo
// on it serves its pages with every asset and every attachment byte for byte.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { query, startTestServer, type TestServer } from "../../test/postgres/servers.ts";
import { Browser, faultsOf } from "./browser.ts";
import type { OdooProgram } from "./install.ts";
import type { Truth } from "./journal.ts";
import { odooAccount, startOdoo } from "./server.ts";
import { ATTACHMENT_NAME } from "./traffic.ts";

export interface Recovered {
  readonly odoo: OdooProgram;
  /** Odoo's `data_dir`, with `filestore/DATABASE` in it. */
  readonly odooData: string;
  readonly database: string;
  /** For configuration and logs. */
  readonly folder: string;
  readonly truth: Truth;
  /** Called while the recovered server runs and before Odoo is started on it. */
  readonly meanwhile: (postgres: TestServer, filestore: string) => Promise<void>;
}

export interface Proof {
  /** What was seen, for people. */
  readonly facts: readonly string[];
  /** What is wrong; nothing when the recovery holds. */
  readonly faults: readonly string[];
}

interface Row {
  readonly id: number;
  readonly name: string;
  readonly checksum: string | null;
  readonly store_fname: string | null;
  readonly url: string | null;
}

/** Starts PostgreSQL and Odoo on what was recovered, and looks at everything. `dataDirectory` is that of the cluster. */
export async function prove(recovered: Recovered & { dataDirectory: string }): Promise<Proof> {
  const { dataDirectory } = recovered;
  await using postgres = await startTestServer({ dataDirectory, tcp: true });
  return await proveOn(postgres, recovered);
}

/** The same for a database on a server that runs. */
export async function proveOn(postgres: TestServer, recovered: Recovered): Promise<Proof> {
  const facts: string[] = [];
  const faults: string[] = [];
  const { odooData, database, truth } = recovered;
  const rows = await attachments(postgres, database);
  compareRows({ rows, truth, facts, faults });
  const filestore = join(odooData, "filestore", database);
  compareFiles({ rows, folder: filestore, facts, faults });
  await recovered.meanwhile(postgres, filestore);
  giveToOdoo(odooData);
  await lookAtPages({ ...recovered, postgres, facts, faults });
  const after = await attachments(postgres, database);
  const known = new Set(rows.map(({ id }) => id));
  const rebuilt = after.filter(({ id, url }) => !known.has(id) && url?.startsWith("/web/assets/"));
  facts.push(`${rebuilt.length} asset bundles that Odoo had to build again`);
  return { facts, faults };
}

interface Findings {
  readonly facts: string[];
  readonly faults: string[];
}

function compareRows(options: Findings & { rows: readonly Row[]; truth: Truth }): void {
  const { rows, truth, facts, faults } = options;
  const checksums = new Map(rows.map(({ id, checksum }) => [id, checksum]));
  for (const [id, sha1] of truth.present) {
    const checksum = checksums.get(id);
    if (checksum === undefined) faults.push(`attachment ${id} was committed and is not there`);
    else if (checksum !== sha1) faults.push(`attachment ${id} has another content than it had`);
  }
  for (const id of truth.absent) {
    if (checksums.has(id)) faults.push(`attachment ${id} is there and was not at that moment`);
  }
  for (const { id } of rows.filter(({ name }) => name === ATTACHMENT_NAME)) {
    if (!truth.present.has(id) && !truth.open.has(id) && !truth.absent.has(id))
      faults.push(`attachment ${id} is in no journal`);
  }
  const present = [...truth.present].filter(([id, sha1]) => checksums.get(id) === sha1).length;
  const absent = [...truth.absent].filter((id) => !checksums.has(id)).length;
  facts.push(
    `${present} of ${truth.present.size} attachments of the journals are there as committed; ${absent} of ${truth.absent.size} that ` +
      `were deleted or not yet made are not there; ${truth.open.size} were being committed at that very moment`,
  );
}

function compareFiles(options: Findings & { rows: readonly Row[]; folder: string }): void {
  const { rows, folder, facts, faults } = options;
  const wanted = new Set(rows.flatMap(({ store_fname: name }) => (name === null ? [] : [name])));
  let good = 0;
  for (const name of wanted) {
    const path = join(folder, name);
    if (!existsSync(path)) faults.push(`${name} is missing`);
    else if (name.endsWith(createHash("sha1").update(readFileSync(path)).digest("hex"))) good++;
    else faults.push(`${name} has another content`);
  }
  const present = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
  const extra = present.filter((name) => !wanted.has(name));
  faults.push(...extra.map((name) => `${name} is a file that no row refers to`));
  facts.push(
    `${rows.length} rows of ir_attachment refer to ${wanted.size} files: ${good} are there with the content of their SHA-1; ` +
      `${extra.length} files that no row refers to`,
  );
}

/** As whoever moves a recovered filestore to its place does. */
function giveToOdoo(folder: string): void {
  const account = odooAccount();
  if (account) execFileSync("chown", [`${account.uid}:${account.gid}`, folder]);
  const filestore = join(folder, "filestore");
  if (account) execFileSync("chown", ["-R", `${account.uid}:${account.gid}`, filestore]);
}

async function lookAtPages(
  options: Findings & Recovered & { readonly postgres: TestServer },
): Promise<void> {
  const { odoo, folder, odooData, database, postgres, truth, facts, faults } = options;
  const place = {
    odoo,
    folder,
    dataDirectory: odooData,
    database,
    host: "127.0.0.1",
    port: postgres.port,
  };
  const begun = performance.now();
  // Without scheduled jobs: what is proved is what was recovered.
  await using server = await startOdoo(place, { crons: false });
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  const browser = new Browser(server.url);
  const pages = [await browser.page("/"), await browser.page("/web/login")];
  await browser.login();
  pages.push(await browser.page("/odoo"));
  faults.push(...faultsOf(pages));
  const told = pages.map(({ path, status, assets }) => {
    const good = assets.filter((asset) => asset.status === 200).length;
    return `${path} ${status} with ${good} of ${assets.length} assets 200`;
  });
  facts.push(`Odoo answers after ${seconds} s: ${told.join(", ")}`);
  let equal = 0;
  for (const [id, sha1] of truth.present) {
    const served = await browser.contentOf(id);
    if (served === sha1) equal++;
    else faults.push(`/web/content/${id}: ${served ?? "not served"}, not ${sha1}`);
  }
  facts.push(`/web/content gave ${equal} of ${truth.present.size} attachments, byte for byte`);
}

async function attachments(postgres: TestServer, database: string): Promise<Row[]> {
  const columns = "id, name, checksum, store_fname, url";
  return await query<Row>(postgres.connection(database), `SELECT ${columns} FROM ir_attachment`);
}
