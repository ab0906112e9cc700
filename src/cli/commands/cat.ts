// `cat`: prints what is inside a repository file, or a blob. VolSync learns from `cat config` whether there is a
// repository, and whether its password is right.

import { fromHex, isId, sha256Hex } from "../../base/bytes.ts";
import type { Id } from "../../base/bytes.ts";
import { HoldfastError } from "../../base/errors.ts";
import { keyOf } from "../../repository/layout.ts";
import type { FileKind } from "../../repository/layout.ts";
import type { Repository } from "../../repository/repository.ts";
import { findFile, findSnapshot } from "../../repository/snapshots.ts";
import { toByteString } from "../../restic/byte-string.ts";
import { encodeConfig } from "../../restic/config.ts";
import { decodeKeyFile, encodeKeyFile } from "../../restic/key-file.ts";
import { decodeLock, encodeLock } from "../../restic/lock-file.ts";
import { snapshotMembers } from "../../restic/snapshot.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { indentedJson } from "../indented-json.ts";
import { withRepository } from "../session.ts";
import { openBlobs, openSnapshot } from "../snapshot-choice.ts";

/** One call of the command. */
interface Request {
  context: Context;
  repository: Repository;
  /** The id as it was typed; "" for what has none. */
  name: string;
  signal: AbortSignal;
}

const PRINTERS: Readonly<Record<string, (request: Request) => Promise<void> | void>> = {
  masterkey: ({ context, repository: { key } }) => {
    const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
    const mac = { k: base64(key.macK), r: base64(key.macR) };
    printObject(context, { mac, encrypt: base64(key.encrypt) });
  },
  config: ({ context, repository }) => printJson(context, encodeConfig(repository.config)),
  pack: printPack,
  blob: printBlob,
  snapshot: async ({ context, repository, name, signal }) => {
    const { snapshot } = await findSnapshot(repository, name, {}, signal);
    printObject(context, snapshotMembers(snapshot));
  },
  index: async (request) => {
    const { context, repository, signal } = request;
    const json = await repository.load("index", await idOf("index", request), signal);
    context.output.dataBytes(toByteString(json).trimEnd());
  },
  key: async (request) => {
    const { context, repository, signal } = request;
    const bytes = await repository.loadRaw("key", await idOf("key", request), signal);
    printJson(context, encodeKeyFile(decodeKeyFile(bytes)));
  },
  lock: async (request) => {
    const { context, repository, signal } = request;
    const bytes = await repository.load("lock", await idOf("lock", request), signal);
    printJson(context, encodeLock(decodeLock(bytes)));
  },
  tree: async ({ context, repository, name, signal }) => {
    const { reader, tree } = await openSnapshot(context, repository, name, { signal });
    context.output.raw(await reader.read("tree", tree, signal));
  },
};

/** What to list to find an id, where that is not the plural of the type. */
const LISTS: Readonly<Record<string, string>> = { index: "index", tree: "snapshots" };

const TYPES = Object.keys(PRINTERS).join("|");

export const catCommand: CommandModule = {
  stopsWithReader: true,

  configure(command) {
    command
      .usage(`[options] ${TYPES} [id]`)
      .argument("<type>", "masterkey, config, pack, blob, snapshot, index, key, lock or tree")
      .argument("[id]", "which one; of a tree: the snapshot, and a directory in it after a colon")
      .addHelpText(
        "after",
        `
Examples:
  holdfast cat config
  holdfast cat snapshot 4bba301e
  holdfast cat tree latest:/etc

The exit status of \`cat config\` tells whether there is a repository (${EXIT.noRepository} if not) and whether the
password opens it (${EXIT.wrongPassword} if not). Whoever has what \`cat masterkey\` prints can read everything.`,
      );
  },

  async run(context, [type = "", name = ""]) {
    const print = Object.hasOwn(PRINTERS, type) ? PRINTERS[type] : undefined;
    if (print === undefined) {
      const what = `invalid type ${JSON.stringify(type)}, must be one of [${TYPES}]`;
      throw new HoldfastError("USAGE", what);
    }
    if (name === "" && type !== "masterkey" && type !== "config") {
      throw new HoldfastError("USAGE", "ID not specified", {
        hint: `List them with \`holdfast list ${LISTS[type] ?? `${type}s`}\`.`,
      });
    }
    await withRepository(context, "read", async (repository, signal) => {
      await print({ context, repository, name, signal });
    });
    return EXIT.ok;
  },
};

function printJson(context: Context, json: Uint8Array): void {
  printObject(context, JSON.parse(Buffer.from(json).toString("utf8")));
}

function printObject({ output }: Context, value: unknown): void {
  output.data(indentedJson(value));
}

/** The id that was typed, or that it is the start of. */
async function idOf(kind: FileKind, { repository, name, signal }: Request): Promise<Id> {
  return isId(name) ? name : findFile(repository, kind, name, signal);
}

/** A pack as it is stored. A damaged one is printed as well: somebody wants to see what is left. */
async function printPack(request: Request): Promise<void> {
  const { context, repository, signal } = request;
  const id = await idOf("pack", request);
  const bytes = await repository.storage.get(keyOf("pack", id), { signal });
  const hash = sha256Hex(bytes);
  if (hash !== id) {
    context.output.warn(`Warning: the pack's content does not match its name, but ${hash}`);
  }
  context.output.raw(bytes);
}

async function printBlob({ context, repository, name, signal }: Request): Promise<void> {
  if (!isId(name)) {
    throw new HoldfastError("USAGE", `not the id of a blob: ${JSON.stringify(name)}`, {
      hint: "Give all of its 64 digits.",
    });
  }
  const reader = await openBlobs(context, repository, signal);
  const type = (["data", "tree"] as const).find((each) => reader.index.has(each, fromHex(name)));
  if (type === undefined) {
    throw new HoldfastError("BLOB_MISSING", `blob not found: ${name} is in no index`);
  }
  context.output.raw(await reader.read(type, name, signal));
}
