// Keeps a Store equal to what the API server has: a list, then a watch from where the list ended, for as long as `signal` lasts.
//
// It never stops on an error. A watch that ended goes on from the last version that was seen, so nothing is lost in between; when
// the server has forgotten that version (410), or watching has failed several times in a row, all is listed again and compared,
// which finds what was deleted meanwhile. Between two requests at least a second passes unless the first one lasted longer, and
// after failures up to 30 s: a server in trouble is not stormed. Each watch is given an end by the server, by its own deadline when
// the server forgot, and by silence: once bookmarks have come, a connection without a word is a dead one.

import { cancelled } from "../../base/cancellation.ts";
import type { Clock, Random } from "../../base/clock.ts";
import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { ClusterApi, Slim, WatchEvent } from "./cluster-api.ts";
import { backoff, fraction } from "./jitter.ts";
import type { Kind } from "./kinds.ts";
import type { KubeObject } from "./kube-object.ts";
import { ObjectStore } from "./object-store.ts";
import type { IndexOf, Store } from "./store.ts";

export interface InformerOptions<T extends KubeObject> {
  readonly api: ClusterApi;
  readonly kind: Kind<T>;
  /** Absent: all namespaces. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Cuts an object to what readers need before it is kept; `metadata` must keep name, namespace, uid and resourceVersion. */
  readonly slim?: Slim<T> | undefined;
  readonly indexes?: Readonly<Record<string, IndexOf<T>>> | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** Told of every failure, also of those that pass, and of listeners that throw. */
  readonly onError: (error: unknown) => void;
  /** Told with the error when we may not list or watch the kind, again at each attempt, and without one when we may. */
  readonly onRefused?: ((error: HoldfastError | undefined) => void) | undefined;
}

export interface Informer<T extends KubeObject> {
  readonly store: Store<T>;
  /** The first list is in the store. Never, while the server cannot be read; CANCELLED when `signal` is aborted before. */
  readonly synced: Promise<void>;
  /** Settles when nothing runs any more, after `signal`. */
  readonly stopped: Promise<void>;
}

const PAUSE_MIN = 1_000;
const PAUSE_MAX = 30_000;
/** Failures of watching in a row after which all is listed again. */
const WATCH_FAILURES_MAX = 3;
const TIMEOUT_SECONDS_MIN = 240;
const TIMEOUT_SECONDS_MAX = 300;
/** Milliseconds that a server may need to end a watch at its time. */
const END_GRACE = 30_000;
/** API servers send a bookmark about once a minute. */
const SILENCE_MAX = 150_000;

/** Starts to fill a store. Returns at once. */
export function startInformer<T extends KubeObject>(options: InformerOptions<T>): Informer<T> {
  const run = new InformerRun(options);
  return { store: run.store, synced: run.synced, stopped: run.run() };
}

class InformerRun<T extends KubeObject> {
  readonly store: ObjectStore<T>;
  readonly synced: Promise<void>;
  readonly #options: InformerOptions<T>;
  #onSynced = (): void => {};
  #onCancelled = (_error: Error): void => {};
  /** Where the next watch begins; undefined: list first. */
  #version: string | undefined;
  #seesBookmarks = false;
  /** Requests that failed in a row. */
  #failures = 0;
  /** What the API server refuses us. */
  #refused: "list" | "watch" | undefined;

  constructor(options: InformerOptions<T>) {
    this.#options = options;
    const { indexes, onError } = options;
    this.store = new ObjectStore<T>({ indexes, onError });
    this.synced = new Promise((resolve, reject) => {
      this.#onSynced = resolve;
      this.#onCancelled = reject;
    });
    // Whoever does not wait for it is not to be told of its failure by the process.
    this.synced.catch(() => {});
  }

