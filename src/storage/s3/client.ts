// One bucket through the SDK: sends a command over our wire and turns whatever goes wrong into our errors. What the SDK
// would do by itself beyond signing and understanding (retries, waiting, telling who we are, reading the environment)
// is switched off. The SDK is loaded only here, when a location asks for it.

import { hash } from "node:crypto";
import type { S3Client, S3ClientConfig } from "@aws-sdk/client-s3";
import { asBuffer } from "../../base/bytes.ts";
import { HoldfastError, isHoldfastError, messageOf } from "../../base/errors.ts";
import type { BackendContext } from "../backend.ts";
import type { Transport, WireAnswer } from "../http/transport.ts";
import type { S3Options } from "../s3.ts";
import { identitySource } from "./credentials.ts";
import type { Identity, ResolveIdentity } from "./credentials.ts";
import { faultOf, s3Error } from "./s3-error.ts";
import type { S3Fault } from "./s3-error.ts";
import type { SendOptions, WireCall } from "./wire-handler.ts";
import { WireHandler } from "./wire-handler.ts";

export type Sdk = typeof import("@aws-sdk/client-s3");

export interface S3Call extends WireCall {
  /** The permissions that the request needs, as a policy names them. */
  readonly permission: string;
  /** The element that the answer must be, or else it is not that of S3: a page of something else must be no empty list. */
  readonly root?: string;
}

export interface S3Answer<Output> {
  readonly output: Output;
  readonly answer: WireAnswer;
}

/** A failure that a caller may want to look at more closely. */
export class S3Failure extends HoldfastError {
  readonly fault: S3Fault;
  /** The SDK has learned the service's time from this answer, and will sign with it. */
  readonly isClockLearned: boolean;

  constructor(told: HoldfastError, fault: S3Fault, isClockLearned: boolean) {
    const { hint, retryable, retryAfter } = told;
    super(told.code, told.message, { retryable, retryAfter, ...(hint !== undefined && { hint }) });
    this.fault = fault;
    this.isClockLearned = isClockLearned;
  }
}

/** True when `error` is a failure with one of the codes of S3. */
export function failedWith(error: unknown, ...codes: string[]): boolean {
  return error instanceof S3Failure && codes.includes(error.fault.code ?? "");
}

/** True when a write was refused because its name is taken, or is being taken by another write. */
export function isTaken(error: unknown): boolean {
  if (!(error instanceof S3Failure)) return false;
  // A proxy may have taken the body away, with the code in it.
  return error.fault.status === 412 || error.fault.code === "ConditionalRequestConflict";
}

/** A command of the SDK whose output is an `Output`. */
type Command<Output> = {
  readonly input: object;
  resolveMiddleware: (...parts: never) => (...parts: never) => Promise<{ output: Output }>;
};

/** What is shorter is a part of words, and keeps no one out. */
const SECRET_LENGTH_MIN = 6;
const REGION_DEFAULT = "us-east-1";
/** Parts of the SDK that would do what the transport or `retrying` does, or read the environment. */
const NEEDLESS = ["loggerMiddleware", "getUserAgentMiddleware", "recursionDetectionMiddleware"];
/** The SDK would print its warnings otherwise. */
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

export async function openClient(
  options: S3Options,
  context: BackendContext,
  connections: number,
): Promise<Client> {
  const sdk = await import("@aws-sdk/client-s3");
  const transport = context.openSockets(connections);
  const secrets = new Set<string>();
  const remember = (identity: Identity): void => {
    for (const secret of [identity.secretAccessKey, identity.sessionToken, identity.accessKeyId]) {
      if (secret !== undefined && secret.length >= SECRET_LENGTH_MIN) secrets.add(secret);
    }
  };
  const resolve = identitySource({ options, context, transport, remember });
  return new Client({ sdk, options, context, transport, secrets, resolve });
}

interface ClientParts {
  sdk: Sdk;
  options: S3Options;
  context: BackendContext;
  transport: Transport;
  secrets: Set<string>;
  resolve: ResolveIdentity | undefined;
}

