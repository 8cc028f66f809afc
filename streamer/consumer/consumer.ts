// What a program holds to receive messages: asking, moving, acknowledging, ending. Which of it a consumer offers follows from
// its options. It must not know how any of it is done.

import type { SeqPos } from "../model/id.ts";
import type { StreamShard } from "../model/key.ts";
import type { Message, MessageIdentifier } from "../model/message.ts";

/** What a call that waits can be told. */
export interface WaitOptions {
  /** Ends the waiting; the call rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Numbers of what a consumer has done and holds. */
export interface ConsumerStats {
  /** Messages read ahead and not handed out. */
  readonly queued: number;
  /** Bytes of the pages they stand in. */
  readonly queuedBytes: number;
  /** Messages handed out and not acknowledged; 0 in real time. */
  readonly inHand: number;
  /** Acknowledgements not sent; 0 in real time. */
  readonly unsentAcks: number;
  /** Messages handed out. */
  readonly delivered: number;
  /** Messages acknowledged; 0 in real time. */
  readonly acked: number;
  /** Messages taken over from others; 0 in real time. */
  readonly claimed: number;
  /** Messages of an earlier life or a lost connection; 0 in real time. */
  readonly replayed: number;
  /** Messages that were gone before they could be handed out; 0 in real time. */
  readonly gaps: number;
}

/**
 * Receives messages of one or several streams; with a codec, messages that have a `value`.
 *
 * `next`, loops, batches and `readable` may be mixed, and used at the same time: each message goes to exactly one
 * asker, those of one shard in the order of their ids. Pages are read ahead while messages are handed out. A lost
 * connection is taken up again behind the last message read, without loss or repetition.
 *
 * Source: XREAD and XREADGROUP, Redis 5.0.
 *
 * @example
 * ```ts no-eval
 * import { connect } from "@sea/streamer-redis";
 *
 * await using streamer = await connect("redis://localhost");
 * const consumer = await streamer.createConsumer("orders", { mode: "real-time" });
 * for await (const message of consumer) console.log(message.id, message.text());
 * ```
 */
export interface Consumer<M extends Message = Message> extends AsyncIterable<M>, AsyncDisposable {
  /** The shards that are read. */
  readonly streamShards: readonly StreamShard[];
  /**
   * Waits for the next message, over reconnects too. Several calls may wait, and are answered in order; an aborted one
   * takes no message.
   *
   * @throws {StreamerError} `CONSUMER_ENDED` after the end; after an error that reconnecting cannot heal, always that error;
   * the signal's reason.
   */
  next(options?: WaitOptions): Promise<M>;
  /** Iterates over messages; leaving the loop ends only the loop. Throws a fatal error once; finishes quietly on `end()`. */
  [Symbol.asyncIterator](): AsyncIterableIterator<M>;
  /**
   * Iterates over what is there: non-empty arrays of messages of one shard, at most `max` (default: all of a page), never
   * waiting to fill one. A message, or a view of its bytes, that is kept keeps its whole page; `copy()` does not.
   *
   * @throws {StreamerError} `INVALID_OPTION`; while iterating, a fatal error once.
   */
  batches(options?: { readonly max?: number }): AsyncIterableIterator<M[]>;
  /** The messages as a web stream; always the same one. Cancelling it releases the consumer without ending it. */
  readonly readable: ReadableStream<M>;
  /**
   * Goes on behind a time, the whole of its millisecond for a Date. No message from before the call is delivered
   * afterwards. If it rejects, nothing has changed.
   *
   * @throws {StreamerError} `INVALID_OPTION`, `CONSUMER_ENDED` or the fatal error; the signal's reason.
   */
  seek(time: Date | bigint, options?: WaitOptions): Promise<void>;
  /**
   * Goes on behind a position; `"end"` is where the stream ends now. No message from before the call is delivered
   * afterwards. If it rejects, nothing has changed.
   *
   * @throws {StreamerError} `INVALID_OPTION`, `CONSUMER_ENDED` or the fatal error; the signal's reason.
   */
  rewind(position: SeqPos, options?: WaitOptions): Promise<void>;
  /**
   * Reads one more shard of a subscribed stream, from where `autoStreamReset` says. In force when it resolves.
   *
   * @throws {StreamerError} `STREAM_KEY_NOT_FOUND` for a stream that is not subscribed; `INVALID_OPTION` for a shard whose
   * Redis key is read already as another's; the signal's reason.
   */
  assign(streamKey: string, shardId: number, options?: WaitOptions): Promise<void>;
  /**
   * Reads one shard less; what was read ahead of it is thrown away. In force when it resolves.
   *
   * @throws {StreamerError} `STREAM_KEY_NOT_FOUND` for what is not read; `STREAM_KEY_EMPTY` for the last one: then nothing
   * changes. The signal's reason.
   */
  unassign(streamKey: string, shardId: number, options?: WaitOptions): Promise<void>;
  /** Hands out no message until {@linkcode resume}; what is asked meanwhile waits. */
  pause(): void;
  /** Hands out messages again. */
  resume(): void;
  /** What has been done so far. */
  stats(): ConsumerStats;
  /**
   * Ends reading and closes the connection; who waits gets `CONSUMER_ENDED`. A second call does nothing.
   *
   * In a group, what was acknowledged is committed before; where time acknowledges, everything that was returned is, whatever
   * its age. The rest stays pending. In real time there is nothing to wait for.
   *
   * @throws {StreamerError} `TIMEOUT` where that took longer than `timeout` (milliseconds, by default that of `connect`), the
   * signal's reason, or what the server refused: what was not committed then stays pending.
   */
  end(options?: WaitOptions & { readonly timeout?: number }): Promise<void>;
}

/** How a consumer in a group is moved. */
export interface MoveOptions extends WaitOptions {
  /** Whether the group is moved, with all of its consumers, instead of this consumer alone. @default {false} */
  readonly group?: boolean;
}

/**
 * Receives messages through a consumer group: the server remembers what was delivered and not acknowledged.
 *
 * First comes what is pending for this consumer from an earlier life, then what is new. A lost connection loses nothing
 * (except with `autoCommit: "immediate"`): what the server had handed out and the connection swallowed is read again, without
 * what was returned.
 *
 * Source: XREADGROUP, XACK, XPENDING and XCLAIM, Redis 5.0.
 */
export interface GroupConsumer<M extends Message = Message> extends Consumer<M> {
  /** The group's name. */
  readonly groupId: string;
  /** This consumer's name in the group. */
  readonly consumerId: string;
  /**
   * Goes on behind a time, the whole of its millisecond for a Date: alone, or with `group` the whole group. No message from
   * before the call is delivered afterwards.
   *
   * **Alone**, it reads without the group from then on, until it ends: everything that is behind the position, also what
   * others of the group have, each with `deliveries` 1. What it reads so is pending nowhere: `ack` and `ackWith` send
   * nothing for it, `nack` and `term` throw `UNSUPPORTED`, `maxUnacked` does not count it, and nothing is claimed any more.
   * What was in the user's hands before stays there and alive: it can be acked and committed; a `nack` gives it to the
   * others, since it does not come here again. What was read ahead is given back, so that others can claim it at once; with
   * `autoCommit: "immediate"` the server counts it as read, and it is lost to the group. If it rejects, nothing has changed.
   *
   * **With `group`**, the position of the group is moved in every shard that is read here, and in those that are there and
   * would be found next, for all of its consumers: those that wait for messages notice within ten seconds. What is pending
   * stays pending, and is claimed as ever where others have left it lying. What was read ahead here is given back as above: it
   * comes here no more, and does not keep this consumer from leaving a plain key for shards that are found. An entry that is
   * pending already and lies behind the position is delivered once more as new, to whichever consumer reads it, and is
   * pending for that one alone; one that is in the user's hands, here, is no longer kept alive, an ack that was not sent
   * counts no more, and an ack of either delivery acknowledges it. Waits for the connection. On the signal, or at an error,
   * some shards may have been moved; where it was aborted before, none.
   *
   * Source: XREAD, or XGROUP SETID, Redis 5.0.
   *
   * @throws {StreamerError} `INVALID_OPTION`, also for `group` once the consumer reads without it; `CONSUMER_ENDED` or the
   * fatal error; with `group` what the server refuses, `NOGROUP` for one; the signal's reason.
   *
   * @example
   * ```ts no-eval
   * import { connect } from "@sea/streamer-redis";
   *
   * await using streamer = await connect("redis://localhost");
   * const consumer = await streamer.createConsumer("orders", { mode: "load-balanced", group: "billing" });
   * await consumer.seek(new Date("2024-01-01"), { group: true }); // everybody, once more from there
   * ```
   */
  seek(time: Date | bigint, options?: MoveOptions): Promise<void>;
  /**
   * Goes on behind a position: alone, or with `group` the whole group, as {@linkcode seek} does. `"end"` is where the stream
   * ends now.
   *
   * Source: XREAD, or XGROUP SETID, Redis 5.0.
   *
   * @throws {StreamerError} as {@linkcode seek}.
   */
  rewind(position: SeqPos, options?: MoveOptions): Promise<void>;
  /**
   * Reads one more shard of a subscribed stream, at its group's position; a group that is missing begins as `autoStreamReset`
   * says. What is pending of it for this consumer comes first. Without the group, it begins as `autoStreamReset` says. In
   * force when it resolves.
   *
   * @throws {StreamerError} `STREAM_KEY_NOT_FOUND` for a stream that is not subscribed; `INVALID_OPTION` for a shard whose
   * Redis key is read already as another's; what the server refuses, also for a missing stream without `mkstream`; the
   * signal's reason. Nothing has changed then.
   */
  assign(streamKey: string, shardId: number, options?: WaitOptions): Promise<void>;
  /**
   * Reads one shard less. What was read ahead of it is given back, so that others can claim it at once (with
   * `autoCommit: "immediate"` the server counts it as read, and it is lost to the group); what is in the user's hands stays there
   * and alive, and a `nack` of it gives it to the others. In force when it resolves.
   *
   * @throws {StreamerError} `STREAM_KEY_NOT_FOUND` for what is not read; `STREAM_KEY_EMPTY` for the last one: then nothing
   * changes. The signal's reason.
   */
  unassign(streamKey: string, shardId: number, options?: WaitOptions): Promise<void>;
}

/** How a message is to be delivered again. */
export interface NackOptions {
  /** Milliseconds until then. @default {0} */
  readonly delay?: number;
}

/**
 * A consumer in a group whose messages are acknowledged by its user; with `autoCommit: "rolling"` by itself from then on.
 *
 * @example
 * ```ts no-eval
 * import { connect } from "@sea/streamer-redis";
 *
 * await using streamer = await connect("redis://localhost");
 * const consumer = await streamer.createConsumer("orders", {
 *   mode: "load-balanced",
 *   group: "billing",
 *   autoCommit: "rolling",
 * });
 * for await (const message of consumer) {
 *   try {
 *     console.log(message.text());
 *     consumer.ack(message);
 *   } catch {
 *     consumer.nack(message, { delay: 1_000 });
 *   }
 * }
 * ```
 */
export interface AckConsumer<M extends Message = Message> extends GroupConsumer<M> {
  /**
   * The message is done with. It is only noted here, and sent as `autoCommit` says. Any order will do; twice is harmless.
   *
   * After `end()` it is accepted and comes to nothing: the message stays pending. So it is for what was read without the
   * group, which is pending nowhere.
   *
   * @throws {StreamerError} `STREAM_KEY_NOT_FOUND` for a message of a shard that is not read, unless it is in the user's hands.
   */
  ack(message: Message): void;
  /**
   * The same by what names the message; one of an earlier life is acknowledged as asked. Once the consumer reads without its
   * group, only what was in the user's hands before is acknowledged, and the rest comes to nothing.
   */
  ackWith(identifier: Pick<MessageIdentifier, "streamKey" | "shardId" | "id">): void;
  /**
   * The message is to be delivered again, here, after the delay, `deliveries` one higher. Until then it is held for it; if
   * this process dies it is claimed by others as any message, and at `end()` it stays pending. Where it has been moved away from
   * since, or its shard unassigned, it is given to the others instead. What is not in the user's hands
   * is left as it is. Once its shard is read no more, or without the group, it goes to the others instead, and at once.
   *
   * @throws {StreamerError} `INVALID_OPTION`; `STREAM_KEY_NOT_FOUND` for a message of a shard that is not read; `UNSUPPORTED`
   * for one that was read without the group.
   */
  nack(message: Message, options?: NackOptions): void;
  /**
   * The message is never to be delivered again: it goes to the `deadLetter` stream, if there is one, and is acknowledged.
   *
   * @throws {StreamerError} `STREAM_KEY_NOT_FOUND` for a message of a shard that is not read; `UNSUPPORTED` for one that was
   * read without the group.
   */
  term(message: Message, reason?: string): void;
}

/** A consumer in a group whose acknowledgements are sent when it says so. */
export interface CommitConsumer<M extends Message = Message> extends AckConsumer<M> {
  /**
   * Sends what was acknowledged, and resolves when the server has said so of all that was acknowledged before.
   *
   * Source: XACK, Redis 5.0.
   *
   * @throws {StreamerError} what the server refuses; `DISCONNECTED` where it cannot be reached any more; the signal's reason,
   * with which only the waiting ends.
   */
  commit(options?: WaitOptions): Promise<void>;
}
