// The worker threads of one restore and the slots of memory through which sealed content reaches them.

import { Worker } from "node:worker_threads";
import type { ErrorCode } from "../base/errors.ts";
import { HoldfastError } from "../base/errors.ts";
import type { MasterKey } from "../restic/crypto.ts";
import type {
  CompareRequest,
  RestoreReply,
  RestoreRequest,
  RestoreWorkerData,
  WriteRequest,
} from "./restore-messages.ts";
import { stopWorker } from "../base/stop-worker.ts";
import { workerUrl } from "../base/worker-url.ts";

interface Member {
  worker: Worker;
  memory: SharedArrayBuffer;
  slots: number[];
  /** Numbers of the slots that are free. */
  free: number[];
  tasks: number;
}

/** A slot of a worker, lent to whoever fills it. */
export interface Slot {
  member: Member;
  number: number;
  bytes: Uint8Array;
}

export type Written = RestoreReply & { type: "written" };

/** Sealed bytes that go to a worker at once: the largest chunk restic makes, and a little more. */
const SLOT_BYTES = (8 << 20) + (64 << 10);
/** Of each worker: one is being filled while another is written. What is far away is asked for earlier. */
const SLOTS_NEAR = 2;
const SLOTS_FAR = 4;

export interface RestorePoolOptions {
  workers: number;
  sparse: boolean;
  /** Set owners: only root can. */
  setOwner: boolean;
  /** The repository is not on this machine: each request takes a while. */
  isFar?: boolean;
}

export class RestorePool {
  /** The most sealed bytes that a slot takes. */
  readonly slotBytes: number = SLOT_BYTES;
  readonly #options: RestorePoolOptions;
  #started: Promise<unknown> | undefined;
  #key: MasterKey | undefined;
  readonly #members: Member[] = [];
  readonly #workers: Worker[] = [];
  /** Settled when a worker that was given the key is prepared to open blobs, or has failed. */
  readonly #opening = new Map<Worker, PromiseWithResolvers<void>>();
  readonly #pending = new Map<number, (reply: RestoreReply) => void>();
  #tasks = 0;
  #failure: unknown;
  #waiters: (() => void)[] = [];

  constructor(options: RestorePoolOptions) {
    this.#options = options;
  }

  /** Starts the threads, which takes a while: worth doing before the key is known. `ready` tells how that went. */
  start(): void {
    const count = this.#options.workers;
    this.#started ??= Promise.all(Array.from({ length: count }, () => this.#startOne()));
    this.#started.catch(() => {});
  }

  /** Resolves when all threads are there and have the key. */
  async ready(key: MasterKey): Promise<void> {
    this.start();
    await this.#started;
    if (this.#key !== undefined) return;
    this.#key = key;
    for (const worker of this.#workers) {
      this.#opening.set(worker, Promise.withResolvers<void>());
      worker.postMessage({ type: "key", key });
    }
  }

  /** Waits for a free slot. */
  async takeSlot(): Promise<Slot> {
    for (;;) {
      this.check();
      let best: Member | undefined;
      for (const member of this.#members) {
        if (member.free.length > (best?.free.length ?? 0)) best = member;
      }
      if (best !== undefined) {
        const number = best.free.pop()!;
        const at = best.slots[number]!;
        return {
          member: best,
          number,
          bytes: new Uint8Array(best.memory, at, SLOT_BYTES),
        };
      }
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  /** Gives a slot back unused. */
  returnSlot(slot: Slot): void {
    slot.member.free.push(slot.number);
    this.#wake();
  }

  /** Has the blobs in a slot written; the slot is free again afterwards. */
  async write(slot: Slot, request: Omit<WriteRequest, "type" | "task" | "slot">): Promise<Written> {
    const message = { type: "write" as const, slot: slot.number, ...request };
    try {
      return (await this.#send(slot.member, message)) as Written;
    } finally {
      this.returnSlot(slot);
    }
  }

  /** Compares files with their blobs: 1 for each that is equal. */
  async compare(request: Omit<CompareRequest, "type" | "task">): Promise<Uint8Array> {
    this.check();
    let best = this.#members[0]!;
    for (const member of this.#members) if (member.tasks < best.tasks) best = member;
    const message = { type: "compare" as const, ...request };
    return ((await this.#send(best, message)) as RestoreReply & { type: "compared" }).equal;
  }

  /** Throws when a worker has failed. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  async terminate(): Promise<void> {
    const made = (worker: Worker): Promise<unknown> =>
      this.#opening.get(worker)?.promise ?? Promise.resolve();
    await Promise.all(this.#workers.map((worker) => stopWorker(worker, made(worker))));
  }

  #send(
    member: Member,
    request: Omit<WriteRequest, "task"> | Omit<CompareRequest, "task">,
  ): Promise<RestoreReply> {
    const task = this.#tasks++;
    member.tasks++;
    return new Promise((resolve, reject) => {
      this.#pending.set(task, (message) => {
        member.tasks--;
        if (message.type === "failed") reject(this.#failure);
        else resolve(message);
      });
      member.worker.postMessage({ ...request, task } as RestoreRequest);
    });
  }

  #startOne(): Promise<void> {
    const { sparse, setOwner, isFar = false } = this.#options;
    const slots = isFar ? SLOTS_FAR : SLOTS_NEAR;
    const workerData: RestoreWorkerData = { slots, slotBytes: SLOT_BYTES, sparse, setOwner };
    const worker = new Worker(workerUrl("restore-worker", import.meta.url), {
      workerData,
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    });
    this.#workers.push(worker);
    return new Promise((resolve, reject) => {
      worker.on("error", (error) => {
        this.#fail(error);
        reject(error);
      });
      worker.on("message", (message: RestoreReply) => {
        if (message.type === "ready") {
          const free = message.slots.map((_, i) => i);
          const { memory, slots } = message;
          this.#members.push({ worker, memory, slots, free, tasks: 0 });
          resolve();
        } else if (message.type === "opened") {
          this.#opening.get(worker)?.resolve();
        } else if (message.type === "failed") {
          this.#opening.get(worker)?.resolve();
          this.#fail(new HoldfastError(message.code as ErrorCode, message.message));
          reject(this.#failure);
        } else {
          const settle = this.#pending.get(message.task);
          this.#pending.delete(message.task);
          settle?.(message);
        }
      });
    });
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    for (const settle of this.#pending.values()) {
      settle({ type: "failed", code: "BUG", message: "" });
    }
    this.#pending.clear();
    this.#wake();
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
  }
}
