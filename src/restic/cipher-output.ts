// What becomes of the Buffers that Node's ciphers return: each is an ArrayBuffer of its own outside the JavaScript heap,
// and millions of them pile up long before the garbage collector sees a reason to run.

/** Gives a cipher output's memory back at once. The Buffer is empty afterwards; nobody else may hold it. */
export function releaseOutput(output: Buffer): void {
  // Some outputs are views of a pool that others use too.
  if (output.buffer.byteLength === output.length) (output.buffer as ArrayBuffer).transfer(0);
}

/** The same for any memory that nobody else holds, as long as it is so large that it is no view of a pool. */
export function releaseMemory(bytes: Uint8Array): void {
  if (bytes.buffer.byteLength > POOL_BYTES_MAX && bytes.buffer instanceof ArrayBuffer) {
    bytes.buffer.transfer(0);
  }
}

/** Node's pools of small Buffers are no larger. */
const POOL_BYTES_MAX = 128 << 10;

/**
 * As much as the largest output of a cipher or a decompressor on the way of a blob of content, and less than a pack: packs'
 * buffers live long, and leave holes between what comes and goes beside them.
 */
const LARGEST_OUTPUT_BYTES = 9 << 20;

/**
 * Makes large outputs cheap in this process. glibc takes memory for them from the operating system and gives it back
 * each time, page by page, at twice the cost of the decryption itself, until it has seen a larger allocation come and go
 * (mallopt(3), M_MMAP_THRESHOLD). Other allocators are none the worse for it.
 */
export function keepOutputMemory(): void {
  new ArrayBuffer(LARGEST_OUTPUT_BYTES).transfer(0);
}
