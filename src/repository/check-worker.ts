// A worker thread of a check: opens packs and trees that the main thread has read into the worker's memory.

import { parentPort } from "node:worker_threads";
import { messageOf } from "../base/errors.ts";
import { BlobOpener, OPENER_BYTES } from "../restic/blob-opener.ts";
import { CHUNK_BYTES_MAX } from "../restic/chunker.ts";
import { createKernels } from "../restic/kernels.ts";
import { SMALL_BLOBS_BYTES, SmallBlobs } from "../restic/small-blobs.ts";
import { TREE_REFERENCES_BYTES, TreeReferences } from "../restic/tree-references.ts";
import { BlobLookup } from "./blob-index.ts";
import type {
  BlobsRequest,
  CheckReply,
  CheckRequest,
  CheckWorkerData,
  PackRequest,
  TreesRequest,
} from "./check-messages.ts";
import { checkPack, findUnsound, openEntry } from "./check-pack.ts";
import type { PackCheckOptions } from "./check-pack.ts";
import { TreeCheck } from "./check-tree.ts";
import type { TreeFault } from "./check-tree.ts";
import { EntrySet } from "./entry-set.ts";
import { TreeEdges } from "./tree-graph.ts";

const ALIGNMENT = 4096;

const port = parentPort!;

class CheckWorker {
  readonly #options: PackCheckOptions;
  readonly #trees: TreeCheck;
  readonly #edges: TreeEdges | undefined;
  /** Where each buffer begins in memory. */
  readonly #buffers: number[];

  constructor(data: CheckWorkerData) {
    const index = new BlobLookup(data.index);
    const used = new EntrySet(data.used);
    const bufferBytes = align(data.bufferBytes);
    const small = align(OPENER_BYTES);
    const references = small + align(SMALL_BLOBS_BYTES);
    const expanded = references + align(TREE_REFERENCES_BYTES);
    const own = expanded + CHUNK_BYTES_MAX;
    const kernels = createKernels({ bytes: own + data.buffers * bufferBytes });
    const at = kernels.base;
    const { key } = data;
    const scratch = { at: at + expanded, bytes: CHUNK_BYTES_MAX };
    this.#options = {
      kernels,
      key,
      opener: new BlobOpener({ kernels, key, at, scratch }),
      small: new SmallBlobs({ kernels, key, at: at + small, scratch }),
      scratchBytes: scratch.bytes,
      index,
    };
    this.#edges = data.edges ? new TreeEdges() : undefined;
    this.#trees = new TreeCheck(index, used, {
      edges: this.#edges,
      references: new TreeReferences(kernels, at + references),
    });
    this.#buffers = Array.from({ length: data.buffers }, (_, i) => at + own + i * bufferBytes);
    reply({ type: "ready", memory: kernels.memory.buffer, buffers: this.#buffers });
  }

  handle(request: CheckRequest): void {
    if (request.type === "pack") this.#checkPack(request);
    else if (request.type === "trees") this.#checkTrees(request);
    else this.#checkBlobs(request);
  }

  #checkPack({ buffer, length, id, entries }: PackRequest): void {
    const at = this.#buffers[buffer]!;
    const problems = checkPack(this.#options, { at, length, id, entries });
    reply({ type: "pack", buffer, problems });
  }

  #checkBlobs({ buffer, length, offset, entries }: BlobsRequest): void {
    const { index } = this.#options;
    const at = this.#buffers[buffer]!;
    const isHere = (entry: number): boolean => {
      const begin = index.offset(entry) - offset;
      return begin >= 0 && begin + index.storedLength(entry) <= length;
    };
    const outside = entries.filter((entry) => !isHere(entry));
    const unsound = findUnsound(this.#options, entries.filter(isHere), at - offset);
    reply({ type: "blobs", buffer, failed: Uint32Array.from([...outside, ...unsound]) });
  }

  #checkTrees(request: TreesRequest): void {
    const { buffer, length, offset, packNumbers } = request;
    const { index } = this.#options;
    const at = this.#buffers[buffer]!;
    const waiting = [...request.entries];
    const elsewhere: number[] = [];
    const failed: number[] = [];
    const faults: TreeFault[] = [];
    const isHere = (entry: number): boolean =>
      packNumbers.includes(index.packNumber(entry)) &&
      index.offset(entry) >= offset &&
      index.offset(entry) + index.storedLength(entry) <= offset + length;
    const onSubtree = (entry: number): void => {
      (isHere(entry) ? waiting : elsewhere).push(entry);
    };
    let checked = 0;
    for (let entry = waiting.pop(); entry !== undefined; entry = waiting.pop()) {
      const plain = isHere(entry)
        ? openEntry(this.#options, entry, at + index.offset(entry) - offset)
        : undefined;
      if (plain === undefined) {
        failed.push(entry);
        continue;
      }
      faults.push(...this.#trees.check(entry, plain, onSubtree));
      checked++;
    }
    const [there, broken] = [Uint32Array.from(elsewhere), Uint32Array.from(failed)];
    const edges = this.#edges?.take() ?? new Uint32Array();
    reply({ type: "trees", buffer, checked, elsewhere: there, failed: broken, faults, edges });
  }
}

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function reply(message: CheckReply): void {
  port.postMessage(message);
}

/** What it works with comes as the first message, so that a thread can be started before that is known. */
let worker: CheckWorker | undefined;

port.on("message", (message: CheckWorkerData | CheckRequest) => {
  try {
    if (worker === undefined) worker = new CheckWorker(message as CheckWorkerData);
    else worker.handle(message as CheckRequest);
  } catch (error) {
    reply({ type: "failed", message: messageOf(error) });
  }
});
