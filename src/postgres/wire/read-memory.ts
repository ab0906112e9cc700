// A socket that reads into memory which is used again. A base backup brings gigabytes: memory of its own for each read would
// cost more in collecting it than everything else that is done with the bytes here. Only without TLS, whose memory is
// not ours.

import { Socket } from "node:net";

/** Large enough that a read is a small part of the work on what it brings. */
const READ_BYTES = 1 << 17;

/** What was read: `bytes`, which lie in `memory` if that is to be given back. */
export type OnRead = (bytes: Buffer, memory: Buffer | undefined) => void;

/** A socket and the memory that it reads into. */
export class ReadMemory {
  readonly socket: Socket;
  /** Hand out the memory itself, to be given back; otherwise copies, which stay as they are. */
  isLent = false;
  #current: Buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  readonly #free: Buffer[] = [];
  #onRead: OnRead | undefined;

  constructor() {
    this.socket = new Socket({
      onread: {
        buffer: () => this.#current,
        callback: (length) => {
          this.#take(this.#current.subarray(0, length));
          return true;
        },
      },
    });
  }

  /** From now on `onRead` gets what comes; until then whoever listens to the socket's data does. */
  takeOver(onRead: OnRead): void {
    this.#onRead = onRead;
  }

  /** Nobody looks at `memory` any more. */
  giveBack(memory: Buffer): void {
    // What was read before lending ended may still be looked at.
    if (this.isLent) this.#free.push(memory);
  }

  #take(bytes: Buffer): void {
    if (this.#onRead === undefined) {
      this.socket.emit("data", Buffer.from(bytes));
    } else if (this.isLent) {
      const memory = this.#current;
      this.#current = this.#free.pop() ?? Buffer.allocUnsafeSlow(READ_BYTES);
      this.#onRead(bytes, memory);
    } else this.#onRead(Buffer.from(bytes), undefined);
  }
}
