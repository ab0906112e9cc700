// Bodies with several parts: an object's metadata with its content (multipart/related), and many requests in one
// (multipart/mixed). https://cloud.google.com/storage/docs/uploading-objects and …/docs/batch describe them.

import { asBuffer } from "../../base/bytes.ts";

/** An upload's body: small parts around the content, which is not copied. */
export interface MultipartBody {
  readonly contentType: string;
  readonly parts: readonly Uint8Array[];
}

/** Metadata and content as one body. `boundary` must be unpredictable, so that no content can hold it. */
export function relatedBody(
  metadata: Readonly<Record<string, unknown>>,
  content: Uint8Array,
  boundary: string,
): MultipartBody {
  const head =
    `--${boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n${JSON.stringify(metadata)}\r\n` +
    `--${boundary}\r\nContent-Type: application/octet-stream\r\n\r\n`;
  return {
    contentType: `multipart/related; boundary=${boundary}`,
    parts: [Buffer.from(head), content, Buffer.from(`\r\n--${boundary}--\r\n`)],
  };
}

/** Requests without bodies as one. */
export function batchBody(
  requests: readonly { readonly method: string; readonly path: string }[],
  boundary: string,
): MultipartBody {
  const parts = requests.map(
    ({ method, path }, i) =>
      `--${boundary}\r\nContent-Type: application/http\r\nContent-ID: <holdfast+${i}>\r\n` +
      `Content-Transfer-Encoding: binary\r\n\r\n${method} ${path} HTTP/1.1\r\n\r\n\r\n`,
  );
  return {
    contentType: `multipart/mixed; boundary=${boundary}`,
    parts: [Buffer.from(`${parts.join("")}--${boundary}--\r\n`)],
  };
}

export interface BatchAnswer {
  readonly status: number;
  readonly body: Uint8Array;
}

/** The answers of a batch by the number of their request; a request without one is undefined. */
export function parseBatchAnswer(
  contentType: string,
  body: Uint8Array,
  count: number,
): (BatchAnswer | undefined)[] {
  const answers: (BatchAnswer | undefined)[] = Array.from({ length: count }, () => undefined);
  const boundary = /boundary="?([^";]+)"?/i.exec(contentType)?.[1];
  if (boundary === undefined) return answers;
  const parts = asBuffer(body).toString("latin1").split(`--${boundary}`).slice(1, -1);
  for (const [i, part] of parts.entries()) {
    const [outer = "", head = "", ...rest] = part.replace(/^\r?\n/, "").split(/\r?\n\r?\n/);
    const status = /^HTTP\/\d(?:\.\d)? (\d{3})/.exec(head.trimStart())?.[1];
    const named = /content-id:\s*<?response-[^>\r\n]*?\+?(\d+)>?\s*$/im.exec(outer)?.[1];
    // Answers come in the order of the requests where they are not named.
    const number = named === undefined ? i : Number(named);
    if (status === undefined || number >= count) continue;
    const text = rest.join("\r\n\r\n").replace(/\r?\n$/, "");
    answers[number] = { status: Number(status), body: Buffer.from(text, "latin1") };
  }
  return answers;
}