  async run(): Promise<void> {
    const { clock, signal, onError } = this.#options;
    while (!signal.aborted) {
      const began = clock.monotonic();
      let pause = PAUSE_MIN;
      try {
        if (this.#version === undefined) await this.#list();
        await this.#watch(this.#version!);
        this.#failures = 0;
        this.#allowed();
      } catch (error) {
        if (signal.aborted) break;
        if (isHoldfastError(error, "CLUSTER_DENIED")) {
          this.#refused = this.#version === undefined ? "list" : "watch";
          this.#options.onRefused?.(error);
        }
        onError(error);
        pause = this.#pauseAfter(error);
      }
      await this.#sleep(pause - (clock.monotonic() - began));
    }
    this.#onCancelled(cancelled(signal));
  }

  async #list(): Promise<void> {
    const { api, kind, namespace, labelSelector, fieldSelector, slim, signal } = this.#options;
    const list = await api.list(kind, { namespace, labelSelector, fieldSelector, slim, signal });
    if (signal.aborted) throw cancelled(signal);
    this.store.replaceAll(list.items);
    this.#version = list.resourceVersion;
    // Of a watch that is refused a list says nothing.
    if (this.#refused === "list") this.#allowed();
    this.#onSynced();
  }

  async #watch(resourceVersion: string): Promise<void> {
    const { api, kind, namespace, labelSelector, fieldSelector, random, signal } = this.#options;
    const timeoutSeconds = Math.round(
      TIMEOUT_SECONDS_MIN + fraction(random) * (TIMEOUT_SECONDS_MAX - TIMEOUT_SECONDS_MIN),
    );
    const cut = new AbortController();
    const onAbort = (): void => cut.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    const watch = api.watch(kind, {
      namespace,
      labelSelector,
      fieldSelector,
      resourceVersion,
      timeoutSeconds,
      signal: cut.signal,
    });
    const deadline = this.#startDeadline(timeoutSeconds * 1000 + END_GRACE, cut);
    try {
      for await (const event of watch) {
        // What was decided to be over is not to change the store behind the back of the next list.
        if (cut.signal.aborted) break;
        this.#apply(event);
        if (this.#seesBookmarks) deadline.extend(SILENCE_MAX);
      }
    } catch (error) {
      if (!deadline.isPassed) throw error;
    } finally {
      deadline.stop();
      signal.removeEventListener("abort", onAbort);
    }
    if (deadline.isPassed) {
      throw new HoldfastError("CLUSTER_UNREACHABLE", `the watch of ${kind.plural} fell silent`, {
        hint: "See whether something between here and the API server drops idle connections.",
        retryable: true,
      });
    }
  }

  #apply(event: WatchEvent<T>): void {
    if (event.type === "BOOKMARK") {
      this.#seesBookmarks = true;
      this.#version = event.resourceVersion;
    } else {
      const { slim = (object: T) => object } = this.#options;
      const { resourceVersion } = event.object.metadata;
      if (event.type === "DELETED") this.store.remove(event.object);
      else this.store.set(slim(event.object));
      // After the store: a listener or slim that throws must not make us skip what it was about.
      this.#version = resourceVersion ?? this.#version;
    }
    this.#failures = 0;
    this.#allowed();
  }

  #allowed(): void {
    if (this.#refused === undefined) return;
    this.#refused = undefined;
    this.#options.onRefused?.(undefined);
  }

  /** Forgets the version where it is of no use any more, and says how long to wait. */
  #pauseAfter(error: unknown): number {
    const isGone = isHoldfastError(error, "CLUSTER_GONE");
    this.#failures += 1;
    if (isGone || this.#failures >= WATCH_FAILURES_MAX) this.#version = undefined;
    // That a version is forgotten is nobody's trouble, the first time.
    if (isGone && this.#failures === 1) return PAUSE_MIN;
    const { random } = this.#options;
    const asked = isHoldfastError(error) ? (error.retryAfter ?? 0) : 0;
    const own = backoff(this.#failures, { first: 2 * PAUSE_MIN, max: PAUSE_MAX / 1.5, random });
    return Math.max(own, Math.min(asked, PAUSE_MAX));
  }

  async #sleep(milliseconds: number): Promise<void> {
    const { clock, signal } = this.#options;
    if (milliseconds <= 0 || signal.aborted) return;
    // Only an abort wakes it early, and the loop sees that.
    await clock.sleep(milliseconds, signal).catch(() => {});
  }

  /** Aborts `cut` when `milliseconds` have passed, or so many after the last `extend`, whichever is first. */
  #startDeadline(
    milliseconds: number,
    cut: AbortController,
  ): { readonly isPassed: boolean; extend(silence: number): void; stop(): void } {
    const { clock } = this.#options;
    const end = clock.monotonic() + milliseconds;
    let until = this.#seesBookmarks ? Math.min(end, clock.monotonic() + SILENCE_MAX) : end;
    const stop = new AbortController();
    const state = {
      isPassed: false,
      extend: (silence: number): void => {
        until = Math.min(end, clock.monotonic() + silence);
      },
      stop: (): void => stop.abort(),
    };
    const wait = async (): Promise<void> => {
      for (;;) {
        const left = until - clock.monotonic();
        if (left <= 0) break;
        // Not all of it at once: the first bookmark brings the end nearer.
        await clock.sleep(Math.min(left, SILENCE_MAX), stop.signal);
      }
      state.isPassed = true;
      cut.abort(new Error("silence"));
    };
    wait().catch(() => {});
    return state;
  }
}
