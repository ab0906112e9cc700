// A repository with a history, written without any files to back up: as many small blobs as one asks for, and snapshots that
// share most of them. For measuring what grows with the number of blobs; a backup of so many files would take the disk.

import { createHash } from "node:crypto";
import { systemClock, systemRandom } from "../../src/base/clock.ts";
import { initRepository } from "../../src/repository/init.ts";
import { loadIndex } from "../../src/repository/index-loader.ts";
import { openRepository } from "../../src/repository/open.ts";
import type { Machine, Repository } from "../../src/repository/repository.ts";
import { listSnapshots } from "../../src/repository/snapshots.ts";
import { PACK_SIZE_DEFAULT, RepositoryWriter } from "../../src/repository/writer.ts";
import { BlobSealer, SEALER_BYTES } from "../../src/restic/blob-sealer.ts";
import { formatTime } from "../../src/restic/go-time.ts";
import { createKernels } from "../../src/restic/kernels.ts";
import { PackAssembler, packBufferBytes } from "../../src/restic/pack-assembler.ts";
import { encodeSnapshot } from "../../src/restic/snapshot.ts";
import { encodeTree } from "../../src/restic/tree.ts";
import { createNode } from "../../src/restic/tree-node.ts";
import type { TreeNode } from "../../src/restic/tree-node.ts";
import { openLocalStorage } from "../../src/storage/local.ts";
import { seededRandom } from "../data-set/random.ts";

export interface MadeRepositoryOptions {
  path: string;
  password: string;
  /** Blobs of file content. */
  blobs: number;
  snapshots: number;
  seed: string;
}

const FOLDERS = 256;
/** Folders that get new files between two snapshots, as a busy filestore's do. */
const FOLDERS_CHANGED = 64;
/** Of all files that every snapshot has; the others are spread over the snapshots, each in one. */
const SHARE_KEPT = 0.7;
const BLOB_BYTES_MAX = 500;

const MACHINE: Machine = {
  clock: systemClock,
  random: systemRandom,
  hostname: "bench",
  username: "bench",
  uid: 0,
  gid: 0,
  pid: process.pid,
  isAlive: () => true,
};

/** Makes the repository in the new folder `path`. */
export async function makeRepository(options: MadeRepositoryOptions): Promise<void> {
  const storage = await openLocalStorage({ root: options.path, create: true });
  const { password } = options;
  await initRepository({ storage, password, machine: MACHINE });
  const repository = await openRepository({ storage, password, machine: MACHINE });
  const writer = new RepositoryWriter({ repository, packSize: PACK_SIZE_DEFAULT, verify: false });
  writer.useIndex((await loadIndex(repository)).index);
  const ids = await storeContent(repository, writer, options);
  await storeSnapshots(repository, writer, ids, options);
}

/** Adds copies of a repository's first snapshot, an hour apart, until there are `count` more. */
export async function multiplySnapshots(
  path: string,
  password: string,
  count: number,
): Promise<void> {
  const storage = await openLocalStorage({ root: path });
  const repository = await openRepository({ storage, password, machine: MACHINE });
  const [first] = await listSnapshots(repository);
  const begun = Date.UTC(2020, 0, 1);
  for (let i = 0; i < count; i++) {
    const time = formatTime(BigInt(begun + i * 3_600_000) * 1_000_000n + 123_456_789n);
    await repository.save("snapshot", encodeSnapshot({ ...first!.snapshot, time }));
  }
}

