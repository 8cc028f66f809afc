// The record of a send. One object is the receipt, the waiter for the server's reply and the place of the message's bytes, since
// every message needs one.

import type { RespDecoder } from "../../../resp/decoder.ts";
import type { StreamerError } from "../../../resp/errors.ts";
import type { Waiter } from "../../../resp/connection/pipeline/pipeline.ts";
import { type CompactId, expandId } from "../../commands/xadd.ts";
import { dateOf, type MessageId, sequenceOf, type TimestampFormat } from "../../model/id.ts";
import { printAs, sequenceText, timeText } from "../../model/printing.ts";
import type { FlushScope } from "./send_failures.ts";
import type { Chunk } from "./chunk.ts";
import type { Target } from "./target.ts";

/**
 * The outcome of a send.
 *
 * - `"pending"`: not known yet.
 * - `"acked"`: the message is stored.
 * - `"not-written"`: the message is not in the stream and will not be.
 * - `"unknown"`: the connection was lost before the reply, so the message may be stored.
 *
 * @category Producing
 */
export type SendOutcome = "pending" | "acked" | "not-written" | "unknown";

/**
 * The JSON form of a {@linkcode Receipt}.
 *
 * @category Producing
 */
export interface ReceiptJson {
  /** The stream of the message. */
  readonly streamKey: string;
  /** The shard of the message. */
  readonly shardId: number;
  /** The id of the message. */
  readonly id: MessageId;
  /** The sequence in decimal, or `null` if the id has none. */
  readonly sequence: string | null;
  /** The time in the id, in the format of `Date.toISOString`. `null` if `Date` cannot represent it. */
  readonly timestamp: string | null;
}

/**
 * The receipt of a stored message.
 *
 * @example
 * ```ts
 * import { connect } from "@sea/streamer-redis";
 *
 * await using streamer = await connect();
 * const producer = await streamer.createProducer("orders");
 * const receipt = await producer.send("paid");
 * console.log(receipt.streamKey, receipt.shardId, receipt.id, receipt.timestamp);
 * ```
 *
 * @category Producing
 */
export class Receipt {
  static {
    printAs(
      this.prototype,
      "Receipt",
      ({ streamKey, shardId, id, timestamp }) => ({ streamKey, shardId, id, timestamp }),
    );
  }

  /** The stream of the message. */
  readonly streamKey: string;
  /** The shard of the message. 0 for a stream without shards. */
  readonly shardId: number;
  /** The id that the server assigned to the message. */
  readonly id: MessageId;
  readonly #format: TimestampFormat;

  /** @internal Created by a producer. */
  constructor(shard: { readonly streamKey: string; readonly shardId: number }, id: MessageId, format: TimestampFormat) {
    this.streamKey = shard.streamKey;
    this.shardId = shard.shardId;
    this.id = id;
    this.#format = format;
  }

  /**
   * The id as one number: the first half shifted left by 16 bits, plus the second half.
   *
   * @throws {StreamerError} `UNSUPPORTED` if the second half of the id is above 65,535.
   */
  get sequence(): bigint {
    return sequenceOf(this.id);
  }

