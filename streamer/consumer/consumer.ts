// The consumer as a program sees it: its verbs, its statistics, and the options of its verbs. Which verbs a consumer has depends on
// the options of `createConsumer`.

import type { SeqPos } from "../model/id.ts";
import type { StreamShard } from "../model/key.ts";
import type { Message, MessageIdentifier } from "../model/message.ts";

/**
 * Options of every call that waits.
 *
 * @category Consuming
 */
export interface WaitOptions {
  /** Ends the waiting when it is aborted. The call then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * Options of {@linkcode Consumer.messages}.
 *
 * @category Consuming
 */
export interface MessagesOptions {
  /** Finishes the loop when it is aborted. The loop does not throw. */
  readonly signal?: AbortSignal;
}

/**
 * Options of {@linkcode Consumer.batches}.
 *
 * @category Consuming
 */
export interface BatchesOptions extends MessagesOptions {
  /** The most messages of a batch: a whole number of at least 1. @default {all messages of a page} */
  readonly max?: number;
}

/**
 * Options of {@linkcode Consumer.end}. Times are in milliseconds.
 *
 * @category Consuming
 */
export interface ConsumerEndOptions extends WaitOptions {
  /**
   * The longest time to wait for messages in flight, until all of them are acked, nacked or termed. Without `ack` there is nothing
   * to wait for.
   * @default {0}
   */
  readonly drain?: number;
  /** The longest time for committing acknowledgements, counted from the end of the drain. @default {the `timeout` of `connect`} */
  readonly timeout?: number;
}

/**
 * Counts of a consumer.
 *
 * @category Consuming
 */
export interface ConsumerStats {
  /** Prefetched messages that have not been returned. */
  readonly queued: number;
  /** Bytes of the pages that contain these messages. */
  readonly queuedBytes: number;
  /** Messages in flight: returned and not acknowledged. 0 in real time. */
  readonly inHand: number;
  /** Acknowledgements that the server has not confirmed. 0 in real time. */
  readonly unsentAcks: number;
  /** Messages that were returned so far. */
  readonly delivered: number;
  /** Messages whose acknowledgement the server has confirmed. 0 in real time. */
  readonly acked: number;
  /** Messages that were claimed from other consumers. 0 in real time. */
  readonly claimed: number;
  /** Messages that were read again from the pending list, after a restart or a lost connection. 0 in real time. */
  readonly replayed: number;
  /** Pending messages that were trimmed or deleted before they could be returned. 0 in real time. */
  readonly gaps: number;
}

/**
 * The JSON form of a consumer: what it reads, its group, and its statistics.
 *
 * @category Consuming
 */
export interface ConsumerJson extends ConsumerStats {
  /** The mode of the consumer. */
  readonly mode: "real-time" | "resumable" | "load-balanced";
  /** The group. Absent without a group. */
  readonly groupId?: string;
  /** The name of the consumer in its group. Absent without a group. */
  readonly consumerId?: string;
  /** The shards that are read. */
  readonly streamShards: readonly StreamShard[];
}

/**
 * Receives messages of one or several streams.
 *
 * `next`, loops, batches and `readable` can be mixed, also at the same time. Each message goes to exactly one of them. The messages
 * of a shard are returned in the order of their ids, and pages are prefetched in the background. After a reconnect, reading resumes
 * after the last message that was read, without loss or repetition.
 *
 * With a `codec`, messages have a `value` ({@linkcode TypedMessage}).
 *
 * Source: XREAD and XREADGROUP, Redis 5.0.
 *
 * @example Print the messages that are added from now on, for a second
 * ```ts
 * import { connect } from "@sea/streamer-redis";
 *
 * await using streamer = await connect();
 * const consumer = await streamer.createConsumer("orders", { mode: "real-time" });
 * const producer = await streamer.createProducer("orders");
 * producer.send("paid");
 * for await (const message of consumer.messages({ signal: AbortSignal.timeout(1_000) })) {
 *   console.log(message.id, message.text());
 * }
 * ```
 *
 * @category Consuming
 */
export interface Consumer<M extends Message = Message> extends AsyncIterable<M>, AsyncDisposable {
  /** The shards that this consumer reads. */
  readonly streamShards: readonly StreamShard[];
  /**
   * Waits for the next message, across reconnects too. Several calls can wait; they are answered in order. An aborted call takes no
   * message.
   *
   * @throws {StreamerError} `CONSUMER_ENDED` after the end. After a fatal error every call rejects with that error. If the signal is
   * aborted, the call rejects with its reason.
   */
  next(options?: WaitOptions): Promise<M>;
  /**
   * Iterates over messages. The loop finishes quietly when the consumer ends, and throws a fatal error once. Leaving the loop ends
   * only the loop.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<M>;
  /**
   * Iterates over messages like the consumer itself, and finishes quietly on a signal. Once the signal is aborted, the loop takes no
   * more messages. With a signal that is aborted already, it takes none.
   *
   * @throws {StreamerError} `INVALID_OPTION`. While iterating, a fatal error once.
   *
   * @example Read until the signal is aborted
   * ```ts
   * import { connect } from "@sea/streamer-redis";
   *
   * await using streamer = await connect();
   * const consumer = await streamer.createConsumer("orders", { mode: "real-time" });
   * for await (const message of consumer.messages({ signal: AbortSignal.timeout(100) })) {
   *   console.log(message.text());
   * }
   * ```
   */
  messages(options?: MessagesOptions): AsyncIterableIterator<M>;
  /**
   * Iterates over arrays of messages. An array is never empty, contains messages of one shard, and is returned without waiting for
   * more messages. The loop finishes like {@linkcode messages}.
   *
   * A stored message, or a view of its bytes, keeps its whole page in memory. A `copy()` of the message does not.
   *
   * @throws {StreamerError} `INVALID_OPTION`. While iterating, a fatal error once.
   */
  batches(options?: BatchesOptions): AsyncIterableIterator<M[]>;
  /**
   * The messages as a web stream. It is always the same stream, with a `highWaterMark` of 0. Cancelling the stream releases the
   * consumer without ending it.
   */
  readonly readable: ReadableStream<M>;
  /**
   * Continues after a point in time. A Date stands for its whole millisecond; a bigint is in the unit of the stream's ids.
   *
   * When the call resolves, the position is set. No message from before the call is returned afterwards. If the call rejects, nothing
   * has changed.
   *
   * @throws {StreamerError} `INVALID_OPTION`, `CONSUMER_ENDED` or the fatal error. If the signal is aborted, the call rejects with its
   * reason.
   */
  seek(time: Date | bigint, options?: WaitOptions): Promise<void>;
  /**
   * Continues after a position: an id, a sequence, `"beginning"` or `"end"`. `"end"` is the current end of the stream.
   *
   * When the call resolves, the position is set. No message from before the call is returned afterwards. If the call rejects, nothing
   * has changed.
   *
   * @throws {StreamerError} `INVALID_OPTION`, `CONSUMER_ENDED` or the fatal error. If the signal is aborted, the call rejects with its
   * reason.
   */
  rewind(position: SeqPos, options?: WaitOptions): Promise<void>;
  /**
   * Adds a shard of a subscribed stream. Reading of it starts where `autoStreamReset` says.
   *
   * @throws {StreamerError} `STREAM_KEY_NOT_FOUND` if the stream is not subscribed. `INVALID_OPTION` if another shard has the same
   * Redis key. If the signal is aborted, the call rejects with its reason.
   */
  assign(streamKey: string, shardId: number, options?: WaitOptions): Promise<void>;
  /**
   * Removes a shard. Its prefetched messages are dropped.
   *
   * @throws {StreamerError} `STREAM_KEY_NOT_FOUND` if the shard is not read. `STREAM_KEY_EMPTY` for the last shard; nothing changes
   * then. If the signal is aborted, the call rejects with its reason.
   */
  unassign(streamKey: string, shardId: number, options?: WaitOptions): Promise<void>;
  /** Pauses: no message is returned until {@linkcode resume}, and calls that ask for messages wait. */
  pause(): void;
  /** Ends the pause. */
  resume(): void;
  /** Returns the counts of this consumer. */
  stats(): ConsumerStats;
  /** The mode, shards, group and statistics of this consumer, for `JSON.stringify`. `console.log` prints the same. */
  toJSON(): ConsumerJson;
  /**
   * Ends the consumer and closes its connection.
   *
   * At the call, waiting and later `next()` reject with `CONSUMER_ENDED`, loops finish, and `process` starts no more handlers. In a
   * group the following happens as well:
   *
   * - With `drain`, the call waits until all messages in flight are acked, nacked or termed. Until then their leases are renewed, and
   *   `ack`, `nack`, `term` and `commit` work. A message that is nacked in this time is released to other consumers at once.
   * - Prefetched messages and nacked messages are released at the call, not after the drain. Other consumers get them at their next
   *   claim scan. A message that was never returned does not count as delivered. Without an answer of the server, releasing ends after
   *   two seconds without an error. Others then claim these messages after `autoClaimIdle`.
   * - Acknowledgements are committed after the drain. With `autoCommit: "delayed"` every returned message is acknowledged.
   * - Messages that are still in flight stay pending.
   * - A generated `consumerId` leaves the group if no message is pending for it.
   *
   * The signal ends the drain, and the call rejects; acknowledgements are committed in the background. A second call waits for the end
   * too. If it has a `drain`, the drain lasts at most that much longer. `disconnect()` gives a drain at most half of its `timeout`.
   * In real time there is nothing to wait for.
   *
   * @throws {StreamerError} `INVALID_OPTION`. `TIMEOUT` if committing takes longer than `timeout`. The server's error if it refuses the
   * acknowledgements. In both cases their messages stay pending. If the signal is aborted, the call rejects with its reason; if it was
   * aborted before the call, nothing has ended.
   *
   * @example Let handlers finish before the process exits
   * ```ts
   * import { connect } from "@sea/streamer-redis";
   *
   * await using streamer = await connect();
   * const consumer = await streamer.createConsumer("orders", { mode: "load-balanced", group: "billing", autoCommit: "rolling" });
   * const producer = await streamer.createProducer("orders");
   * await producer.send("paid");
   *
   * const message = await consumer.next();
   * setTimeout(() => consumer.ack(message), 50); // the end of its handler
   * await consumer.end({ drain: 10_000 }); // waits for the ack
   * ```
   */
  end(options?: ConsumerEndOptions): Promise<void>;
}

/**
 * Options of {@linkcode GroupConsumer.seek} and {@linkcode GroupConsumer.rewind}.
 *
 * @category Consumer groups
 */
export interface MoveOptions extends WaitOptions {
  /** Whether the position of the whole group is moved, for all of its consumers. @default {false} */
  readonly group?: boolean;
}

/**
 * Receives messages through a consumer group: the server stores which messages were delivered and not acknowledged.
 *
 * Messages that are pending for this `consumerId` from a previous run are returned first, then new messages. A lost connection loses
 * no message, except with `autoCommit: "immediate"`. Messages that were delivered but never received are read again from the pending
 * list; messages that were returned are not repeated.
 *
 * Source: XREADGROUP, XACK, XPENDING and XCLAIM, Redis 5.0.
 *
 * @category Consumer groups
 */
export interface GroupConsumer<M extends Message = Message> extends Consumer<M> {
  /** The name of the group. */
  readonly groupId: string;
  /** The name of this consumer in the group. */
  readonly consumerId: string;
  /**
   * Continues after a point in time: this consumer alone, or with `group` all consumers of the group.
   *
   * A Date stands for its whole millisecond; a bigint is in the unit of the stream's ids. No message from before the call is returned
   * afterwards.
   *
   * **This consumer alone** reads without the group from then on, until it ends:
   *
   * - It reads every message after the position, also those of other consumers, each with `deliveries` 1.
   * - These messages are not added to the pending list. `ack` and `ackWith` do nothing for them, `nack` and `term` throw
   *   `UNSUPPORTED`, and `maxUnacked` does not count them.
   * - Messages that were in flight before can still be acked and committed. A `nack` releases them to other consumers.
   * - Prefetched messages are released to other consumers. With `autoCommit: "immediate"` they are lost to the group.
   * - Nothing is claimed any more.
   *
   * If the call rejects, nothing has changed.
   *
   * **With `group`**, the position of the group is moved in every shard that this consumer reads, and in shards that it would discover:
   *
   * - Other consumers that wait for messages read from the new position within ten seconds.
   * - Pending messages stay pending, and are claimed as before.
   * - Prefetched messages are released. They are not returned here again.
   * - A pending message after the position is delivered once more as new, and is then pending for the consumer that reads it. If it
   *   was in flight here, its lease is no longer renewed, and an ack of either delivery acknowledges it.
   *
   * The call waits for the connection. If it is aborted or fails, some shards may have been moved.
   *
   * Source: XREAD, or XGROUP SETID, Redis 5.0.
   *
   * @throws {StreamerError} `INVALID_OPTION`, also for `group` after this consumer has left the group. `CONSUMER_ENDED` or the fatal
   * error. With `group`, the error of a server that refuses it, such as `NOGROUP`. If the signal is aborted, the call rejects with its
   * reason.
   *
   * @example Process everything of the last hour again, by all consumers of the group
   * ```ts
   * import { connect } from "@sea/streamer-redis";
   *
   * await using streamer = await connect();
   * const consumer = await streamer.createConsumer("orders", { mode: "load-balanced", group: "billing" });
   * await consumer.seek(new Date(Date.now() - 3_600_000), { group: true });
   * ```
   */
  seek(time: Date | bigint, options?: MoveOptions): Promise<void>;
  /**
   * Continues after a position, alone or with the whole group, like {@linkcode seek}. `"end"` is the current end of the stream.
   *
   * Source: XREAD, or XGROUP SETID, Redis 5.0.
   *
   * @throws {StreamerError} The errors of {@linkcode seek}.
   */
  rewind(position: SeqPos, options?: MoveOptions): Promise<void>;
  /**
   * Adds a shard of a subscribed stream. Its messages that are pending for this consumer are returned first.
   *
   * Reading starts at the position of the group. If the group is missing, it is created where `autoStreamReset` says; with `mkstream`
   * a missing stream is created too. After a move without the group, reading starts where `autoStreamReset` says.
   *
   * @throws {StreamerError} `STREAM_KEY_NOT_FOUND` if the stream is not subscribed. `INVALID_OPTION` if another shard has the same
   * Redis key. The server's error if it refuses the group, also for a missing stream with `mkstream: false`. If the signal is aborted,
   * the call rejects with its reason. Nothing has changed then.
   */
  assign(streamKey: string, shardId: number, options?: WaitOptions): Promise<void>;
  /**
   * Removes a shard. Its prefetched messages are released to other consumers. With `autoCommit: "immediate"` they are lost to the
   * group.
   *
   * The leases of messages in flight are still renewed, and they can be acked. A `nack` releases them to other consumers.
   *
   * @throws {StreamerError} `STREAM_KEY_NOT_FOUND` if the shard is not read. `STREAM_KEY_EMPTY` for the last shard; nothing changes
   * then. If the signal is aborted, the call rejects with its reason.
   */
  unassign(streamKey: string, shardId: number, options?: WaitOptions): Promise<void>;
}

/**
 * Options of {@linkcode AckConsumer.nack}.
 *
 * @category Consumer groups
 */
export interface NackOptions {
  /** The time after which the message is delivered again, in milliseconds. @default {0} */
  readonly delay?: number;
}

/**
 * A group consumer whose messages the program acknowledges.
 *
 * With `autoCommit: "rolling"` acknowledgements are sent in the background. With `"disabled"` they are sent by
 * {@linkcode CommitConsumer.commit}.
 *
 * @example Acknowledge a message, or have it delivered again
 * ```ts
 * import { connect } from "@sea/streamer-redis";
 *
 * await using streamer = await connect();
 * const consumer = await streamer.createConsumer("orders", { mode: "load-balanced", group: "billing", autoCommit: "rolling" });
 * const producer = await streamer.createProducer("orders");
 * for (const amount of ["7", "many"]) producer.send(amount);
 *
 * for await (const message of consumer.messages({ signal: AbortSignal.timeout(1_000) })) {
 *   try {
 *     console.log("delivery", message.deliveries, BigInt(message.text())); // the work
 *     consumer.ack(message);
 *   } catch {
 *     if (message.deliveries < 3) consumer.nack(message, { delay: 100 });
 *     else consumer.term(message, "not a number");
 *   }
 * }
 * ```
 *
 * @category Consumer groups
 */
export interface AckConsumer<M extends Message = Message> extends GroupConsumer<M> {
  /**
   * Acknowledges a message. The call only queues the acknowledgement, which is sent as `autoCommit` says.
   *
   * Messages can be acknowledged in any order, and twice. An ack settles all deliveries of the message: a copy that is still queued
   * is not returned. A message that `maxHold` has released can be acknowledged too.
   *
   * Does nothing for messages that were read without the group, and after the end: such a message stays pending.
   *
   * @throws {StreamerError} `STREAM_KEY_NOT_FOUND` for a message of a shard that is not read, unless the message is in flight.
   */
  ack(message: Message): void;
  /**
   * Acknowledges a message by its identifier, also a message of a previous run. After a move without the group, only messages that
   * were in flight before the move are acknowledged.
   *
   * @throws {StreamerError} The error of {@linkcode ack}.
   */
  ackWith(identifier: Pick<MessageIdentifier, "streamKey" | "shardId" | "id">): void;
  /**
   * Has a message delivered again to this consumer, after the delay, with `deliveries` one higher.
   *
   * - Until then this consumer keeps the message. If the process crashes, another consumer claims it after `autoClaimIdle`. At `end()`
   *   it is released.
   * - If this consumer no longer reads the shard, or reads without the group, the message is released to other consumers at once.
   * - For a message that `maxHold` has released, the server first checks that it still belongs to this consumer. If it does not, a
   *   `lost` event names the message.
   * - Has no effect on messages that are not in flight, nor for an older delivery of a message that was delivered again.
   *
   * @throws {StreamerError} `INVALID_OPTION`. `STREAM_KEY_NOT_FOUND` for a message of a shard that is not read. `UNSUPPORTED` for a
   * message that was read without the group.
   */
  nack(message: Message, options?: NackOptions): void;
  /**
   * Settles a message that is never to be delivered again: writes it to the `deadLetter` stream, if there is such a stream, and
   * acknowledges it.
   *
   * That settles all deliveries of the message. If `maxHold` has released the message and another consumer has claimed it, the message
   * is left to that consumer, and a `lost` event names it. `reason` is a header of the dead letter.
   *
   * @throws {StreamerError} `INVALID_OPTION`. `STREAM_KEY_NOT_FOUND` for a message of a shard that is not read. `UNSUPPORTED` for a
   * message that was read without the group.
   */
  term(message: Message, reason?: string): void;
}

/**
 * A group consumer whose acknowledgements are sent by {@linkcode commit}.
 *
 * @category Consumer groups
 */
export interface CommitConsumer<M extends Message = Message> extends AckConsumer<M> {
  /**
   * Sends all acknowledgements, and resolves when the server has confirmed every ack from before the call.
   *
   * Source: XACK, Redis 5.0.
   *
   * @throws {StreamerError} The server's error if it refuses the acknowledgements. `DISCONNECTED` if the server cannot be reached any
   * more. `CONSUMER_ENDED` after the end. If the signal is aborted, the call rejects with its reason, and committing continues.
   */
  commit(options?: WaitOptions): Promise<void>;
}
