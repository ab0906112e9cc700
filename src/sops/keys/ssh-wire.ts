// The binary encoding that SSH keys are written in (RFC 4251 §5): lengths of four bytes, big-endian, before each string.
// Lengths come from strangers, so nothing is read or allocated beyond what is there.

export class WireReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** The next number. RangeError at the end, as from all methods. */
  uint32(): number {
    return this.#take(4).readUInt32BE();
  }

  /** The next string's bytes (no copy). */
  string(): Buffer {
    return this.#take(this.uint32());
  }

  text(): string {
    return this.string().toString("latin1");
  }

  /** The next number of any size, without the zeros before it. */
  integer(): Buffer {
    const bytes = this.string();
    if (bytes.length > 0 && bytes[0]! >= 0x80) throw new RangeError("a negative number");
    let first = 0;
    while (first < bytes.length && bytes[first] === 0) first++;
    return bytes.subarray(first);
  }

  /** True when everything has been read. */
  get ended(): boolean {
    return this.#at === this.#bytes.length;
  }

  #take(length: number): Buffer {
    if (length > this.#bytes.length - this.#at) throw new RangeError("the key ends too early");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}

/** `parts` as strings, one after the other. */
export function wireStrings(...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    parts.flatMap((part) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(part.length);
      return [length, part];
    }),
  );
}

/** A positive number as `WireReader.integer` reads it: a zero before a first byte that would make it negative. */
export function wireInteger(bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.alloc((bytes[0] ?? 0) >= 0x80 ? 1 : 0), bytes]);
}
