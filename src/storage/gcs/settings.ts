// Where a bucket is and how to get in: restic's `gs:bucket:/path`, Barman's `gs://bucket/path`, and the variables and
// options of both, with ours beside them.

import { HoldfastError } from "../../base/errors.ts";
import type { BackendContext } from "../backend.ts";
import type { GcsOptions, GoogleCredentials } from "../gcs.ts";
import { connectionsOf, prefixOfPath } from "../option-values.ts";
import { RISKS } from "./credential-fields.ts";
import type { Risk } from "./credential-fields.ts";

export const GCS_OPTIONS: Readonly<Record<string, string>> = {
  connections: "requests at once (16)",
  region: "accepted from restic's users; Holdfast makes no buckets",
  "kms-key": "encrypt with this Cloud KMS key, and accept no other: projects/…/cryptoKeys/…",
  "storage-class": "class of packs and archives: STANDARD, NEARLINE, COLDLINE or ARCHIVE",
  "user-project": "project that pays for requests",
  endpoint: "address of the service, for private endpoints and emulators",
  "allow-credentials": `what a credential file may ask for: ${RISKS.join(", ")}`,
};

const STORAGE_CLASSES = ["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"];
const KMS_KEY = /^projects\/[^/]+\/locations\/[^/]+\/keyRings\/[^/]+\/cryptoKeys\/[^/]+$/;
const BUCKET = /^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/;

/** What `gs:` is followed by, and what variables and options add to it. USAGE when they make no sense. */
export function gcsFromLocation(target: string, context: BackendContext): GcsOptions {
  const { bucket, path } = splitTarget(target);
  return {
    bucket,
    prefix: prefixOfPath(path, `gs:${target}`),
    credentials: credentialsOf(context),
    ...settingsOf(context),
  };
}

/** Settings that do not depend on how the bucket was named; also for those named by rclone. */
export function settingsOf(
  context: BackendContext,
): Pick<GcsOptions, "endpoint" | "kmsKeyName" | "storageClass" | "userProject" | "connections"> {
  const { option, env } = context;
  const emulator = env["STORAGE_EMULATOR_HOST"];
  const endpoint = option("gs.endpoint") ?? (emulator ? withScheme(emulator) : undefined);
  const kmsKeyName = option("gs.kms-key");
  if (kmsKeyName !== undefined && !KMS_KEY.test(kmsKeyName)) {
    throw new HoldfastError("USAGE", `gs.kms-key: "${kmsKeyName}" is no name of a key`, {
      hint: "Write projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY, without a version.",
    });
  }
  const storageClass = option("gs.storage-class")?.toUpperCase();
  if (storageClass !== undefined && !STORAGE_CLASSES.includes(storageClass)) {
    throw new HoldfastError("USAGE", `gs.storage-class: "${storageClass}" is no storage class`, {
      hint: `Use one of ${STORAGE_CLASSES.join(", ")}.`,
    });
  }
  if (endpoint !== undefined && !URL.canParse(endpoint)) {
    throw new HoldfastError("USAGE", `gs.endpoint: "${endpoint}" is no address`);
  }
  return {
    endpoint,
    kmsKeyName,
    storageClass,
    userProject: option("gs.user-project"),
    connections: connectionsOf(option("gs.connections"), "gs.connections"),
  };
}

/** What a credential file may ask for. */
export function allowedRisks(context: BackendContext): ReadonlySet<Risk> {
  const named = context.option("gs.allow-credentials")?.split(",") ?? [];
  const unknown = named.find((name) => !(RISKS as readonly string[]).includes(name));
  if (unknown === undefined) return new Set(named as Risk[]);
  throw new HoldfastError("USAGE", `gs.allow-credentials: "${unknown}" is not known`, {
    hint: `Use a list of ${RISKS.join(", ")}, with commas between.`,
  });
}

function splitTarget(target: string): { bucket: string; path: string } {
  // `gs:bucket:/path` and `gs:bucket:path` are restic's, `gs://bucket/path` is everybody else's.
  const match = /^\/\/([^/]+)(?:\/(.*))?$/s.exec(target) ?? /^([^:/]+):(.*)$/s.exec(target);
  const [, bucket = "", path = ""] = match ?? [];
  if (BUCKET.test(bucket)) return { bucket, path };
  throw new HoldfastError("USAGE", `gs:${target} names no bucket`, {
    hint: "Write gs:BUCKET:/PATH or gs://BUCKET/PATH.",
  });
}

/** restic's order: a token, then the credential file; an emulator needs neither. */
function credentialsOf({ env }: BackendContext): GoogleCredentials {
  const token = env["GOOGLE_ACCESS_TOKEN"];
  if (token) return { kind: "token", token };
  const file = env["GOOGLE_APPLICATION_CREDENTIALS"];
  if (file) return { kind: "file", value: file, source: "GOOGLE_APPLICATION_CREDENTIALS" };
  return env["STORAGE_EMULATOR_HOST"] ? { kind: "anonymous" } : { kind: "default" };
}

function withScheme(host: string): string {
  return /^https?:\/\//.test(host) ? host : `http://${host}`;
}
