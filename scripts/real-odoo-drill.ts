// The command that a drill runs in `npm run real-odoo`: boots Odoo on what the drill recovered, loads the login page and the
// pages behind it with all their assets, and ends with 1 when anything is wrong. Scheduled jobs are off: a copy of a live
// database must send nothing. Everything it needs to know comes from the drill, in the environment.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Browser, faultsOf } from "./real-odoo/browser.ts";
import { debianRelease, installOdoo } from "./real-odoo/install.ts";
import { startOdoo } from "./real-odoo/server.ts";

/** A variable that a drill sets. */
function given(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: this is run by holdfast drill`);
  return value;
}

const folder = mkdtempSync(join(tmpdir(), "holdfast-odoo-"));
try {
  await using server = await startOdoo(
    {
      odoo: installOdoo(debianRelease()),
      folder,
      dataDirectory: given("HOLDFAST_DRILL_DATA_DIR"),
      database: given("PGDATABASE"),
      host: given("PGHOST"),
      port: Number(given("PGPORT")),
    },
    { crons: false },
  );
  const browser = new Browser(server.url);
  const pages = [await browser.page("/web/login")];
  await browser.login();
  pages.push(await browser.page("/odoo"));
  const faults = faultsOf(pages);
  for (const fault of faults) console.error(fault);
  if (faults.length > 0) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
