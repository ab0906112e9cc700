// A folder with a repository that real restic and this program work on in turn.

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openRepository } from "../../src/repository/open.ts";
import type { OpenOptions } from "../../src/repository/open.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { openLocalStorage } from "../../src/storage/local.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { testMachine } from "../memory-repository.ts";
import { peer } from "../peers.ts";
import type { PeerName } from "../peers.ts";
import { createQuickRepository } from "./quick-repository.ts";

const PASSWORD = "interop";

export interface ResticOutcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

export interface ResticFolder extends Disposable {
  path: string;
  /** The repository's folder. */
  repository: string;
  source: string;
  /** Runs a restic on the repository; throws unless it succeeds. */
  restic: (...words: string[]) => string;
  /** Runs it and tells how it went. */
  tryRestic: (...words: string[]) => ResticOutcome;
  open: (options?: Partial<OpenOptions>) => Promise<Repository>;
}

/** A new folder with an empty repository that opens fast, or without one; `which` restic runs on it. */
export async function resticFolder(
  which: PeerName,
  options: { version?: 1 | 2; create?: boolean } = {},
): Promise<ResticFolder> {
  const path = mkdtempSync(join(tmpdir(), "holdfast-interop-"));
  const [repository, source] = [join(path, "repository"), join(path, "source")];
  mkdirSync(source);
  if (options.create !== false) await createQuickRepository(repository, PASSWORD, options.version);
  const tryRestic = (...words: string[]): ResticOutcome => {
    const { status, stdout, stderr } = spawnSync(peer(which).path, words, {
      encoding: "utf8",
      cwd: path,
      env: {
        HOME: path,
        TZ: "UTC",
        RESTIC_REPOSITORY: repository,
        RESTIC_PASSWORD: PASSWORD,
        RESTIC_CACHE_DIR: join(path, "cache"),
      },
    });
    return { status, stdout, stderr };
  };
  const restic = (...words: string[]): string => {
    const { status, stdout, stderr } = tryRestic(...words);
    if (status !== 0) throw new Error(`restic ${words.join(" ")}: ${stderr}`);
    return stdout;
  };
  const open = async (opening: Partial<OpenOptions> = {}): Promise<Repository> => {
    const storage: Storage = await openLocalStorage({ root: repository });
    return openRepository({ storage, password: PASSWORD, machine: testMachine(), ...opening });
  };
  const dispose = (): void => rmSync(path, { recursive: true, force: true });
  return { path, repository, source, restic, tryRestic, open, [Symbol.dispose]: dispose };
}

/** Fills the source with a few directories of files. */
export function fillSource({ source }: ResticFolder): void {
  for (let i = 0; i < 30; i++) {
    const folder = join(source, `dir${i % 5}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `file${i}`), `content of file ${i}\n`.repeat(1 + i * i));
  }
}
