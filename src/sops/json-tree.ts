// JSON to a tree with the places of everything, integers exact. Implements docs/formats/sops.md#json. Node's own parser rounds
// integers and forgets places, so it reads only the strings here.

import { DEPTH_MAX, failAt, LENGTH_MAX, NODES_MAX, uniqueKeys } from "./tree.ts";
import type { Entry, List, Mapping, Node, Place, Span } from "./tree.ts";
import { decimalOf, fitsInt64, valueOf, type Value } from "./value.ts";

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?/y;
const WORDS = new Map<string, Value | undefined>([
  ["true", valueOf("bool", "True")],
  ["false", valueOf("bool", "False")],
  ["null", undefined],
]);

/** Reads one JSON text. */
class Reader {
  readonly #place: Place;
  readonly #text: string;
  #at = 0;
  #nodes = 0;

  constructor(place: Place) {
    this.#place = place;
    this.#text = place.text;
  }

  document(): Mapping {
    this.#space();
    if (this.#text[this.#at] !== "{") throw this.#fail("the top of a document is not an object");
    const root = this.#mapping(0);
    this.#space();
    if (this.#at < this.#text.length) throw this.#fail("something follows the JSON document");
    return root;
  }

  #fail(what = "not valid JSON"): Error {
    return failAt(this.#place, this.#at, what);
  }

  #space(): void {
    SPACE.lastIndex = this.#at;
    SPACE.test(this.#text);
    this.#at = SPACE.lastIndex;
  }

  /** True when the next character is `wanted`, which is then read. */
  #take(wanted: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== wanted) return false;
    this.#at++;
    return true;
  }

  #string(): { text: string; at: Span } {
    const start = this.#at;
    let end = start;
    for (;;) {
      end = this.#text.indexOf('"', end + 1);
      if (end === -1) throw this.#fail();
      let slashes = 0;
      while (this.#text[end - 1 - slashes] === "\\") slashes++;
      if (slashes % 2 === 0) break;
    }
    const at = { start, end: end + 1 };
    try {
      const text = JSON.parse(this.#text.slice(start, at.end)) as string;
      this.#at = at.end;
      return { text, at };
    } catch {
      throw this.#fail();
    }
  }

  #number(): Value {
    NUMBER.lastIndex = this.#at;
    const text = NUMBER.exec(this.#text)?.[0];
    if (text === undefined) throw this.#fail();
    // Longer ones do not fit, and reading them takes more than linear time.
    if (text.length <= 20 && /^-?\d+$/.test(text)) {
      const integer = BigInt(text);
      if (fitsInt64(integer)) {
        this.#at += text.length;
        return valueOf("int", String(integer));
      }
    }
    const number = Number(text);
    if (!Number.isFinite(number)) throw this.#fail("a number that is too large");
    this.#at += text.length;
    return valueOf("float", decimalOf(number));
  }

  #value(depth: number): Node {
    if (depth > DEPTH_MAX) throw this.#fail("nested too deeply");
    if (++this.#nodes > NODES_MAX) throw this.#fail("too many values");
    this.#space();
    const start = this.#at;
    const first = this.#text[start] ?? "";
    if (first === "{") return this.#mapping(depth);
    if (first === "[") return this.#list(depth);
    if (first === '"') {
      const { text, at } = this.#string();
      return { kind: "leaf", value: valueOf("str", text), at };
    }
    for (const [word, value] of WORDS) {
      if (!this.#text.startsWith(word, start)) continue;
      this.#at += word.length;
      return { kind: "leaf", value, at: { start, end: this.#at } };
    }
    const value = this.#number();
    return { kind: "leaf", value, at: { start, end: this.#at } };
  }

  #mapping(depth: number): Mapping {
    const start = this.#at++;
    const items: Entry[] = [];
    const add = uniqueKeys(this.#place);
    if (!this.#take("}")) {
      do {
        this.#space();
        if (this.#text[this.#at] !== '"') throw this.#fail();
        const { text: key, at: keyAt } = this.#string();
        add(key, keyAt);
        if (!this.#take(":")) throw this.#fail();
        items.push({ kind: "entry", key, keyAt, node: this.#value(depth + 1) });
      } while (this.#take(","));
      if (!this.#take("}")) throw this.#fail();
    }
    return { kind: "map", items, at: { start, end: this.#at } };
  }

  #list(depth: number): List {
    const start = this.#at++;
    const items: Node[] = [];
    if (!this.#take("]")) {
      do items.push(this.#value(depth + 1));
      while (this.#take(","));
      if (!this.#take("]")) throw this.#fail();
    }
    return { kind: "list", items, at: { start, end: this.#at } };
  }
}

/** The tree of a JSON document, whose top must be an object. Throws SOPS_INVALID with the line. */
export function parseJson(place: Place): Mapping {
  if (place.text.length > LENGTH_MAX) throw failAt(place, 0, "too large for a SOPS document");
  return new Reader(place).document();
}
