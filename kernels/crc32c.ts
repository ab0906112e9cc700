// CRC-32C (Castagnoli; RFC 3720 §12.1) over memory, sixteen bytes a step: each has a table of its own for its distance
// from the end of the step, so that the sixteen look-ups do not wait for each other.

/** Sixteen tables of 256 × u32. */
const CRC_TABLES: usize = 0x400;

/** First byte that belongs to the host. */
export const heapBase: usize = 0x8000;

const POLYNOMIAL: u32 = 0x82f63b78;

/** Makes the sixteen tables of 256 × u32. */
export function initCrc32c(): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
    store<u32>(CRC_TABLES + ((byte as usize) << 2), value);
  }
  for (let table: usize = 1; table < 16; table++) {
    for (let byte: usize = 0; byte < 256; byte++) {
      const before = load<u32>(CRC_TABLES + ((table - 1) << 10) + (byte << 2));
      const next = (before >>> 8) ^ at(0, before);
      store<u32>(CRC_TABLES + (table << 10) + (byte << 2), next);
    }
  }
}

// @ts-ignore: decorator
@inline
function at(table: usize, byte: u32): u32 {
  return load<u32>(CRC_TABLES + (table << 10) + (((byte & 255) as usize) << 2));
}

/** Continues `crc` (0 at the beginning) over `length` bytes. */
export function crc32c(crc: u32, pointer: usize, length: usize): u32 {
  let value = ~crc;
  let from = pointer;
  const end = pointer + length;
  for (; from + 16 <= end; from += 16) {
    const a = load<u32>(from) ^ value;
    const b = load<u32>(from + 4);
    const c = load<u32>(from + 8);
    const d = load<u32>(from + 12);
    value =
      at(15, a) ^ at(14, a >>> 8) ^ at(13, a >>> 16) ^ at(12, a >>> 24) ^
      at(11, b) ^ at(10, b >>> 8) ^ at(9, b >>> 16) ^ at(8, b >>> 24) ^
      at(7, c) ^ at(6, c >>> 8) ^ at(5, c >>> 16) ^ at(4, c >>> 24) ^
      at(3, d) ^ at(2, d >>> 8) ^ at(1, d >>> 16) ^ at(0, d >>> 24);
  }
  for (; from < end; from++) value = (value >>> 8) ^ at(0, value ^ load<u8>(from));
  return ~value;
}
