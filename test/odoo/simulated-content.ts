// What people attach to an Odoo, scaled down: pictures and their thumbnails, documents from templates, mail, tables, bundles
// of assets. The same number gives the same bytes, so that content that was deleted can be uploaded again.

import { seededRandom } from "../../bench/data-set/random.ts";
import { seededBytes } from "../seeded-bytes.ts";

export interface Attachment {
  readonly name: string;
  readonly mimetype: string;
  readonly content: Uint8Array;
}

/** Odoo keeps a picture in these sizes: edge and about how many bytes it takes of the largest one's. */
export const PICTURE_FIELDS: readonly (readonly [field: string, share: number])[] = [
  ["image_1920", 1],
  ["image_1024", 0.4],
  ["image_512", 0.15],
  ["image_256", 0.06],
  ["image_128", 0.025],
];

const WORDS =
  "invoice order partner delivery amount total tax date product quantity price discount".split(" ");
const DOCUMENTS: readonly (readonly [name: string, type: string, median: number])[] = [
  ["INV", "application/pdf", 9000],
  ["SO", "application/pdf", 6000],
  ["scan", "image/jpeg", 20_000],
  ["contract", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", 15_000],
  ["mail", "message/rfc822", 4000],
  ["export", "text/csv", 3000],
];
const EXTENSIONS: Readonly<Record<string, string>> = {
  "application/pdf": "pdf",
  "image/jpeg": "jpg",
  "message/rfc822": "eml",
  "text/csv": "csv",
};
const LARGEST = 400_000;

/** The document of that number. */
export function documentOf(seed: string, number: number): Attachment {
  const random = seededRandom(`${seed} document ${number}`);
  const [stem, mimetype, median] = DOCUMENTS[random.between(0, DOCUMENTS.length)]!;
  const size = Math.min(LARGEST, Math.ceil(random.logNormal(median, 1)) + 32);
  const content =
    mimetype === "text/csv" || mimetype === "message/rfc822"
      ? textOf(`${seed} ${number}`, size)
      : seededBytes(`${seed} document ${number}`, size);
  if (mimetype === "application/pdf") {
    const template = Buffer.from(`%PDF-1.4\n${"template of all documents ".repeat(60)}`);
    content.set(template.subarray(0, Math.max(0, size - 64)));
  }
  return { name: `${stem}-${number}.${EXTENSIONS[mimetype] ?? "docx"}`, mimetype, content };
}

/** The picture of that number in all its sizes, in the order of `PICTURE_FIELDS`. */
export function pictureOf(seed: string, number: number): Attachment[] {
  const random = seededRandom(`${seed} picture ${number}`);
  const largest = Math.min(LARGEST, Math.ceil(random.logNormal(30_000, 0.8)) + 2000);
  return PICTURE_FIELDS.map(([field, share]) => ({
    name: field,
    mimetype: "image/png",
    content: seededBytes(`${seed} picture ${number} ${field}`, Math.ceil(largest * share)),
  }));
}

/** The bundle of assets of that number: nearly the one before it. */
export function bundleOf(seed: string, number: number): Attachment {
  const content = textOf(`${seed} bundle`, 60_000);
  for (let version = 1; version <= number; version++)
    content.write(`/* version ${version} */`, (version * 977) % 59_000, "latin1");
  return { name: "web.assets_web.min.js", mimetype: "application/javascript", content };
}

function textOf(seed: string, size: number): Buffer {
  const random = seededRandom(seed);
  const content = Buffer.alloc(size);
  for (let at = 0; at < size;)
    at += content.write(
      `${WORDS[random.between(0, WORDS.length)]!} ${random.between(0, 999)}\n`,
      at,
    );
  return content;
}
