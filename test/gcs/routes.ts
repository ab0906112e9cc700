// The requests that the double understands, and what each one does.

import { createHash, randomBytes } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { answerOf, jsonAnswer } from "./answer.ts";
import type { Answer } from "./answer.ts";
import type { Bucket, Preconditions, StoredVersion } from "./bucket.ts";
import type { GcsDouble } from "./double.ts";
import { GcsError, invalid } from "./gcs-error.ts";
import { page, resource, selectFields } from "./resource.ts";
import { parseMetadata, parseMultipart } from "./uploads.ts";

export interface Call {
  readonly double: GcsDouble;
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Routed {
  operation: string;
  object: string | undefined;
  run: () => Answer;
}

const BATCH_MAX = 100;

/** What to do for a request. Nothing is done before `run`. */
export function route(call: Call): Routed {
  const { url, method } = call;
  const path = url.pathname;
  const to = (operation: string, object: string | undefined, work: () => Answer): Routed => ({
    operation,
    object,
    run: () => {
      if (operation !== "token") authorize(call);
      return work();
    },
  });
  if (path === "/token" && method === "POST") return to("token", undefined, () => token(call));
  if (path.startsWith("/batch")) return to("batch", undefined, () => batch(call));
  const upload = /^\/(?:resumable\/)?upload\/storage\/v1\/b\/([^/]+)\/o$/.exec(path);
  if (upload !== null) {
    const kind = uploadKind(call);
    return to(kind, undefined, () => uploadObject(call, kind, segment(upload[1])));
  }
  const json = /^(?:\/download)?\/storage\/v1\/b\/([^/]+)(?:\/o(?:\/(.+))?)?$/.exec(path);
  if (json !== null) return jsonRoute(call, json, to);
  if (path === "/storage/v1/b" && method === "POST") {
    return to("create-bucket", undefined, () => createBucket(call));
  }
  const xml = /^\/([^/]+)\/(.+)$/.exec(path);
  if (xml !== null && (method === "GET" || method === "HEAD")) {
    const name = decodeURIComponent(xml[2]!);
    return to("media", name, () => media(call, bucketOf(call, segment(xml[1])), name));
  }
  return to("unknown", undefined, () => {
    throw new GcsError(404, "notFound", `Not Found: ${method} ${path}`);
  });
}

type To = (operation: string, object: string | undefined, work: () => Answer) => Routed;

function jsonRoute(call: Call, match: RegExpExecArray, to: To): Routed {
  const { url, method } = call;
  const name = segment(match[1]);
  if (match[2] === undefined) {
    const isList = url.pathname.endsWith("/o");
    if (method !== "GET") return to("unknown", undefined, () => unknown(call));
    if (!isList) return to("bucket", undefined, () => bucketResource(call, name));
    return to("list", undefined, () => json(call, page(bucketOf(call, name), url.searchParams)));
  }
  const restore = /^(.+)\/restore$/.exec(match[2]);
  if (restore !== null && method === "POST") {
    const object = segment(restore[1]);
    return to("restore", object, () => {
      const bucket = bucketOf(call, name);
      const generation = url.searchParams.get("generation") ?? "";
      return json(call, resource(bucket, bucket.restore(object, generation)));
    });
  }
  const object = segment(match[2]);
  if (method === "DELETE") return to("delete", object, () => remove(call, name, object));
  if (method !== "GET" && method !== "HEAD") return to("unknown", object, () => unknown(call));
  if (url.searchParams.get("alt") === "media" || url.pathname.startsWith("/download")) {
    return to("media", object, () => plainly(() => media(call, bucketOf(call, name), object)));
  }
  return to("get", object, () => {
    const bucket = bucketOf(call, name);
    return json(call, resource(bucket, find(call, bucket, object)));
  });
}

/** Reads of content are refused in one bare sentence, whatever its type says. */
function plainly(run: () => Answer): Answer {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof GcsError)) throw error;
    const headers = { "content-type": "text/html; charset=UTF-8" };
    return { status: error.status, headers, body: Buffer.from(error.message) };
  }
}

function segment(text: string | undefined): string {
  return decodeURIComponent(text ?? "");
}

function unknown({ method, url }: Call): never {
  throw new GcsError(405, "methodNotAllowed", `${method} ${url.pathname}`);
}

function authorize({ double, headers, url }: Call): void {
  // A session's URI is all that a piece of a resumable upload needs.
  if (!double.authenticate || url.searchParams.has("upload_id")) return;
  double.access.authorize(headers.authorization);
}

