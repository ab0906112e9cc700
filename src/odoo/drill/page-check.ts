// Every page of a cluster against its checksum, by PostgreSQL's own pg_checksums, on the data directory of a server that was
// stopped in order.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { ServerAccount } from "../../postgres/server-process.ts";
import type { DrillCheck } from "./report.ts";

const run = promisify(execFile);

export interface PageCheckOptions {
  /** The folder of the server's programs. */
  readonly programs: string;
  readonly dataDirectory: string;
  /** As pg_control has it. */
  readonly hasChecksums: boolean;
  readonly account: ServerAccount | undefined;
  readonly signal?: AbortSignal | undefined;
}

export async function checkPages(options: PageCheckOptions): Promise<DrillCheck> {
  const { programs, dataDirectory, hasChecksums, account, signal } = options;
  const name = "pages";
  if (!hasChecksums)
    return {
      name,
      result: "not checked",
      detail: "the cluster has no page checksums; stop the server and run pg_checksums --enable",
    };
  const program = join(programs, "pg_checksums");
  if (!existsSync(program))
    return { name, result: "not checked", detail: `there is no pg_checksums in ${programs}` };
  try {
    const { stdout } = await run(program, ["--check", "-D", dataDirectory], {
      env: { PATH: "/usr/local/bin:/usr/bin:/bin", LC_ALL: "C" },
      cwd: "/",
      maxBuffer: 16 << 20,
      ...(account ? { uid: account.uid, gid: account.gid } : {}),
      ...(signal ? { signal } : {}),
    });
    const [, blocks = ""] = /Blocks scanned:\s+(\d+)/.exec(stdout) ?? [];
    return { name, result: "ok", detail: `${blocks} pages match their checksums` };
  } catch (error) {
    if (signal?.aborted) throw error;
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    const [, bad = "0"] = /Bad checksums:\s+(\d+)/.exec(stdout) ?? [];
    const said = stderr.trim().split("\n").slice(0, 3).join("; ");
    if (Number(bad) > 0)
      return { name, result: "failed", detail: `${bad} pages do not match: ${said}` };
    return { name, result: "failed", detail: `pg_checksums failed: ${said}` };
  }
}
