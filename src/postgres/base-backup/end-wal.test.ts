import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { openMemoryStorage } from "../../storage/memory.ts";
import { archiveOf } from "../archive.ts";
import { waitForWal, type EndWalOptions } from "./end-wal.ts";

const MIB = 1 << 20;
const segment = (name: string, size = MIB): [string, Uint8Array] => [
  `pg/wals/${name.slice(0, 16)}/${name}`,
  new Uint8Array(size),
];

interface Scene {
  readonly said: string[];
  wait: (first: number, last: number, more?: Partial<EndWalOptions>) => Promise<void>;
}

/** `steps` are run one after the other, whenever the waiting sleeps. */
function scene(
  objects: [string, Uint8Array][],
  steps: ((put: (object: [string, Uint8Array]) => void) => void)[] = [],
): Scene {
  const stored = new Map(objects);
  const said: string[] = [];
  let now = 0;
  const clock = {
    now: () => now,
    nowNanoseconds: () => BigInt(now),
    monotonic: () => now,
    sleep: async (milliseconds: number) => {
      now += milliseconds;
      steps.shift()?.((object) => stored.set(...object));
      await Promise.resolve();
    },
  };
  return {
    said,
    wait: async (first, last, more = {}) =>
      await waitForWal({
        archive: archiveOf(openMemoryStorage({ objects: stored }), "pg"),
        timeline: 1,
        first,
        last,
        segmentSize: MIB,
        clock,
        patience: 60_000,
        signal: new AbortController().signal,
        onWaiting: (missing, count) => said.push(`${missing} ${count}`),
        nudge: async () => await Promise.resolve(void said.push("nudge")),
        explain: async () => await Promise.resolve("archive_mode is off"),
        ...more,
      }),
  };
}

describe("waiting for WAL", () => {
  test("ends at once when all is there, compressed or not", async () => {
    const { wait, said } = scene([
      segment("000000010000000000000001"),
      segment("000000010000000000000002.gz", 9),
    ]);
    await wait(1, 2);
    assert.deepEqual(said, []);
  });

  test("tells what is missing, and ends when it has come", async () => {
    const { wait, said } = scene(
      [segment("000000010000000000000001")],
      [
        () => {},
        (put) => put(segment("000000010000000000000002")),
        (put) => put(segment("000000010000000000000003")),
      ],
    );
    await wait(1, 3);
    assert.deepEqual(said, ["000000010000000000000002 2", "000000010000000000000003 1"]);
  });

  test("segments of another timeline, partial ones and cut ones do not count", async () => {
    const { wait } = scene([
      segment("000000020000000000000001"),
      segment("000000010000000000000001.partial"),
      segment("000000010000000000000001", MIB - 1),
    ]);
    await assert.rejects(wait(1, 1, { patience: 0 }), {
      code: "WAL_MISSING",
      message: /000000010000000000000001 \(archive_mode is off\)$/,
    });
  });

  test("reaches over the end of a folder", async () => {
    const { wait } = scene([
      segment("000000010000000000000FFF"),
      segment("000000010000000100000000"),
    ]);
    await wait(4095, 4096);
  });

  test("asks the server once to finish its segment, and gives up in time", async () => {
    const { wait, said } = scene([]);
    await assert.rejects(wait(1, 2), {
      code: "WAL_MISSING",
      retryable: true,
      message: /2 segments from 000000010000000000000001 on/,
    });
    assert.deepEqual(said, ["000000010000000000000001 2", "nudge"]);
  });
});
