// The garbage collector, when it is time. WebAssembly memory that threads shared cannot be given back by hand, and the
// collector, which sees a few small objects of a thread that has ended, has no reason to run for long.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

let collect: (() => void) | undefined;

/** Frees what nobody refers to any more. Takes some milliseconds: between long steps, and never in a loop over small ones. */
export function collectGarbage(): void {
  if (collect === undefined) {
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc") as () => void;
    setFlagsFromString("--no-expose-gc");
  }
  collect();
}
