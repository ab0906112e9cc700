// Where systems keep PostgreSQL's programs, and which version a program is of: it is asked, and never taken by its folder's name.

import { execFile } from "node:child_process";
import { delimiter } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface FolderOptions {
  /** Whose own folders are looked at, in this order. */
  readonly majors: readonly number[];
  /** Looked at before all others. */
  readonly folder?: string | undefined;
  /** The folders of the variable PATH, parted as they are there. */
  readonly path?: string | undefined;
}

/** Where systems install each major, beside others: Debian, Red Hat, Homebrew, Alpine. */
const SYSTEM_FOLDERS: readonly ((major: number) => string)[] = [
  (major) => `/usr/lib/postgresql/${major}/bin`,
  (major) => `/usr/pgsql-${major}/bin`,
  (major) => `/opt/homebrew/opt/postgresql@${major}/bin`,
  (major) => `/usr/local/opt/postgresql@${major}/bin`,
  (major) => `/usr/libexec/postgresql${major}`,
];

/** Folders in which programs may be, each once, in the order in which they are to be looked at. */
export function programFolders({ majors, folder, path = "" }: FolderOptions): string[] {
  const all = [
    ...(folder === undefined ? [] : [folder]),
    ...majors.flatMap((major) => SYSTEM_FOLDERS.map((place) => place(major))),
    ...path.split(delimiter).filter((part) => part !== ""),
  ];
  return [...new Set(all)];
}

/** The version of a program, "15.18", or "18beta1" as 18; undefined when it does not tell one. */
export async function programVersion(program: string): Promise<string | undefined> {
  try {
    const { stdout } = await run(program, ["--version"], { timeout: 20_000 });
    return /\b(\d+(?:\.\d+)?)/.exec(stdout.replace(/^\S+/, ""))?.[1];
  } catch {
    return undefined;
  }
}
