// Where a bucket is and how to get in: restic's forms of `s3:`, Barman's `s3://bucket/path`, and the variables and
// options of both, with ours beside them. Nothing of the SDK is loaded to read them.

import { HoldfastError } from "../../base/errors.ts";
import type { BackendContext } from "../backend.ts";
import { redactLocation } from "../location.ts";
import type { LocationPurpose } from "../location.ts";
import { connectionsOf, prefixOfPath } from "../option-values.ts";
import type { AssumedRole, S3Credentials, S3Options } from "../s3.ts";

/** Options with one line for people, by their names without "s3.". */
export const S3_OPTIONS: Readonly<Record<string, string>> = {
  connections: "requests at once (16)",
  region: "region of the bucket; asked for when it is not known",
  endpoint: "address of the service, where the location names none",
  "bucket-lookup": "where the bucket is named: auto, dns (in the host name) or path",
  "storage-class": "class of packs and archives, such as STANDARD_IA or INTELLIGENT_TIERING",
  sse: "encryption by the service: AES256, aws:kms or aws:kms:dsse",
  "kms-key": "encrypt with this key of KMS (ARN, id or alias), and accept no other",
  "unsafe-anonymous-auth": "send unsigned requests",
  "list-objects-v1": "accepted from restic's users; lists are those of version 2",
  retries: "accepted from restic's users; passing faults are retried for 15 minutes",
  layout: "accepted from restic's users; only the default layout exists",
};

const LOOKUPS: Readonly<Record<string, boolean | undefined>> = {
  auto: undefined,
  dns: false,
  path: true,
};
const SSE = ["AES256", "aws:kms", "aws:kms:dsse"];
/** What restores, checks and prunes cannot read. */
const UNREADABLE = ["GLACIER", "DEEP_ARCHIVE"];
const REGION = /^[a-z0-9-]{1,64}$/i;
const BUCKET = /^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/i;
/** Amazon's own addresses: `s3.amazonaws.com`, `s3.eu-central-1.amazonaws.com`, and forms with more between. */
const AMAZON = /^s3(?:[.-]dualstack)?(?:[.-]([a-z]{2}(?:-[a-z]+)+-\d))?\.amazonaws\.com(?:\.cn)?$/i;

/**
 * What `s3:` is followed by, and what variables and options add to it. `s3://name/…` begins with the host for a
 * repository, as restic has it, and with the bucket for an archive, as Barman has it. USAGE when they make no sense.
 */
export function s3FromLocation(
  target: string,
  purpose: LocationPurpose,
  context: BackendContext,
): S3Options {
  const { env, option } = context;
  const place = placeOf(target, purpose);
  const endpoint = place.endpoint ?? endpointOf(context);
  const { address, region: named } = amazonless(endpoint);
  const given = option("s3.region") ?? (env["AWS_DEFAULT_REGION"] || env["AWS_REGION"]);
  const region = given || named;
  if (region !== undefined && !REGION.test(region)) {
    throw new HoldfastError("USAGE", `s3.region: "${region}" is no region`);
  }
  return {
    bucket: place.bucket,
    prefix: prefixOfPath(place.path, `s3:${target}`),
    credentials: credentialsOf(context),
    endpoint: address,
    region,
    pathStyle: pathStyleOf(context, address),
    assumeRole: roleOf(context),
    ...settingsOf(context),
  };
}

/** Settings that do not depend on how the bucket was named; also for those named by rclone. */
export function settingsOf(
  context: BackendContext,
): Pick<S3Options, "serverSideEncryption" | "kmsKeyId" | "storageClass" | "connections"> {
  return {
    ...encryptionOf(context),
    storageClass: storageClassOf(context),
    connections: connectionsOf(context.option("s3.connections"), "s3.connections"),
  };
}

interface Place {
  readonly endpoint: string | undefined;
  readonly bucket: string;
  readonly path: string;
}

function placeOf(target: string, purpose: LocationPurpose): Place {
  const isBarman = purpose === "archive" && target.startsWith("//");
  const { endpoint, rest } = isBarman
    ? { endpoint: undefined, rest: target.slice(2) }
    : hostOf(target);
  const [bucket = "", ...path] = rest.split("/");
  if (BUCKET.test(bucket)) return { endpoint, bucket, path: path.join("/") };
  const form = isBarman
    ? "s3://BUCKET/PATH"
    : "s3:HOST/BUCKET/PATH or s3:https://HOST:PORT/BUCKET/PATH";
  throw new HoldfastError("USAGE", `${redactLocation(`s3:${target}`)} names no bucket`, {
    hint: `Write ${form}.`,
  });
}

/** The address a location begins with, and what follows it. */
function hostOf(target: string): { endpoint: string; rest: string } {
  const [, scheme = "https:", host = "", rest = ""] =
    /^(https?:)?(?:\/\/)?([^/]*)\/?(.*)$/is.exec(target) ?? [];
  const endpoint = `${scheme.toLowerCase()}//${host}`;
  if (host.includes("@")) {
    throw new HoldfastError("USAGE", "s3: locations hold no user or password", {
      hint: "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead.",
    });
  }
  if (host !== "" && URL.canParse(endpoint)) return { endpoint, rest };
  throw new HoldfastError("USAGE", `${redactLocation(`s3:${target}`)} names no host`, {
    hint: "Write s3:HOST/BUCKET/PATH or s3:https://HOST:PORT/BUCKET/PATH.",
  });
}

