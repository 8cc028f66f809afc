// The options of consumers in groups: which of them can be combined, their defaults, and their checks.

import { StreamerError } from "../../resp/errors.ts";
import { checkStreamKey } from "../model/key.ts";
import { checkBoolean, checkNames, checkNumber, checkOneOf, invalidOption } from "../model/options.ts";
import { READING_NAMES, type ReadingOptions, type ReadingSettings, readingSettings } from "./options.ts";

/** How messages are acknowledged; see the options of that name. */
export type AutoCommit = "delayed" | "immediate" | "rolling" | "disabled";

/** When messages are acknowledged, in milliseconds. */
export interface CommitPolicy {
  readonly autoCommit: AutoCommit;
  /** Time between the return of a message and its acknowledgement. Only for `"delayed"`. */
  readonly delay: number;
  /** Least time between two commands, unless many acknowledgements wait. */
  readonly interval: number;
}

/**
 * What a consumer does if its group was deleted, for example by a flush or a failover.
 *
 * - `"resume"`: it recreates the group after the last id that it has seen. If the stream was recreated too, the group starts at the
 *   beginning.
 * - `"earliest"`, `"latest"`: it recreates the group at the beginning, or at the end, of the stream.
 * - `"fail"`: it fails, and every call rejects with the error.
 *
 * While the stream is missing, the consumer waits for it (`waiting` event) and does not create it.
 *
 * @category Consumer groups
 */
export type OnGroupLost = "resume" | "earliest" | "latest" | "fail";

/**
 * Options of every consumer in a group. Times are in milliseconds.
 *
 * @category Consumer groups
 */
export interface GroupReadingOptions extends ReadingOptions {
  /**
   * The name of the group. By default it is the id of this machine, with `:r` (resumable) or `:s` (load-balanced). The id is `HOST_ID`
   * of the environment, or the machine's own id.
   * @default {the machine's id, and `:r` or `:s`}
   */
  readonly group?: string;
  /**
   * The name of this consumer in the group. Consumers that run at the same time need different names.
   *
   * By default a resumable consumer has the name of its group. The name of a load-balanced consumer is generated: the host name
   * (`HOST_ID` if that is set), the process id and a unique part. A generated name leaves the group at `end()`, unless messages are
   * pending for it.
   * @default {resumable: the name of the group; load-balanced: a generated name}
   */
  readonly consumerId?: string;
  /**
   * Whether `createConsumer` and `assign` create a missing stream together with its group. A running consumer never creates a stream:
   * it waits for a stream that is deleted later.
   *
   * If a stream with `shards: "discover"` has neither entries nor shards, its plain key is created. With numbered shards, the key of
   * each shard is created. With `false`, the first `next()` rejects if the stream is missing.
   *
   * Source: XGROUP CREATE with MKSTREAM, Redis 5.0.
   * @default {true}
   */
  readonly mkstream?: boolean;
  /** What the consumer does if its group was deleted. @default {"resume"} */
  readonly onGroupLost?: OnGroupLost;
  /**
   * Whether the leases of prefetched messages and of messages in flight are renewed, every third of `autoClaimIdle`. Without it, other
   * consumers claim a message that takes longer than their `autoClaimIdle`, while it is being processed.
   * @default {true}
   */
  readonly keepAlive?: boolean;
  /**
   * The most messages in flight. Reading pauses until fewer messages are returned and not acknowledged.
   * @default {10000; with `"delayed"` 1000000}
   */
  readonly maxUnacked?: number;
}

/**
 * Options of a consumer whose messages are acknowledged some time after they were returned.
 *
 * @category Consumer groups
 */
export interface DelayedCommit {
  /** Each message is acknowledged `autoCommitDelay` after it was returned, processed or not. @default {"delayed"} */
  readonly autoCommit?: "delayed";
  /** The time between the return of a message and its acknowledgement. @default {5000} */
  readonly autoCommitDelay?: number;
  /** The least time between two acknowledgement commands. With 1,000 acknowledgements to send, it is not waited for. @default {1000} */
  readonly autoCommitInterval?: number;
}

/**
 * Options of a consumer whose messages are acknowledged by the server as they are read (NOACK): at most once.
 *
 * @category Consumer groups
 */
export interface ImmediateCommit {
  /** The server acknowledges each message as it is read. */
  readonly autoCommit: "immediate";
}

/**
 * Options for messages that fail repeatedly.
 *
 * @category Consumer groups
 */
export interface DeadLetterOptions {
  /** The most deliveries of a message. Instead of one more delivery, the message is written to the `deadLetter` stream. @default {no limit} */
  readonly maxDeliveries?: number;
  /**
   * The stream of dead letters. A dead letter has the payload and the headers of the message, and headers with its origin. Without this
   * option, such messages are only acknowledged.
   * @default {none}
   */
  readonly deadLetter?: string;
}

/**
 * Options of a consumer whose messages are acknowledged by `ack`, and whose acknowledgements are sent in the background.
 *
 * @category Consumer groups
 */
export interface RollingCommit extends DeadLetterOptions {
  /** Messages are acknowledged by `ack`. Acknowledgements are sent in the background. */
  readonly autoCommit: "rolling";
  /** The least time between two acknowledgement commands. With 1,000 acknowledgements to send, it is not waited for. @default {1000} */
  readonly autoCommitInterval?: number;
}