  /** The time in the id, rounded down to milliseconds. */
  get timestamp(): Date {
    return dateOf(this.id, this.#format);
  }

  /** The receipt for `JSON.stringify`, with the sequence as text. */
  toJSON(): ReceiptJson {
    const { streamKey, shardId, id, timestamp } = this;
    return { streamKey, shardId, id, sequence: sequenceText(id), timestamp: timeText(timestamp) };
  }
}

/** The JSON form of a {@linkcode SendReceipt}. */
interface SendReceiptJson {
  /** The current outcome. */
  readonly outcome: SendOutcome;
  /** The stream of the message. */
  readonly streamKey: string;
  /** The shard of the message. */
  readonly shardId: number;
  /** The id of the message, once it is stored. */
  readonly id?: MessageId;
}

/**
 * The promise of a {@linkcode Receipt}. It is returned by `send`, and costs almost nothing until it is awaited.
 *
 * Awaiting is optional. A failed send that is not awaited never causes an unhandled rejection. Instead, the next `flush()` or
 * `end()` of the producer rejects with `SEND_FAILED`. The error of a failed send has an `outcome`.
 *
 * Source: the future that `Producer::send` of sea-streamer returns.
 *
 * @category Producing
 */
export interface SendReceipt extends PromiseLike<Receipt> {
  /** The current outcome. It can be read without awaiting the receipt. */
  readonly outcome: SendOutcome;
  /** The same as `then` of a promise. */
  then<A = Receipt, B = never>(
    onfulfilled?: ((receipt: Receipt) => A | PromiseLike<A>) | null,
    // deno-lint-ignore no-explicit-any -- as Promise declares it, so that a receipt can replace a promise
    onrejected?: ((reason: any) => B | PromiseLike<B>) | null,
  ): Promise<A | B>;
  /** The same as `catch` of a promise. */
  // deno-lint-ignore no-explicit-any -- as Promise declares it
  catch<T = never>(onrejected?: ((reason: any) => T | PromiseLike<T>) | null): Promise<Receipt | T>;
  /** The same as `finally` of a promise. */
  finally(onfinally?: (() => void) | null): Promise<Receipt>;
}

/** The states of a record. `queued`: it is not written, or has to be written again. `written`: its reply is outstanding. */
export const STATE = Object.freeze({ queued: 0, written: 1, acked: 2, failed: 3 });

interface Deferred {
  readonly promise: Promise<Receipt>;
  readonly resolve: (receipt: Receipt) => void;
  readonly reject: (reason: unknown) => void;
}

/** The place of a message's bytes, and its position in the order of the calls. */
export interface RecordPlace {
  readonly chunk: Chunk | undefined;
  readonly from: number;
  readonly to: number;
  readonly serial: number;
  readonly acceptedAt: number;
}

/** Fields that few records need. They are separate, since every message has a record until it is settled. */
interface Extra {
  failure: unknown;
  /** The mark of a failure that counts as unseen. */
  unseen: number | undefined;
  /** Whether the receipt was rejected while the message is still in flight. */
  abandoned: boolean;
  /** Called when the record is settled, to remove listeners. */
  release: (() => void) | undefined;
  idText: MessageId | undefined;
}

/** One message, from its call until it is settled. */
export class SendRecord implements SendReceipt, Waiter, CompactId {
  static {
    printAs(this.prototype, "SendReceipt", (record) => record.toJSON());
  }

  state: number = STATE.queued;
  /** Whether the message was in flight when a connection was lost, so that it may already be stored. */
  doubtful = false;
  /**
   * Until the message is stored: NaN, if it has an own timestamp and the producer chooses the ids. The time of the first write, if the
   * server remembers the numbers of messages.
   */
  idFirst = 0;
  idSecond = 0;
  /** The index of the id in its chunk, if the producer chooses it or the time in it. Otherwise -1. */
  stampAt = -1;
  /** The chunk of its bytes. Released when the message is settled. */
  chunk: Chunk | undefined;
  readonly from: number;
  readonly to: number;
  readonly target: Target<SendRecord>;
  readonly scope: FlushScope;
  /** Its position in the order of the calls. */
  readonly serial: number;
  /** The time of the call, in whole milliseconds of the producer's clock. */
  readonly acceptedAt: number;
  #deferred: Deferred | undefined = undefined;
  #extra: Extra | undefined = undefined;

  constructor(target: Target<SendRecord>, scope: FlushScope, place: RecordPlace) {
    this.target = target;
    this.scope = scope;
    this.chunk = place.chunk;
    this.from = place.from;
    this.to = place.to;
    this.serial = place.serial;
    this.acceptedAt = place.acceptedAt;
  }

