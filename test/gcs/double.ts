// A double of Google Cloud Storage for tests, with the JSON API, the reads of the XML API and the token endpoint. It is
// strict where the real service is, and breaks on request. test/gcs/clients.test.ts proves it with foreign clients.

import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Access } from "./access.ts";
import { Bucket } from "./bucket.ts";
import type { BucketSettings, KmsKey } from "./bucket.ts";
import { Faults } from "./faults.ts";
import type { Fault } from "./faults.ts";
import { answerOf, jsonAnswer } from "./answer.ts";
import type { Answer } from "./answer.ts";
import { GcsError } from "./gcs-error.ts";
import { route } from "./routes.ts";
import { BodyMemory } from "./body-memory.ts";
import { ResumableUploads } from "./uploads.ts";

export interface GcsDoubleOptions {
  /** Milliseconds between a request and its answer, as a network has them. */
  latency?: number;
  /** Require a token that was issued, or signed by an account of the double. */
  authenticate?: boolean;
  now?: () => number;
  /** Bytes of memory that are taken, and touched, before the first request: see `BodyMemory`. */
  memory?: number;
}

export interface Counts {
  requests: number;
  byOperation: Record<string, number>;
  bytesIn: number;
  bytesOut: number;
}

export class GcsDouble {
  readonly faults: Faults = new Faults();
  readonly keys: Map<string, KmsKey> = new Map<string, KmsKey>();
  readonly buckets: Map<string, Bucket> = new Map<string, Bucket>();
  readonly uploads: ResumableUploads;
  readonly access: Access;
  readonly now: () => number;
  readonly authenticate: boolean;
  counts: Counts = noCounts();
  latency: number;
  readonly #memory: BodyMemory;
  readonly #server: Server;

  constructor(options: GcsDoubleOptions = {}) {
    this.now = options.now ?? Date.now;
    this.latency = options.latency ?? 0;
    this.authenticate = options.authenticate ?? false;
    this.access = new Access(this.now);
    this.#memory = new BodyMemory(options.memory ?? 0);
    this.uploads = new ResumableUploads(this.now, this.#memory);
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch(() => response.destroy());
    });
    this.#server.keepAliveTimeout = 30_000;
  }

  async listen(): Promise<this> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return this;
  }

  /** `http://127.0.0.1:PORT`, what replaces https://storage.googleapis.com. */
  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get host(): string {
    return this.endpoint.slice("http://".length);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  createBucket(settings: Partial<BucketSettings> & { name: string }): Bucket {
    const bucket = new Bucket(
      {
        endpoint: this.endpoint,
        location: "EUROPE-WEST1",
        storageClass: "STANDARD",
        uniformAccess: true,
        defaultKmsKeyName: undefined,
        versioning: false,
        retentionSeconds: 0,
        retentionLocked: false,
        softDeleteSeconds: 7 * 24 * 3600,
        trusting: false,
        limitWrites: true,
        denied: new Set(),
        ...settings,
      },
      this.keys,
      this.now,
    );
    this.buckets.set(settings.name, bucket);
    return bucket;
  }

  resetCounts(): void {
    this.counts = noCounts();
  }

  /** Empties every bucket as if nothing had been written; nobody may be writing. */
  forget(): void {
    for (const [name, { settings }] of this.buckets) this.createBucket({ ...settings, name });
    this.#memory.reuse();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(request, this.#memory);
    const url = new URL(request.url ?? "/", this.endpoint);
    const call = {
      double: this,
      method: request.method ?? "GET",
      url,
      headers: request.headers,
      body,
    };
    const routed = route(call);
    const { operation, object } = routed;
    this.counts.requests += 1;
    this.counts.byOperation[operation] = (this.counts.byOperation[operation] ?? 0) + 1;
    this.counts.bytesIn += body.length;
    const fault = this.faults.next({ operation, object });
    if (fault?.kind === "run") fault.run?.();
    if (this.latency > 0) await sleep(this.latency);
    if (fault?.kind === "drop") return void request.socket.destroy();
    if (fault?.kind === "stall") await sleep(fault.delay ?? 60_000);
    if (fault?.kind === "status") return send(response, faultAnswer(fault), undefined);
    if (fault?.kind === "duplicate") answerOf(routed.run);
    const answer = answerOf(routed.run);
    if (fault?.kind === "lose-reply") return void request.socket.destroy();
    this.counts.bytesOut += answer.body.length;
    send(response, answer, fault);
  }
}

function noCounts(): Counts {
  return { requests: 0, byOperation: {}, bytesIn: 0, bytesOut: 0 };
}

/** The body, in memory of its own from the start where its length is told: large ones are what clients are measured by. */
function bodyOf(request: IncomingMessage, memory: BodyMemory): Promise<Buffer> {
  const announced = Number(request.headers["content-length"] ?? NaN);
  const whole = Number.isNaN(announced) ? undefined : memory.take(announced);
  const chunks: Buffer[] = [];
  let received = 0;
  return new Promise((resolve, reject) => {
    request.on("data", (chunk: Buffer) => {
      if (whole === undefined) chunks.push(chunk);
      else chunk.copy(whole, received);
      received += chunk.length;
    });
    request.on("end", () => resolve(whole ?? memory.concat(chunks)));
    request.on("error", reject);
  });
}

function faultAnswer(fault: Fault): Answer {
  const status = fault.status ?? 503;
  const reason =
    status === 429 ? "rateLimitExceeded" : status === 401 ? "authError" : "backendError";
  const answer = jsonAnswer(
    status,
    new GcsError(status, reason, "The double was told to fail.").toJSON(),
  );
  if (fault.retryAfter !== undefined) answer.headers["retry-after"] = String(fault.retryAfter);
  return answer;
}

function send(response: ServerResponse, answer: Answer, fault: Fault | undefined): void {
  const { status, headers } = answer;
  let { body } = answer;
  if (fault?.kind === "corrupt" && body.length > 0) {
    body = Buffer.from(body);
    body[body.length >> 1]! ^= 1;
  }
  response.writeHead(status, {
    ...headers,
    "content-length": headers["content-length"] ?? body.length,
  });
  if (fault?.kind === "tear") {
    response.write(body.subarray(0, body.length >> 1), () => response.destroy());
    return;
  }
  response.end(body);
}
