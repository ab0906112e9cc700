import { test } from "node:test";
import assert from "node:assert/strict";
import { HoldfastError } from "../../base/errors.ts";
import { memoryRepository, storeSnapshot } from "../../../test/memory-repository.ts";
import { contentText, endLine, segmentName, versionLine } from "../catalogue-lines.ts";
import { loadCatalogue, SEGMENTS } from "./catalogue-files.ts";

/** Files beside a capture, in memory. */
class Side {
  readonly files = new Map<string, Buffer>();
  readonly damaged = new Set<string>();
  readonly notices: string[] = [];
  readonly side = {
    paths: [] as string[],
    read: async (path: string): Promise<Uint8Array | undefined> => {
      if (this.damaged.has(path)) throw new HoldfastError("BLOB_DAMAGED", "damaged");
      return await Promise.resolve(this.files.get(path));
    },
    drop: (path: string): void => void this.files.delete(path),
  };

  async load(...repositories: ReturnType<typeof memoryRepository>["repository"][]) {
    Object.defineProperty(this.side, "paths", { value: [...this.files.keys()] });
    return await loadCatalogue({
      session: {
        side: this.side as never,
        writeSide: async (path, bytes) => {
          this.files.set(path, Buffer.from(bytes));
          return await Promise.resolve();
        },
      },
      repositories,
      onNotice: (text) => this.notices.push(text),
      signal: new AbortController().signal,
    });
  }

  get bytes(): number {
    return [...this.files.values()].reduce((sum, { length }) => sum + length, 0);
  }
}

const content = contentText({
  name: "a name",
  res_model: null,
  res_field: null,
  res_id: null,
  mimetype: null,
  size: 1,
  sha1: null,
  elsewhere: "database",
});
const point = (time: string): { lsn: string; time: string } => ({ lsn: "0/1", time });

/** Attachments that came and went, and one that lasts. */
function past(count: number, ended: string): Buffer {
  const from = point("2025-01-01T00:00:00.000Z");
  const to = { ...point(ended), after: from.time };
  const lines = Array.from({ length: count }, (_, i) => {
    const id = i + 2;
    return versionLine({ id, xmin: 5, from }, content) + endLine(id, to);
  });
  return Buffer.from(versionLine({ id: 1, xmin: 5, from }, content) + lines.join(""));
}

test("a catalogue of the past is made smaller by what no snapshot holds any more", async () => {
  const side = new Side();
  const { repository } = memoryRepository();
  await storeSnapshot(repository, "0".repeat(64), { time: "2025-06-01T00:00:00Z" });
  side.files.set(SEGMENTS + segmentName(1), past(11_000, "2025-05-01T00:00:00.000Z"));
  const catalogue = await side.load(repository);
  assert.equal(catalogue.size, 1);
  assert.ok(side.bytes < 1000, `${side.bytes} bytes`);
  assert.deepEqual([...side.files.keys()], [SEGMENTS + segmentName(2)]);
  assert.deepEqual(catalogue.segmentNames, [segmentName(2)]);
  assert.deepEqual(catalogue.changes(), { add: [], drop: [] });
});

test("what a snapshot may hold stays, and everything where the snapshots are not known", async () => {
  const recent = new Side();
  const { repository } = memoryRepository();
  await storeSnapshot(repository, "0".repeat(64), { time: "2025-04-01T00:00:00Z" });
  recent.files.set(SEGMENTS + segmentName(1), past(11_000, "2025-05-01T00:00:00.000Z"));
  await recent.load(repository);
  assert.ok(recent.bytes > 500_000);
  const unknown = new Side();
  unknown.files.set(SEGMENTS + segmentName(1), past(11_000, "2025-05-01T00:00:00.000Z"));
  await unknown.load(memoryRepository().repository);
  assert.ok(unknown.bytes > 500_000);
});

test("a damaged segment is left out and told; the others count", async () => {
  const side = new Side();
  side.files.set(SEGMENTS + segmentName(1), past(5, "2025-05-01T00:00:00.000Z"));
  side.files.set(SEGMENTS + segmentName(2), past(5, "2025-05-01T00:00:00.000Z"));
  side.files.set("missing.jsonl", Buffer.from("{}"));
  side.damaged.add(SEGMENTS + segmentName(1));
  const catalogue = await side.load();
  assert.deepEqual(catalogue.segmentNames, [segmentName(2)]);
  assert.deepEqual([...side.files.keys()], [SEGMENTS + segmentName(2), "missing.jsonl"]);
  assert.match(side.notices.join(), /left out: damaged/);
});
