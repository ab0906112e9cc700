// `--from-secret FILE` and `--secret NAME=SOURCE`: the variables of Secret manifests and of files of variables, encrypted by
// SOPS or plain, and single ones from wherever they are kept, over those of the process. They are in memory alone, and no
// child sees them but those that are given the environment on purpose.

import { HoldfastError } from "../base/errors.ts";
import { formatOf, looksLikeSops, parseTrees, placeOf } from "../sops/document.ts";
import { environmentOf } from "../sops/manifest.ts";
import type { Context } from "./command.ts";
import type { Environment } from "./environment.ts";
import { otherWays } from "./repository-source.ts";
import { parseSecret } from "./secret-source.ts";
import type { SecretFiles } from "./secret-source.ts";
import { openSopsContent, readNamedFile } from "./sops-file.ts";

/**
 * Names that decide what programs run, and how, or lift a protection: no secrets, and whoever may write the file may not run
 * code here.
 */
const OF_THE_PROCESS: readonly RegExp[] = [
  /^(?:PATH|HOME|SHELL|ENV|BASH_ENV|TMPDIR|GNUPGHOME|(?:SOPS_)?EDITOR|SOPS_CONFIG)$/i,
  /^(?:LD|DYLD|NODE|XDG)_/i,
  /_(?:PASSWORD|TOKEN)_COMMAND$/i,
  /^SOPS_.*_(?:CMD|EXEC)$/i,
  /^RCLONE_(?:CONFIG|METADATA_MAPPER|(?:.*_)?SSH)$/i,
  /^AWS_(?:CONFIG|SHARED_CREDENTIALS)_FILE$/i,
  /^GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES$/i,
  /^HOLDFAST_(?:RCLONE_(?:PROGRAM|ARGS)|GS_ALLOW_.*)$/i,
];

/** Variables that name a remote of rclone; and remotes that are made up on the spot, or get options there, such as `ssh=`. */
const NAMES_REMOTE =
  /^(?:(?:RESTIC|HOLDFAST)_(?:FROM_)?REPOSITORY|RCLONE_CONFIG_.*_(?:REMOTE|UPSTREAMS))$/i;
const MADE_UP_REMOTE = /(?:^|[\s="']):[^\s:]|(?:^|[\s="'])[^\s:/="']*,[^:]*=/;

export interface SecretFlags {
  /** Files whose variables are taken. */
  readonly fromSecret?: readonly string[];
  /** Single variables, each as `NAME=SOURCE`. */
  readonly secret?: readonly string[];
}

/**
 * The environment of `context` with what the flags bring on top: first the files, then single ones; later ones win. A variable
 * of the process that says the same thing in another way is left out: RESTIC_PASSWORD_FILE, when RESTIC_PASSWORD is given.
 */
export async function withSecrets(
  context: Context,
  { fromSecret = [], secret = [] }: SecretFlags,
): Promise<Environment> {
  const singles = secret.map(parseSecret);
  for (const { name } of singles) refuseOfProcess(name, "--secret");
  const environment: Record<string, string | undefined> = { ...context.environment };
  const given = new Set<string>();
  const put = (name: string, value: string): void => {
    environment[name] = value;
    given.add(name);
  };
  const files = secretFiles(context);
  for (const file of fromSecret) {
    for (const [name, value] of await variablesOf(files, file)) {
      refuseOfProcess(name, `--from-secret: ${file}`);
      // Programs could not be run with it, and what complains of that quotes it.
      if (value.includes("\0")) {
        const what = `--from-secret: ${name} in ${file} has a NUL, which no variable can hold`;
        throw new HoldfastError("USAGE", what);
      }
      if (NAMES_REMOTE.test(name) && MADE_UP_REMOTE.test(value.replace(/^rclone:/, ""))) {
        const what = `--from-secret: ${name} in ${file} makes up a remote of rclone`;
        throw new HoldfastError("USAGE", what, {
          hint: "Define it with RCLONE_CONFIG_NAME_TYPE and so on.",
        });
      }
      put(name, value);
    }
  }
  for (const { name, read } of singles) {
    put(name, await read({ files, io: context.secrets, environment }));
  }
  for (const other of [...given].flatMap(otherWays)) {
    if (!given.has(other)) delete environment[other];
  }
  return environment;
}

function refuseOfProcess(name: string, who: string): void {
  if (!OF_THE_PROCESS.some((pattern) => pattern.test(name))) return;
  throw new HoldfastError("USAGE", `${who} sets ${name}, which is no secret`);
}

/** Each file is read and opened once, however many variables come from it. */
function secretFiles(context: Context): SecretFiles {
  const read = eachOnce(readNamedFile);
  const open = eachOnce(async (file) => await openSopsContent(context, file, await read(file)));
  return { read, open };
}

function eachOnce<T>(work: (file: string) => Promise<T>): (file: string) => Promise<T> {
  const begun = new Map<string, Promise<T>>();
  return (file) => {
    const result = begun.get(file) ?? work(file);
    begun.set(file, result);
    return result;
  };
}

async function variablesOf(files: SecretFiles, file: string): Promise<Map<string, string>> {
  const content = await files.read(file);
  const format = formatOf(file);
  if (format === "binary") {
    throw new HoldfastError("USAGE", `--from-secret: ${file} is no YAML, JSON or .env file`);
  }
  if (!looksLikeSops(content, file)) {
    const place = placeOf(content, file);
    return environmentOf(place, format, parseTrees(place, format));
  }
  const { document, decrypted } = await files.open(file);
  return environmentOf(document, format, decrypted.roots);
}
