// The real programs that keys are made and opened with: peers of test/peers.ts, and those that a system has or has not. A
// missing one is a skip with its reason; only a peer can be required.

import { execFileSync } from "node:child_process";
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { PEERS, peer, type PeerName } from "../peers.ts";

export interface Program {
  /** What to run; throws when the program is missing. */
  readonly path: string;
  readonly skip: string | false;
}

/** The program called `name`, from the peer of the name `as` where there is one, or else from PATH. */
export function program(name: string, as: string = name): Program {
  if (as in PEERS) return peer(as as PeerName);
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return { path, skip: false };
    } catch {
      continue;
    }
  }
  const reason = `no ${name} on PATH`;
  return {
    get path(): string {
      throw new Error(reason);
    },
    skip: reason,
  };
}

/** Runs `path` and returns what it printed. */
export function output(
  path: string,
  args: readonly string[],
  input: Uint8Array | string = "",
  env: Readonly<Record<string, string>> = {},
): Buffer {
  return execFileSync(path, args, {
    input,
    env: { ...process.env, ...env },
    stdio: ["pipe", "pipe", "pipe"],
    timeout: 300_000,
  });
}

/** A folder of our own, removed at the end of the block. */
export interface Folder extends Disposable {
  readonly path: string;
  /** Writes a file that only we can read; its path. */
  write(name: string, content: Uint8Array | string): string;
}

export function folder(): Folder {
  const path = mkdtempSync(join(tmpdir(), "holdfast-keys-"));
  return {
    path,
    write: (name, content) => {
      const file = join(path, name);
      writeFileSync(file, content, { mode: 0o600 });
      return file;
    },
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}