/** The exchange of a signed assertion for an access token (RFC 7523). */
function token({ double, body }: Call): Answer {
  const form = new URLSearchParams(body.toString("utf8"));
  const isGrant = form.get("grant_type") === "urn:ietf:params:oauth:grant-type:jwt-bearer";
  const audience = `${double.endpoint}/token`;
  const given = isGrant ? double.access.exchange(form.get("assertion") ?? "", audience) : undefined;
  if (given === undefined) {
    return jsonAnswer(400, { error: "invalid_grant", error_description: "Invalid JWT Signature." });
  }
  const { token: access, seconds } = given;
  return jsonAnswer(200, { access_token: access, expires_in: seconds, token_type: "Bearer" });
}

function bucketOf({ double }: Call, name: string): Bucket {
  const bucket = double.buckets.get(name);
  if (bucket === undefined) {
    throw new GcsError(404, "notFound", "The specified bucket does not exist.");
  }
  return bucket;
}

function createBucket(call: Call): Answer {
  const { name } = parseMetadata(call.body);
  if (name === undefined || call.double.buckets.has(name)) {
    throw new GcsError(
      409,
      "conflict",
      "Your previous request to create the named bucket succeeded and you already own it.",
    );
  }
  call.double.createBucket({ name });
  return bucketResource(call, name);
}

function bucketResource(call: Call, name: string): Answer {
  const bucket = bucketOf(call, name);
  bucket.allow("storage.buckets.get", "bucket");
  const { settings } = bucket;
  return json(call, {
    kind: "storage#bucket",
    id: name,
    name,
    location: settings.location,
    storageClass: settings.storageClass,
    metageneration: "1",
    versioning: { enabled: settings.versioning },
    iamConfiguration: { uniformBucketLevelAccess: { enabled: settings.uniformAccess } },
    softDeletePolicy: { retentionDurationSeconds: String(settings.softDeleteSeconds) },
    ...(settings.retentionSeconds > 0 && {
      retentionPolicy: {
        retentionPeriod: String(settings.retentionSeconds),
        isLocked: settings.retentionLocked,
      },
    }),
    ...(settings.defaultKmsKeyName !== undefined && {
      encryption: { defaultKmsKeyName: settings.defaultKmsKeyName },
    }),
  });
}

function preconditions(query: URLSearchParams): Preconditions {
  return {
    ifGenerationMatch: query.get("ifGenerationMatch") ?? undefined,
    ifGenerationNotMatch: query.get("ifGenerationNotMatch") ?? undefined,
    ifMetagenerationMatch: query.get("ifMetagenerationMatch") ?? undefined,
  };
}

function find({ url }: Call, bucket: Bucket, object: string): StoredVersion {
  const query = url.searchParams;
  return bucket.get(object, query.get("generation") ?? undefined, preconditions(query));
}

function remove(call: Call, name: string, object: string): Answer {
  const query = call.url.searchParams;
  const generation = query.get("generation") ?? undefined;
  bucketOf(call, name).delete(object, generation, preconditions(query));
  return { status: 204, headers: {}, body: Buffer.alloc(0) };
}

/** The content of an object, or a range of it. */
function media(call: Call, bucket: Bucket, object: string): Answer {
  const version = find(call, bucket, object);
  const content = bucket.read(version);
  const { generation, contentType, storageClass } = version;
  const headers: Answer["headers"] = {
    "content-type": contentType,
    "x-goog-generation": generation,
    "x-goog-metageneration": "1",
    "x-goog-stored-content-length": content.length,
    "x-goog-storage-class": storageClass,
    "accept-ranges": "bytes",
    etag: `"${createHash("md5").update(generation).digest("hex")}"`,
    "last-modified": new Date(version.created).toUTCString(),
  };
  if (call.method === "HEAD") {
    headers["content-length"] = content.length;
    return { status: 200, headers, body: Buffer.alloc(0) };
  }
  const range = rangeOf(call.headers.range, content.length);
  // Hashes are those of the whole object, and so belong to an answer with the whole object only.
  if (range === undefined) {
    headers["x-goog-hash"] = `md5=${version.md5Hash}`;
    return { status: 200, headers, body: content };
  }
  headers["content-range"] = `bytes ${range.first}-${range.end - 1}/${content.length}`;
  return { status: 206, headers, body: content.subarray(range.first, range.end) };
}

