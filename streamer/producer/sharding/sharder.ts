// Chooses the shard of each message: the interface that programs implement, and the check of its results.

import { StreamerError } from "../../../resp/errors.ts";
import { shown } from "../../model/id.ts";
import { invalidOption } from "../../model/options.ts";

/**
 * Chooses the shard of each message of a producer and its clones.
 *
 * The library has {@linkcode roundRobinSharder}, {@linkcode randomSharder} and {@linkcode keyHashSharder}.
 *
 * @example
 * ```ts
 * import { connect, type Sharder } from "@sea/streamer-redis";
 *
 * const byKind: Sharder = { shard: (_streamKey, _payload, key) => key?.startsWith("test-") ? 1 : 0 };
 * await using streamer = await connect();
 * const producer = await streamer.createProducer("orders", { sharder: byKind });
 * const { shardId } = await producer.send("paid", { key: "test-7" });
 * console.log(shardId); // 1: the message is stored in the Redis key orders:1
 * ```
 *
 * @category Sharding
 */
export interface Sharder {
  /**
   * Returns the number of the shard of a message. The number 3 for the stream `orders` selects the Redis key `orders:3`.
   * Consumers read at most 1,024 shards of a stream.
   *
   * It is called once for each send, in the order of the calls, and within `send`. If it throws or returns anything other than
   * a whole number of at least 0, this send rejects with `INVALID_OPTION` and outcome `"not-written"`. The thrown error is the
   * cause.
   *
   * @param streamKey The stream of the message.
   * @param payload The payload of the message, after the codec. Do not change its bytes. It is empty if the codec returned no
   * payload field.
   * @param key The option `key` of the message.
   */
  shard(streamKey: string, payload: string | Uint8Array, key?: string): number;
}

/**
 * Creates a sharder. It is called once for each producer, so that producers share no state. Clones share the sharder of their
 * producer.
 *
 * @category Sharding
 */
export type SharderFactory = () => Sharder;

/**
 * Returns the sharder of one producer. A factory is called.
 *
 * @throws {StreamerError} `INVALID_OPTION`
 */
export function makeSharder(option: SharderFactory | Sharder | undefined): Sharder | undefined {
  if (option === undefined) return undefined;
  const sharder = typeof option === "function" ? made(option) : option;
  if (typeof sharder?.shard === "function") return sharder;
  throw invalidOption("sharder", sharder, "an object with a shard method, or a function that returns one");
}

function made(factory: SharderFactory): Sharder {
  try {
    return factory();
  } catch (cause) {
    throw new StreamerError("INVALID_OPTION", "The function of the option 'sharder' threw an error. See its cause", {
      cause,
    });
  }
}

/** A message without a shard. */
export interface Unplaced {
  readonly streamKey: string;
  readonly payload: string | Uint8Array;
  readonly key: string | undefined;
}

/**
 * Returns the shard that a sharder chooses for a message.
 *
 * @throws {StreamerError} `INVALID_OPTION` if the sharder throws or returns an invalid number.
 */
export function chooseShard(sharder: Sharder, { streamKey, payload, key }: Unplaced): number {
  let shard: unknown;
  try {
    shard = sharder.shard(streamKey, payload, key);
  } catch (cause) {
    const message = "The sharder threw an error. See its cause";
    throw new StreamerError("INVALID_OPTION", message, { cause, outcome: "not-written" });
  }
  if (typeof shard === "number" && Number.isSafeInteger(shard) && shard >= 0) return shard + 0; // −0 becomes 0
  if (shard instanceof Promise) shard.catch(() => {}); // its rejection has no other handler
  const message = `Cannot send a message: 'sharder' must return a whole number of at least 0, got ${shown(shard)}`;
  throw new StreamerError("INVALID_OPTION", message, { outcome: "not-written" });
}
