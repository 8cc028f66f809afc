// The options of the manager's methods, their checks, and the types of their results.

import type { TrimTarget } from "../commands/xtrim.ts";
import { idOfTime, type MessageId, type TimestampFormat } from "../model/id.ts";
import { OptionError } from "../model/option_error.ts";
import { checkBoolean, checkNames, checkNumber, checkSignal, invalidOption } from "../model/options.ts";

/**
 * The option with which a waiting call is cancelled.
 *
 * @category Managing
 */
export interface SignalOptions {
  /** Cancels the call, which then rejects with the signal's reason. Commands that are already sent may still be executed. */
  readonly signal?: AbortSignal;
}

/**
 * Chooses the Redis keys of a stream: the key itself by default, one shard, or all shards.
 *
 * @category Managing
 */
export type ShardChoice =
  & SignalOptions
  & (
    | {
      /** One shard of the stream, in the key `name:shardId`. @default {the key itself} */
      readonly shardId?: number;
      /** Uses the key itself, or the shard of `shardId`. @default {false} */
      readonly sharded?: false;
    }
    | {
      readonly shardId?: undefined;
      /** Uses all shards, which are found by a scan. If there are none, the key itself is used. */
      readonly sharded: true;
    }
  );

/**
 * Options of {@linkcode Manager.scan}.
 *
 * @category Managing
 */
export interface ScanStreamsOptions extends SignalOptions {
  /** Approximate number of keys that the server examines. @default {the server's default, 10} */
  readonly count?: number;
  /** Glob pattern that keys must match, as in `"orders*"`. @default {all keys} */
  readonly match?: string;
}

/**
 * One page of {@linkcode Manager.scan}.
 *
 * @category Managing
 */
export interface ScannedStreams {
  /** The cursor of the next page, or `"0"` after the last page. */
  readonly cursor: string;
  /** Redis keys of type stream. The page may be empty or repeat keys. */
  readonly streams: string[];
}

/**
 * Options of {@linkcode Manager.streams}.
 *
 * @category Managing
 */
export interface StreamsOptions extends SignalOptions {
  /** Glob pattern that keys must match, as in `"orders*"`. @default {all keys} */
  readonly match?: string;
}

/**
 * Options of {@linkcode Manager.range}.
 *
 * @category Managing
 */
export type RangeOptions = ShardChoice & {
  /** Maximum number of messages. @default {all} */
  readonly count?: number;
  /** Whether the newest messages come first. `start` is still the lower bound. @default {false} */
  readonly reverse?: boolean;
};

/**
 * Options of {@linkcode Manager.rangeAll}.
 *
 * @category Managing
 */
export type RangeAllOptions = ShardChoice & {
  /** Maximum number of messages in one page of each shard. @default {grows from 100 to 1,000} */
  readonly pageSize?: number;
};

/**
 * Options of {@linkcode Manager.trim}: exactly one of `maxLength`, `minTimestamp` and `acknowledged`.
 *
 * @category Managing
 */
export type ManagerTrimOptions =
  & ShardChoice
  & (
    | {
      /** Number of newest entries that stay, in each shard. */
      readonly maxLength: number;
      readonly minTimestamp?: undefined;
      readonly acknowledged?: undefined;
    }
    | {
      readonly maxLength?: undefined;
      /** Entries from this time on stay. A bigint is in the unit of the stream. */
      readonly minTimestamp: Date | bigint;
      readonly acknowledged?: undefined;
    }
    | {
      readonly maxLength?: undefined;
      readonly minTimestamp?: undefined;
      /** Entries before the first one that a group has not received or not acknowledged are removed. */
      readonly acknowledged: true;
    }
  )
  & {
    /** Whether to trim exactly. Otherwise the server removes only whole nodes, of about 100 entries each. @default {false} */
    readonly exact?: boolean;
  };

/**
 * Options of {@linkcode Manager.createGroup}.
 *
 * @category Managing
 */
export type CreateGroupOptions = ShardChoice & {
  /** Whether a missing stream is created, without entries. @default {false} */
  readonly mkstream?: boolean;
};

/**
 * Options of {@linkcode Manager.deleteConsumer}.
 *
 * @category Managing
 */
