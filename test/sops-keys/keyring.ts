// A keyring of real gpg's for one test, whose agent ends with it.

import { folder, output, program } from "./programs.ts";

const gpg = program("gpg");
/** Keys that are made in no time, unlike those of RSA. */
export const KIND = "future-default";

export interface Keyring extends Disposable {
  readonly path: string;
  gpg(args: readonly string[], input?: Uint8Array | string): Buffer;
  /** Makes a key; its fingerprint. */
  make(name: string, algorithm: string, passphrase?: string): string;
  /** The secret keys as a file. */
  export(name: string, passphrase?: string): string;
  encrypt(fingerprint: string, data: Uint8Array): string;
  /** Makes the agent forget every passphrase. */
  forget(): void;
}

export function keyring(): Keyring {
  const home = folder();
  // As slow as gpg makes passphrases otherwise, a test of them takes seconds.
  home.write("gpg-agent.conf", "s2k-count 65536\n");
  const env = { GNUPGHOME: home.path };
  const run = (args: readonly string[], input?: Uint8Array | string): Buffer =>
    output(gpg.path, ["--batch", "--no-tty", "--quiet", ...args], input, env);
  const loopback = (passphrase: string): string[] => [
    "--pinentry-mode",
    "loopback",
    "--passphrase",
    passphrase,
  ];
  return {
    path: home.path,
    gpg: run,
    make: (name, algorithm, passphrase = "") => {
      const flags = [...loopback(passphrase), "--quick-generate-key"];
      run([...flags, `${name} <${name}@example.org>`, algorithm, "default", "never"]);
      const list = run(["--with-colons", "--list-keys", `=${name} <${name}@example.org>`]);
      return /^fpr:+([0-9A-F]{40}):/m.exec(list.toString())![1]!;
    },
    export: (name, passphrase = "") => {
      const flags = [...loopback(passphrase), "--armor", "--export-secret-keys"];
      return home.write(`${name}.asc`, run([...flags, name]));
    },
    encrypt: (fingerprint, data) =>
      run(
        ["--armor", "--trust-model", "always", "--encrypt", "--recipient", fingerprint],
        data,
      ).toString(),
    forget: () => void output("gpgconf", ["--kill", "gpg-agent"], "", env),
    [Symbol.dispose]: () => {
      output("gpgconf", ["--kill", "all"], "", env);
      home[Symbol.dispose]();
    },
  };
}
