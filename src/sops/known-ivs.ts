// The IVs that values of a document have, so that an edit leaves what it does not change as it is, byte for byte.

import type { Value } from "./value.ts";

interface Known {
  readonly value: Value;
  readonly additional: string;
  readonly iv: Uint8Array;
}

/**
 * IVs by the value and by what encryption binds it to. The same of both under the same data key gives the same
 * ciphertext, which tells nobody anything that the old document did not; anything else gets an IV of its own.
 */
export class KnownIvs {
  readonly #known: Known[] = [];
  /** Made by the first who takes one: most documents are opened to be read. */
  #byValue: Map<string, Uint8Array[]> | undefined;

  add(value: Value, additional: string, iv: Uint8Array): void {
    this.#known.push({ value, additional, iv });
  }

  /** The IV of such a value, each once: equal values of a list have one each. */
  take(value: Value, additional: string): Uint8Array | undefined {
    this.#byValue ??= this.#index();
    return this.#byValue.get(nameOf(value, additional))?.shift();
  }

  #index(): Map<string, Uint8Array[]> {
    const byValue = new Map<string, Uint8Array[]>();
    for (const { value, additional, iv } of this.#known) {
      const name = nameOf(value, additional);
      const ivs = byValue.get(name);
      if (ivs) ivs.push(iv);
      else byValue.set(name, [iv]);
    }
    return byValue;
  }
}

function nameOf({ type, bytes }: Value, additional: string): string {
  return `${type} ${additional.length} ${additional}${Buffer.from(bytes).toString("latin1")}`;
}
