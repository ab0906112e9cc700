import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock, settle } from "../../test/fake-clock.ts";
import { HoldfastError } from "../base/errors.ts";
import { forwarding } from "./forwarding.ts";
import { openMemoryStorage } from "./memory.ts";
import { putStream } from "./put-stream.ts";
import type { Storage, Upload } from "./storage.ts";

/** Memory whose uploads are changed. */
function uploading(changed: Partial<Upload>): Storage {
  const memory = openMemoryStorage();
  const startUpload = async (key: string): Promise<Upload> => ({
    ...(await memory.startUpload!(key)),
    ...changed,
  });
  return forwarding(memory, { startUpload });
}

const never = (): Promise<never> => new Promise(() => {});

/** The contract of a storage: an aborted signal rejects. */
const untilAborted = (signal: AbortSignal | undefined): Promise<never> =>
  new Promise((_, reject) => {
    signal?.addEventListener("abort", () => reject(new HoldfastError("CANCELLED", "stopped")));
  });

/** Two pieces and a bit, and then silence. */
async function* fallsSilent(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(2500);
  await never();
}

test("a failed write is told while the body is silent, and stops the others", async () => {
  let isAborted = false;
  const storage = uploading({
    write: (piece, _, options) =>
      piece === 0
        ? untilAborted(options?.signal)
        : Promise.reject(new HoldfastError("STORAGE_FULL", "no space")),
    abort: () => {
      isAborted = true;
      return Promise.resolve();
    },
  });
  await assert.rejects(putStream(storage, "base/x", fallsSilent()), { code: "STORAGE_FULL" });
  assert.ok(isAborted);
});

test("a body that breaks does not wait for writes that are retried", async () => {
  const storage = uploading({ write: (_piece, _bytes, call) => untilAborted(call?.signal) });
  const breaks = function* (): Generator<Uint8Array> {
    yield new Uint8Array(2500);
    throw new Error("the source broke");
  };
  await assert.rejects(putStream(storage, "base/x", breaks()), /the source broke/);
});

test("a body that is no longer wanted is told so", async () => {
  const ends: string[] = [];
  const body = (name: string): AsyncIterable<Uint8Array> => ({
    [Symbol.asyncIterator]: () => ({
      next: () => Promise.resolve({ done: false, value: new Uint8Array(1000) }),
      return: () => {
        ends.push(name);
        return Promise.resolve({ done: true, value: undefined });
      },
    }),
  });
  const full = uploading({ write: () => Promise.reject(new Error("no space")) });
  await assert.rejects(putStream(full, "base/x", body("full")), /no space/);

  const stop = new AbortController();
  const silent: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({
      ...body("silent")[Symbol.asyncIterator](),
      next: () => {
        setImmediate(() => stop.abort());
        return never();
      },
    }),
  };
  const { signal } = stop;
  const stopped = putStream(openMemoryStorage(), "base/x", silent, { signal });
  await assert.rejects(stopped, { code: "CANCELLED" });
  assert.deepEqual(ends, ["full", "silent"]);
});

test("nobody waits long for a dead line to take back what was stored", async () => {
  const clock = new FakeClock();
  const stop = new AbortController();
  const storage = uploading({ abort: never });
  let code: unknown;
  const { signal } = stop;
  const sending = putStream(storage, "base/x", fallsSilent(), { signal, clock }).catch(
    (error: { code?: string }) => (code = error.code),
  );
  await settle();
  stop.abort();
  await clock.advance(4999);
  assert.equal(code, undefined);
  await clock.advance(1);
  await sending;
  assert.equal(code, "CANCELLED");
});