export type DeleteConsumerOptions = ShardChoice & {
  /** Whether to delete a consumer with pending entries, which are then not delivered again. @default {false} */
  readonly force?: boolean;
};

/**
 * Information about a stream, from {@linkcode Manager.info}.
 *
 * @category Managing
 */
export interface StreamInfo {
  /** The number of entries. */
  readonly length: number;
  /** The id of the first entry, or `null` if the stream is empty. */
  readonly firstId: MessageId | null;
  /** The id of the last entry, or `null` if the stream is empty. */
  readonly lastId: MessageId | null;
  /** The groups, sorted by name. */
  readonly groups: readonly StreamGroupInfo[];
}

/**
 * Information about a group, from {@linkcode Manager.info}.
 *
 * @category Managing
 */
export interface StreamGroupInfo {
  /** The name, escaped if it is not valid UTF-8. */
  readonly name: string;
  /** The number of entries that were not delivered to the group yet. `null` if it is unknown. */
  readonly lag: number | null;
  /** The number of entries that were delivered and not acknowledged. */
  readonly pending: number;
  /** The id of the last delivered entry. Of several shards it is the lowest. */
  readonly lastDeliveredId: MessageId;
  /** Milliseconds since the time in the lowest pending id, by the server's clock, and at least 0. `null` without pending entries. */
  readonly oldestPendingAge: number | null;
  /** The consumers, sorted by name. */
  readonly consumers: readonly StreamConsumerInfo[];
}

/**
 * Information about a consumer of a group, from {@linkcode Manager.info}.
 *
 * @category Managing
 */
export interface StreamConsumerInfo {
  /** The name, escaped if it is not valid UTF-8. */
  readonly name: string;
  /** The number of entries that were delivered to this consumer and not acknowledged. */
  readonly pending: number;
  /** Milliseconds since the last request of the consumer. Before Redis 7.2, since it last received an entry. */
  readonly idle: number;
  /** Milliseconds since the consumer last received an entry. `null` before Redis 7.2, and if it never did. */
  readonly inactive: number | null;
}

/** The chosen keys: one key, with the number of its shard, or all shards. */
export type CheckedChoice = { readonly shardId: number | undefined } | "all";

const CHOICE_NAMES = ["shardId", "sharded", "signal"];

/** Checks the choice of keys, and that there are no other options than these names. */
export function checkChoice(what: string, options: ShardChoice, names: readonly string[] = []): CheckedChoice {
  checkNames(what, options, [...names, ...CHOICE_NAMES]);
  checkSignal(options.signal);
  const { shardId } = options;
  const sharded = checkBoolean("sharded", options.sharded, false);
  if (shardId !== undefined) {
    checkNumber("shardId", shardId, 0, { min: 0, max: Number.MAX_SAFE_INTEGER, integer: true });
    if (sharded) throw invalidOption("shardId", shardId, "omitted if sharded is true");
  }
  return sharded ? "all" : { shardId };
}

/** A count of entries, or `undefined`. */
export function checkCount(name: string, count: number | undefined): number | undefined {
  if (count === undefined) return undefined;
  return checkNumber(name, count, 0, { min: 1, max: Number.MAX_SAFE_INTEGER, integer: true });
}

/** A glob, or `undefined`. */
export function checkMatch(match: string | undefined): string | undefined {
  if (match === undefined || typeof match === "string") return match;
  throw invalidOption("match", match, "a string");
}

/** Checks the options of a trim. */
export function checkTrimTarget(options: ManagerTrimOptions, format: TimestampFormat): TrimTarget | "acknowledged" {
  const { maxLength, minTimestamp, acknowledged } = options;
  const given = [maxLength, minTimestamp, acknowledged].filter((one) => one !== undefined);
  if (given.length !== 1) {
    const found = given.length === 0 ? "none" : "several";
    throw new OptionError(`exactly one of maxLength, minTimestamp and acknowledged must be given, got ${found}`);
  }
  if (maxLength !== undefined) {
    return { maxLength: checkNumber("maxLength", maxLength, 0, { min: 0, max: 2 ** 53 - 1, integer: true }) };
  }
  if (minTimestamp !== undefined) return { minId: idOfTime(minTimestamp, format, "minTimestamp") };
  if (acknowledged !== true) throw invalidOption("acknowledged", acknowledged, "true");
  return "acknowledged";
}
