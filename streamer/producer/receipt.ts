// What a send gives back: a record that is the receipt, the waiter for the server's reply and the place of the
// message's bytes in one, since there is one for every message. It must not know when anything is sent.

import type { RespDecoder } from "../../resp/decoder.ts";
import type { StreamerError } from "../../resp/errors.ts";
import type { Waiter } from "../../resp/connection/pipeline.ts";
import { type CompactId, expandId } from "../commands/xadd.ts";
import { dateOf, type MessageId, sequenceOf, type TimestampFormat } from "../model/id.ts";
import type { Batch } from "./batch.ts";
import type { Chunk } from "./chunk.ts";
import type { Target } from "./target.ts";

/** What is known of a send: nothing yet, stored, surely not in the stream, or lost with its connection. */
export type SendOutcome = "pending" | "acked" | "not-written" | "unknown";

/** Where and as what a message was stored. */
export class Receipt {
  /** The stream it was sent to. */
  readonly streamKey: string;
  /** The shard it went to; 0 for a stream without shards. */
  readonly shardId: number;
  /** The id the server gave it. */
  readonly id: MessageId;
  readonly #format: TimestampFormat;

  /** Made by the producer. */
  constructor(shard: { readonly streamKey: string; readonly shardId: number }, id: MessageId, format: TimestampFormat) {
    this.streamKey = shard.streamKey;
    this.shardId = shard.shardId;
    this.id = id;
    this.#format = format;
  }

  /** The id as one number; throws `UNSUPPORTED` where its second half is above 65535. */
  get sequence(): bigint {
    return sequenceOf(this.id);
  }

  /** The time in the id. */
  get timestamp(): Date {
    return dateOf(this.id, this.#format);
  }
}

/**
 * The promise of a receipt, made only when somebody asks for it.
 *
 * It can be awaited, or ignored: ignoring it never raises an unhandled rejection; a failure nobody has seen makes the
 * next `flush()` or `end()` of its producer reject. A failed send rejects with an error whose `outcome` tells what
 * became of the message.
 *
 * Source: the future that `Producer::send` of sea-streamer returns.
 */
export interface SendReceipt extends PromiseLike<Receipt> {
  /** What is known so far. */
  readonly outcome: SendOutcome;
  /** As of a promise. */
  then<A = Receipt, B = never>(
    onfulfilled?: ((receipt: Receipt) => A | PromiseLike<A>) | null,
    // deno-lint-ignore no-explicit-any -- as Promise declares it, so that a receipt can stand wherever a promise can
    onrejected?: ((reason: any) => B | PromiseLike<B>) | null,
  ): Promise<A | B>;
  /** As of a promise. */
  // deno-lint-ignore no-explicit-any -- as Promise declares it
  catch<T = never>(onrejected?: ((reason: any) => T | PromiseLike<T>) | null): Promise<Receipt | T>;
  /** As of a promise. */
  finally(onfinally?: (() => void) | null): Promise<Receipt>;
}

/** Where a record stands. `queued`: its bytes wait to be written, perhaps again. `written`: a reply is awaited. */
export const STATE = Object.freeze({ queued: 0, written: 1, acked: 2, failed: 3 });

interface Deferred {
  readonly promise: Promise<Receipt>;
  readonly resolve: (receipt: Receipt) => void;
  readonly reject: (reason: unknown) => void;
}

/** Where a message's bytes stand, and where it stands among the others. */
export interface RecordPlace {
  readonly chunk: Chunk | undefined;
  readonly from: number;
  readonly to: number;
  readonly serial: number;
  readonly acceptedAt: number;
  /** Where in the chunk its time is to be written each time it is sent. */
  readonly stampAt: number | undefined;
}

/** What only few records need: kept apart, since a record is made for every message and lives until it is settled. */
interface Extra {
  failure: unknown;
  /** The ledger's mark of a failure that counts among those nobody has seen. */
  unseen: number | undefined;
  /** Whether the waiting has ended, though the message has not. */
  abandoned: boolean;
  /** Called when it is settled, by whoever listens to its signal. */
  release: (() => void) | undefined;
  idText: MessageId | undefined;
  /** Where in the chunk its time is to be written. */
  stampAt: number | undefined;
}

const nodeInspect: unique symbol = Symbol.for("nodejs.util.inspect.custom");
const denoInspect: unique symbol = Symbol.for("Deno.customInspect");

/** One message on its way. */
export class SendRecord implements SendReceipt, Waiter, CompactId {
  state: number = STATE.queued;
  /** Whether it was in flight at a cut: it may be in the stream already. */
  doubtful = false;
  idFirst = 0;
  idSecond = 0;
  /** Where its bytes stand; released when it is settled. */
  chunk: Chunk | undefined;
  readonly from: number;
  readonly to: number;
  readonly target: Target<SendRecord>;
  readonly batch: Batch;
  /** Its place in the order of the calls. */
  readonly serial: number;
  /** When it was accepted, in whole milliseconds of the producer's clock. */
  readonly acceptedAt: number;
  #deferred: Deferred | undefined = undefined;
  #extra: Extra | undefined = undefined;

