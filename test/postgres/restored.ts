// What tests of restores share: an archive that a server fills, restores out of it, and the recovered database.

import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RecoveryTarget } from "../../src/barman/recovery-target.ts";
import { systemClock } from "../../src/base/clock.ts";
import { Progress } from "../../src/base/progress.ts";
import type { Archive } from "../../src/postgres/archive.ts";
import { connect } from "../../src/postgres/connection.ts";
import { planRestore, type RestorePlan } from "../../src/postgres/restore-plan.ts";
import {
  restoreBackup,
  type RestoreOptions,
  type RestoreResult,
} from "../../src/postgres/restore.ts";
import { startScratchServer, type ScratchServer } from "../../src/postgres/scratch.ts";
import { findServerPrograms } from "../../src/postgres/server-programs.ts";
import { serverAccount, until, type TestServer } from "./servers.ts";

/** A folder to restore into, below one that everybody may enter; remove `root` when done. */
export function restoreFolder(): { root: string; folder: string } {
  const root = mkdtempSync(join(tmpdir(), "holdfast-restored-"));
  const account = serverAccount();
  if (account) chownSync(root, account.uid, account.gid);
  return { root, folder: join(root, "versions", "data") };
}

interface RestoreCase {
  readonly archive: Archive;
  readonly folder: string;
  readonly target?: RecoveryTarget;
  readonly backup?: string;
  readonly timeline?: number;
  readonly tablespaces?: ReadonlyMap<string, string>;
  readonly restoreCommand: string;
  readonly more?: Partial<RestoreOptions>;
}

export async function plan(options: RestoreCase): Promise<RestorePlan> {
  const { target = { kind: "latest" }, archive, folder, backup, timeline, tablespaces } = options;
  return await planRestore({
    archive,
    target,
    folder,
    backup,
    timeline,
    ...(tablespaces ? { tablespaces } : {}),
    clock: systemClock,
  });
}

/** Plans and restores, quickly rather than durably. */
export async function restore(options: RestoreCase): Promise<RestoreResult> {
  return await restoreBackup({
    plan: await plan(options),
    restoreCommand: options.restoreCommand,
    action: "pause",
    account: serverAccount(),
    durable: false,
    progress: new Progress(),
    ...options.more,
  });
}

/** Starts a server on a restored folder and waits until it has recovered. */
export async function recover(
  server: Pick<TestServer, "major" | "programs">,
  folder: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<ScratchServer> {
  return await startScratchServer({
    programs: await findServerPrograms({ major: server.major, folder: server.programs }),
    dataDirectory: folder,
    temporary: tmpdir(),
    account: serverAccount(),
    environment,
    settings: { fsync: "off" },
    until: "recovered",
    clock: systemClock,
  });
}

/** The first column of all rows. */
export async function ask(scratch: ScratchServer, text: string): Promise<(string | null)[]> {
  const connection = await connect({ settings: scratch.connection });
  try {
    return (await connection.query(text)).map((row) => Object.values(row)[0] ?? null);
  } finally {
    await connection.close();
  }
}

/** Ends the segment that is being written, and waits until it is archived. */
export async function archiveAll(server: TestServer): Promise<void> {
  const [row] = await server.sql<{ name: string }>(
    "SELECT pg_walfile_name(pg_switch_wal()) AS name",
  );
  await until(`${row!.name} to be archived`, async () => {
    const [{ last }] = (await server.sql<{ last: string | null }>(
      "SELECT last_archived_wal AS last FROM pg_stat_archiver",
    )) as [{ last: string | null }];
    return last !== null && last.slice(0, 24) >= row!.name;
  });
}

/** True when nothing of a restore is left. */
export function isUntouched(folder: string): boolean {
  return !existsSync(folder) || readdirSync(folder).length === 0;
}

/** Removes the folders of a test. Who fetches WAL ahead for a server that is gone may still be at work in one. */
export function removeAll(...folders: string[]): void {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 20 });
}
