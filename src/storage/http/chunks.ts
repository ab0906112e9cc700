// Bodies whose length nobody knew when they began (RFC 9112 §7.1): chunks, each behind its length, up to an empty one.

import { BadAnswer } from "./head.ts";

/** A line of a length or a trailer is never longer than this. */
const LINE_BYTES_MAX = 8192;
/** Nor are all trailers together. */
const TRAILER_BYTES_MAX = 65_536;

export class ChunkReader {
  /** What comes next: a length, content, the line end behind it, trailers; or nothing more. */
  #state: "length" | "content" | "gap" | "trailer" | "done" = "length";
  #left = 0;
  #line = "";
  #trailers = 0;

  get isDone(): boolean {
    return this.#state === "done";
  }

  /** Takes bytes as they came and passes on what is content. Returns how many belong to this body. */
  read(bytes: Uint8Array, onContent: (content: Uint8Array) => void): number {
    let at = 0;
    while (at < bytes.length && this.#state !== "done") {
      if (this.#state === "content") {
        const content = bytes.subarray(at, at + this.#left);
        at += content.length;
        this.#left -= content.length;
        onContent(content);
        if (this.#left === 0) this.#state = "gap";
        continue;
      }
      const byte = bytes[at++]!;
      if (byte !== 10) {
        this.#line += String.fromCharCode(byte);
        if (this.#line.length > LINE_BYTES_MAX)
          throw new BadAnswer("a line of the body is too long");
        continue;
      }
      if (!this.#line.endsWith("\r")) throw new BadAnswer("a line of the body has no proper end");
      this.#endLine(this.#line.slice(0, -1));
      this.#line = "";
    }
    return at;
  }

  #endLine(line: string): void {
    if (this.#state === "gap") {
      if (line !== "") throw new BadAnswer("a part of the body is longer than announced");
      this.#state = "length";
    } else if (this.#state === "trailer") {
      this.#trailers += line.length + 2;
      if (this.#trailers > TRAILER_BYTES_MAX) throw new BadAnswer("the trailers are too long");
      if (line === "") this.#state = "done";
    } else {
      const digits = /^([0-9a-f]{1,12})(?:[ \t]*;.*)?$/i.exec(line)?.[1];
      if (digits === undefined) throw new BadAnswer("a part of the body has no length");
      this.#left = Number.parseInt(digits, 16);
      this.#state = this.#left === 0 ? "trailer" : "content";
    }
  }
}
