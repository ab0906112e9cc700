// What the tests of the storage contract are made of: bodies, comparisons and expected failures.

import assert from "node:assert/strict";
import { test } from "node:test";
import { equalBytes } from "../../base/bytes.ts";
import type { ErrorCode } from "../../base/errors.ts";
import type { Storage } from "../storage.ts";

export interface OpenedStorage {
  /** An empty storage. */
  storage: Storage;
  cleanup: () => Promise<void>;
  /** The same objects through a new connection. */
  reopen?: () => Promise<Storage>;
}

export type Open = () => Promise<OpenedStorage>;

export const MIB: number = 1024 * 1024;

export function storageTest(
  name: string,
  open: Open,
  body: (opened: OpenedStorage) => Promise<void>,
): void {
  test(name, async () => {
    const opened = await open();
    try {
      await body(opened);
    } finally {
      await opened.storage.close();
      await opened.cleanup();
    }
  });
}

/** Bytes without a period, other ones for each seed. */
export function pattern(size: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i += 1) bytes[i] = Math.imul(i + seed * 7919, 0x9e3779b1) >>> 21;
  return bytes;
}

/** Not deepEqual: it would print megabytes. */
export function sameBytes(actual: Uint8Array, expected: Uint8Array): void {
  assert.equal(actual.length, expected.length);
  assert.ok(equalBytes(actual, expected), "the bytes differ");
}

export async function failsWith(
  code: ErrorCode,
  key: string,
  call: Promise<unknown>,
): Promise<void> {
  await assert.rejects(call, (error: { code?: string; message: string; retryable?: boolean }) => {
    assert.equal(error.code, code, error.message);
    assert.equal(error.retryable, false);
    assert.ok(error.message.includes(key), `${error.message} does not name ${key}`);
    return true;
  });
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

export async function keysOf(storage: Storage, prefix: string): Promise<string[]> {
  return (await collect(storage.list(prefix))).map(({ key }) => key).toSorted();
}
