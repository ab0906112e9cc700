// Runs the real sops with an age key that exists only for the test, and opens data keys with the real age.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KeyAttempt, KeyContext, WrappedKey } from "../../src/sops/key-source.ts";
import { retrieveDataKey } from "../../src/sops/data-key.ts";
import type { SopsDocument } from "../../src/sops/document.ts";
import { peer } from "../peers.ts";

export const VERSIONS = ["sops-newest", "sops-3.13.1", "sops-old"] as const;
export type Version = (typeof VERSIONS)[number];

export interface RealSops {
  readonly recipient: string;
  /** Runs a version of sops on `content` as a file called `name`; its output. Throws with what it complained of. */
  readonly run: (
    version: Version,
    args: readonly string[],
    name: string,
    content: Uint8Array | string,
  ) => Buffer;
  /** The path of a configuration with `text`. */
  readonly config: (text: string) => string;
  readonly dataKeyOf: (document: SopsDocument) => Promise<Uint8Array>;
  /** The data key under the test's recipient. */
  readonly wrap: (dataKey: Uint8Array) => WrappedKey;
}

/** Makes a key, and a folder that `after` removes. */
export function realSops({ after }: { after: (clean: () => void) => void }): RealSops {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-sops-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const keyFile = join(folder, "key.txt");
  execFileSync(peer("age-keygen").path, ["-o", keyFile], { stdio: "ignore" });
  const recipient = /age1\w+/.exec(readFileSync(keyFile, "utf8"))![0];
  const age = (args: readonly string[], input: Uint8Array | string): Buffer =>
    execFileSync(peer("age").path, args, { input, stdio: ["pipe", "pipe", "pipe"] });
  const open = (key: WrappedKey): Promise<KeyAttempt> =>
    Promise.resolve({ opened: true, dataKey: age(["-d", "-i", keyFile], key.enc), where: "age" });
  return {
    recipient,
    run: (version, args, name, content) => {
      const file = join(folder, name);
      writeFileSync(file, content);
      const { status, stdout, stderr } = spawnSync(peer(version).path, [...args, file], {
        env: { PATH: process.env["PATH"], HOME: folder, SOPS_AGE_KEY_FILE: keyFile },
        maxBuffer: 256 << 20,
      });
      if (status !== 0) throw new Error(`${version} ended with ${status}: ${stderr.toString()}`);
      return stdout;
    },
    config: (text) => {
      const file = join(folder, "config.yaml");
      writeFileSync(file, text);
      return file;
    },
    dataKeyOf: async (document) =>
      (await retrieveDataKey(document, open, {} as KeyContext)).dataKey,
    wrap: (dataKey) => ({
      kind: "age",
      id: recipient,
      enc: age(["-a", "-r", recipient], dataKey).toString(),
      createdAt: undefined,
    }),
  };
}
