// The part of a producer's buffer that goes over the wire.

import type { ProducerStats } from "../../../mod.ts";

/** Bytes that are counted for each message in addition to those on the wire. */
export const MESSAGE_OVERHEAD = 256;

/** The bytes on the wire of all messages that are accepted and not settled. */
export function bytesOnWire({ buffered, sent, acked, failed }: ProducerStats): number {
  return buffered - MESSAGE_OVERHEAD * (sent - acked - failed);
}
