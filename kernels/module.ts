// The module the host instantiates: the kernels' functions and where their static area ends.

import { HEAP_BASE } from "./layout";

export { initChunker, findCut } from "./rabin";
export { looksIncompressible } from "./histogram";
export { poly1305 } from "./poly1305";
export { romixPair } from "./scrypt";
export { scanTree } from "./tree-scan";

/** First free byte of the memory. */
export const heapBase: usize = HEAP_BASE;
