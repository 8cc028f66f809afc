// The toy slot function: few slots, distinguished by eye, and the same for the nodes and the router.

/** How many slots there are. */
export const SLOTS = 16;

const encoder = new TextEncoder();

/** The slot of a key: the sum of its bytes, modulo 16. Shards `orders:0`, `orders:1` … have consecutive slots. */
export function toySlotOf(key: string): number {
  let sum = 0;
  for (const byte of encoder.encode(key)) sum += byte;
  return sum % SLOTS;
}
