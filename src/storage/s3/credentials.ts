// Who we are to S3. What is looked at comes from the environment given, never from the process's own; reading profiles
// and asking containers, machines and STS is done by the SDK's providers.
//
// The order is that of Amazon's tools: a profile that was asked for alone; else variables, the default profile, a web
// identity, the container's role, the machine's role.

import { join } from "node:path";
import { HoldfastError, isHoldfastError, messageOf } from "../../base/errors.ts";
import type { BackendContext } from "../backend.ts";
import { isPassingStatus } from "../http/status.ts";
import type { Transport } from "../http/transport.ts";
import type { S3Options } from "../s3.ts";
import { WireHandler } from "./wire-handler.ts";

export interface Identity {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
}

/** Gives an identity, a new one each time it is asked; the SDK keeps it while it lasts. */
export type ResolveIdentity = () => Promise<Identity>;

export interface IdentityOptions {
  options: S3Options;
  context: BackendContext;
  transport: Transport;
  /** Told every identity, so that no message repeats a part of it. */
  remember: (identity: Identity) => void;
}

type Providers = typeof import("@aws-sdk/credential-providers");

const SESSION_NAME = "holdfast";
const SECONDS_TO_ANSWER = 1000;

/** Where identities come from; undefined for unsigned requests. */
export function identitySource(source: IdentityOptions): ResolveIdentity | undefined {
  const { options, remember } = source;
  if (options.credentials.kind === "anonymous") return undefined;
  const base = remembering(baseOf(source), remember);
  if (options.assumeRole === undefined) return base;
  return remembering(roleOf(source, base), remember);
}

function remembering(
  resolve: ResolveIdentity,
  remember: (identity: Identity) => void,
): ResolveIdentity {
  return async () => {
    const identity = await resolve();
    remember(identity);
    return identity;
  };
}

function baseOf({ options, context, transport }: IdentityOptions): ResolveIdentity {
  const { credentials } = options;
  if (credentials.kind === "keys") {
    const { accessKeyId, secretAccessKey, sessionToken } = credentials;
    const identity = { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) };
    return () => Promise.resolve(identity);
  }
  const profile = credentials.kind === "default" ? credentials.profile : undefined;
  return async () => {
    const providers = await import("@aws-sdk/credential-providers");
    const sts = stsOf(options, context, transport);
    return await firstOf(placesOf({ env: context.env, profile, providers, sts }));
  };
}

/** How STS is reached: over our wire, without retries of its own. */
function stsOf(options: S3Options, context: BackendContext, transport: Transport): StsConfig {
  const endpoint = options.assumeRole?.endpoint ?? context.env["AWS_ENDPOINT_URL_STS"];
  const usual = { kind: "auth", what: "get credentials", signal: context.signal } as const;
  return {
    region: options.assumeRole?.region ?? options.region ?? "us-east-1",
    requestHandler: new WireHandler(transport, usual) as never,
    maxAttempts: 1,
    ...(endpoint !== undefined && { endpoint }),
  };
}

interface StsConfig {
  region: string;
  requestHandler: never;
  maxAttempts: number;
  endpoint?: string;
}

/** One place where credentials may be. */
interface Place {
  readonly name: string;
  /** Why it is not even tried. */
  readonly absent?: string | undefined;
  readonly resolve: ResolveIdentity;
}

interface PlacesOptions {
  env: BackendContext["env"];
  profile: string | undefined;
  providers: Providers;
  sts: StsConfig;
}

function placesOf({ env, profile, providers, sts }: PlacesOptions): Place[] {
  const asked = profile ?? emptyless(env["AWS_PROFILE"]);
  const files = profilesOf({ env, profile: asked ?? "default", providers, sts });
  if (asked !== undefined) return [files];
  return [
    variablesOf(env),
    files,
    webIdentityOf({ env, providers, sts }),
    containerOf({ env, providers }),
    machineOf({ env, providers }),
  ];
}

function variablesOf(env: BackendContext["env"]): Place {
  const accessKeyId = emptyless(env["AWS_ACCESS_KEY_ID"]);
  const secretAccessKey = emptyless(env["AWS_SECRET_ACCESS_KEY"]);
  const sessionToken = emptyless(env["AWS_SESSION_TOKEN"]);
  const isWhole = accessKeyId !== undefined && secretAccessKey !== undefined;
  return {
    name: "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    absent: isWhole ? undefined : "not set",
    resolve: () =>
      Promise.resolve({
        accessKeyId: accessKeyId!,
        secretAccessKey: secretAccessKey!,
        ...(sessionToken !== undefined && { sessionToken }),
      }),
  };
}

function profilesOf(options: PlacesOptions): Place {
  const { env, profile = "default", providers, sts } = options;
  const home = emptyless(env["HOME"]);
  const beside = (name: string): string | undefined => home && join(home, ".aws", name);
  const filepath = emptyless(env["AWS_SHARED_CREDENTIALS_FILE"]) ?? beside("credentials");
  const configFilepath = emptyless(env["AWS_CONFIG_FILE"]) ?? beside("config");
  const isKnown = filepath !== undefined && configFilepath !== undefined;
  return {
    name: `profile ${profile}`,
    absent: isKnown ? undefined : "HOME is not set, so the files are not known",
    resolve: providers.fromIni({
      profile,
      filepath: filepath!,
      configFilepath: configFilepath!,
      // Whoever asks again has been told that what was in the file is no longer good.
      ignoreCache: true,
      clientConfig: sts,
    }),
  };
}