  constructor(target: Target<SendRecord>, batch: Batch, place: RecordPlace) {
    this.target = target;
    this.batch = batch;
    this.chunk = place.chunk;
    this.from = place.from;
    this.to = place.to;
    this.serial = place.serial;
    this.acceptedAt = place.acceptedAt;
    if (place.stampAt !== undefined) this.#more().stampAt = place.stampAt;
  }

  get outcome(): SendOutcome {
    if (this.state === STATE.acked) return "acked";
    if (this.state !== STATE.failed) return "pending";
    return this.doubtful ? "unknown" : "not-written";
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

  /** @internal Where in its chunk its time is to be written, each time it is sent. */
  get stampAt(): number | undefined {
    return this.#extra?.stampAt;
  }

  /** @internal Whom to call when it is settled. */
  set release(release: () => void) {
    this.#more().release = release;
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

  /** What is shown of it: its chunk holds the payloads of others. */
  toJSON(): { readonly outcome: SendOutcome; readonly streamKey: string } {
    return { outcome: this.outcome, streamKey: this.target.streamKey };
  }

  /** The same for Node and Bun. */
  [nodeInspect](): ReturnType<SendRecord["toJSON"]> {
    return this.toJSON();
  }

  /** The same for Deno. */
  [denoInspect](inspect: (value: unknown) => string): string {
    return inspect(this.toJSON());
  }

  /** @internal The reply is there. */
  reply(decoder: RespDecoder): void {
    this.target.carrier.replied(this, decoder);
  }

  /** @internal The connection was lost before the reply. */
  lost(cause: StreamerError): void {
    this.target.carrier.lost(this, cause);
  }

  /** @internal The server has stored it. */
  resolve(): void {
    this.state = STATE.acked;
    this.#extra?.release?.();
    this.#deferred?.resolve(this.#receipt());
  }

  /** @internal It failed; `doubtful` has been set before if it may be in the stream. */
  reject(reason: unknown): void {
    this.state = STATE.failed;
    const extra = this.#more();
    extra.release?.();
    if (extra.abandoned) { // whoever awaited it was told why the waiting ended; else the failure is nobody's yet
      if (this.#deferred === undefined) extra.unseen = this.batch.handle.unseen(this, reason);
      return;
    }
    extra.failure = reason;
    if (this.#deferred !== undefined) return this.#deferred.reject(reason);
    extra.unseen = this.batch.handle.unseen(this, reason);
  }

  /** @internal Ends the waiting for a message that has left; what becomes of it shows in `outcome` alone. */
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
      stampAt: undefined,
    };
  }

  #receipt(): Receipt {
    return new Receipt(this.target, expandId(this), this.target.carrier.timestampFormat);
  }

  #promise(): Promise<Receipt> {
    if (this.#deferred !== undefined) return this.#deferred.promise;
    const deferred: Deferred = Promise.withResolvers<Receipt>();
    this.#deferred = deferred;
    const extra = this.#extra;
    if (extra?.abandoned || this.state === STATE.failed) {
      if (extra?.unseen !== undefined) this.batch.handle.seen(this, extra.unseen);
      if (extra !== undefined) extra.unseen = undefined;
      deferred.reject(extra?.failure);
    } else if (this.state === STATE.acked) {
      deferred.resolve(this.#receipt());
    }
    return deferred.promise;
  }
}
