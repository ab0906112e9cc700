// Barman's own cloud programs, run against a server of S3 on this machine: the ones that users have in production, with
// the Python of a peer.

import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { peer, type PeerName } from "../peers.ts";
import type { S3Server } from "../s3/versitygw.ts";

const run = promisify(execFile);

export type BarmanPeer = Extract<PeerName, `barman-${string}`>;

/** Where Barman's programs put and look for an archive. */
export interface BarmanTarget {
  readonly name: BarmanPeer;
  readonly s3: S3Server;
  /** s3://bucket/path */
  readonly url: string;
  readonly server: string;
}

/** The environment that Barman's programs, and ours, want. */
export function s3Environment({ accessKeyId, secretAccessKey }: S3Server): Record<string, string> {
  return {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_DEFAULT_REGION: "us-east-1",
    AWS_REGION: "us-east-1",
    // Newer clients sum what they send in a way that not every server of S3 knows.
    AWS_REQUEST_CHECKSUM_CALCULATION: "when_required",
    AWS_RESPONSE_CHECKSUM_VALIDATION: "when_required",
    PATH: "/usr/bin:/bin",
    TZ: "UTC",
    LC_ALL: "C.UTF-8",
    PYTHONDONTWRITEBYTECODE: "1",
  };
}

/** Runs `barman-cloud-<verb>`; its standard output. Throws with what it said when it fails. */
export async function barmanCloud(
  { name, s3, url, server }: BarmanTarget,
  verb: string,
  words: readonly string[] = [],
  behind: readonly string[] = [],
): Promise<string> {
  const program = programOf(name, verb);
  const options = ["--cloud-provider", "aws-s3", "--endpoint-url", s3.endpoint];
  const { stdout } = await run(
    peer(name).path,
    [program, ...options, ...words, url, server, ...behind],
    { env: s3Environment(s3), timeout: 300_000, maxBuffer: 1 << 26 },
  );
  return stdout;
}

/**
 * Archives into a folder, from which `push` archives with Barman: the account of the server need not be able to run a
 * peer's Python.
 */
export interface WalSpool {
  readonly archiveCommand: string;
  /** Archives what came since the last time, in the order of names. */
  push: (target: BarmanTarget, words?: readonly string[]) => Promise<string[]>;
}

/** A spool in `folder`, which the server's account may write. */
export function walSpool(folder: string): WalSpool {
  const pushed = new Set<string>();
  return {
    archiveCommand: `cp %p ${folder}/%f.tmp && mv ${folder}/%f.tmp ${folder}/%f`,
    push: async (target, words = ["--gzip"]) => {
      const names = readdirSync(folder).filter((name) => /^[0-9A-F]{8}[^/]*(?<!\.tmp)$/.test(name));
      const fresh = names.filter((name) => !pushed.has(name)).toSorted();
      for (const name of fresh) {
        await barmanCloud(target, "wal-archive", words, [join(folder, name)]);
        pushed.add(name);
      }
      return fresh;
    },
  };
}

function programOf(name: BarmanPeer, verb: string): string {
  return join(dirname(peer(name).path), `barman-cloud-${verb}`);
}
