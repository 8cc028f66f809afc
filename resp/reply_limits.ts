// The maximum size of the reply to each kind of command. A command names its kind, and the pipeline refuses a larger reply before it
// takes memory.

import type { ReplyLimits } from "./limits.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** A number, an id, a state, a few of these, or an error. */
export const SMALL_REPLY: ReplyLimits = Object.freeze({ bulk: 64 * KIB, elements: 4 * KIB, reply: MIB });

/** Values of a list: more than 50,000 consumers fit. Their tape takes 4 MiB, and 2 MiB more while it grows. */
const LISTED = 512 * KIB;

/**
 * A list that grows with the number of groups, consumers or keys. Its limit is below a power of two, so that the buffer does not
 * double for the last bytes.
 */
export const LISTING_REPLY: ReplyLimits = Object.freeze({
  bulk: MIB,
  elements: LISTED,
  reply: 15 * MIB,
  aggregate: true,
});

/** A text that grows with the number of clients. */
export const TEXT_REPLY: ReplyLimits = Object.freeze({ bulk: 15 * MIB, elements: 4 * KIB, reply: 15 * MIB });

/** The state of a stream and a few of its entries, which may be as large as the connection's limits allow. */
export const STATE_REPLY: ReplyLimits = Object.freeze({ elements: LISTED, aggregate: true });

/**
 * Entries, or keys with entries. `items` is their maximum number. Their size is limited by the connection only, but they contain
 * nothing but strings.
 */
export function entriesReply(items: number): ReplyLimits {
  return { aggregate: true, strings: true, items };
}

/** Data that no command has requested: pushes, and the reason why a server closes a connection. */
export const UNASKED_REPLY: ReplyLimits = SMALL_REPLY;

/** A list of `count` rows with `width` values each, which are names and numbers. */
export function rowsReply(count: number, width: number): ReplyLimits {
  const elements = Math.max(4 * KIB, 16 + count * (1 + width));
  return { bulk: MIB, elements, reply: Math.min(15 * MIB, MIB + elements * KIB), aggregate: true, items: count };
}
