// What becomes of the Buffers that Node's ciphers return: each is an ArrayBuffer of its own outside the JavaScript heap,
// and millions of them pile up long before the garbage collector sees a reason to run.

/** Gives a cipher output's memory back at once. The Buffer is empty afterwards; nobody else may hold it. */
export function releaseOutput(output: Buffer): void {
  // Some outputs are views of a pool that others use too.
  if (output.buffer.byteLength === output.length) (output.buffer as ArrayBuffer).transfer(0);
}
