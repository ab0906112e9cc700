// The desk of somebody who follows the guide: a checkout of the GitOps example with their own age key in it, a bucket that
// stands for Google's, the real programs that the guide names, and hands that fill in the editor what a person would paste.
//
// Two things differ from a real desk, and no more: the secret also names the bucket's address, and what the guide writes to /tmp
// stays in the desk's own folder.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { PROGRAM } from "../faults/workbench.ts";
import { GcsDouble } from "../gcs/double.ts";
import { peer, type PeerName } from "../peers.ts";
import { program } from "../sops-keys/programs.ts";

export const BUCKET = "hayden-odoo-backups";
export const KMS_KEY =
  "projects/hayden/locations/australia-southeast1/keyRings/backup/cryptoKeys/backup-encryption";
export const SECRET_FILE =
  "kubernetes/apps/base/business-system/odoo/app/secret-filestore-restic.enc.yaml";
const EXAMPLE = join(import.meta.dirname, "..", "..", "deploy", "example");
const ACCOUNT = "odoo-pg-backup@hayden.iam.gserviceaccount.com";

/** What the desk cannot do without: reasons to skip. */
export const DESK_PEERS: readonly PeerName[] = [
  "sops-newest",
  "age-keygen",
  "restic-newest",
  "rclone",
];

export interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** 0 by default; null takes any. */
  readonly status?: number | null;
}

export interface Desk {
  readonly folder: string;
  /** The checkout: where all commands are run. */
  readonly checkout: string;
  readonly google: GcsDouble;
  /** Lines of a shell, as the guide has them. */
  run(script: string, options?: RunOptions): Promise<Ran>;
  /** A file of the checkout. */
  read(path: string): string;
  write(path: string, text: string): void;
  /** rclone's remote `gcs`, from the secret: what "rclone configured with GCS" asks of the reader. */
  rcloneConfiguration(): Promise<string>;
  close(): Promise<void>;
}

export async function openDesk({
  programs = {},
}: { programs?: Record<string, string> } = {}): Promise<Desk> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-seed-"));
  const checkout = join(folder, "checkout");
  cpSync(EXAMPLE, checkout, { recursive: true });
  const google = await new GcsDouble({ authenticate: true }).listen();
  google.keys.set(KMS_KEY, { location: "AUSTRALIA-SOUTHEAST1", state: "ENABLED", granted: true });
  google.createBucket({
    name: BUCKET,
    location: "AUSTRALIA-SOUTHEAST1",
    defaultKmsKeyName: KMS_KEY,
  });
  const path = installPrograms(join(folder, "bin"), programs);
  giveKey(folder, checkout);
  writeState(checkout, google);
  commitFirst(folder, checkout);
  writeFileSync(join(folder, "editor.mjs"), editor(folder, google.endpoint));
  const desk: Desk = {
    folder,
    checkout,
    google,
    run: (script, options = {}) =>
      runShell(script.replaceAll(/\/tmp\/(?=gcs-sa\.json|screen)/g, `${folder}/`), {
        cwd: checkout,
        options,
        env: {
          PATH: path,
          HOME: folder,
          SOPS_AGE_KEY_FILE: join(folder, "age.agekey"),
          EDITOR: `${process.execPath} ${join(folder, "editor.mjs")}`,
          RESTIC_CACHE_DIR: join(folder, "cache"),
          RCLONE_CONFIG: join(folder, "rclone.conf"),
          GIT_CONFIG_GLOBAL: join(folder, "gitconfig"),
          GIT_CONFIG_SYSTEM: "/dev/null",
          ...options.env,
        },
      }),
    read: (name) => readFileSync(join(checkout, name), "utf8"),
    write: (name, text) => writeFileSync(join(checkout, name), text),
    rcloneConfiguration: async () =>
      configurationOf((await desk.run(`sops -d ${SECRET_FILE}`)).stdout, google.endpoint),
    close: async () => {
      await google.close();
      rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
    },
  };
  return desk;
}

/** rclone always asks for a token, so it is told where the desk's Google gives them out. */
function configurationOf(manifest: string, endpoint: string): string {
  const { stringData } = parse(manifest) as { stringData: Record<string, string> };
  const settings = Object.entries(stringData).flatMap(([key, value]) => {
    const name = /^RCLONE_CONFIG_GCS_(.+)$/.exec(key)?.[1]?.toLowerCase();
    if (name === undefined) return [];
    if (!name.endsWith("credentials")) return [`${name} = ${value}`];
    const account = JSON.parse(value) as Record<string, string>;
    return [`${name} = ${JSON.stringify({ ...account, token_uri: `${endpoint}/token` })}`];
  });
  return `[gcs]\n${settings.join("\n")}\n`;
}

