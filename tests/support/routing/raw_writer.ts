// Adds entries through the nodes' filters without the library, while slots move: each once, in order.

import { ask, type RawReply } from "../servers/raw_client.ts";
import { toySlotOf } from "./slots.ts";
import type { TwoNodes } from "./two_nodes.ts";

/** Adds entries with these payloads; resolves when all are stored, wherever the key is by then. */
export async function addThrough(both: TwoNodes, key: string, payloads: readonly string[]): Promise<void> {
  for (let left = payloads; left.length > 0;) {
    const { port } = both.nodes[both.table.holderOf(toySlotOf(key))];
    const commands = left.flatMap((payload) => [["ASKING"], ["XADD", key, "*", "msg", payload]]);
    const replies: RawReply[] = await ask({ host: "127.0.0.1", port }, commands);
    const refused = replies.filter((_, at) => at % 2 === 1).map((reply) => reply instanceof Error);
    for (const reply of replies) {
      if (reply instanceof Error && !/^(MOVED|ASK|TRYAGAIN) /.test(reply.message)) throw reply;
    }
    left = left.filter((_, at) => refused[at]);
  }
}

/** Adds `<shard>:<number>` to each shard of a stream, in order. */
export class RawWriter {
  readonly streamKey: string;
  /** How many each shard has. */
  count = 0;
  readonly shards: number;
  readonly #both: TwoNodes;

  constructor(both: TwoNodes, streamKey: string, shards: number) {
    this.#both = both;
    this.streamKey = streamKey;
    this.shards = shards;
  }

  get keys(): string[] {
    return Array.from({ length: this.shards }, (_, shard) => `${this.streamKey}:${shard}`);
  }

  /** So many more in each shard. */
  async add(count: number): Promise<void> {
    const numbers = Array.from({ length: count }, (_, i) => this.count + i);
    await Promise.all(
      this.keys.map((key, shard) => addThrough(this.#both, key, numbers.map((number) => `${shard}:${number}`))),
    );
    this.count += count;
  }

  /** All payloads so far, by shard. */
  get payloads(): string[][] {
    return this.keys.map((_, shard) => Array.from({ length: this.count }, (_, number) => `${shard}:${number}`));
  }
}
