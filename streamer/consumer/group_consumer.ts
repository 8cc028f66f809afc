// A consumer in a group: makes it, and offers the verbs. It must not know how any of them is carried out.

import { StreamerError } from "../../resp/errors.ts";
import { FIRST_ID, halves } from "../model/id.ts";
import type { StreamShard } from "../model/key.ts";
import { Message, type MessageIdentifier, messagePlace } from "../model/message.ts";
import { checkNumber, invalidOption } from "../model/options.ts";
import { abortable } from "./abortable.ts";
import { AskingConsumer, consumerEnded } from "./asking.ts";
import type { CommitConsumer, ConsumerStats, NackOptions, WaitOptions } from "./consumer.ts";
import type { GroupHost } from "./group_host.ts";
import type { GroupSettings } from "./group_options.ts";
import { GroupParts } from "./group_parts.ts";
import { type GroupShard, shardName } from "./group_shard.ts";
import { beginGroup } from "./groups.ts";
import { MAX_DELIVERIES } from "./intake.ts";
import type { AckPlace } from "./ledger.ts";
import { HELD, Lot } from "./lot.ts";
import { checkDistinct, isShard, subscribedShard } from "./shard.ts";

/** What a consumer in a group asks of the house it lives in, and whom it tells. */
export interface GroupConsumerHost extends GroupHost {
  /** It has ended. */
  readonly onEnded: (consumer: GroupConsumerCore) => void;
}

/** Makes a consumer whose groups are there, so that what is written from now on is not missed. */
export async function createGroupConsumer(
  host: GroupConsumerHost,
  streamKeys: readonly string[],
  signal: AbortSignal,
): Promise<GroupConsumerCore> {
  const { shards: wanted } = host.settings;
  const numbers = wanted ?? [0];
  const subscribed = streamKeys.flatMap((key) => numbers.map((shardId) => subscribedShard(key, shardId, wanted)));
  checkDistinct(subscribed);
  const shards = subscribed.map((shard): GroupShard => ({
    ...shard,
    position: FIRST_ID,
    state: "ready",
    replayed: false,
  }));
  let failure: StreamerError | undefined;
  try {
    await Promise.all(shards.map((shard) => beginGroup(shard, host, signal)));
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof StreamerError) || error.code === "DISCONNECTED") throw error;
    failure = error; // as any fatal error it is told by next()
  }
  const consumer = new GroupConsumerCore(host, shards);
  if (failure === undefined) consumer.start();
  else consumer.fail(failure);
  return consumer;
}

/** A consumer in a group, with all of the verbs; which of them are offered follows from its options. */
export class GroupConsumerCore extends AskingConsumer implements CommitConsumer {
  readonly #host: GroupConsumerHost;
  readonly #shards: readonly GroupShard[];
  readonly #parts: GroupParts;
  #ending: Promise<void> | undefined;

  constructor(host: GroupConsumerHost, shards: readonly GroupShard[]) {
    const parts = new GroupParts(host, shards, { onFatal: (error) => this.fail(error) });
    super(parts.inbox, host.settings.commit.autoCommit);
    this.#host = host;
    this.#shards = shards;
    this.#parts = parts;
  }

  /** @internal Begins to read. */
  start(): void {
    this.#parts.start();
  }

  get groupId(): string {
    return this.#host.member.group;
  }

  get consumerId(): string {
    return this.#host.member.consumer;
  }

  get streamShards(): readonly StreamShard[] {
    return this.#shards.map(shardName);
  }

  /** @internal How messages are acknowledged. */
  get autoCommit(): GroupSettings["commit"]["autoCommit"] {
    return this.#host.settings.commit.autoCommit;
  }

  seek(_time: Date | bigint): Promise<void> {
    return Promise.reject(notMoved());
  }

  rewind(_position: unknown): Promise<void> {
    return Promise.reject(notMoved());
  }

  assign(_streamKey: string, _shardId: number): Promise<void> {
    return Promise.reject(notMoved());
  }

  unassign(_streamKey: string, _shardId: number): Promise<void> {
    return Promise.reject(notMoved());
  }

