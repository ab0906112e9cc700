// `secrets init`: the Secret of a new repository, made and encrypted in one step. Plain values are in memory alone.

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { HoldfastError, messageOf } from "../base/errors.ts";
import { objectIn } from "../base/json-object.ts";
import type { Context } from "./command.ts";
import { EXIT } from "./exit-status.ts";
import { parseLocation } from "../storage/location.ts";
import { createFile } from "./replace-file.ts";
import { tellSecrets } from "./secrets-message.ts";
import { encryptContent } from "./sops-encrypt.ts";
import type { EncryptFlags } from "./sops-encrypt.ts";

const PASSWORD_BYTES = 32;
const CREDENTIALS_BYTES_MAX = 64 << 10;
const DNS_NAME = /^[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?$/;

export interface InitFlags extends EncryptFlags {
  readonly name?: string;
  readonly namespace?: string;
  /** A file, or "-" for standard input. */
  readonly credentials?: string;
}

interface Account {
  /** JSON, one member a line. */
  readonly json: string;
  readonly email: string;
}

/** Writes the Secret for the repository at `location` to `path`, which must not exist. */
export async function initSecret(
  context: Context,
  path: string,
  location: string,
  flags: InitFlags,
): Promise<number> {
  const { output, random } = context;
  parseLocation(location);
  if (/\p{Cc}/u.test(location))
    throw new HoldfastError("USAGE", "the location has a control character");
  const account =
    flags.credentials === undefined ? undefined : await readAccount(context, flags.credentials);
  const password = Buffer.from(random(PASSWORD_BYTES)).toString("base64");
  const manifest = manifestOf(path, flags, {
    RESTIC_REPOSITORY: location,
    RESTIC_PASSWORD: password,
    ...(account && accountVariables(location, account)),
  });
  const encrypted = Buffer.from(await encryptContent(context, path, Buffer.from(manifest), flags));
  refusePlain(path, encrypted, [password, ...(account ? ["PRIVATE KEY"] : [])]);
  await createFile(path, encrypted);
  const of = account === undefined ? "" : ` and the key of ${account.email}`;
  const line = `${path} holds a new password${of}, encrypted`;
  tellSecrets(context, line, { action: "init", file: path });
  output.print(`Make the repository with: holdfast --from-secret ${path} init`);
  if (flags.credentials !== undefined && flags.credentials !== "-") {
    output.warn(`warning: ${flags.credentials} still holds the key in plain: remove it`);
  }
  return EXIT.ok;
}

async function readAccount({ secrets }: Context, from: string): Promise<Account> {
  const source = from === "-" ? "standard input" : from;
  if (from.trimStart().startsWith("{")) {
    throw new HoldfastError("USAGE", "--credentials wants a file: others can read a command line");
  }
  let text: string;
  try {
    const bytes =
      from === "-" ? await secrets.readAll(CREDENTIALS_BYTES_MAX) : await readFile(from);
    text = bytes.toString("utf8").trim();
  } catch (error) {
    throw new HoldfastError(
      "USAGE",
      `--credentials: ${source} cannot be read: ${messageOf(error)}`,
    );
  }
  const account = objectIn(text) ?? objectIn(Buffer.from(text, "base64").toString("utf8"));
  const { type, client_email: email, private_key: key } = account ?? {};
  if (type !== "service_account" || typeof email !== "string" || typeof key !== "string") {
    throw new HoldfastError("USAGE", `--credentials: ${source} is no key of a service account`, {
      hint: "It is a JSON object with type, client_email and private_key, or the base64 of one.",
    });
  }
  return { json: JSON.stringify(account, undefined, 2), email };
}

/** The variables through which the location gets at the key. */
function accountVariables(location: string, { json }: Account): Record<string, string> {
  if (location.startsWith("gs:")) return { GOOGLE_APPLICATION_CREDENTIALS: json };
  const remote = /^rclone:(\w+):/.exec(location)?.[1]?.toUpperCase();
  if (remote === undefined) {
    throw new HoldfastError("USAGE", "--credentials is for gs: and rclone:REMOTE: repositories", {
      hint: "The name of the remote becomes part of a variable's name: letters, digits and _ alone.",
    });
  }
  const prefix = `RCLONE_CONFIG_${remote}_`;
  return {
    [`${prefix}TYPE`]: "google cloud storage",
    // Buckets with uniform access refuse requests that carry access lists.
    [`${prefix}BUCKET_POLICY_ONLY`]: "true",
    [`${prefix}SERVICE_ACCOUNT_CREDENTIALS`]: json,
  };
}

function manifestOf(
  path: string,
  { name = basename(path).replace(/(?:\.(?:enc|sops))?\.ya?ml$/, ""), namespace }: InitFlags,
  values: Record<string, string>,
): string {
  if (!/\.ya?ml$/.test(path)) throw new HoldfastError("USAGE", `${path} is not named .yaml`);
  for (const each of [name, namespace ?? name]) {
    if (!DNS_NAME.test(each)) throw new HoldfastError("USAGE", `${each} is no name in Kubernetes`);
  }
  const text = (value: string): string =>
    value.includes("\n") ? `|-\n${value.replaceAll(/^/gm, "    ")}` : JSON.stringify(value);
  return [
    "apiVersion: v1",
    "kind: Secret",
    "metadata:",
    `  name: ${JSON.stringify(name)}`,
    ...(namespace === undefined ? [] : [`  namespace: ${JSON.stringify(namespace)}`]),
    "type: Opaque",
    "stringData:",
    ...Object.entries(values).map(([key, value]) => `  ${key}: ${text(value)}`),
    "",
  ].join("\n");
}

/** USAGE when the rules would leave a secret readable, or Kubernetes no manifest. */
function refusePlain(path: string, encrypted: Buffer, secrets: readonly string[]): void {
  const hint = "Kubernetes Secrets want a rule with encrypted_regex: ^(data|stringData)$";
  if (secrets.some((secret) => encrypted.includes(secret))) {
    throw new HoldfastError("USAGE", `the rule for ${path} leaves stringData in plain`, { hint });
  }
  if (!encrypted.includes("kind: Secret\n")) {
    throw new HoldfastError("USAGE", `the rule for ${path} encrypts more than stringData`, {
      hint,
    });
  }
}
