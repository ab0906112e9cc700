// Keeps the slot of a receiver in order: makes it when that was asked for, waits until an earlier connection has left it, and
// looks at it now and then, so that somebody hears of it before the server gives it up.

import { HoldfastError, isHoldfastError, messageOf } from "../../base/errors.ts";
import type { Clock } from "../../base/clock.ts";
import type { Connection } from "../connection.ts";
import {
  createSlot,
  dropSlot,
  readSlot,
  slotLimit,
  slotMissing,
  slotUse,
  type SlotState,
} from "./slot.ts";

export interface SlotOptions {
  readonly name: string;
  /** Make it when it is missing, and anew when the server has given it up. */
  readonly create: boolean;
  /** Make it even where the server sets no limit to what it keeps. */
  readonly unlimited: boolean;
}

export type SlotWarning =
  /** It was made. */
  | { readonly kind: "created"; readonly name: string }
  /** It was given up by the server, and made anew. */
  | { readonly kind: "recreated"; readonly name: string }
  /** It uses half of what it may, or more. */
  | { readonly kind: "filling"; readonly name: string; readonly safeBytes: number }
  /** The server has given it up: it ends this receiver when it connects again. */
  | { readonly kind: "lost"; readonly name: string }
  /** Nobody can be warned. */
  | { readonly kind: "unwatched"; readonly name: string; readonly why: string };

interface Options {
  clock: Clock;
  onWarning: (warning: SlotWarning) => void;
}

interface Connections {
  replication: Connection;
  sql: Connection | undefined;
  signal: AbortSignal;
}

const LOOK_MS = 30_000;
const FILLING = 0.5;
/** A server notices late that an earlier connection is gone. */
const IN_USE_WAIT_MS = 5000;
const IN_USE_LOOK_MS = 500;

export class SlotKeeper {
  readonly #slot: SlotOptions;
  readonly #options: Options;
  #state: SlotState | undefined;
  #warned: SlotWarning["kind"] | undefined;
  #isUnwatchedTold = false;
  #watching: { stop: AbortController; done: Promise<void> } | undefined;

  constructor(slot: SlotOptions, options: Options) {
    this.#slot = slot;
    this.#options = options;
  }

  /** What the server last said of it. */
  get state(): SlotState | undefined {
    return this.#state;
  }

  /**
   * The slot, ready for a stream. A lost one is told as such. Throws POSTGRES_SETTING when it is missing, in use, or would
   * have no limit.
   */
  async prepare(connections: Connections): Promise<SlotState> {
    const state = await this.#ready(connections);
    this.#state = state;
    return state;
  }

  /** Looks at it now and then, on a connection that nobody else uses until `rest`. */
  watch(sql: Connection): void {
    if (this.#watching !== undefined) return;
    const stop = new AbortController();
    this.#watching = { stop, done: this.#look(sql, stop.signal) };
  }

  /** There is no connection with which it could be watched. */
  cannotLook(error: unknown): void {
    if (this.#isUnwatchedTold) return;
    this.#isUnwatchedTold = true;
    const { name } = this.#slot;
    this.#options.onWarning({ kind: "unwatched", name, why: messageOf(error) });
  }

  /** Stops watching. */
  async rest(): Promise<void> {
    this.#watching?.stop.abort();
    await this.#watching?.done;
    this.#watching = undefined;
  }

  async #ready(connections: Connections): Promise<SlotState> {
    const { name, create, unlimited } = this.#slot;
    const { onWarning, clock } = this.#options;
    const { signal } = connections;
    const found = await readSlot(name, connections);
    if (found === undefined) {
      if (!create) throw slotMissing(name);
      await createSlot(name, { ...connections, unlimited });
      onWarning({ kind: "created", name });
      return await this.#read(connections);
    }
    if (found.walStatus === "lost" && create) {
      await dropSlot(name, connections);
      await createSlot(name, { ...connections, unlimited });
      onWarning({ kind: "recreated", name });
      return await this.#read(connections);
    }
    const deadline = clock.monotonic() + IN_USE_WAIT_MS;
    let state = found;
    while (state.activePid !== undefined) {
      if (clock.monotonic() > deadline) {
        throw new HoldfastError(
          "POSTGRES_SETTING",
          `the replication slot ${name} is in use by the server's process ${state.activePid}`,
          {
            hint: "Stop the other receiver, or give this one another --slot.",
            retryable: true,
          },
        );
      }
      await clock.sleep(IN_USE_LOOK_MS, signal);
      state = await this.#read(connections);
    }
    return state;
  }

  async #read(connections: Connections): Promise<SlotState> {
    const state = await readSlot(this.#slot.name, connections);
    if (state === undefined) throw slotMissing(this.#slot.name);
    return state;
  }

  async #look(sql: Connection, signal: AbortSignal): Promise<void> {
    const { name } = this.#slot;
    const { clock, onWarning } = this.#options;
    try {
      for (;;) {
        const limit = await slotLimit(sql, signal);
        const state = await readSlot(name, { replication: sql, sql, signal });
        if (state !== undefined) {
          this.#state = state;
          const warning = warningOf(state, limit);
          if (warning !== undefined && warning.kind !== this.#warned) onWarning(warning);
          this.#warned = warning?.kind;
        }
        await clock.sleep(LOOK_MS, signal);
      }
    } catch (error) {
      // The stream tells what is wrong with the server.
      if (!signal.aborted && !isHoldfastError(error, "POSTGRES_UNREACHABLE"))
        this.cannotLook(error);
    }
  }
}

function warningOf(state: SlotState, limit: number | undefined): SlotWarning | undefined {
  const { name, walStatus, safeBytes } = state;
  if (walStatus === "lost") return { kind: "lost", name };
  const isFilling = walStatus === "unreserved" || (slotUse(state, limit) ?? 0) >= FILLING;
  return isFilling ? { kind: "filling", name, safeBytes: safeBytes ?? 0 } : undefined;
}
