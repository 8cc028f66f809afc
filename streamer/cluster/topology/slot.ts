// The slot of a Redis key: CRC16 of the key, or of its hash tag. Redis Cluster specification, "Key distribution model".

/** How many slots a cluster has. */
export const SLOTS = 16_384;

/** CRC16/XMODEM: polynomial 0x1021, initial value 0, no reflection. */
const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  return crc & 0xffff;
});

const UTF8 = new TextEncoder();

/** The slot of a key, from 0 to 16,383. Takes time in proportion to the key, so callers keep it. */
export function slotOfKey(key: string): number {
  let crc = 0;
  for (const byte of UTF8.encode(hashed(key))) crc = ((crc << 8) & 0xffff) ^ TABLE[(crc >> 8) ^ byte];
  return crc % SLOTS;
}

/** The part of a key that is hashed: between the first `{` and the first `}` after it, if anything is there; else all of it. */
function hashed(key: string): string {
  const open = key.indexOf("{");
  if (open < 0) return key;
  const close = key.indexOf("}", open + 1);
  return close > open + 1 ? key.slice(open + 1, close) : key;
}