/** Puts the programs of the guide, and no others of their kind, on the PATH of the desk. */
function installPrograms(bin: string, programs: Readonly<Record<string, string>>): string {
  mkdirSync(bin);
  const terraform = program("terraform");
  const all = {
    sops: peer("sops-newest").path,
    restic: peer("restic-newest").path,
    rclone: peer("rclone").path,
    holdfast: PROGRAM,
    node: process.execPath,
    ...(terraform.skip === false && { terraform: terraform.path }),
    ...programs,
  };
  for (const [name, target] of Object.entries(all)) symlinkSync(target, join(bin, name));
  if (terraform.skip !== false) {
    // All that the guide asks of Terraform is to print an output of its state.
    const state = `JSON.parse(require("fs").readFileSync("terraform/gcp/terraform.tfstate"))`;
    const script = `process.stdout.write(${state}.outputs.odoo_backup_sa_key.value)`;
    writeFileSync(join(bin, "terraform"), `#!/bin/sh\nexec node -e '${script}'\n`, { mode: 0o755 });
  }
  return `${bin}:/usr/bin:/bin`;
}

/** A key of age, and its recipient where .sops.yaml of the example wants one. */
function giveKey(folder: string, checkout: string): void {
  const file = join(folder, "age.agekey");
  execFileSync(peer("age-keygen").path, ["-o", file], { stdio: "ignore" });
  const recipient = /age1\w+/.exec(readFileSync(file, "utf8"))![0];
  const rules = join(checkout, ".sops.yaml");
  const text = readFileSync(rules, "utf8");
  assert.ok(text.includes("REPLACE-WITH-YOUR-AGE-RECIPIENT"));
  writeFileSync(rules, text.replace("REPLACE-WITH-YOUR-AGE-RECIPIENT", recipient));
}

/** Terraform's state after it made the account: its key is base64 of JSON on several lines, as Google gives it. */
function writeState(checkout: string, google: GcsDouble): void {
  const made = google.access.createAccount(ACCOUNT);
  const json = `${JSON.stringify(JSON.parse(made), undefined, 2)}\n`;
  const value = Buffer.from(json).toString("base64");
  writeFileSync(
    join(checkout, "terraform", "gcp", "terraform.tfstate"),
    JSON.stringify({
      version: 4,
      terraform_version: "1.5.0",
      serial: 1,
      lineage: "seed",
      outputs: { odoo_backup_sa_key: { value, type: "string", sensitive: true } },
      resources: [],
    }),
  );
}

/** The checkout as it was before the guide: the example in git, and where it is pushed to. */
function commitFirst(folder: string, checkout: string): void {
  const config = join(folder, "gitconfig");
  writeFileSync(
    config,
    "[user]\nname = Admin\nemail = admin@example.org\n[init]\ndefaultBranch = main\n",
  );
  const env = { ...process.env, GIT_CONFIG_GLOBAL: config, GIT_CONFIG_SYSTEM: "/dev/null" };
  const git = (...words: string[]): void => {
    execFileSync("git", words, { cwd: checkout, env, stdio: "ignore" });
  };
  git("init", "--bare", join(folder, "remote.git"));
  git("init");
  git("remote", "add", "origin", join(folder, "remote.git"));
  git("add", ".");
  git("commit", "-m", "Odoo");
  git("push", "-u", "origin", "main");
}

/** Does in an editor what step 4 of the set-up says, reading the password off the screen and the key from its file. */
function editor(folder: string, endpoint: string): string {
  return `
import { readFileSync, writeFileSync } from "node:fs";
const file = process.argv.at(-1);
const password = /^RESTIC_PASSWORD: (.+)$/m.exec(readFileSync("${folder}/screen", "utf8"))[1];
const account = readFileSync("${folder}/gcs-sa.json", "utf8").trimEnd();
let text = readFileSync(file, "utf8");
const paste = (mark, value) => {
  if (!text.includes(mark)) throw new Error("no placeholder " + mark);
  text = text.replace(mark, () => value);
};
paste("REPLACE-WITH-A-GENERATED-PASSWORD", password);
// sops shows the file with indentation of its own.
const indent = /^( +)RESTIC_PASSWORD:/m.exec(text)[1];
const block = account.split("\\n").map((line) => indent.repeat(2) + line).join("\\n");
paste("REPLACE-WITH-THE-JSON-OF-THE-SERVICE-ACCOUNT", "|\\n" + block);
text = text.trimEnd() + "\\n";
text += indent + 'RCLONE_CONFIG_GCS_ENDPOINT: "${endpoint}/storage/v1/"\\n';
writeFileSync(file, text);
`;
}

function runShell(
  script: string,
  { cwd, env, options }: { cwd: string; env: NodeJS.ProcessEnv; options: RunOptions },
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn("bash", ["-e", "-o", "pipefail", "-c", script], {
      cwd,
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const said = { stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (part: string) => (said.stdout += part));
    child.stderr.setEncoding("utf8").on("data", (part: string) => (said.stderr += part));
    child.on("error", reject);
    child.on("close", (status) => {
      const expected = options.status === undefined ? 0 : options.status;
      if (expected === null || status === expected) {
        resolve({ status, ...said });
      } else {
        reject(new Error(`status ${status} of: ${script}\n${said.stdout}\n${said.stderr}`));
      }
    });
  });
}
