// Names of Odoo's filestore: what `ir_attachment.store_fname` says, and where the file lies below the filestore's folder.
// The SHA-1 of a file is its last component; the folder before it has two digits, or three in stores of old versions.

/** Digits of a SHA-1. */
export const SHA1_DIGITS = 40;

/** The SHA-1 of nothing: rows of empty attachments carry it, and have no file. */
export const EMPTY_SHA1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

const SHA1 = /^[0-9a-f]{40}$/;
const LOCAL = /^([0-9a-f]{2,3})\/([0-9a-f]{40})$/;
const EXTERNAL = /^([a-z][a-z0-9_+.-]*):\/\//i;
const FOLDER = /^[0-9a-f]{2,3}$/;

/** What a `store_fname` means. */
export type StoreName =
  /** A file of the filestore; `path` is below its folder: "ab/ab01…". */
  | { readonly kind: "local"; readonly sha1: string; readonly path: string }
  /** An object of a store outside: "s3", "azure", or the code of a store of OCA's fs_attachment. */
  | { readonly kind: "external"; readonly scheme: string }
  | { readonly kind: "unknown" };

/** True for 40 lower-case hexadecimal digits: the name that a file of the filestore has. */
export function isSha1(name: string): boolean {
  return SHA1.test(name);
}

/** True for the name of a folder that holds files: two digits, or three as before Odoo 18. */
export function isStoreFolder(name: string): boolean {
  return FOLDER.test(name);
}

/** Where Odoo puts a file: "ab/ab01…". */
export function storePath(sha1: string): string {
  return `${sha1.slice(0, 2)}/${sha1}`;
}

/** Reads a `store_fname`. Odoo takes dots, colons (from 19) and leading slashes out before it joins the name to the folder. */
export function readStoreName(text: string): StoreName {
  const local = LOCAL.exec(text.replace(/^\/+/, ""));
  // A folder that is not the beginning of its file would be one that Odoo never makes.
  if (local && local[2]!.startsWith(local[1]!)) {
    return { kind: "local", sha1: local[2]!, path: local[0] };
  }
  const external = EXTERNAL.exec(text);
  return external ? { kind: "external", scheme: external[1]! } : { kind: "unknown" };
}
