// The sharders that come with the library: in turn, at random, by a hash of the key. They must not know how anything is sent.

import { MAX_SHARDS } from "../model/key.ts";
import { checkNumber, invalidOption } from "../model/options.ts";
import { murmurOfText } from "./murmur.ts";
import type { Sharder, SharderFactory } from "./sharder.ts";

/**
 * Messages go to the shards in turn: 0, 1, … n − 1, 0, …
 *
 * Each stream has turns of its own, so that one producer of several streams spreads each of them evenly. A send that fails with
 * `BUFFER_FULL` has had its turn. Turns of about the last 4,096 streams are remembered; a stream that has not been sent to for
 * longer begins with 0 again.
 *
 * @param n How many shards: a whole number from 1 to 1,024.
 *
 * Source: `RoundRobinSharder` of sea-streamer-redis.
 *
 * @throws {StreamerError} `INVALID_OPTION`
 *
 * @example
 * ```ts no-eval
 * import { connect, roundRobinSharder } from "@sea/streamer-redis";
 *
 * await using streamer = await connect("redis://localhost");
 * const producer = await streamer.createProducer("orders", { sharder: roundRobinSharder(8) });
 * for (let i = 0; i < 16; i++) producer.send(`order ${i}`); // two to each of orders:0 … orders:7
 * ```
 */
export function roundRobinSharder(n: number): SharderFactory {
  const shards = checkShards(n);
  return () => new RoundRobin(shards);
}

/**
 * Each message goes to any of n shards, whichever comes (`Math.random`): even in the long run, and without turns that two
 * producers could take in step.
 *
 * @param n How many shards: a whole number from 1 to 1,024.
 *
 * Source: `PseudoRandomSharder` of sea-streamer-redis, which goes by the clock.
 *
 * @throws {StreamerError} `INVALID_OPTION`
 *
 * @example
 * ```ts no-eval
 * import { connect, randomSharder } from "@sea/streamer-redis";
 *
 * await using streamer = await connect("redis://localhost");
 * const producer = await streamer.createProducer("orders", { sharder: randomSharder(8) });
 * const { shardId } = await producer.send("paid"); // 0 to 7
 * ```
 */
export function randomSharder(n: number): SharderFactory {
  const shards = checkShards(n);
  return () => ({ shard: () => Math.floor(Math.random() * shards) });
}

/**
 * Messages with the same `key` go to the same shard, of any stream, producer, process, runtime and version, so that they are
 * stored in the order of the calls; different keys are spread evenly.
 *
 * The shard is `murmur3(utf8(key)) % n`, where `murmur3` is MurmurHash3_x86_32 with the seed 0, taken as an unsigned number:
 * `mmh3.hash(key, 0, signed=False) % n` in Python gives the same. With another n most keys go elsewhere: what has come before
 * stays where it is. The empty key is a key. Messages without one go to the shards in turn, as with
 * {@linkcode roundRobinSharder}.
 *
 * @param n How many shards: a whole number from 1 to 1,024.
 *
 * @throws {StreamerError} `INVALID_OPTION`
 *
 * @example
 * ```ts no-eval
 * import { connect, keyHashSharder } from "@sea/streamer-redis";
 *
 * await using streamer = await connect("redis://localhost");
 * const producer = await streamer.createProducer("orders", { sharder: keyHashSharder(8) });
 * producer.send("placed", { key: "customer-7" });
 * producer.send("paid", { key: "customer-7" }); // behind it, in the same shard
 * ```
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
  if (n === undefined) throw invalidOption("n", n, `a whole number from 1 to ${MAX_SHARDS}`);
  return checkNumber("n", n, 1, { min: 1, max: MAX_SHARDS, integer: true });
}

/** Streams whose turns are remembered at least. */
const REMEMBERED = 4096;

interface Turn {
  readonly streamKey: string;
  next: number;
}

/** The turns of each stream. What was not used while {@linkcode REMEMBERED} others came is forgotten. */
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
