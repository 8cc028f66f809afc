// The options of consumers in groups: which of them go together, their defaults, checked once, at the edge. It must not know
// how they are carried out.

import { StreamerError } from "../../resp/errors.ts";
import { checkStreamKey } from "../model/key.ts";
import { checkBoolean, checkNames, checkNumber, checkOneOf, invalidOption } from "../model/options.ts";
import type { AutoCommit, CommitPolicy } from "./commit_policy.ts";
import type { OnGroupLost } from "./group_policy.ts";
import { READING_NAMES, type ReadingOptions, type ReadingSettings, readingSettings } from "./options.ts";

/** What every consumer in a group can be told. */
export interface GroupReadingOptions extends ReadingOptions {
  /** The group's name. @default {this machine's id, with `:r` if resumable, `:s` if load-balanced} */
  readonly group?: string;
  /** This consumer's name in the group. @default {resumable: the group's name; load-balanced: one of its own} */
  readonly consumerId?: string;
  /** Whether a missing stream is made, so that there can be a group. @default {false} */
  readonly mkstream?: boolean;
  /**
   * What is done when the group vanishes (a flush, a failover): `"resume"` makes it again behind the last id seen, or from the
   * beginning of a stream that was made anew; `"earliest"` and `"latest"` at that end; `"fail"` ends the consumer.
   * @default {"resume"}
   */
  readonly onGroupLost?: OnGroupLost;
  /**
   * Whether the server is reminded every third of `autoClaimIdle` that what this consumer holds is in good hands. Without it,
   * what takes longer than others' `autoClaimIdle` is claimed by them while it is being worked on. @default {true}
   */
  readonly keepAlive?: boolean;
  /**
   * Messages returned and not acknowledged at which no more are handed out, until some are.
   * @default {10000; with `"delayed"`, where they wait for their time alone, 1000000}
   */
  readonly maxUnacked?: number;
}

/** Acknowledged by time. */
export interface DelayedCommit {
  /** Each message is acknowledged `autoCommitDelay` after it was returned. @default {"delayed"} */
  readonly autoCommit?: "delayed";
  /** Milliseconds. @default {5000} */
  readonly autoCommitDelay?: number;
  /** Least milliseconds between two acknowledgements sent; a thousand that wait are sent at once. @default {1000} */
  readonly autoCommitInterval?: number;
}

/** Acknowledged by the server as they are read. */
export interface ImmediateCommit {
  /** Each message counts as acknowledged as it is read: at most once. */
  readonly autoCommit: "immediate";
}

/** What happens to messages that fail again and again. */
export interface DeadLetterOptions {
  /** Deliveries after which a message goes to the dead letters in place of being delivered once more. @default {no limit} */
  readonly maxDeliveries?: number;
  /** The stream of the dead letters. @default {none: they are only acknowledged} */
  readonly deadLetter?: string;
}

/** Acknowledged by `ack`, sent by itself. */
export interface RollingCommit extends DeadLetterOptions {
  /** What was acknowledged by `ack` is sent by itself. */
  readonly autoCommit: "rolling";
  /** Least milliseconds between two acknowledgements sent; a thousand that wait are sent at once. @default {1000} */
  readonly autoCommitInterval?: number;
}

/** Acknowledged by `ack`, sent by `commit`. */
export interface DisabledCommit extends DeadLetterOptions {
  /** What was acknowledged by `ack` is sent when `commit` is called. */
  readonly autoCommit: "disabled";
}

/** What a resumable consumer can be told beside its way of committing. */
export interface Resumable extends GroupReadingOptions {
  /** Reads with XREADGROUP, as the group's one consumer: it goes on where its earlier life ended. */
  readonly mode: "resumable";
}

