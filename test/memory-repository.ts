// Repositories in memory for tests, put together file by file, so that a test can make every kind of one: sound, damaged,
// or such as this program would never write. They open without a password's half second of work.

import { randomBytes } from "node:crypto";
import { concatBytes, sha256Hex } from "../src/base/bytes.ts";
import type { Id } from "../src/base/bytes.ts";
import { systemClock } from "../src/base/clock.ts";
import { keyOf } from "../src/repository/layout.ts";
import { Repository } from "../src/repository/repository.ts";
import type { Machine, RepositoryParts } from "../src/repository/repository.ts";
import { compressZstd } from "../src/restic/compression.ts";
import { seal, splitKey } from "../src/restic/crypto.ts";
import { encodeIndexFile } from "../src/restic/index-file.ts";
import type { IndexPack } from "../src/restic/index-file.ts";
import { encodePackHeader } from "../src/restic/pack-header.ts";
import type { BlobType, PackBlob } from "../src/restic/pack-header.ts";
import { encodeSnapshot } from "../src/restic/snapshot.ts";
import type { Snapshot } from "../src/restic/snapshot.ts";
import { encodeTree } from "../src/restic/tree.ts";
import { createNode } from "../src/restic/tree-node.ts";
import type { TreeNode } from "../src/restic/tree-node.ts";
import { openMemoryStorage } from "../src/storage/memory.ts";
import type { Storage } from "../src/storage/storage.ts";

export interface MemoryRepository {
  repository: Repository;
  /** What is stored, by key: change it to damage the repository. */
  objects: Map<string, Uint8Array>;
}

export interface MemoryRepositoryOptions extends Partial<RepositoryParts> {
  version?: 1 | 2;
  /** Puts something between the repository and its memory, such as faults. */
  around?: (storage: Storage) => Storage;
}

/** A machine of fixed names; its clock and random source are real. */
export function testMachine(fields: Partial<Machine> = {}): Machine {
  return {
    clock: systemClock,
    random: (length) => randomBytes(length),
    hostname: "testhost",
    username: "tester",
    uid: 1000,
    gid: 1000,
    pid: 4711,
    isAlive: () => true,
    ...fields,
  };
}

/** An open repository without any file. */
export function memoryRepository(options: MemoryRepositoryOptions = {}): MemoryRepository {
  const { version = 2, around = (storage) => storage, ...parts } = options;
  const objects = new Map<string, Uint8Array>();
  const id = randomBytes(32).toString("hex");
  const repository = new Repository({
    storage: around(openMemoryStorage({ objects })),
    machine: testMachine(),
    config: { version, id, chunkerPolynomial: 0x3da3358b4dc173n, extra: {} },
    key: splitKey(randomBytes(64)),
    keyId: "0".repeat(64),
    compression: "auto",
    cache: undefined,
    ...parts,
  });
  return { repository, objects };
}

export interface BlobToStore {
  type: BlobType;
  plain: Uint8Array;
  /** As one zstd frame; by default trees are, data is not. */
  compressed?: boolean;
}

/** Stores a pack of exactly these blobs; what an index says of it. */
export async function storePack(
  repository: Repository,
  blobs: readonly BlobToStore[],
): Promise<IndexPack> {
  const parts: Uint8Array[] = [];
  const entries: PackBlob[] = [];
  let offset = 0;
  for (const { type, plain, compressed = type === "tree" } of blobs) {
    const sealed = seal(repository.key, compressed ? compressZstd(plain) : plain, randomBytes(16));
    const uncompressedLength = compressed ? plain.length : 0;
    const length = sealed.length;
    entries.push({ type, id: sha256Hex(plain), offset, length, uncompressedLength });
    parts.push(sealed);
    offset += length;
  }
  const header = seal(repository.key, encodePackHeader(entries), randomBytes(16));
  const size = Buffer.alloc(4);
  size.writeUInt32LE(header.length);
  const bytes = concatBytes([...parts, header, size]);
  const id = sha256Hex(bytes);
  await repository.storage.put(keyOf("pack", id), bytes);
  return { id, blobs: entries };
}

/** Stores an index file that lists `packs`; its id. */
export function storeIndex(repository: Repository, packs: readonly IndexPack[]): Promise<Id> {
  return repository.save("index", encodeIndexFile(packs));
}

/** Stores a snapshot of a tree; its id. */
export function storeSnapshot(
  repository: Repository,
  tree: Id,
  fields: Partial<Snapshot> = {},
): Promise<Id> {
  const snapshot: Snapshot = {
    time: "2026-01-02T03:04:05Z",
    parent: null,
    tree,
    paths: ["/srv"],
    hostname: "testhost",
    username: "tester",
    uid: 0,
    gid: 0,
    excludes: [],
    tags: [],
    original: null,
    programVersion: "",
    summary: null,
    extra: {},
    ...fields,
  };
  return repository.save("snapshot", encodeSnapshot(snapshot));
}

/** A tree blob of files (name to content ids) and directories (name to tree id). */
export function treeOf(
  entries: Record<string, readonly Id[] | null | { tree: Id | null }>,
): Buffer {
  const nodes = Object.entries(entries).map(([name, value]): TreeNode => {
    if (value !== null && "tree" in value) {
      return createNode({ name, type: "dir", subtree: value.tree });
    }
    return createNode({ name, type: "file", content: value });
  });
  return encodeTree(nodes.sort((a, b) => (a.name < b.name ? -1 : 1)));
}

/** Changes one byte of a stored object. */
export function damage(objects: Map<string, Uint8Array>, key: string, at: number): void {
  const bytes = Uint8Array.from(objects.get(key)!);
  const index = at < 0 ? bytes.length + at : at;
  bytes[index] = bytes[index]! ^ 0x40;
  objects.set(key, bytes);
}
