// The options of every consumer, and those of one without a group: their defaults, checked once, at the edge. It must not
// know how they are carried out.

import { checkCodec, type Codec, type OnDecodeError } from "../model/codec.ts";
import { MAX_SHARDS } from "../model/key.ts";
import { checkNames, checkNumber, checkOneOf, invalidOption } from "../model/options.ts";

/** Where a consumer begins that knows no position: behind what is there, or before everything. */
export type AutoStreamReset = "latest" | "earliest";

/** What is done when a stream was deleted and made anew, or its ids were put back. */
export type OnStreamReset = "earliest" | "latest" | "fail";

/** What every consumer can be told. Sizes are in bytes. */
export interface ReadingOptions {
  /** Where to begin: `"latest"`, behind what is there as of creation, or `"earliest"`. @default {"latest"} */
  readonly autoStreamReset?: AutoStreamReset;
  /** Most entries of one stream in a page. @default {grows from 100 to 1,000 while pages come back full; load-balanced: 10} */
  readonly batchSize?: number;
  /**
   * The shards of each stream: a number n for 0 … n−1, or their numbers. With `"discover"`, the Redis keys `key:N` that are
   * streams, at most 1,024; where there are none, or SCAN or TYPE is forbidden, the plain key as shard 0. Where there are
   * some the plain key is not read. A key that is itself subscribed by name is nobody's shard. Told by `shards` events.
   * @default {"discover"}
   */
  readonly shards?: "discover" | number | readonly number[];
  /**
   * How often discovered shards are looked for again, in milliseconds; `null` for never. Asked for are the numbers that are
   * missing among the known ones, and 16 behind the highest. Only with `shards: "discover"`.
   *
   * What is new is read from its beginning, since all of it was written after the consumer was made; after a `seek` or `rewind`
   * to a position, from there. A stream none of whose shards is assigned any more is not looked at, and a shard that was
   * unassigned does not come back by itself. Shards that are gone stay assigned.
   *
   * Where a stream was read in its plain key and shards appear, that key is read up to what is its last entry then, and handed
   * out; in a group also until this consumer has acknowledged what it holds of it, and, where what others leave lying is claimed,
   * until nothing of it is pending. Then the shards are read in its place; what was written to the plain key since is not read.
   * @default {30000}
   */
  readonly shardDiscoveryInterval?: number | null;
  /** Pages read ahead while one is handed out; 0 reads only when somebody asks. @default {1} */
  readonly prefetch?: number;
  /** Bytes that may be read ahead. @default {67108864} */
  readonly maxBufferedBytes?: number;
  /** What is done when a stream was deleted and made anew, or its ids were put back by a failover. @default {"earliest"} */
  readonly onStreamReset?: OnStreamReset;
  /** Abandons the creation. */
  readonly signal?: AbortSignal;
}

/** What a consumer of values of type `T` is told beside its other options. */
export interface DecodingOptions<T> {
  /** What makes the messages' values of their payloads. */
  readonly codec: Codec<T>;
  /**
   * What becomes of a message whose payload does not decode. `"fail"`: it is delivered as any, and reading its `value`
   * throws what the codec threw; its bytes are there. `"skip"`: it is not delivered; in a group it is acknowledged.
   * `"dead-letter"`: it is written to the `deadLetter` stream, which has to be given, and acknowledged; what a consumer reads
   * without its group, after a move, is pending nowhere, and is only skipped. The latter two are told by a `dead-letter`
   * event, and decode each message when it is handed out, else that is done when `value` is read.
   * @default {"fail"}
   */
  readonly onDecodeError?: OnDecodeError;
}

/** The same without a group: there are no dead letters. */
export interface RealTimeDecodingOptions<T> extends DecodingOptions<T> {
  /** What becomes of a message whose payload does not decode; see {@linkcode DecodingOptions}. @default {"fail"} */
  readonly onDecodeError?: Exclude<OnDecodeError, "dead-letter">;
}

/** Options of a consumer that reads everything by itself, without a group. */
export interface RealTimeOptions extends ReadingOptions {
  /** Reads with XREAD, from the end (or the beginning) as of creation. */
  readonly mode: "real-time";
}

/** The same with every default filled in. */
export interface ReadingSettings {
  readonly autoStreamReset: AutoStreamReset;
  /** The hard maximum, or `undefined` where it grows. */
  readonly batchSize: number | undefined;
  /** Their numbers, or `undefined` where they are discovered. */
  readonly shards: readonly number[] | undefined;
  /** `undefined` for never. */
  readonly shardDiscoveryInterval: number | undefined;
  readonly prefetch: number;
  readonly maxBufferedBytes: number;
  readonly onStreamReset: OnStreamReset;
  /** What makes values of payloads, where there are values. */
  readonly decode: ((payload: Uint8Array) => unknown) | undefined;
  readonly onDecodeError: OnDecodeError;
}

/** The names of what every consumer can be told. */
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

/** Checks what every consumer can be told and fills in defaults. */
export function readingSettings(options: ReadingOptions & Partial<DecodingOptions<unknown>>): ReadingSettings {
  const { batchSize, onDecodeError } = options;
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
    decode: codec && ((payload) => codec.decode(payload)),
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
    throw invalidOption("shardDiscoveryInterval", interval, `left out where shards is not "discover"`);
  }
  return interval === null ? undefined : checkNumber("shardDiscoveryInterval", interval, 30_000, { min: 1 });
}