export class Client {
  readonly sdk: Sdk;
  readonly #parts: ClientParts;
  readonly #s3: S3Client;
  #region: string;

  constructor(parts: ClientParts) {
    this.sdk = parts.sdk;
    this.#parts = parts;
    this.#region = parts.options.region ?? REGION_DEFAULT;
    this.#s3 = new parts.sdk.S3Client(this.#config());
    withoutExtras(this.#s3);
    usePayloadHash(this.#s3);
  }

  /** The region that requests are signed for: the one given, or the one that the service named. */
  get region(): string {
    return this.#region;
  }

  /** Sends a command; what the service refuses is an S3Failure. */
  async send<Output>(command: Command<Output>, call: S3Call): Promise<S3Answer<Output>> {
    for (let corrected = 0; ; corrected += 1) {
      const signed = { region: this.#region, identity: await this.#s3.config.credentials() };
      try {
        return await this.#attempt(command, call);
      } catch (error) {
        if (!(error instanceof S3Failure)) throw error;
        const told = error.fault.isBodiless ? await this.#askWhy(error, call) : error;
        if (corrected >= 2 || !(await this.#correct(told, signed))) throw told;
      }
    }
  }

  /** The error of an answer that no service of S3 gives. */
  notS3(what: string): HoldfastError {
    return new HoldfastError("STORAGE_FAILED", `cannot ${what}: the answer is not that of S3`, {
      hint: "Check the address, and what stands before it: something else than an S3 service answered.",
    });
  }

  /** `text` without any part of a credential that was used. */
  redact(text: string): string {
    let plain = text;
    for (const secret of this.#parts.secrets) plain = plain.replaceAll(secret, "***");
    return plain;
  }

  close(): Promise<void> {
    this.#s3.destroy();
    return this.#parts.transport.close();
  }

  async #attempt<Output>(command: Command<Output>, call: S3Call): Promise<S3Answer<Output>> {
    const wireCall: WireCall = { ...call, answer: undefined };
    const sending: SendOptions = { wireCall };
    try {
      // The SDK's types know neither our option nor that every command fits its own client.
      const send = this.#s3.send.bind(this.#s3) as unknown as (
        command: Command<Output>,
        options: SendOptions,
      ) => Promise<Output>;
      const output = await send(command, sending);
      const answer = wireCall.answer!;
      if (call.root !== undefined && !isElement(answer, call.root)) throw this.notS3(call.what);
      return { output, answer };
    } catch (error) {
      throw this.#translate(error, wireCall, call.permission);
    }
  }

  #translate(error: unknown, call: WireCall, permission: string): HoldfastError {
    if (isHoldfastError(error)) return error;
    const { context } = this.#parts;
    const redact = (text: string): string => this.redact(text);
    const { answer } = call;
    if (answer === undefined) {
      return new HoldfastError(
        "STORAGE_FAILED",
        `cannot ${call.what}: ${redact(messageOf(error))}`,
      );
    }
    const found = faultOf(answer, call.isBodiless === true);
    const fault = { ...found, message: found.message && redact(found.message) };
    const isSuccess = answer.status < 300 && fault.code === undefined;
    if (isSuccess && answer.body.length > 0) return this.notS3(call.what);
    const { what } = call;
    const told = s3Error({ what, permission, fault, answer, now: context.clock.now(), redact });
    const { $metadata } = error as { $metadata?: { clockSkewCorrected?: boolean } };
    return new S3Failure(told, fault, $metadata?.clockSkewCorrected === true);
  }

  /** Mends what the answer tells how to mend: the region, the clock, expired credentials. */
  async #correct(
    failure: S3Failure,
    signed: { region: string; identity: Identity },
  ): Promise<boolean> {
    const { region, status } = failure.fault;
    if ([301, 307, 400].includes(status)) {
      if (region !== undefined) this.#region = region;
      // Also when another request was told meanwhile.
      if (this.#region !== signed.region) return true;
    }
    if (failure.isClockLearned) return true;
    if (!failedWith(failure, "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired")) {
      return false;
    }
    // Another request may have got new ones already.
    const isOther = (identity: Identity): boolean =>
      identity.sessionToken !== signed.identity.sessionToken ||
      identity.accessKeyId !== signed.identity.accessKeyId;
    if (isOther(await this.#s3.config.credentials())) return true;
    return isOther(await this.#s3.config.credentials({ forceRefresh: true }));
  }

  /** The answer to a HEAD has no body to say why it was refused: a list that is refused likewise tells. */
  async #askWhy(failure: S3Failure, call: S3Call): Promise<S3Failure> {
    if (![301, 307, 400, 403].includes(failure.fault.status)) return failure;
    const { bucket } = this.#parts.options;
    const command = new this.sdk.ListObjectsV2Command({ Bucket: bucket, MaxKeys: 1 });
    const { what, permission, signal } = call;
    try {
      await this.#attempt(command, { kind: "other", what, permission, signal });
      return failure;
    } catch (error) {
      if (!(error instanceof S3Failure) || failedWith(error, "AccessDenied")) return failure;
      return error.fault.status === failure.fault.status ? error : failure;
    }
  }

  #config(): S3ClientConfig {
    const { options, context, transport, resolve } = this.#parts;
    const usual: WireCall = { kind: "other", what: "ask S3", signal: context.signal };
    const unsigned = { sign: (request: unknown) => Promise.resolve(request) };
    return {
      region: () => Promise.resolve(this.#region),
      credentials: resolve ?? { accessKeyId: "anonymous", secretAccessKey: "anonymous" },
      ...(resolve === undefined && { signer: unsigned as NonNullable<S3ClientConfig["signer"]> }),
      ...(options.endpoint !== undefined && { endpoint: options.endpoint }),
      forcePathStyle: options.pathStyle ?? options.endpoint !== undefined,
      requestHandler: new WireHandler(transport, usual) as NonNullable<
        S3ClientConfig["requestHandler"]
      >,
      // Whatever is given here, the SDK does not look up in the process's environment and home.
      logger: SILENT,
      ignoreConfiguredEndpointUrls: true,
      authSchemePreference: ["sigv4"],
      defaultsMode: "standard",
      disableS3ExpressSessionAuth: true,
      expectContinueHeader: false,
      maxAttempts: 1,
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
      retryMode: "standard",
      sigv4aSigningRegionSet: [],
      useArnRegion: false,
      useDualstackEndpoint: false,
      useFipsEndpoint: false,
      userAgentAppId: "",
    };
  }
}

/** Whether an answer is one whole element of that name. */
function isElement({ body }: WireAnswer, name: string): boolean {
  const begin = asBuffer(body.subarray(0, 1024)).toString("latin1");
  const end = asBuffer(body.subarray(-64)).toString("latin1").trimEnd();
  const isBegun = new RegExp(`<${name}[\\s/>]`).test(begin);
  return isBegun && (end.endsWith(`</${name}>`) || end.endsWith("/>"));
}

function withoutExtras({ middlewareStack }: S3Client): void {
  for (const name of NEEDLESS) middlewareStack.remove(name);
  // Its place is needed, since others stand beside it.
  middlewareStack.add((next) => next, {
    name: "retryMiddleware",
    step: "finalizeRequest",
    priority: "high",
    override: true,
  });
}

/**
 * The checksum of a body is also the hash that is signed for it, so each body is hashed once; and a deletion of many
 * carries the older hash too, which some services still insist on.
 */
function usePayloadHash(client: S3Client): void {
  client.middlewareStack.add(
    (next, { commandName }) =>
      (args) => {
        const { headers, body } = args.request as {
          headers: Record<string, string>;
          body: unknown;
        };
        const checksum = headers["x-amz-checksum-sha256"];
        if (checksum !== undefined && /^(?:PutObject|UploadPart)Command$/.test(commandName ?? "")) {
          headers["x-amz-content-sha256"] = Buffer.from(checksum, "base64").toString("hex");
        }
        if (commandName === "DeleteObjectsCommand" && typeof body === "string") {
          headers["content-md5"] = hash("md5", body, "base64");
        }
        return next(args);
      },
    { step: "build", name: "holdfastPayloadHash" },
  );
}