  get outcome(): SendOutcome {
    if (this.state === STATE.acked) return "acked";
    if (this.state !== STATE.failed) return "pending";
    return this.doubtful ? "unknown" : "not-written";
  }

  /** @internal Whether it was written and its reply is outstanding. */
  get inFlight(): boolean {
    return this.state === STATE.written;
  }

  get settled(): boolean {
    return this.state >= STATE.acked;
  }

  get idText(): MessageId | undefined {
    return this.#extra?.idText;
  }

  set idText(text: MessageId | undefined) {
    this.#more().idText = text;
  }

  /** @internal Called once the record is settled, after a failure was counted. */
  set release(release: () => void) {
    this.#more().release = release;
  }

  /** @internal The reason of its failure. */
  get failure(): unknown {
    return this.#extra?.failure;
  }

  /** @internal The program sees its failure in another way: it no longer counts as unseen. */
  reported(): void {
    const extra = this.#extra;
    if (extra?.unseen === undefined) return;
    this.scope.handle.seen(this, extra.unseen);
    extra.unseen = undefined;
  }

  then<A = Receipt, B = never>(
    onfulfilled?: ((receipt: Receipt) => A | PromiseLike<A>) | null,
    onrejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#promise().then(onfulfilled, onrejected);
  }

  catch<T = never>(onrejected?: ((reason: unknown) => T | PromiseLike<T>) | null): Promise<Receipt | T> {
    return this.#promise().catch(onrejected);
  }

  finally(onfinally?: (() => void) | null): Promise<Receipt> {
    return this.#promise().finally(onfinally);
  }

  /** Only these properties are shown: the chunk contains the payloads of other messages. */
  toJSON(): SendReceiptJson {
    const { outcome, target: { streamKey, shardId } } = this;
    return { outcome, streamKey, shardId, ...(this.state === STATE.acked ? { id: expandId(this) } : {}) };
  }

  /** @internal Reads the reply. */
  reply(decoder: RespDecoder): void {
    this.target.link?.replied(this, decoder);
  }

  /** @internal The connection was lost before the reply. */
  lost(cause: StreamerError): void {
    this.target.link?.lost(this, cause);
  }

  /** @internal The server stored the message. */
  resolve(): void {
    this.state = STATE.acked;
    this.#extra?.release?.();
    this.#deferred?.resolve(this.#receipt());
  }

  /** @internal The message failed. If it may be stored, `doubtful` was set before. */
  reject(reason: unknown): void {
    this.state = STATE.failed;
    const extra = this.#more();
    if (!extra.abandoned) extra.failure = reason; // an abandoned receipt keeps the reason of its signal
    if (this.#deferred === undefined) extra.unseen = this.scope.handle.unseen(this, reason);
    else if (!extra.abandoned) this.#deferred.reject(reason);
    extra.release?.();
  }

  /** @internal Rejects the receipt of a message in flight. Only `outcome` shows whether the message is stored. */
  abandon(reason: unknown): void {
    const extra = this.#more();
    extra.abandoned = true;
    extra.failure = reason;
    this.#deferred?.reject(reason);
  }

  #more(): Extra {
    return this.#extra ??= {
      failure: undefined,
      unseen: undefined,
      abandoned: false,
      release: undefined,
      idText: undefined,
    };
  }

  #receipt(): Receipt {
    return new Receipt(this.target, expandId(this), this.target.timestampFormat);
  }

  #promise(): Promise<Receipt> {
    if (this.#deferred !== undefined) return this.#deferred.promise;
    const deferred: Deferred = Promise.withResolvers<Receipt>();
    this.#deferred = deferred;
    if (this.#extra?.abandoned || this.state === STATE.failed) {
      this.reported();
      deferred.reject(this.failure);
    } else if (this.state === STATE.acked) {
      deferred.resolve(this.#receipt());
    }
    return deferred.promise;
  }
}
