// Numbered messages: sent to shards and plain streams over two nodes, counted for each, and compared with the stored
// entries and the received messages.

import { assertEquals } from "@std/assert";
import type { GenericProducer, SendReceipt, Sharder } from "../../../mod.ts";
import { checkStream, endingsOf, entriesOf } from "../producer/stream_checks.ts";
import type { TwoNodes } from "./two_nodes.ts";

/** Reads the shard off the payload `<shard>:<number>`, which is how these tests choose it. */
export const shardOfPayload: Sharder = { shard: (_streamKey, payload) => Number(String(payload).split(":")[0]) };

/** How many shards the sharded stream has. */
export const SHARD_COUNT = 12;

/** Messages to one sharded stream. */
export class Numbered {
  readonly streamKey: string;
  /** The sent messages of each shard, in order. */
  readonly sent: (readonly [string, SendReceipt])[][] = Array.from({ length: SHARD_COUNT }, () => []);
  /** Payloads that were stored for sure so far. */
  readonly acked = new Set<string>();
  /** Messages that were stored or rejected so far. */
  settled = 0;

  constructor(streamKey: string) {
    this.streamKey = streamKey;
  }

  /** The Redis key of each shard. */
  get keys(): string[] {
    return this.sent.map((_, shard) => `${this.streamKey}:${shard}`);
  }

  /** Messages sent so far. */
  get count(): number {
    return this.sent.reduce((sum, { length }) => sum + length, 0);
  }

  /** Sends the next message of each shard, `rounds` times. */
  send(producer: GenericProducer, rounds = 1): void {
    for (let round = 0; round < rounds; round++) {
      this.sent.forEach((sent, shard) => {
        const payload = `${shard}:${sent.length}`;
        const receipt = producer.sendTo(this.streamKey, payload);
        receipt.then(() => this.acked.add(payload), () => {}).finally(() => this.settled++);
        sent.push([payload, receipt]);
      });
    }
  }

  /** Waits for all receipts, and holds each shard's stream against them; gives the payloads that are stored more than once. */
  async checkStored(both: TwoNodes, delivery: "at-least-once" | "at-most-once", cuts: number): Promise<string[]> {
    const twice: string[] = [];
    for (const [shard, sends] of this.sent.entries()) {
      const endings = await endingsOf(sends);
      const key = this.keys[shard];
      const entries = await entriesOf(both.at(key), key);
      checkStream(entries, endings, { delivery, cuts });
      if (delivery === "at-least-once") {
        assertEquals(endings.filter((ending) => !("receipt" in ending)), [], "nothing was rejected");
      }
      const seen = new Set<string>();
      for (const { payload } of entries) {
        if (seen.has(payload)) twice.push(payload);
        seen.add(payload);
      }
    }
    return twice;
  }

  /** The payloads of all that was sent, by shard. */
  get payloads(): string[][] {
    return this.sent.map((sends) => sends.map(([payload]) => payload));
  }
}
