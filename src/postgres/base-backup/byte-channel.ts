// Bytes from one who makes them to one who takes them, in order, with little in between: the maker waits when the taker
// is slower. Either may fail, and the other one is told.

const HELD_MAX = 1 << 20;

export class ByteChannel implements AsyncIterable<Uint8Array> {
  #held: Uint8Array[] = [];
  #bytes = 0;
  #state: "open" | "ended" | { readonly error: unknown } = "open";
  #wakeTaker: (() => void) | undefined;
  #wakeMaker: (() => void) | undefined;

  /** Hands `bytes` over, which must not change any more. Resolves when there is room for more; throws why nobody takes them. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#requireTaker();
    this.#held.push(bytes);
    this.#bytes += bytes.length;
    this.#wakeTaker?.();
    while (this.#bytes > HELD_MAX) {
      await new Promise<void>((resolve) => (this.#wakeMaker = resolve));
      this.#requireTaker();
    }
  }

  /** Nothing more comes. */
  end(): void {
    if (this.#state === "open") this.#state = "ended";
    this.#wakeTaker?.();
  }

  /** Both sides learn that it failed. */
  fail(error: unknown): void {
    if (typeof this.#state !== "object") this.#state = { error };
    this.#wakeTaker?.();
    this.#wakeMaker?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      this.#requireTaker();
      const held = this.#held;
      this.#held = [];
      for (const bytes of held) {
        this.#bytes -= bytes.length;
        yield bytes;
      }
      this.#wakeMaker?.();
      if (this.#held.length > 0) continue;
      if (this.#state === "ended") return;
      await new Promise<void>((resolve) => (this.#wakeTaker = resolve));
    }
  }

  #requireTaker(): void {
    if (typeof this.#state === "object") throw this.#state.error;
  }
}
