// The options of the manager's verbs and what they give, checked once, at the edge. It must not know how they are carried out.

import type { TrimTarget } from "../commands/xtrim.ts";
import { idOfTime, type MessageId, type TimestampFormat } from "../model/id.ts";
import { checkBoolean, checkNames, checkNumber, invalidOption } from "../model/options.ts";

/** Ends the waiting. */
export interface SignalOptions {
  /** Ends the waiting: it rejects with the signal's reason. What was sent already may be carried out all the same. */
  readonly signal?: AbortSignal;
}

/**
 * Which Redis key a stream's name stands for. Without either of them the name is taken as it is.
 */
export type ShardChoice =
  & SignalOptions
  & (
    | {
      /** One shard of the stream, in the key `name:shardId`. @default {the name itself is the key} */
      readonly shardId?: number;
      /** Takes the name as it is. @default {false} */
      readonly sharded?: false;
    }
    | {
      readonly shardId?: undefined;
      /** All shards that there are, found among the keys of every primary; the key of that name where there are none. */
      readonly sharded: true;
    }
  );

/** What `scan` looks at. */
export interface ScanStreamsOptions extends SignalOptions {
  /** About how many keys the server looks at. @default {the server's: 10} */
  readonly count?: number;
  /** A glob that the keys must match. @default {all} */
  readonly match?: string;
}

/** A part of the streams there are. */
export interface ScannedStreams {
  /** Where to go on; `"0"` when all were seen. */
  readonly cursor: string;
  /** Redis keys of type stream: maybe none, and maybe some that were seen before. */
  readonly streams: string[];
}

/** What `streams` looks at. */
export interface StreamsOptions extends SignalOptions {
  /** A glob that the keys must match. @default {all} */
  readonly match?: string;
}

/** What of a range is given. */
export type RangeOptions = ShardChoice & {
  /** Most messages. @default {all} */
  readonly count?: number;
  /** Whether the newest come first; `start` stays the lower bound. @default {false} */
  readonly reverse?: boolean;
};

/** How a range is read. */
export type RangeAllOptions = ShardChoice & {
  /** Most messages of each shard to ask for at once. @default {grows from 100 to 1,000, once a size was seen} */
  readonly pageSize?: number;
};

/** To what a stream is cut: a number of entries, a time, or what its groups have acknowledged, one of them. */
export type ManagerTrimOptions =
  & ShardChoice
  & (
    | {
      /** Entries that stay, the newest; in each shard. */
      readonly maxLength: number;
      readonly minTimestamp?: undefined;
      readonly acknowledged?: undefined;
    }
    | {
      readonly maxLength?: undefined;
      /** The first instant whose entries stay. */
      readonly minTimestamp: Date | bigint;
      readonly acknowledged?: undefined;
    }
    | {
      readonly maxLength?: undefined;
      readonly minTimestamp?: undefined;
      /** Removes what is in front of the first entry that any group has not acknowledged or not been given. */
      readonly acknowledged: true;
    }
  )
  & {
    /** Whether to cut exactly there instead of at the next border of a node of about 100 entries. @default {false} */
    readonly exact?: boolean;
  };

/** How a group is made. */
export type CreateGroupOptions = ShardChoice & {
  /** Whether a missing stream is made, without entries. @default {false} */
  readonly mkstream?: boolean;
};

/** How a consumer is deleted. */
export type DeleteConsumerOptions = ShardChoice & {
  /** Also if it holds entries, which are then pending for nobody and never delivered again. @default {false} */
  readonly force?: boolean;
};

/** A stream. */
export interface StreamInfo {
  /** Entries there are. */
  readonly length: number;
  /** The id of the first entry; `null` where there is none. */
  readonly firstId: MessageId | null;
  /** The id of the last entry; `null` where there is none. */
  readonly lastId: MessageId | null;
  /** Its groups, by name. */
  readonly groups: readonly StreamGroupInfo[];
}

/** A group of a stream. */
export interface StreamGroupInfo {
  /** Its name. */
  readonly name: string;
  /** Entries that were not yet delivered to it; `null` where the server does not know, or cannot be relied on. */
  readonly lag: number | null;
  /** Entries delivered to it and not acknowledged. */
  readonly pending: number;
  /** The id up to which it was given everything; of several shards the lowest. */
  readonly lastDeliveredId: MessageId;
  /** Milliseconds since the time in the lowest id that is pending, by the server's clock; `null` where nothing is pending. */
  readonly oldestPendingAge: number | null;
  /** Its consumers, by name. */
  readonly consumers: readonly StreamConsumerInfo[];
}

/** A consumer of a group. */
export interface StreamConsumerInfo {
  /** Its name. */
  readonly name: string;
  /** Entries delivered to it and not acknowledged. */
  readonly pending: number;
  /** Milliseconds since it last asked for something; before Redis 7.2, since it last got something. */
  readonly idle: number;
  /** Milliseconds since it last got something; `null` before Redis 7.2, and if that never happened. */
  readonly inactive: number | null;
}

/** Which keys are meant: one, with the number of the shard it is, or all shards. */
export type CheckedChoice = { readonly shardId: number | undefined } | "all";

const CHOICE_NAMES = ["shardId", "sharded", "signal"];

/** Checks the choice of keys, and that there is nothing else but what is named. */
export function checkChoice(what: string, options: ShardChoice, names: readonly string[] = []): CheckedChoice {
  checkNames(what, options, [...names, ...CHOICE_NAMES]);
  checkSignal(options.signal);
  const { shardId } = options;
  const sharded = checkBoolean("sharded", options.sharded, false);
  if (shardId !== undefined) {
    checkNumber("shardId", shardId, 0, { min: 0, max: Number.MAX_SAFE_INTEGER, integer: true });
    if (sharded) throw invalidOption("shardId", shardId, "left out when sharded is true");
  }
  return sharded ? "all" : { shardId };
}

/** Checks that a signal is one. */
export function checkSignal(signal: unknown): void {
  if (signal === undefined || signal instanceof AbortSignal) return;
  throw invalidOption("signal", signal, "an AbortSignal");
}

/** A name of a group or a consumer. */
export function checkMemberName(what: string, name: unknown): string {
  if (typeof name === "string" && name.length > 0) return name;
  throw invalidOption(what, name, "a string that is not empty");
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

/** To what is cut. */
export function checkTrimTarget(options: ManagerTrimOptions, format: TimestampFormat): TrimTarget | "acknowledged" {
  const { maxLength, minTimestamp, acknowledged } = options;
  const given = [maxLength, minTimestamp, acknowledged].filter((one) => one !== undefined);
  if (given.length !== 1) {
    throw invalidOption("maxLength", maxLength, "the only one given of maxLength, minTimestamp and acknowledged");
  }
  if (maxLength !== undefined) {
    return { maxLength: checkNumber("maxLength", maxLength, 0, { min: 0, max: 2 ** 53 - 1, integer: true }) };
  }
  if (minTimestamp !== undefined) return { minId: idOfTime(minTimestamp, format) };
  if (acknowledged !== true) throw invalidOption("acknowledged", acknowledged, "true");
  return "acknowledged";
}