/**
 * Options of a consumer whose messages are acknowledged by `ack`, and whose acknowledgements are sent by `commit`.
 *
 * @category Consumer groups
 */
export interface DisabledCommit extends DeadLetterOptions {
  /** Messages are acknowledged by `ack`. Acknowledgements are sent by `commit`. */
  readonly autoCommit: "disabled";
}

/**
 * Options of a resumable consumer, apart from those of its `autoCommit`.
 *
 * @category Consumer groups
 */
export interface Resumable extends GroupReadingOptions {
  /** Reads as the only consumer of its group, and resumes where the previous run with the same `consumerId` stopped. */
  readonly mode: "resumable";
}

/**
 * Options of a load-balanced consumer, apart from those of its `autoCommit`. Times are in milliseconds.
 *
 * @category Consumer groups
 */
export interface LoadBalanced extends GroupReadingOptions {
  /** Shares the messages with the other consumers of the group. */
  readonly mode: "load-balanced";
  /** The time between two claim scans, which claim idle messages of other consumers; `null` for none. @default {30000} */
  readonly autoClaimInterval?: number | null;
  /** The idle time after which a message of another consumer is claimed. @default {60000} */
  readonly autoClaimIdle?: number;
  /** Whether consumers share shards or own them. Owned shards are not supported yet (`UNSUPPORTED`). @default {"shared"} */
  readonly shardOwnership?: "shared" | "owned";
  /**
   * The longest time for which a returned message is leased, unless it is settled before. In `process` the time starts with the
   * handler.
   *
   * After that the message is released: a `released` event names it, and `maxUnacked` no longer counts it. Another consumer claims it
   * once it has been idle for `autoClaimIdle`. If no consumer does, this consumer delivers it again at a later claim scan, with
   * `deliveries` one higher. With `autoClaimInterval: null` it looks every `autoClaimIdle`. While a handler of `process` runs, its
   * message is not delivered here again. Prefetched messages are leased without a limit.
   *
   * Only with `autoCommit: "rolling"` and `"disabled"`, also with `keepAlive: false`.
   * @default {600000}
   */
  readonly maxHold?: number;
  /**
   * The idle time after which a consumer without pending messages is deleted from the group; `null` for never. The server has to allow
   * scripts.
   * @default {86400000}
   */
  readonly consumerExpiry?: number | null;
}

/**
 * Options of a group consumer with `autoCommit: "delayed"`, the default.
 *
 * @category Consumer groups
 */
export type DelayedOptions =
  // without an autoCommit that distinguishes them, the compiler would take these for the options of another consumer
  | (Resumable & DelayedCommit & { readonly maxDeliveries?: undefined; readonly deadLetter?: undefined })
  | (LoadBalanced & DelayedCommit & DeadLetterOptions);
/**
 * Options of a group consumer with `autoCommit: "immediate"`.
 *
 * @category Consumer groups
 */
export type ImmediateOptions = (Resumable | LoadBalanced) & ImmediateCommit;
/**
 * Options of a group consumer with `autoCommit: "rolling"`.
 *
 * @category Consumer groups
 */
export type RollingOptions = (Resumable | LoadBalanced) & RollingCommit;
/**
 * Options of a group consumer with `autoCommit: "disabled"`.
 *
 * @category Consumer groups
 */
export type DisabledOptions = (Resumable | LoadBalanced) & DisabledCommit;
/**
 * Options of any group consumer.
 *
 * @category Consumer groups
 */
export type GroupOptions = DelayedOptions | ImmediateOptions | RollingOptions | DisabledOptions;

/** The options with every default filled in. */
export interface GroupSettings extends ReadingSettings {
  /** The option as it was given. `batchSize` has the default of load-balanced consumers filled in. */
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

/** Default page size of load-balanced consumers: with large pages others would be idle. */
const SHARED_PAGE = 10;
const MAX_UNACKED = 10_000;
/** If time acknowledges, `maxUnacked` only bounds memory: five seconds of 200,000 messages each. */
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
      throw new StreamerError("UNSUPPORTED", `shardOwnership: "owned" is not supported yet`);
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
    mkstream: checkBoolean("mkstream", options.mkstream, true),
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

/** The options as a type that has all of them; the combination has been checked. */
function without(options: GroupOptions): Partial<LoadBalanced & DeadLetterOptions & Omit<DelayedCommit, "autoCommit">> {
  const { mode: _mode, autoCommit: _autoCommit, ...rest } = options;
  return rest;
}

/** How long a returned message is leased: without a limit if there are no other consumers, or if time acknowledges. */
function checkHold(maxHold: number | undefined, bounded: boolean): number {
  const hold = checkNumber("maxHold", maxHold, 600_000, { min: 1 });
  return bounded ? hold : Infinity;
}

function defaultUnacked(autoCommit: AutoCommit): number {
  return autoCommit === "delayed" ? MAX_UNACKED_DELAYED : MAX_UNACKED;
}

function checkName(name: string, value: string | undefined): string | undefined {
  if (value === undefined || (typeof value === "string" && value.length > 0)) return value;
  throw invalidOption(name, value, "a non-empty string");
}