function rangeOf(
  header: string | undefined,
  size: number,
): { first: number; end: number } | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
  if (match === null) return undefined;
  const [, from = "", to = ""] = match;
  if (from === "" && to === "") return undefined;
  const first = from === "" ? Math.max(0, size - Number(to)) : Number(from);
  const end = from === "" || to === "" ? size : Math.min(size, Number(to) + 1);
  if (first >= size) {
    throw new GcsError(416, "requestedRangeNotSatisfiable", "Request range not satisfiable");
  }
  return { first, end };
}

function uploadKind({ url, method }: Call): string {
  if (url.searchParams.has("upload_id")) return method === "DELETE" ? "cancel" : "piece";
  return url.searchParams.get("uploadType") === "resumable" ? "resumable" : "insert";
}

function uploadObject(call: Call, kind: string, name: string): Answer {
  const { double, url, headers, body } = call;
  const query = url.searchParams;
  const bucket = bucketOf(call, name);
  const insert = (insertion: Parameters<Bucket["insert"]>[0]): object =>
    resource(bucket, bucket.insert(insertion));
  if (kind === "cancel") {
    double.uploads.cancel(query.get("upload_id")!);
    return { status: 499, headers: {}, body: Buffer.alloc(0) };
  }
  if (kind === "piece") {
    const range = headers["content-range"];
    const result = double.uploads.take(query.get("upload_id")!, range, body, insert);
    if ("done" in result) return json(call, result.done as object);
    const held: Answer["headers"] = {};
    if (result.received > 0) held["range"] = `bytes=0-${result.received - 1}`;
    // Some clients cannot bear a 308, and say so.
    const asOverride = headers["x-guploader-no-308"] === "yes";
    if (asOverride) held["x-http-status-code-override"] = 308;
    return { status: asOverride ? 200 : 308, headers: held, body: Buffer.alloc(0) };
  }
  const options = {
    preconditions: preconditions(query),
    kmsKeyName: query.get("kmsKeyName") ?? undefined,
    predefinedAcl: query.get("predefinedAcl") ?? undefined,
  };
  if (kind === "resumable") {
    const metadata = parseMetadata(body);
    metadata.name ??= query.get("name") ?? "";
    const contentType = headers["x-upload-content-type"];
    if (typeof contentType === "string") metadata.contentType ??= contentType;
    const pending = { ...options, metadata };
    bucket.admit(pending);
    const location = new URL(url);
    location.searchParams.set("upload_id", double.uploads.open(pending));
    return { status: 200, headers: { location: location.href }, body: Buffer.alloc(0) };
  }
  const type = headers["content-type"] ?? "";
  if (query.get("uploadType") === "multipart") {
    const { metadata, content } = parseMultipart(type, body);
    metadata.name ??= query.get("name") ?? "";
    return json(call, insert({ ...options, metadata, content }));
  }
  const metadata = { name: query.get("name") ?? "", contentType: type };
  return json(call, insert({ ...options, metadata, content: body }));
}

/** Several requests in one body (multipart/mixed), each with an answer of its own. */
function batch(call: Call): Answer {
  const boundary = /boundary="?([^";]+)"?/i.exec(call.headers["content-type"] ?? "")?.[1];
  if (boundary === undefined) throw invalid("Failed to parse batch request, error: no boundary.");
  const parts = call.body.toString("latin1").split(`--${boundary}`).slice(1, -1);
  if (parts.length > BATCH_MAX)
    throw invalid(`The batch request has more than ${BATCH_MAX} calls.`);
  const answers = parts.map((part) => {
    const [head = "", inner = ""] = part.replace(/^\r?\n/, "").split(/\r?\n\r?\n/, 2);
    const [method, target] = inner.split(/\s+/, 2);
    const id = /content-id: *<?([^>\r\n]+)/i.exec(head)?.[1] ?? "";
    const url = new URL(target ?? "/", call.double.endpoint);
    const routed = route({ ...call, method: method ?? "", url, body: Buffer.alloc(0) });
    const { status, body } = answerOf(routed.run);
    return (
      `Content-Type: application/http\r\nContent-ID: <response-${id}>\r\n\r\n` +
      `HTTP/1.1 ${status} Answer\r\nContent-Length: ${body.length}\r\n\r\n${body.toString("utf8")}\r\n`
    );
  });
  const mark = `batch_${randomBytes(8).toString("hex")}`;
  const body = `${answers.map((answer) => `--${mark}\r\n${answer}`).join("")}--${mark}--\r\n`;
  const headers = { "content-type": `multipart/mixed; boundary=${mark}` };
  return { status: 200, headers, body: Buffer.from(body) };
}

function json(call: Call, value: object): Answer {
  return jsonAnswer(200, selectFields(value, call.url.searchParams.get("fields")));
}
