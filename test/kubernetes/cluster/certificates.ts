// The keys of a test cluster: one authority, and what it signs for servers and clients, made by the machine's openssl.

import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Paths of PEM files. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

export interface Authority extends KeyPair {
  /**
   * Signs a certificate. `subject` as openssl has it (`/O=system:masters/CN=kubelet-client`); with `hosts` it is a server's,
   * else a client's. The files are called `name.crt` and `name.key`.
   */
  issue(options: {
    readonly name: string;
    readonly subject: string;
    /** `IP:127.0.0.1`, `DNS:localhost`. */
    readonly hosts?: readonly string[];
  }): Promise<KeyPair>;
}

const ELLIPTIC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** Makes an authority whose files lie in `folder` as `NAME.crt` and `NAME.key`. */
export async function makeAuthority(folder: string, name = "ca"): Promise<Authority> {
  const pair = pairIn(folder, name);
  await run("openssl", [
    "req",
    "-x509",
    ...ELLIPTIC,
    "-days",
    "2",
    "-subj",
    `/CN=test-${name}`,
    "-addext",
    "keyUsage=critical,keyCertSign,cRLSign",
    "-keyout",
    pair.key,
    "-out",
    pair.certificate,
  ]);
  return {
    ...pair,
    async issue({ name: of, subject, hosts }) {
      const issued = pairIn(folder, of);
      const purpose = hosts
        ? ["extendedKeyUsage=serverAuth", `subjectAltName=${hosts.join(",")}`]
        : ["extendedKeyUsage=clientAuth"];
      await run("openssl", [
        "req",
        "-x509",
        ...ELLIPTIC,
        "-days",
        "2",
        "-subj",
        subject,
        "-CA",
        pair.certificate,
        "-CAkey",
        pair.key,
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        ...purpose.flatMap((extension) => ["-addext", extension]),
        "-keyout",
        issued.key,
        "-out",
        issued.certificate,
      ]);
      return issued;
    },
  };
}

/** A key that signs the tokens of service accounts, and its public half. */
export async function makeSigningKey(folder: string): Promise<{ key: string; public: string }> {
  const key = join(folder, "service-accounts.key");
  const open = join(folder, "service-accounts.pub");
  await run("openssl", ["genrsa", "-out", key, "2048"]);
  const { stdout } = await run("openssl", ["rsa", "-in", key, "-pubout"]);
  await writeFile(open, stdout);
  return { key, public: open };
}

function pairIn(folder: string, name: string): KeyPair {
  return { certificate: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
}
