// What captures recorded of their source: names of files that rows referred to and that were not there, and of those whose
// content was wrong. The lists lie in each capture as lines of JSON below /holdfast/<database>/.

import { isHoldfastError, type HoldfastError } from "../../base/errors.ts";
import { findNode } from "../../files/find-path.ts";
import { readFileContent } from "../../files/file-content.ts";
import type { BlobReader } from "../../repository/blob-reader.ts";
import type { FoundSnapshot } from "../../repository/snapshots.ts";
import { textToByteString } from "../../restic/byte-string.ts";
import { readCaptureMark } from "../capture-mark.ts";
import { CORRUPT_FILE, MISSING_FILE, sideFolder } from "../capture-side-files.ts";
import { isSha1 } from "../store-name.ts";

export interface SourceProblems {
  readonly missing: ReadonlySet<string>;
  readonly corrupt: ReadonlySet<string>;
}

/** A list is no larger than this, so that a hostile one cannot fill the memory. */
const LIST_BYTES_MAX = 256 << 20;

const FILES = { missing: MISSING_FILE, corrupt: CORRUPT_FILE } as const;

/** The lists of all captures of that database together. Lists that cannot be read are told to `onDamage` and left out. */
export async function readSourceProblems(options: {
  readonly captures: readonly {
    readonly reader: BlobReader;
    readonly snapshots: readonly FoundSnapshot[];
  }[];
  readonly database: string;
  readonly onDamage: (what: string, error: HoldfastError) => void;
  readonly signal?: AbortSignal | undefined;
}): Promise<SourceProblems> {
  const { captures, database } = options;
  const problems = { missing: new Set<string>(), corrupt: new Set<string>() };
  // Captures of a quiet night have the same list, and so the same blobs.
  const read = new Set<string>();
  for (const { reader, snapshots } of captures) {
    for (const { id, snapshot } of snapshots) {
      const mark = readCaptureMark(snapshot.tags);
      if (mark?.database !== database) continue;
      for (const kind of ["missing", "corrupt"] as const) {
        if (mark[kind] === 0) continue;
        const path = `${sideFolder(database)}/${FILES[kind]}`;
        await readList({ ...options, reader, tree: snapshot.tree, path, read }, (sha1) =>
          problems[kind].add(sha1),
        ).catch((error: unknown) => {
          if (!isHoldfastError(error) || error.code === "CANCELLED" || error.retryable) throw error;
          options.onDamage(`${path} of capture ${id}`, error);
        });
      }
    }
  }
  return problems;
}

async function readList(
  options: {
    readonly reader: BlobReader;
    readonly tree: string;
    readonly path: string;
    readonly read: Set<string>;
    readonly signal?: AbortSignal | undefined;
  },
  take: (sha1: string) => void,
): Promise<void> {
  const { reader, tree, path, read, signal } = options;
  const node = await findNode(reader, tree, textToByteString(path), signal);
  const content = node?.content?.join() ?? "";
  if (node === undefined || read.has(content)) return;
  let text = "";
  if (Number(node.size) > LIST_BYTES_MAX) return;
  for await (const piece of readFileContent({ reader, node, ahead: 2, signal })) {
    text += Buffer.from(piece).toString("latin1");
  }
  for (const line of text.split("\n")) {
    const sha1 = sha1Of(line);
    if (sha1 !== undefined) take(sha1);
  }
  read.add(content);
}

/** The name in a line: the line is a string, or an object with the member `sha1` or `name`. */
function sha1Of(line: string): string | undefined {
  try {
    const value = JSON.parse(line) as unknown;
    const { sha1, name } = Object(value) as { sha1?: unknown; name?: unknown };
    return [value, sha1, name].find((one) => typeof one === "string" && isSha1(one)) as
      | string
      | undefined;
  } catch {
    return undefined;
  }
}
