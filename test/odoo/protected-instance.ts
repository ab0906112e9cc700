// A small instance of Odoo with everything that protects it: an archive that its server fills, a base backup, a repository with a
// snapshot of its filestore, and captures beside it. Captures are made by plain backups with the tags of captures, so that
// they say exactly what a test wants.

import { chmodSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseLsn } from "../../src/barman/lsn.ts";
import { captureTags } from "../../src/odoo/capture-mark.ts";
import { backUpServer, makeFolderArchive, type FolderArchive } from "../postgres/base-backups.ts";
import { runProgram, type ProgramRun } from "../postgres/program.ts";
import { removeAll } from "../postgres/restored.ts";
import { startTestServer, until, type TestServer } from "../postgres/servers.ts";
import { makeSmallInstance, type SmallInstance } from "./small-instance.ts";

export interface ProtectedInstance extends AsyncDisposable {
  readonly server: TestServer;
  readonly archive: FolderArchive;
  readonly instance: SmallInstance;
  /** Folders of this machine. */
  readonly repository: string;
  readonly captures: string;
  /** Where a command may recover to. */
  readonly scratch: string;
  /** Everything that a command needs to know, but for the live database. */
  readonly environment: Readonly<Record<string, string>>;
  /** The live database, for --dbname. */
  readonly conninfo: string;
  /** Runs the program with `environment`. */
  holdfast: (words: readonly string[], more?: Record<string, string>) => Promise<ProgramRun>;
  /** As `holdfast`, and throws unless it ends with 0. */
  done: (words: readonly string[], more?: Record<string, string>) => Promise<ProgramRun>;
  /** Adds a full snapshot to the repository. */
  backUp: () => Promise<void>;
  /** Adds a capture that stands for this moment. */
  capture: () => Promise<void>;
  /** Ends the segment that is written, and waits until it is archived. */
  archiveWal: () => Promise<void>;
}

const PASSWORD = "a password of tests";

/** Makes it all; the base backup comes after the first attachments. */
export async function makeProtectedInstance(): Promise<ProtectedInstance> {
  const archive = await makeFolderArchive();
  const server = await startTestServer({ archiveCommand: archive.archiveCommand });
  const instance = await makeSmallInstance(server);
  const root = mkdtempSync(join(tmpdir(), "hf-"));
  // The server's account passes through here.
  chmodSync(root, 0o755);
  const repository = join(root, "repository");
  const captures = `${repository}-captures`;
  const scratch = mkdtempSync(join(root, "s-"));
  chmodSync(scratch, 0o755);
  const environment = {
    RESTIC_REPOSITORY: repository,
    RESTIC_PASSWORD: PASSWORD,
    RESTIC_CACHE_DIR: join(root, "cache"),
    HOLDFAST_ARCHIVE: archive.folder,
    HOLDFAST_ARCHIVE_SERVER: "pg",
    HOLDFAST_SCRATCH: scratch,
    TMPDIR: tmpdir(),
  };
  const holdfast: ProtectedInstance["holdfast"] = async (words, more = {}) =>
    await runProgram(words, { env: { ...environment, ...more } });
  const done: ProtectedInstance["done"] = async (words, more) => {
    const run = await holdfast(words, more);
    if (run.status === 0) return run;
    throw new Error(`holdfast ${words.join(" ")}: ${run.status}\n${run.stdout}\n${run.stderr}`);
  };
  const [facts] = await server.sql<{ system: string }>(
    "SELECT system_identifier::text AS system FROM pg_control_system()",
  );
  const position = async (): Promise<string> => {
    const [row] = await server.sql<{ lsn: string }>("SELECT pg_current_wal_lsn()::text AS lsn");
    return row!.lsn;
  };
  const dispose = async (): Promise<void> => {
    await server.stop();
    instance.remove();
    removeAll(root, archive.folder);
  };
  const made: ProtectedInstance = {
    server,
    archive,
    instance,
    repository,
    captures,
    scratch,
    environment,
    conninfo: `host=${server.host} dbname=odoo user=postgres`,
    holdfast,
    done,
    async backUp() {
      await done(["backup", "--quiet", instance.folder]);
    },
    async capture() {
      const tags = captureTags({
        database: "odoo",
        since: undefined,
        position: {
          systemId: facts!.system,
          timeline: 1,
          lsn: parseLsn(await position(), "the server"),
          time: Date.now(),
        },
        missing: 0,
        corrupt: 0,
      });
      const words = ["backup", "--quiet", ...tags.flatMap((tag) => ["--tag", tag])];
      await done([...words, instance.folder], { RESTIC_REPOSITORY: captures });
    },
    async archiveWal() {
      const [row] = await server.sql<{ name: string }>(
        "SELECT pg_walfile_name(pg_switch_wal()) AS name",
      );
      await until(`${row!.name} to be archived`, async () => {
        const [told] = await server.sql<{ last: string | null }>(
          "SELECT last_archived_wal AS last FROM pg_stat_archiver",
        );
        return (told!.last ?? "") >= row!.name;
      });
    },
    [Symbol.asyncDispose]: dispose,
  };
  try {
    await done(["init", "--quiet"]);
    const from = { RESTIC_FROM_REPOSITORY: repository, RESTIC_FROM_PASSWORD: PASSWORD };
    await done(["init", "--quiet", "--copy-chunker-params"], {
      RESTIC_REPOSITORY: captures,
      ...from,
    });
    await backUpServer(server, archive);
    await made.backUp();
    return made;
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** The messages of a run with --json. */
export function messagesOf({ stdout }: ProgramRun): Record<string, unknown>[] {
  return stdout
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** The only file of a folder whose name ends so. */
export function readOnly(folder: string, names: readonly string[], ending: string): Buffer {
  const [name, ...more] = names.filter((each) => each.endsWith(ending));
  if (name === undefined || more.length > 0) throw new Error(`not one ${ending} in ${folder}`);
  return readFileSync(join(folder, name));
}
