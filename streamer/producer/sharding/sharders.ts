// The sharders of the library: in turn, at random, by a hash of the key.

import { MAX_SHARDS } from "../../model/key.ts";
import { checkFor } from "../../model/option_error.ts";
import { checkNumber, invalidOption } from "../../model/options.ts";
import { murmurOfText } from "./murmur.ts";
import type { Sharder, SharderFactory } from "./sharder.ts";

/**
 * Creates sharders that send messages to the shards in turn: 0, 1, … n − 1, 0, …
 *
 * The turns are counted for each stream, so that a producer of several streams spreads each of them evenly. A send that fails with
 * `BUFFER_FULL` uses its turn. The sharder remembers the turns of about 4,096 streams. A stream that was not used for longer
 * restarts with shard 0.
 *
 * Source: `RoundRobinSharder` of sea-streamer-redis.
 *
 * @param n The number of shards. A whole number from 1 to 1,024.
 *
 * @throws {StreamerError} `INVALID_OPTION` if `n` is out of range.
 *
 * @example
 * ```ts
 * import { connect, roundRobinSharder } from "@sea/streamer-redis";
 *
 * await using streamer = await connect();
 * const producer = await streamer.createProducer("orders", { sharder: roundRobinSharder(8) });
 * for (let i = 0; i < 16; i++) producer.send(`order ${i}`); // two to each of orders:0 … orders:7
 * await producer.flush();
 * ```
 *
 * @category Sharding
 */
export function roundRobinSharder(n: number): SharderFactory {
  const shards = checkShards(n);
  return () => new RoundRobin(shards);
}

/**
 * Creates sharders that send each message to a random shard, by `Math.random`.
 *
 * The distribution is even in the long run, and producers do not use the same shard at the same time by accident.
 *
 * Source: `PseudoRandomSharder` of sea-streamer-redis, which uses the clock instead.
 *
 * @param n The number of shards. A whole number from 1 to 1,024.
 *
 * @throws {StreamerError} `INVALID_OPTION` if `n` is out of range.
 *
 * @example
 * ```ts
 * import { connect, randomSharder } from "@sea/streamer-redis";
 *
 * await using streamer = await connect();
 * const producer = await streamer.createProducer("orders", { sharder: randomSharder(8) });
 * const { shardId } = await producer.send("paid");
 * console.log(shardId); // 0 to 7
 * ```
 *
 * @category Sharding
 */
export function randomSharder(n: number): SharderFactory {
  const shards = checkShards(n);
  return () => ({ shard: () => Math.floor(Math.random() * shards) });
}

/**
 * Creates sharders that send all messages with the same `key` to the same shard.
 *
 * The shard of a key is the same in every stream, producer, process and runtime. So the messages of one producer with the same key
 * are stored in the order of the calls. Different keys are spread evenly. Messages without a key go to the shards in turn, as
 * with {@linkcode roundRobinSharder}. The empty text is a key.
 *
 * The shard is `murmur3(utf8(key)) % n`, where `murmur3` is MurmurHash3_x86_32 with seed 0 as an unsigned number. In Python this is
 * `mmh3.hash(key, 0, signed=False) % n`. With another number of shards most keys move to another shard. Messages that are
 * already stored do not move.
 *
 * @param n The number of shards. A whole number from 1 to 1,024.
 *
 * @throws {StreamerError} `INVALID_OPTION` if `n` is out of range.
 *
 * @example
 * ```ts
 * import { connect, keyHashSharder } from "@sea/streamer-redis";
 *
 * await using streamer = await connect();
 * const producer = await streamer.createProducer("orders", { sharder: keyHashSharder(8) });
 * const placed = await producer.send("placed", { key: "customer-7" });
 * const paid = await producer.send("paid", { key: "customer-7" });
 * console.log(placed.shardId === paid.shardId); // true
 * ```
 *
 * @category Sharding
 */
export function keyHashSharder(n: number): SharderFactory {
  const shards = checkShards(n);
  return () => {
    const keyless = new RoundRobin(shards);
    return {
      shard: (streamKey, _payload, key) => key === undefined ? keyless.shard(streamKey) : murmurOfText(key) % shards,
    };
  };
}

function checkShards(n: number): number {
  return checkFor("create a sharder", () => {
    if (n === undefined) throw invalidOption("n", n, `a whole number from 1 to ${MAX_SHARDS}`);
    return checkNumber("n", n, 1, { min: 1, max: MAX_SHARDS, integer: true });
  });
}

/** The number of streams whose turns are remembered at least. */
const REMEMBERED = 4096;

interface Turn {
  readonly streamKey: string;
  next: number;
}

/** The turns of each stream. A stream that was not used while {@linkcode REMEMBERED} others were used is forgotten. */
class RoundRobin implements Sharder {
  readonly #shards: number;
  #recent = new Map<string, Turn>();
  #older = new Map<string, Turn>();
  #last: Turn = { streamKey: "", next: 0 };

  constructor(shards: number) {
    this.#shards = shards;
  }

  shard(streamKey: string): number {
    const turn = this.#last.streamKey === streamKey ? this.#last : this.#turnOf(streamKey);
    const shard = turn.next;
    turn.next = shard + 1 === this.#shards ? 0 : shard + 1;
    return shard;
  }

  #turnOf(streamKey: string): Turn {
    let turn = this.#recent.get(streamKey);
    if (turn === undefined) {
      turn = this.#older.get(streamKey) ?? { streamKey, next: 0 };
      if (this.#recent.size >= REMEMBERED) {
        this.#older = this.#recent;
        this.#recent = new Map();
      }
      this.#recent.set(streamKey, turn);
    }
    return this.#last = turn;
  }
}