function webIdentityOf({ env, providers, sts }: Omit<PlacesOptions, "profile">): Place {
  const webIdentityTokenFile = emptyless(env["AWS_WEB_IDENTITY_TOKEN_FILE"]);
  const roleArn = emptyless(env["AWS_ROLE_ARN"]);
  const isWhole = webIdentityTokenFile !== undefined && roleArn !== undefined;
  return {
    name: "web identity",
    absent: isWhole ? undefined : "AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are not set",
    resolve: providers.fromTokenFile({
      webIdentityTokenFile: webIdentityTokenFile!,
      roleArn: roleArn!,
      roleSessionName: emptyless(env["AWS_ROLE_SESSION_NAME"]) ?? SESSION_NAME,
      clientConfig: sts,
    }),
  };
}

function containerOf({ env, providers }: Pick<PlacesOptions, "env" | "providers">): Place {
  const relative = env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] ?? "";
  const full = env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] ?? "";
  const tokenFile = env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] ?? "";
  return {
    name: "the container's role",
    absent: relative || full ? undefined : "no variable AWS_CONTAINER_CREDENTIALS_… is set",
    // Empty texts, so that nothing is looked up in the process's environment.
    resolve: async () =>
      await providers.fromHttp({
        awsContainerCredentialsRelativeUri: relative,
        awsContainerCredentialsFullUri: relative ? "" : full,
        awsContainerAuthorizationTokenFile: tokenFile,
        awsContainerAuthorizationToken: tokenFile
          ? ""
          : (env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] ?? ""),
        timeout: SECONDS_TO_ANSWER,
        maxRetries: 1,
      })(),
  };
}

function machineOf({ env, providers }: Pick<PlacesOptions, "env" | "providers">): Place {
  const isOff = env["AWS_EC2_METADATA_DISABLED"]?.toLowerCase() === "true";
  return {
    name: "the machine's role",
    absent: isOff ? "AWS_EC2_METADATA_DISABLED is set" : undefined,
    resolve: providers.fromInstanceMetadata({
      timeout: SECONDS_TO_ANSWER,
      maxRetries: 0,
      ec2MetadataV1Disabled: env["AWS_EC2_METADATA_V1_DISABLED"]?.toLowerCase() === "true",
    }),
  };
}

/** The first identity that a place gives. CREDENTIALS_INVALID tells of every place what came of it. */
async function firstOf(places: readonly Place[]): Promise<Identity> {
  const outcomes: string[] = [];
  for (const { name, absent, resolve } of places) {
    if (absent !== undefined) {
      outcomes.push(`${name}: ${absent}`);
      continue;
    }
    try {
      return await resolve();
    } catch (error) {
      if (isHoldfastError(error)) throw error;
      if (isPassing(error)) throw unavailable(error, name);
      outcomes.push(`${name}: ${reasonOf(error)}`);
    }
  }
  const message = `no credentials for S3 were found (${outcomes.join("; ")})`;
  throw new HoldfastError("CREDENTIALS_INVALID", message, {
    hint: "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.",
  });
}

function roleOf(source: IdentityOptions, base: ResolveIdentity): ResolveIdentity {
  const { options, context, transport } = source;
  const { arn, sessionName = SESSION_NAME, externalId, policy } = options.assumeRole!;
  let assume: ResolveIdentity | undefined;
  return async () => {
    const { fromTemporaryCredentials } = await import("@aws-sdk/credential-providers");
    assume ??= fromTemporaryCredentials({
      masterCredentials: base,
      params: {
        RoleArn: arn,
        RoleSessionName: sessionName,
        ...(externalId !== undefined && { ExternalId: externalId }),
        ...(policy !== undefined && { Policy: policy }),
      },
      clientConfig: stsOf(options, context, transport),
    });
    try {
      return await assume();
    } catch (error) {
      if (isHoldfastError(error)) throw error;
      if (isPassing(error)) throw unavailable(error, `the role ${arn}`);
      const why = reasonOf(error);
      throw new HoldfastError("CREDENTIALS_INVALID", `cannot assume the role ${arn}: ${why}`, {
        hint: "Check the role's trust policy, and that the credentials allow sts:AssumeRole.",
      });
    }
  };
}

/** Whether STS failed in a way that passes. */
function isPassing(error: unknown): boolean {
  const { $metadata } = error as { $metadata?: { httpStatusCode?: number } };
  return $metadata?.httpStatusCode !== undefined && isPassingStatus($metadata.httpStatusCode);
}

function unavailable(error: unknown, name: string): HoldfastError {
  const message = `cannot get credentials from ${name}: ${reasonOf(error)}`;
  return new HoldfastError("STORAGE_UNAVAILABLE", message, { retryable: true });
}

/** One line, without what a program was called with or what an answer that was not understood begins with. */
function reasonOf(error: unknown): string {
  if (error instanceof SyntaxError) return "the answer cannot be understood";
  const line = messageOf(error)
    .replace(/[\s\p{Cc}]+/gu, " ")
    .trim();
  if (line.startsWith("Command failed")) return "its credential_process failed";
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
}

function emptyless(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}