/** What a load-balanced consumer can be told beside its way of committing. Times are in milliseconds. */
export interface LoadBalanced extends GroupReadingOptions {
  /** Reads with XREADGROUP, and shares the messages with the other consumers of its group. */
  readonly mode: "load-balanced";
  /** How often to look for messages that others have left lying; `null` for never. @default {30000} */
  readonly autoClaimInterval?: number | null;
  /** For how long they must have been left lying. @default {60000} */
  readonly autoClaimIdle?: number;
  /** Whether consumers share shards or own them; owning is not built yet: `UNSUPPORTED`. @default {"shared"} */
  readonly shardOwnership?: "shared" | "owned";
  /** For how long a message that was returned, or read ahead, is kept from the others at most. @default {600000} */
  readonly maxHold?: number;
  /** After how long without a sign of life a consumer that holds nothing is removed from the group; `null` for never. @default {86400000} */
  readonly consumerExpiry?: number | null;
}

/** Options of a consumer whose messages are acknowledged by time. */
export type DelayedOptions =
  // without an autoCommit that tells them apart, the compiler would take these for another's
  | (Resumable & DelayedCommit & { readonly maxDeliveries?: undefined; readonly deadLetter?: undefined })
  | (LoadBalanced & DelayedCommit & DeadLetterOptions);
/** Options of a consumer whose messages are acknowledged as they are read. */
export type ImmediateOptions = (Resumable | LoadBalanced) & ImmediateCommit;
/** Options of a consumer with `ack`. */
export type RollingOptions = (Resumable | LoadBalanced) & RollingCommit;
/** Options of a consumer with `ack` and `commit`. */
export type DisabledOptions = (Resumable | LoadBalanced) & DisabledCommit;
/** Options of any consumer in a group. */
export type GroupOptions = DelayedOptions | ImmediateOptions | RollingOptions | DisabledOptions;

/** The same with every default filled in. */
export interface GroupSettings extends ReadingSettings {
  /** As it was given; `batchSize` has what is meant where it was not. */
  readonly givenBatchSize: number | undefined;
  readonly mode: "resumable" | "load-balanced";
  readonly group: string | undefined;
  readonly consumerId: string | undefined;
  readonly mkstream: boolean;
  readonly onGroupLost: OnGroupLost;
  readonly keepAlive: boolean;
  readonly maxUnacked: number;
  readonly commit: CommitPolicy;
  readonly maxDeliveries: number;
  readonly deadLetter: string | undefined;
  readonly autoClaimInterval: number | undefined;
  readonly autoClaimIdle: number;
  readonly maxHold: number;
  readonly consumerExpiry: number | undefined;
}

const GROUP_NAMES = ["group", "consumerId", "mkstream", "autoCommit", "onGroupLost", "keepAlive", "maxUnacked"];
const SHARED_NAMES = ["autoClaimInterval", "autoClaimIdle", "shardOwnership", "maxHold", "consumerExpiry"];
const COMMIT_NAMES: Readonly<Record<AutoCommit, readonly string[]>> = {
  delayed: ["autoCommitDelay", "autoCommitInterval"],
  immediate: [],
  rolling: ["autoCommitInterval", "maxDeliveries", "deadLetter"],
  disabled: ["maxDeliveries", "deadLetter"],
};
const DEAD_LETTER_NAMES = ["maxDeliveries", "deadLetter"];

/** Entries of a page that load-balanced consumers ask for, if nothing else is said: others may be idle. */
const SHARED_PAGE = 10;
const MAX_UNACKED = 10_000;
/** Where time acknowledges, `maxUnacked` bounds no carelessness, only what is kept: five seconds of 200,000 messages each. */
const MAX_UNACKED_DELAYED = 1_000_000;