/** Where a service is that the location does not name, as Amazon's own tools are told. */
function endpointOf({ env, option }: BackendContext): string | undefined {
  const name = "s3.endpoint";
  const given = option(name);
  const endpoint = given ?? (env["AWS_ENDPOINT_URL_S3"] || env["AWS_ENDPOINT_URL"] || undefined);
  if (endpoint === undefined) return undefined;
  const isAddress = /^https?:\/\//i.test(endpoint) && URL.canParse(endpoint);
  if (isAddress && !endpoint.includes("@")) return endpoint;
  const source = given === undefined ? "AWS_ENDPOINT_URL" : name;
  throw new HoldfastError("USAGE", `${source}: "${redactLocation(endpoint)}" is no address`, {
    hint: "Write it with its scheme: https://HOST:PORT.",
  });
}

/** Nothing for Amazon's own addresses, whose form the SDK knows better, but the region that they name. */
function amazonless(endpoint: string | undefined): {
  address: string | undefined;
  region: string | undefined;
} {
  if (endpoint === undefined) return { address: undefined, region: undefined };
  const { protocol, hostname, port } = new URL(endpoint);
  const amazon = AMAZON.exec(hostname);
  const region = amazon?.[1]?.toLowerCase();
  const isPlain = protocol === "https:" && port === "" && !hostname.includes("dualstack");
  return { address: amazon !== null && isPlain ? undefined : endpoint, region };
}

function pathStyleOf({ option }: BackendContext, address: string | undefined): boolean | undefined {
  const text = option("s3.bucket-lookup") ?? "auto";
  if (!(text in LOOKUPS)) {
    throw new HoldfastError("USAGE", `s3.bucket-lookup: "${text}" is not known`, {
      hint: "Use auto, dns or path.",
    });
  }
  const isAmazon = address !== undefined && AMAZON.test(new URL(address).hostname);
  return LOOKUPS[text] ?? (isAmazon ? false : undefined);
}

function credentialsOf({ env, option }: BackendContext): S3Credentials {
  const anonymous = option("s3.unsafe-anonymous-auth");
  if (anonymous !== undefined && !/^(?:true|false|1|0)$/i.test(anonymous)) {
    throw new HoldfastError(
      "USAGE",
      `s3.unsafe-anonymous-auth: "${anonymous}" is neither true nor false`,
    );
  }
  if (anonymous !== undefined && /^(?:true|1)$/i.test(anonymous)) return { kind: "anonymous" };
  const accessKeyId = env["AWS_ACCESS_KEY_ID"];
  const secretAccessKey = env["AWS_SECRET_ACCESS_KEY"];
  if (accessKeyId && secretAccessKey) {
    const sessionToken = env["AWS_SESSION_TOKEN"] || undefined;
    return { kind: "keys", accessKeyId, secretAccessKey, sessionToken };
  }
  if (accessKeyId || secretAccessKey) {
    const [set, missing] = accessKeyId
      ? ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
      : ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"];
    throw new HoldfastError("CREDENTIALS_INVALID", `${set} is set, but ${missing} is not`, {
      hint: "Set both, or neither of them to use a profile or a role.",
    });
  }
  return { kind: "default", profile: env["AWS_PROFILE"] || undefined };
}

/** restic's variables for a role to act in. */
function roleOf({ env }: BackendContext): AssumedRole | undefined {
  const of = (name: string): string | undefined =>
    env[`RESTIC_AWS_ASSUME_ROLE_${name}`] || undefined;
  const arn = of("ARN");
  if (arn === undefined) return undefined;
  const sts = of("STS_ENDPOINT");
  const endpoint = sts === undefined || /^https?:\/\//i.test(sts) ? sts : `https://${sts}`;
  if (endpoint !== undefined && !URL.canParse(endpoint)) {
    const name = "RESTIC_AWS_ASSUME_ROLE_STS_ENDPOINT";
    throw new HoldfastError("USAGE", `${name}: "${sts}" is no address`);
  }
  return {
    arn,
    sessionName: of("SESSION_NAME"),
    externalId: of("EXTERNAL_ID"),
    policy: of("POLICY"),
    region: of("REGION"),
    endpoint,
  };
}

function encryptionOf({
  option,
}: BackendContext): Pick<S3Options, "serverSideEncryption" | "kmsKeyId"> {
  const kmsKeyId = option("s3.kms-key") || undefined;
  const text = option("s3.sse");
  const sse =
    text === undefined ? undefined : SSE.find((one) => one.toLowerCase() === text.toLowerCase());
  if (text !== undefined && sse === undefined) {
    throw new HoldfastError("USAGE", `s3.sse: "${text}" is no encryption of S3`, {
      hint: `Use one of ${SSE.join(", ")}.`,
    });
  }
  if (kmsKeyId !== undefined && sse === "AES256") {
    throw new HoldfastError("USAGE", "s3.kms-key is of no use with s3.sse=AES256", {
      hint: "Use s3.sse=aws:kms, or leave s3.kms-key out.",
    });
  }
  return { serverSideEncryption: sse, kmsKeyId };
}

function storageClassOf({ option, notice }: BackendContext): string | undefined {
  const text = option("s3.storage-class")?.toUpperCase();
  if (text === undefined) return undefined;
  if (UNREADABLE.includes(text)) {
    notice(
      `objects of ${text} must be restored by the service, for hours, before anything reads them`,
    );
  }
  if (/^[A-Z][A-Z0-9_]{1,63}$/.test(text)) return text;
  throw new HoldfastError("USAGE", `s3.storage-class: "${text}" is no storage class`);
}