/** Blobs of all snapshots lie in the packs side by side: the worst case for a prune. Their ids, one after the other. */
async function storeContent(
  repository: Repository,
  writer: RepositoryWriter,
  { blobs, seed }: MadeRepositoryOptions,
): Promise<Buffer> {
  const bufferBytes = packBufferBytes(PACK_SIZE_DEFAULT, BLOB_BYTES_MAX);
  const kernels = createKernels({ bytes: 2 * 4096 + 2 * bufferBytes });
  const input = kernels.base + 4096;
  const free = [0, 1].map((i) => ({ at: input + 4096 + i * bufferBytes, bytes: bufferBytes }));
  if (SEALER_BYTES > 4096) throw new RangeError("no room for the sealer");
  const { key } = repository;
  const sealer = new BlobSealer({
    kernels,
    key,
    version: 2,
    level: 0,
    start: systemRandom(16),
    at: kernels.base,
    scratch: { at: input, bytes: BLOB_BYTES_MAX },
    verify: false,
  });
  const assembler = new PackAssembler({
    kernels,
    key,
    sealer,
    random: systemRandom,
    type: "data",
    packSize: PACK_SIZE_DEFAULT,
    takeBuffer: () => free.pop()!,
    onPack: ({ id, buffer, length, header }) => {
      const bytes = kernels.bytes.subarray(buffer.at, buffer.at + length);
      writer.storePack({ id, bytes, header }, () => free.push(buffer));
    },
  });
  const random = seededRandom(seed);
  const ids = Buffer.alloc(blobs * 32);
  for (let blob = 0; blob < blobs; blob++) {
    const length = 16 + Math.floor(random.unit() * (BLOB_BYTES_MAX - 16));
    const plain = createHash("shake256", { outputLength: length }).update(`${seed} ${blob}`);
    const content = plain.digest();
    kernels.bytes.set(content, input);
    const id = createHash("sha256").update(content).digest();
    ids.set(id, blob * 32);
    assembler.add(id, input, length);
    while (free.length === 0) await writer.settleOne();
  }
  assembler.flush();
  await writer.finish();
  return ids;
}

async function storeSnapshots(
  repository: Repository,
  writer: RepositoryWriter,
  ids: Buffer,
  { blobs, snapshots }: MadeRepositoryOptions,
): Promise<void> {
  const kept: string[][] = Array.from({ length: FOLDERS }, () => []);
  const own: string[][][] = Array.from({ length: snapshots }, () =>
    Array.from({ length: FOLDERS }, () => []),
  );
  for (let blob = 0; blob < blobs; blob++) {
    const id = ids.toString("hex", blob * 32, blob * 32 + 32);
    // By the id, so that neighbours in a pack belong to different snapshots.
    const draw = ids.readUInt32LE(blob * 32) / 2 ** 32;
    if (draw < SHARE_KEPT) kept[blob % FOLDERS]!.push(id);
    else own[blob % snapshots]![Math.floor(blob / snapshots) % FOLDERS_CHANGED]!.push(id);
  }
  const shared: (string | undefined)[] = Array.from({ length: FOLDERS });
  const begun = Date.UTC(2026, 0, 1);
  for (const [snapshot, folders] of own.entries()) {
    const nodes: TreeNode[] = [];
    for (let folder = 0; folder < FOLDERS; folder++) {
      const name = folder.toString(16).padStart(2, "0");
      const changed = folders[folder]!;
      const subtree =
        (changed.length === 0 ? shared[folder] : undefined) ??
        (await addFolder(writer, [...kept[folder]!, ...changed]));
      if (changed.length === 0) shared[folder] = subtree;
      nodes.push(createNode({ name, type: "dir", mode: 0x8000_01ed, subtree }));
    }
    const tree = writer.addTree(encodeTree(nodes));
    await writer.finish();
    const time = formatTime(BigInt(begun + snapshot * 86_400_000) * 1_000_000n);
    await repository.save(
      "snapshot",
      encodeSnapshot({
        time,
        parent: null,
        tree,
        paths: ["/srv/filestore"],
        hostname: "bench",
        username: "bench",
        uid: 0,
        gid: 0,
        excludes: [],
        tags: [],
        original: null,
        programVersion: "bench",
        summary: null,
        extra: {},
      }),
    );
  }
}

async function addFolder(writer: RepositoryWriter, ids: readonly string[]): Promise<string> {
  const nodes = ids
    .map((id) => createNode({ name: id.slice(0, 40), type: "file", mode: 0o644, content: [id] }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const id = writer.addTree(encodeTree(nodes));
  while (writer.waitingTreeBytes > 32 << 20) await writer.settleOne();
  return id;
}