/** Checks options and fills in defaults. */
export function groupSettings(options: GroupOptions): GroupSettings {
  const { mode } = options;
  const shared = mode === "load-balanced";
  const autoCommit = checkOneOf<AutoCommit>("autoCommit", options.autoCommit, "delayed", [
    "delayed",
    "immediate",
    "rolling",
    "disabled",
  ]);
  const names = [...READING_NAMES, ...GROUP_NAMES, ...COMMIT_NAMES[autoCommit]];
  if (shared) names.push(...SHARED_NAMES);
  if (shared && autoCommit === "delayed") names.push(...DEAD_LETTER_NAMES);
  checkNames(`options of a ${mode} consumer with autoCommit "${autoCommit}"`, options, names);
  const given: Partial<LoadBalanced & DeadLetterOptions & Omit<DelayedCommit, "autoCommit">> = without(options);
  if (given.shardOwnership !== undefined) {
    checkOneOf("shardOwnership", given.shardOwnership, "shared", ["shared", "owned"]);
    if (given.shardOwnership === "owned") {
      throw new StreamerError("UNSUPPORTED", "Cannot own shards as that is not built yet");
    }
  }
  const reading = readingSettings(options);
  const { autoClaimInterval, consumerExpiry, deadLetter, maxDeliveries } = given;
  if (reading.onDecodeError === "dead-letter" && deadLetter === undefined) {
    throw invalidOption("onDecodeError", "dead-letter", `"fail" or "skip" without a deadLetter stream`);
  }
  return {
    ...reading,
    givenBatchSize: reading.batchSize,
    batchSize: reading.batchSize ?? (shared ? SHARED_PAGE : undefined),
    mode,
    group: checkName("group", options.group),
    consumerId: checkName("consumerId", options.consumerId),
    mkstream: checkBoolean("mkstream", options.mkstream, false),
    onGroupLost: checkOneOf("onGroupLost", options.onGroupLost, "resume", ["resume", "earliest", "latest", "fail"]),
    keepAlive: checkBoolean("keepAlive", options.keepAlive, true),
    maxUnacked: checkNumber("maxUnacked", options.maxUnacked, defaultUnacked(autoCommit), { min: 1, integer: true }),
    commit: {
      autoCommit,
      delay: checkNumber("autoCommitDelay", given.autoCommitDelay, 5_000, { min: 0 }),
      interval: checkNumber("autoCommitInterval", given.autoCommitInterval, 1_000, { min: 0 }),
    },
    maxDeliveries: checkNumber("maxDeliveries", maxDeliveries, Infinity, { min: 1, integer: true }),
    deadLetter: deadLetter === undefined ? undefined : checkStreamKey(deadLetter),
    autoClaimInterval: !shared || autoClaimInterval === null
      ? undefined
      : checkNumber("autoClaimInterval", autoClaimInterval, 30_000, { min: 1 }),
    autoClaimIdle: checkNumber("autoClaimIdle", given.autoClaimIdle, 60_000, { min: 1 }),
    maxHold: checkHold(given.maxHold, shared && autoCommit !== "delayed"),
    consumerExpiry: !shared || consumerExpiry === null
      ? undefined
      : checkNumber("consumerExpiry", consumerExpiry, 86_400_000, { min: 1 }),
  };
}

/** The options as those that any of them may have: which of them go together has been checked. */
function without(options: GroupOptions): Partial<LoadBalanced & DeadLetterOptions & Omit<DelayedCommit, "autoCommit">> {
  const { mode: _mode, autoCommit: _autoCommit, ...rest } = options;
  return rest;
}

/** For how long a message is kept from the others; where there are none, or time acknowledges it, as long as it takes. */
function checkHold(maxHold: number | undefined, bounded: boolean): number {
  const hold = checkNumber("maxHold", maxHold, 600_000, { min: 1 });
  return bounded ? hold : Infinity;
}

function defaultUnacked(autoCommit: AutoCommit): number {
  return autoCommit === "delayed" ? MAX_UNACKED_DELAYED : MAX_UNACKED;
}

function checkName(name: string, value: string | undefined): string | undefined {
  if (value === undefined || (typeof value === "string" && value.length > 0)) return value;
  throw invalidOption(name, value, "a string that is not empty");
}
