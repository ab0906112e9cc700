// An instance that was backed up and captured, step by step and as a test wishes: a server that archives, a small database of
// Odoo with its filestore, a repository and captures, all in folders of this machine. The captures are made here and not by
// the program's own capture, so that a test can make wrong ones, too.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { captureTags, type CaptureMark } from "../../src/odoo/capture-mark.ts";
import { readPosition } from "../../src/odoo/read-references.ts";
import { connect } from "../../src/postgres/connection.ts";
import { backUpServer, makeFolderArchive, type FolderArchive } from "../postgres/base-backups.ts";
import { runProgram, startProgram, type ProgramRun } from "../postgres/program.ts";
import { archiveAll, removeAll } from "../postgres/restored.ts";
import { query, serverOwnedFolder, startTestServer, type TestServer } from "../postgres/servers.ts";
import { filesBelow } from "./recovered-moment.ts";
import { makeSmallInstance, type SmallInstance } from "./small-instance.ts";

const PASSWORD = "a password of these tests";

export interface RecoveryScene extends AsyncDisposable {
  readonly server: TestServer;
  readonly instance: SmallInstance;
  readonly archive: FolderArchive;
  readonly repository: string;
  readonly captures: string;
  /** A folder for whatever is recovered. */
  readonly root: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Runs the program, which must end with `status`. */
  holdfast: (words: readonly string[], status?: number) => Promise<ProgramRun>;
  start: (words: readonly string[]) => ReturnType<typeof startProgram>;
  /** A full snapshot of the filestore. */
  snapshot: () => Promise<string>;
  /** A capture of everything that was there at any capture, with a mark of this moment. */
  capture: (mark?: Partial<CaptureMark>) => Promise<string>;
  /** Of the server's clock, as --at takes it. */
  now: () => Promise<string>;
  archiveAll: () => Promise<void>;
}

export async function makeRecoveryScene(): Promise<RecoveryScene> {
  const archive = await makeFolderArchive();
  const server = await startTestServer({
    archiveCommand: archive.archiveCommand,
    segmentMegabytes: 1,
  });
  const root = serverOwnedFolder("recovery");
  const close = async (): Promise<void> => {
    await server.stop();
    removeAll(archive.folder, root);
  };
  try {
    const instance = await makeSmallInstance(server);
    return await sceneOf({ archive, server, root, instance, close });
  } catch (error) {
    await close();
    throw error;
  }
}

async function sceneOf(parts: {
  archive: FolderArchive;
  server: TestServer;
  root: string;
  instance: SmallInstance;
  close: () => Promise<void>;
}): Promise<RecoveryScene> {
  const { archive, server, root, instance, close } = parts;
  const repository = join(root, "repository");
  const captures = `${repository}-captures`;
  const environment = {
    RESTIC_REPOSITORY: repository,
    RESTIC_PASSWORD: PASSWORD,
    HOLDFAST_ARCHIVE: archive.folder,
    HOLDFAST_ARCHIVE_SERVER: "pg",
    HOME: root,
  };
  const holdfast: RecoveryScene["holdfast"] = async (words, status = 0) => {
    const run = await runProgram(words, { env: environment });
    const text = `holdfast ${words.join(" ")}: ${run.stdout}\n${run.stderr}`;
    assert.equal(run.status, status, text);
    return run;
  };
  const idOf = ({ stdout }: ProgramRun): string =>
    /"snapshot_id":"([0-9a-f]{64})"/.exec(stdout)![1]!;
  await holdfast(["init", "--quiet"]);
  await holdfast(["init", "--quiet", "-r", captures]);
  const mirror = join(root, "captured");
  return {
    server,
    instance,
    archive,
    repository,
    captures,
    root,
    environment,
    holdfast,
    start: (words) => startProgram(words, { env: environment }),
    snapshot: async () => idOf(await holdfast(["backup", "--json", instance.folder])),
    capture: async (mark = {}) => {
      const position = await positionOf(instance);
      for (const path of instance.files.keys()) {
        const from = join(instance.folder, path);
        if (!existsSync(from)) continue;
        mkdirSync(dirname(join(mirror, path)), { recursive: true });
        copyFileSync(from, join(mirror, path));
      }
      const tags = captureTags({
        database: instance.database,
        since: undefined,
        position,
        missing: 0,
        corrupt: 0,
        ...mark,
      });
      const words = tags.flatMap((tag) => ["--tag", tag]);
      return idOf(await holdfast(["-r", captures, "backup", "--json", mirror, ...words]));
    },
    now: async () => {
      const [row] = await instance.sql<{ now: string }>("SELECT clock_timestamp()::text AS now");
      return row!.now;
    },
    archiveAll: async () => await archiveAll(server),
    [Symbol.asyncDispose]: async () => {
      instance.remove();
      await close();
    },
  };
}

async function positionOf({ settings }: SmallInstance): ReturnType<typeof readPosition> {
  const connection = await connect({ settings });
  try {
    return await readPosition(connection);
  } finally {
    await connection.close();
  }
}

/** A base backup of the scene's server. */
export async function backUpBase({ server, archive }: RecoveryScene): Promise<string> {
  return (await backUpServer(server, archive)).id;
}

/** What lies in a recovered filestore: its paths, each with the right content. */
export function recoveredPaths(folder: string): string[] {
  const files = filesBelow(folder);
  for (const { name, path, content } of files) assert.equal(content, name, `content of ${path}`);
  return files.map(({ path }) => path).toSorted();
}

/** Starts a server on a recovered data directory and asks it. */
export async function askRecovered<Row = Record<string, string>>(
  { server }: RecoveryScene,
  dataDirectory: string,
  { text, database = "odoo" }: { readonly text: string; readonly database?: string },
): Promise<Row[]> {
  await using recovered = await startTestServer({ major: server.major, dataDirectory });
  return await query<Row>(recovered.connection(database), text);
}

export function sha1Of(content: Uint8Array): string {
  return createHash("sha1").update(content).digest("hex");
}

/** The report beside what was recovered. */
export function reportOf(root: string): Record<string, never> & {
  complete: boolean;
  coverage: { kind: string };
  files: Record<string, string[] & number>;
} {
  return JSON.parse(readFileSync(join(root, "recovery-report.json"), "utf8")) as never;
}
