// Where the kernels keep their tables: fixed addresses in the lowest 16 KiB of the memory they are given.
// Everything from `heapBase` on belongs to the host, which lays out its own buffers there. The kernels
// never allocate and keep no other state.

/** Rabin, one position at a time: hash of a byte that is about to leave the window, 256 × u64. */
export const OUT_TABLE: usize = 0x0400;
/** Rabin, one position at a time: reduction of the eight bits above the degree, 256 × u64. */
export const MOD_TABLE: usize = 0x0c00;
/** Rabin, sixteen positions at a time: per digest byte four tables of 16 bytes, and three to reduce. */
export const NIBBLE_TABLES: usize = 0x1400;
/** Scratch of whichever kernel runs, overwritten by every call. */
export const SCRATCH: usize = 0x2000;

/** First byte the host may use; a multiple of 4096, so that direct I/O works from here. */
export const HEAP_BASE: usize = 0x4000;
