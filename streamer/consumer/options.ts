// The options of every consumer, and of a consumer without a group: their defaults and their checks.

import { checkCodec, type Codec, type OnDecodeError } from "../model/codec.ts";
import { MAX_SHARDS } from "../model/key.ts";
import type { CodecMessage } from "../model/message.ts";
import { checkNames, checkNumber, checkOneOf, checkSignal, invalidOption } from "../model/options.ts";

/**
 * Where a consumer, or a new group, starts: `"latest"` after the entries that exist, `"earliest"` before them.
 *
 * @category Consuming
 */
export type AutoStreamReset = "latest" | "earliest";

/**
 * What a consumer does if its stream was deleted and recreated, or if a failover reset its ids.
 *
 * - `"earliest"`: it reads the new stream from the beginning.
 * - `"latest"`: it reads the messages that are added from then on.
 * - `"fail"`: it fails, and every call rejects with the error.
 *
 * A `stream-reset` event is emitted in the first two cases.
 *
 * @category Consuming
 */
export type OnStreamReset = "earliest" | "latest" | "fail";

/**
 * Options of every consumer. Sizes are in bytes, times in milliseconds.
 *
 * @category Consuming
 */
export interface ReadingOptions {
  /**
   * Where reading starts: `"latest"` after the entries that exist when the consumer is created, `"earliest"` before them. A group that
   * exists already continues at its own position.
   * @default {"latest"}
   */
  readonly autoStreamReset?: AutoStreamReset;
  /**
   * The most entries of one stream in a page: a whole number from 1 to 1,000,000. Without this option, pages of real-time and resumable
   * consumers grow from 100 to 1,000 entries while they are full. Pages of load-balanced consumers have 10 entries.
   * @default {100 to 1,000; load-balanced: 10}
   */
  readonly batchSize?: number;
  /**
   * The shards of each stream: a number n for the shards 0 to n − 1, or an array of shard numbers.
   *
   * With `"discover"` they are the Redis keys `key:N` that are streams, at most 1,024. Without such keys, and if the server forbids SCAN
   * or TYPE, the plain key is read as shard 0. If there are shards, the plain key is not read. A key that is subscribed by its own
   * name is not a shard of another stream. A `shards` event names the shards that were found.
   * @default {"discover"}
   */
  readonly shards?: "discover" | number | readonly number[];
  /**
   * The time between two looks for new shards; `null` for none. Only with `shards: "discover"`.
   *
   * A look queries the numbers that are missing below the highest known number, and 16 numbers after it. On a cluster, if they are in
   * different slots, it queries the next two numbers, and a few others in turn. While a stream has neither entries nor shards, a look
   * follows every second.
   *
   * New shards are read from their beginning, or after a move without the group from the position of the move. A shard that was
   * unassigned is not found again. Shards that disappear stay assigned.
   *
   * If the plain key was read when shards appear, it is drained first. Its entries up to the current last one are delivered, in a group
   * also acknowledged, and then the shards are read in its place. Entries that are added to the plain key later are not read.
   * @default {30000}
   */
  readonly shardDiscoveryInterval?: number | null;
  /** Pages that are prefetched while messages of another page are returned, from 0 to 1,024. With 0, a page is read when a caller waits. @default {1} */
  readonly prefetch?: number;
  /** The most bytes that are prefetched. @default {67108864} */
  readonly maxBufferedBytes?: number;
  /**
   * What the consumer does if the stream was deleted and recreated, or if a failover reset its ids. In a group this applies if the
   * group was lost, too; otherwise the group continues at the position that the server has.
   *
   * If a replica that became the primary lacks only the newest entries, this option does not apply. A real-time consumer then resumes
   * after the last entry that it has read and that still exists.
   * @default {"earliest"}
   */
  readonly onStreamReset?: OnStreamReset;
  /** Aborts the creation. `createConsumer` then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * Options of a consumer whose messages have values of type `T`.
 *
 * @category Typed values
 */
export interface DecodingOptions<T> {
  /** Decodes payloads to values. */
  readonly codec: Codec<T>;
  /**
   * What happens to a message whose payload cannot be decoded.
   *
   * - `"fail"`: it is returned. Reading its `value` throws the error of the codec, and `bytes()` works.
   * - `"skip"`: it is not returned. In a group it is acknowledged.
   * - `"dead-letter"`: it is not returned, but written to the `deadLetter` stream and acknowledged. Messages that are read without the
   *   group are only skipped.
   *
   * With `"skip"` and `"dead-letter"` a `dead-letter` event is emitted, and every message is decoded before it is returned. With
   * `"fail"` a message is decoded when its `value` is read.
   * @default {"fail"}
   */
  readonly onDecodeError?: OnDecodeError;
}

/**
 * Decoding options of a real-time consumer, which has no dead letters.
 *
 * @category Typed values
 */
export interface RealTimeDecodingOptions<T> extends DecodingOptions<T> {
  /** What happens to a message whose payload cannot be decoded; see {@linkcode DecodingOptions}. @default {"fail"} */
  readonly onDecodeError?: Exclude<OnDecodeError, "dead-letter">;
}

/**
 * Options of a consumer that reads without a group.
 *
 * @category Consuming
 */
export interface RealTimeOptions extends ReadingOptions {
  /** Reads every message with XREAD, and stores no position on the server. */
  readonly mode: "real-time";
}

/** The options with every default filled in. */
export interface ReadingSettings {
  readonly autoStreamReset: AutoStreamReset;
  /** The most entries of a page; `undefined` if pages grow. */
  readonly batchSize: number | undefined;
  /** The numbers of the shards; `undefined` if they are discovered. */
  readonly shards: readonly number[] | undefined;
  /** Milliseconds between two looks for shards; `undefined` for none. */
  readonly shardDiscoveryInterval: number | undefined;
  readonly prefetch: number;
  readonly maxBufferedBytes: number;
  readonly onStreamReset: OnStreamReset;
  /** Decodes payloads; `undefined` without a codec. */
  readonly decode: ((payload: Uint8Array, message: CodecMessage) => unknown) | undefined;
  readonly onDecodeError: OnDecodeError;
}

/** The names of the options of every consumer. */
export const READING_NAMES: readonly string[] = [
  "mode",
  "autoStreamReset",
  "batchSize",
  "shards",
  "shardDiscoveryInterval",
  "prefetch",
  "maxBufferedBytes",
  "onStreamReset",
  "codec",
  "onDecodeError",
  "signal",
];

/** Checks the options of a real-time consumer and fills in defaults. */
export function realTimeSettings(options: RealTimeOptions): ReadingSettings {
  checkNames("options of a real-time consumer", options, READING_NAMES);
  const settings = readingSettings(options);
  if (settings.onDecodeError === "dead-letter") {
    throw invalidOption("onDecodeError", "dead-letter", `"fail" or "skip" without a group`);
  }
  return settings;
}

/** Checks the options of every consumer and fills in defaults. */
export function readingSettings(options: ReadingOptions & Partial<DecodingOptions<unknown>>): ReadingSettings {
  const { batchSize, onDecodeError } = options;
  checkSignal(options.signal);
  const codec = checkCodec(options.codec);
  if (codec === undefined && onDecodeError !== undefined) {
    throw invalidOption("onDecodeError", onDecodeError, "left out without a codec");
  }
  return {
    autoStreamReset: checkOneOf("autoStreamReset", options.autoStreamReset, "latest", ["latest", "earliest"]),
    batchSize: batchSize === undefined
      ? undefined
      : checkNumber("batchSize", batchSize, 0, { min: 1, max: 1_000_000, integer: true }),
    shards: checkShards(options.shards),
    shardDiscoveryInterval: checkInterval(options),
    prefetch: checkNumber("prefetch", options.prefetch, 1, { min: 0, max: 1024, integer: true }),
    maxBufferedBytes: checkNumber("maxBufferedBytes", options.maxBufferedBytes, 64 * 1024 * 1024, { min: 1 }),
    onStreamReset: checkOneOf("onStreamReset", options.onStreamReset, "earliest", ["earliest", "latest", "fail"]),
    decode: codec && ((payload, message) => codec.decode(payload, message)),
    onDecodeError: checkOneOf("onDecodeError", onDecodeError, "fail", ["fail", "skip", "dead-letter"]),
  };
}

function checkShards(shards: ReadingOptions["shards"]): readonly number[] | undefined {
  if (shards === undefined || shards === "discover") return undefined;
  const allowed = `"discover", a number from 1 to ${MAX_SHARDS}, or at most ${MAX_SHARDS} shard numbers`;
  if (typeof shards === "number") {
    if (!Number.isInteger(shards) || shards < 1 || shards > MAX_SHARDS) throw invalidOption("shards", shards, allowed);
    return Array.from({ length: shards }, (_, shard) => shard);
  }
  const valid = Array.isArray(shards) && shards.length >= 1 && shards.length <= MAX_SHARDS &&
    shards.every((shard) => Number.isSafeInteger(shard) && shard >= 0) && new Set(shards).size === shards.length;
  if (!valid) throw invalidOption("shards", shards, allowed);
  return [...shards];
}

function checkInterval({ shards = "discover", shardDiscoveryInterval: interval }: ReadingOptions): number | undefined {
  if (interval !== undefined && shards !== "discover") {
    throw invalidOption("shardDiscoveryInterval", interval, `left out unless shards is "discover"`);
  }
  return interval === null ? undefined : checkNumber("shardDiscoveryInterval", interval, 30_000, { min: 1 });
}
