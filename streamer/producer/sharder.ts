// What chooses the shard of each message: the seam between a producer and a program's own choice, and what that must
// give. It must not know how anything is sent.

import { StreamerError } from "../../resp/errors.ts";
import { shown } from "../model/id.ts";
import { invalidOption } from "../model/options.ts";

/**
 * Chooses the shard of each message of a producer and its clones.
 *
 * @example
 * ```ts no-eval
 * import { connect, type Sharder } from "@sea/streamer-redis";
 *
 * const byKind: Sharder = { shard: (_streamKey, _payload, key) => key?.startsWith("test-") ? 1 : 0 };
 * await using streamer = await connect("redis://localhost");
 * const producer = await streamer.createProducer("orders", { sharder: byKind });
 * const { shardId } = await producer.send("paid", { key: "test-7" }); // 1: it stands in the Redis key orders:1
 * ```
 */
export interface Sharder {
  /**
   * The number of the shard that a message goes to: whole, from 0 to 2^53 − 1. `orders` and 3 stand for the Redis key
   * `orders:3`. A consumer takes up to 1,024 shards of a stream.
   *
   * Called once for each send, in their order, within `send`: it must be quick. The payload is the caller's own, or what a
   * codec has made of the value: changing it would change what is sent. For anything but such a number, or when it throws,
   * that one send fails with `INVALID_OPTION`, not written, what was thrown as its cause.
   *
   * @param key The option `key` of the message, if it has one.
   */
  shard(streamKey: string, payload: string | Uint8Array, key?: string): number;
}

/** Makes a sharder; called once for each producer, so that none shares its turns with another. Clones share their producer's. */
export type SharderFactory = () => Sharder;

/**
 * The sharder of one producer, made where a factory is given.
 *
 * @throws {StreamerError} `INVALID_OPTION`
 */
export function makeSharder(option: SharderFactory | Sharder | undefined): Sharder | undefined {
  if (option === undefined) return undefined;
  const sharder = typeof option === "function" ? made(option) : option;
  if (typeof sharder?.shard === "function") return sharder;
  throw invalidOption("sharder", sharder, "an object with shard, or a function that gives one");
}

function made(factory: SharderFactory): Sharder {
  try {
    return factory();
  } catch (cause) {
    throw new StreamerError(
      "INVALID_OPTION",
      "Cannot use option sharder as the function must give one: it has thrown",
      {
        cause,
      },
    );
  }
}

/** A message whose shard is to be chosen. */
export interface Unplaced {
  readonly streamKey: string;
  readonly payload: string | Uint8Array;
  readonly key: string | undefined;
}

/**
 * The number of the shard that a sharder chooses for a message.
 *
 * @throws {StreamerError} `INVALID_OPTION`, not written, where it gives none
 */
export function chooseShard(sharder: Sharder, { streamKey, payload, key }: Unplaced): number {
  let shard: unknown;
  try {
    shard = sharder.shard(streamKey, payload, key);
  } catch (cause) {
    const message = "Cannot choose a shard as the sharder must give its number: it has thrown";
    throw new StreamerError("INVALID_OPTION", message, { cause, outcome: "not-written" });
  }
  if (typeof shard === "number" && Number.isSafeInteger(shard) && shard >= 0) return shard + 0; // −0 becomes 0
  if (shard instanceof Promise) shard.catch(() => {}); // nobody waits for it
  const message = "Cannot choose a shard as the sharder must give a whole number of at least 0";
  throw new StreamerError("INVALID_OPTION", `${message}: current value is ${shown(shard)}`, { outcome: "not-written" });
}
