// A small double of S3 for what the real server cannot be made to do: know no conditions, use other keys, break off, ask
// for other regions. It keeps objects in memory and looks at no signature; test/s3/versitygw.ts is the strict one.

import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingHttpHeaders, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Said {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: Uint8Array | string;
  /** The connection breaks after so many bytes of the body. */
  readonly cutAfter?: number;
}

interface Stored {
  readonly body: Buffer;
  readonly headers: Record<string, string>;
  /** When it was stored. */
  readonly modified?: Date;
}

interface Parts {
  readonly key: string;
  readonly headers: Record<string, string>;
  readonly parts: Map<number, Buffer>;
}

/** The answer to an error of S3. */
export function saidError(status: number, code: string, message: string, more = ""): Said {
  const xml = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message>${more}</Error>`;
  return { status, headers: { "content-type": "application/xml" }, body: xml };
}

export class S3Double {
  /** By path without the bucket. */
  readonly objects: Map<string, Stored> = new Map();
  readonly seen: Seen[] = [];
  /** What it makes of If-None-Match. */
  conditions: "honoured" | "ignored" | "refused" = "honoured";
  /** It deletes many objects at once. */
  deletesMany = true;
  /** Says something else than it would. */
  answer: (seen: Seen) => Said | undefined = () => undefined;
  /** Headers of every answer to a write. */
  writeHeaders: Record<string, string> = {};
  readonly #uploads = new Map<string, Parts>();
  #started = 0;
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        const { pathname, searchParams } = new URL(request.url ?? "/", "http://double");
        const { method = "GET", headers } = request;
        const path = decodeURIComponent(pathname);
        const body = Buffer.concat(parts);
        const seen: Seen = { method, path, query: searchParams, headers, body };
        this.seen.push(seen);
        say(response, method, this.answer(seen) ?? this.#serve(seen));
      });
    });
  }

  async listen(): Promise<this> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return this;
  }

  /** As it was in the beginning. */
  reset(): void {
    this.objects.clear();
    this.seen.length = 0;
    this.conditions = "honoured";
    this.deletesMany = true;
    this.answer = () => undefined;
    this.writeHeaders = {};
    this.#uploads.clear();
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Method and path of what was asked, for comparisons. */
  get asked(): string[] {
    return this.seen.map(({ method, path }) => `${method} ${path}`);
  }

  #serve(seen: Seen): Said {
    const [, , ...names] = seen.path.split("/");
    const key = names.join("/");
    const { method, query } = seen;
    if (method === "POST" && query.has("delete")) return this.#deleteMany(seen);
    if (method === "POST") return this.#upload(seen, key);
    if (method === "PUT") return this.#put(seen, key);
    if (method === "DELETE") {
      if (query.has("uploadId")) this.#uploads.delete(query.get("uploadId")!);
      else this.objects.delete(key);
      return { status: 204 };
    }
    return key === "" ? this.#list(query) : this.#get(seen, key);
  }

  #put(seen: Seen, key: string): Said {
    const { query, headers, body } = seen;
    const sha256 = createHash("sha256").update(body);
    if (headers["x-amz-content-sha256"] !== sha256.copy().digest("hex")) {
      return saidError(400, "XAmzContentSHA256Mismatch", "not the body that was signed");
    }
    const checksum = sha256.digest("base64");
    if (headers["x-amz-checksum-sha256"] !== checksum) {
      return saidError(400, "BadDigest", "not the body that was summed up");
    }
    const upload = this.#uploads.get(query.get("uploadId") ?? "");
    if (query.has("uploadId")) {
      if (upload === undefined) return saidError(404, "NoSuchUpload", "no such upload");
      upload.parts.set(Number(query.get("partNumber")), body);
      return { status: 200, headers: { etag: `"${checksum}"` } };
    }
    const kept = { ...metadataOf(headers), "x-amz-checksum-sha256": checksum };
    const written = { etag: '"tag"', ...this.writeHeaders };
    return this.#keep(key, body, seen, kept) ?? { status: 200, headers: written };
  }

  /** Stores an object unless the condition forbids it. */
  #keep(
    key: string,
    body: Buffer,
    { headers }: Seen,
    kept: Record<string, string>,
  ): Said | undefined {
    if (headers["if-none-match"] !== undefined) {
      if (this.conditions === "refused") return saidError(501, "NotImplemented", "no conditions");
      if (this.conditions === "honoured" && this.objects.has(key)) {
        return saidError(412, "PreconditionFailed", "it is there");
      }
    }
    this.objects.set(key, { body, headers: kept, modified: new Date() });
    return undefined;
  }

  #get({ method, headers }: Seen, key: string): Said {
    const found = this.objects.get(key);
    if (found === undefined) return saidError(404, "NoSuchKey", "no such key");
    const etag = `"${createHash("md5").update(found.body).digest("hex")}"`;
    const told = { ...found.headers, etag };
    if (headers["if-match"] !== undefined && headers["if-match"] !== etag) {
      return saidError(412, "PreconditionFailed", "it is another");
    }
    const range = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? "");
    if (range === null || method === "HEAD")
      return { status: 200, headers: told, body: found.body };
    const { length } = found.body;
    const from = Number(range[1]);
    const to = Math.min(length, range[2] === "" ? length : Number(range[2]) + 1);
    if (from >= length) return saidError(416, "InvalidRange", "beyond the end");
    const contentRange = `bytes ${from}-${to - 1}/${length}`;
    const body = found.body.subarray(from, to);
    return { status: 206, headers: { ...told, "content-range": contentRange }, body };
  }

  #list(query: URLSearchParams): Said {
    const prefix = query.get("prefix") ?? "";
    const after = query.get("continuation-token") ?? "";
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix) && key > after);
    const page = keys.toSorted().slice(0, 1000);
    const isMore = keys.length > page.length;
    const contents = page.map((key) => {
      const { body, modified = new Date() } = this.objects.get(key)!;
      const time = `<LastModified>${modified.toISOString()}</LastModified>`;
      return `<Contents><Key>${escapeXml(key)}</Key>${time}<Size>${body.length}</Size></Contents>`;
    });
    const next = `<NextContinuationToken>${escapeXml(page.at(-1) ?? "")}</NextContinuationToken>`;
    const more = `<IsTruncated>${isMore}</IsTruncated>${isMore ? next : ""}`;
    return xml(`<ListBucketResult>${more}${contents.join("")}</ListBucketResult>`);
  }

  #deleteMany({ body, headers }: Seen): Said {
    if (!this.deletesMany) return saidError(501, "NotImplemented", "one at a time");
    const md5 = createHash("md5").update(body).digest("base64");
    if (headers["content-md5"] !== md5) return saidError(400, "InvalidDigest", "no Content-MD5");
    for (const [, key] of body.toString().matchAll(/<Key>([^<]*)<\/Key>/g)) {
      this.objects.delete(unescapeXml(key!));
    }
    return xml("<DeleteResult></DeleteResult>");
  }

  #upload(seen: Seen, key: string): Said {
    const { query, headers } = seen;
    if (query.has("uploads")) {
      const id = `upload-${(this.#started += 1)}`;
      this.#uploads.set(id, { key, headers: metadataOf(headers), parts: new Map() });
      const body = `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`;
      return { ...xml(body), headers: this.writeHeaders };
    }
    const id = query.get("uploadId") ?? "";
    const upload = this.#uploads.get(id);
    if (upload === undefined) return saidError(404, "NoSuchUpload", "no such upload");
    const ordered = [...upload.parts].toSorted(([a], [b]) => a - b).map(([, part]) => part);
    const refused = this.#keep(key, Buffer.concat(ordered), seen, upload.headers);
    if (refused !== undefined) return refused;
    this.#uploads.delete(id);
    const body = `<CompleteMultipartUploadResult><Key>${escapeXml(key)}</Key></CompleteMultipartUploadResult>`;
    return { ...xml(body), headers: this.writeHeaders };
  }
}

function xml(body: string): Said {
  return { status: 200, headers: { "content-type": "application/xml" }, body };
}

function say(response: ServerResponse, method: string, said: Said): void {
  const body = Buffer.from(said.body ?? "");
  response.writeHead(said.status, { ...said.headers, "content-length": body.length });
  if (said.cutAfter === undefined) return void response.end(method === "HEAD" ? undefined : body);
  response.write(body.subarray(0, said.cutAfter), () => response.destroy());
}

function metadataOf(headers: IncomingHttpHeaders): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) => name.startsWith("x-amz-meta-"));
  return Object.fromEntries(kept) as Record<string, string>;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function unescapeXml(text: string): string {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}
