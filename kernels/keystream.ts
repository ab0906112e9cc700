// What counter mode needs around the block cipher, for blobs whose nonces follow no order: the counter
// blocks that AES turns into a keystream, and the XOR of that with the data. AES itself is Node's: one
// long-lived cipher object over many blobs, where counter mode would need a new one for each nonce.

/** All 16 bytes in the opposite order: a big-endian number to two little-endian lanes, and back. */
function reverse(bytes: v128): v128 {
  return i8x16.shuffle(bytes, bytes, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
}

/**
 * Writes `blocks` counter blocks to `target`: the 16 bytes at `nonce` as one big-endian number, then that
 * plus 1, plus 2 and so on, with carry through all 128 bits. What is at `nonce` is not changed.
 */
export function fillCounters(nonce: usize, target: usize, blocks: u32): void {
  // Lane 0 holds the low half of the number, lane 1 the high half.
  let counter = reverse(v128.load(nonce));
  let low = i64x2.extract_lane(counter, 0);
  const end = target + ((blocks as usize) << 4);
  for (let at = target; at < end; at += 16) {
    v128.store(at, reverse(counter));
    counter = i64x2.add(counter, i64x2(1, 0));
    low++;
    if (low == 0) counter = i64x2.add(counter, i64x2(0, 1));
  }
}

/** XORs the `length` bytes at `source` into those at `target`. Any alignment; the two must not overlap. */
export function xor(target: usize, source: usize, length: usize): void {
  const end = target + length;
  const bulk = target + (length & ~15);
  let from = source;
  let to = target;
  for (; to < bulk; to += 16, from += 16) {
    v128.store(to, v128.xor(v128.load(to), v128.load(from)));
  }
  for (; to < end; to++, from++) store<u8>(to, load<u8>(to) ^ load<u8>(from));
}