  override ack(message: Message): void {
    if (!this.#hasVerbs) return super.ack(message);
    const place = this.#placeOf(message);
    if (place === undefined || !this.#parts.ledger.ack(place.lot, place.index)) {
      const state = place?.lot.states[place.index];
      if (state === undefined || state === HELD.done || state === HELD.released) {
        return this.#ackById(message.identifier);
      }
      return; // it is on its way
    }
    this.#acked();
  }

  override ackWith(identifier: Pick<MessageIdentifier, "streamKey" | "shardId" | "id">): void {
    if (!this.#hasVerbs) return super.ackWith(identifier);
    this.#ackById(identifier);
  }

  override nack(message: Message, options: NackOptions = {}): void {
    if (!this.#hasVerbs) return super.nack(message, options);
    const delay = checkNumber("delay", options.delay, 0, { min: 0 });
    const place = this.#placeOf(message);
    if (place === undefined) return void this.#shardOf(message); // not ours to hold: whoever has it delivers it
    if (place.lot.states[place.index] !== HELD.returned) return;
    if (message.deliveries >= this.#host.settings.maxDeliveries) {
      return this.#parts.graveyard.bury(message, place, { deliveries: message.deliveries, reason: MAX_DELIVERIES });
    }
    if (this.#parts.ledger.move(place.lot, place.index, HELD.nacked)) this.#parts.redelivery.add(place, { delay });
  }

  /** @internal Takes a message back that nobody has looked at: it comes again, and that counts as no delivery. */
  putBack(message: Message): void {
    const place = this.#placeOf(message);
    if (place === undefined || !this.#parts.ledger.move(place.lot, place.index, HELD.nacked)) return;
    this.#parts.redelivery.add(place, { delay: 0, seen: false });
  }

  /** @internal Whether nothing is acknowledged any more. */
  get isEnded(): boolean {
    return this.#ending !== undefined;
  }

  override term(message: Message, reason = "terminated"): void {
    if (!this.#hasVerbs) return super.term(message, reason);
    if (typeof reason !== "string") throw invalidOption("reason", reason, "a string");
    const place = this.#placeOf(message);
    if (place === undefined) return void this.#shardOf(message);
    this.#parts.graveyard.bury(message, place, { deliveries: message.deliveries, reason });
  }

  override commit(options: WaitOptions = {}): Promise<void> {
    if (this.autoCommit !== "disabled") return super.commit(options);
    if (this.#parts.isClosed) return Promise.reject(consumerEnded());
    return this.flushAcks(options);
  }

  /** @internal Sends what was acknowledged, whatever the policy; resolves when the server has said so. */
  async flushAcks(options: WaitOptions = {}): Promise<void> {
    options.signal?.throwIfAborted();
    const buried = abortable(this.#parts.graveyard.settle(), options.signal); // a dead letter that has no room holds up no ack
    await Promise.all([this.#parts.committer.flush(options.signal), buried]);
  }

  stats(): ConsumerStats {
    const { queued, queuedBytes, delivered } = this.#parts.inbox;
    const { inHand, unsent, sending, confirmed } = this.#parts.ledger;
    return {
      queued,
      queuedBytes,
      inHand,
      unsentAcks: unsent + sending,
      delivered,
      acked: confirmed,
      claimed: this.#parts.claimer.claimed,
      replayed: this.#parts.replay.replayed,
      gaps: this.#parts.gaps,
    };
  }

  override end(options: WaitOptions & { readonly timeout?: number } = {}): Promise<void> {
    if (this.#ending !== undefined) return this.#ending.catch(() => {}); // its first caller is told
    let limit: number;
    try {
      limit = checkNumber("timeout", options.timeout, this.#host.timeout, { min: 0 });
      options.signal?.throwIfAborted();
    } catch (error) {
      return Promise.reject(error); // nothing has ended
    }
    return this.#ending = this.#end(limit, options.signal);
  }

  /** @internal Ends reading with this error. What was acknowledged can still be committed, by `end`. */
  fail(error: StreamerError): void {
    this.#parts.stop(error);
    this.#parts.reader.close(error);
  }

  async #end(limit: number, signal: AbortSignal | undefined): Promise<void> {
    const { clock } = this.#host.anchor;
    this.#parts.stop(consumerEnded());
    if (this.autoCommit === "delayed") this.#parts.ledger.ackReturned(Infinity);
    const late = new AbortController();
    const unread = new AbortController();
    const timers = [clock.after(Math.min(limit, UNBLOCK_LIMIT), () => unread.abort())];
    timers.push(clock.after(limit, () => {
      late.abort(new StreamerError("TIMEOUT", `Cannot commit within ${limit} ms: what is left stays pending`));
    }));
    const finished = this.#parts.reader.finish(unread.signal).then(() => this.#parts.reader.close(consumerEnded()));
    try {
      await this.flushAcks({ signal: signal === undefined ? late.signal : AbortSignal.any([late.signal, signal]) });
      await finished;
    } finally {
      unread.abort();
      this.#parts.reader.close(consumerEnded());
      for (const timer of timers) timer.stop();
      this.#parts.close();
      this.#host.onEnded(this);
    }
  }

  get #hasVerbs(): boolean {
    return this.autoCommit === "rolling" || this.autoCommit === "disabled";
  }

  #acked(): void {
    this.#parts.committer.touch();
    this.#parts.eased();
  }

  #ackById({ streamKey, shardId, id }: Pick<MessageIdentifier, "streamKey" | "shardId" | "id">): void {
    const shard = this.#shardOf({ streamKey, shardId });
    halves(id); // throws for what is none
    const place = this.#parts.ledger.find(shard, id);
    if (place === undefined) this.#parts.ledger.ackForeign(shard, id);
    else this.#parts.ledger.ack(place.lot, place.index);
    this.#acked();
  }

  /** Where a message is held; `undefined` for one of another consumer, or of an earlier life. */
  #placeOf(message: Message): AckPlace | undefined {
    if (!(message instanceof Message)) throw invalidOption("message", message, "a message of this consumer");
    const place = messagePlace(message);
    if (place === undefined || !(place.lot instanceof Lot)) return undefined;
    return this.#shards.includes(place.lot.shard) ? { lot: place.lot, index: place.index } : undefined;
  }

  #shardOf({ streamKey, shardId }: StreamShard): GroupShard {
    const shard = this.#shards.find((one) => isShard(one, streamKey, shardId));
    if (shard !== undefined) return shard;
    throw new StreamerError(
      "STREAM_KEY_NOT_FOUND",
      `Cannot find shard ${shardId} of ${JSON.stringify(streamKey)} among the subscribed ones`,
    );
  }
}

/** Longest that an end waits for the server to end a blocked read; where it is slower, entries may be handed to nobody. */
const UNBLOCK_LIMIT = 1_000;

function notMoved(): StreamerError {
  return new StreamerError("UNSUPPORTED", "Cannot move a consumer in a group as that is not built yet");
}
