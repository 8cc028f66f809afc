// A consumer in a group: makes it, and offers the verbs. It must not know how any of them is carried out.

import { StreamerError } from "../../resp/errors.ts";
import { halves, type MessageId, type SeqPos } from "../model/id.ts";
import type { StreamShard } from "../model/key.ts";
import { Message, type MessageIdentifier, messagePlace } from "../model/message.ts";
import { checkBoolean, checkNames, checkNumber, invalidOption } from "../model/options.ts";
import { abortable } from "../model/abortable.ts";
import { AskingConsumer, consumerEnded } from "./asking.ts";
import type { CommitConsumer, ConsumerStats, MoveOptions, NackOptions, WaitOptions } from "./consumer.ts";
import { detailOf, discoverStreams, type FoundStream, shardsOf } from "./discover.ts";
import { Discovery } from "./discovery.ts";
import { goalOfPosition, goalOfTime } from "./goal.ts";
import type { GroupHost } from "./group_host.ts";
import type { GroupSettings } from "./group_options.ts";
import { type AdoptOptions, GroupMoves } from "./group_moves.ts";
import { GroupParts } from "./group_parts.ts";
import type { GroupShard } from "./group_shard.ts";
import { beginGroup } from "./groups.ts";
import { MAX_DELIVERIES } from "./intake.ts";
import { latecomers } from "./latecomers.ts";
import type { AckPlace } from "./ledger.ts";
import { HELD, Lot } from "./lot.ts";
import { Roster } from "./roster.ts";
import { checkDistinct, checkSubscribed, isShard, notFound, type SubscribedShard, subscribedShard } from "./shard.ts";

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
  const numbered = streamKeys.flatMap((key) => (wanted ?? []).map((shardId) => subscribedShard(key, shardId, wanted)));
  checkDistinct(numbered);
  const roster = new Roster();
  let found: readonly FoundStream[] | undefined;
  let shards: readonly GroupShard[] = [];
  let failure: StreamerError | undefined;
  try {
    if (wanted === undefined) found = await discoverStreams(streamKeys, host.anchor, signal);
    shards = (found?.flatMap(shardsOf) ?? numbered).map((shard) => roster.of(shard));
    const late = await latecomers(found ?? [], host, signal);
    await Promise.all(shards.map((shard) => {
      return beginGroup(shard, host, { signal, from: late.has(shard.redisKey) ? "beginning" : undefined });
    }));
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof StreamerError) || ["DISCONNECTED", "INVALID_OPTION"].includes(error.code)) throw error;
    failure = error; // as any fatal error it is told by next()
  }
  roster.admit(shards);
  const consumer = new GroupConsumerCore(host, { streamKeys, roster, found });
  if (failure !== undefined) {
    consumer.fail(failure);
    return consumer;
  }
  consumer.start();
  for (const detail of found?.map(detailOf) ?? []) if (detail !== undefined) host.events.shards(detail);
  return consumer;
}

/** What a consumer reads. */
interface Subscription {
  readonly streamKeys: readonly string[];
  readonly roster: Roster;
  /** What was found of each stream, where shards are discovered. */
  readonly found: readonly FoundStream[] | undefined;
}

/** A consumer in a group, with all of the verbs; which of them are offered follows from its options. */
export class GroupConsumerCore extends AskingConsumer implements CommitConsumer {
  readonly #host: GroupConsumerHost;
  readonly #streamKeys: readonly string[];
  readonly #roster: Roster;
  readonly #parts: GroupParts;
  readonly #moves: GroupMoves;
  readonly #discovery: Discovery | undefined;
  #ending: Promise<void> | undefined;

  constructor(host: GroupConsumerHost, { streamKeys, roster, found }: Subscription) {
    const onFatal = (error: StreamerError) => this.fail(error);
    const onProgress = () => this.#discovery?.progressed();
    const parts = new GroupParts(host, roster, { onFatal, onProgress });
    super(parts.inbox, host.settings.commit.autoCommit);
    this.#host = host;
    this.#streamKeys = streamKeys;
    this.#roster = roster;
    this.#parts = parts;
    const later = (signal: AbortSignal) => this.#discovery?.find(signal) ?? [];
    const onUnassigned = (shard: SubscribedShard) => this.#discovery?.dismiss(shard);
    const ports = { host, parts, roster, later, onMoved: onProgress, onUnassigned, onFatal };
    const moves = this.#moves = new GroupMoves(ports);
    this.#discovery = found && new Discovery({
      anchor: host.anchor,
      interval: host.settings.shardDiscoveryInterval,
      signal: parts.signal,
      shards: () => moves.shards,
      adopt: (addition) => moves.addLater(addition),
      isLeft: (plain, until) => moves.isLeft(plain, until),
      replace: (replacement) => moves.replace(replacement),
      onShards: host.events.shards,
    }, found);
  }

  /** @internal Begins to read. */
  start(): void {
    this.#parts.start();
    this.#discovery?.start();
  }

  get groupId(): string {
    return this.#host.member.group;
  }

  get consumerId(): string {
    return this.#host.member.consumer;
  }

  get streamShards(): readonly StreamShard[] {
    return this.#moves.shards.map(({ streamKey, shardId }) => ({ streamKey, shardId }));
  }

  /** @internal How messages are acknowledged. */
  get autoCommit(): GroupSettings["commit"]["autoCommit"] {
    return this.#host.settings.commit.autoCommit;
  }

  async seek(time: Date | bigint, options: MoveOptions = {}): Promise<void> {
    checkMove(options);
    await this.#moves.moveTo(goalOfTime(time, this.#host.timestampFormat), options);
  }

  async rewind(position: SeqPos, options: MoveOptions = {}): Promise<void> {
    checkMove(options);
    await this.#moves.moveTo(goalOfPosition(position, this.#host.anchor), options);
  }

  async assign(streamKey: string, shardId: number, { signal }: WaitOptions = {}): Promise<void> {
    checkSubscribed(this.#streamKeys, { streamKey, shardId });
    const added = this.#discovery?.shardOf(streamKey, shardId) ??
      subscribedShard(streamKey, shardId, this.#host.settings.shards);
    await this.adopt([added], { signal });
  }

  /**
   * @internal Reads more shards, whose groups begin where `from` says if they are missing; those that are read already go on
   * as they do. In force when it resolves.
   */
  async adopt(shards: readonly SubscribedShard[], options: AdoptOptions): Promise<void> {
    await this.#moves.adopt(shards, options);
  }

  async unassign(streamKey: string, shardId: number, options: WaitOptions = {}): Promise<void> {
    checkSubscribed(this.#streamKeys, { streamKey, shardId });
    await this.#moves.unassign(streamKey, shardId, options);
  }

  override ack(message: Message): void {
    if (!this.#hasVerbs) return super.ack(message);
    if (this.#isFree(message)) return; // it is pending nowhere
    const place = this.#placeOf(message);
    if (place === undefined) return this.#ackById(message.identifier);
    const { lot, index } = place;
    if (this.#parts.ledger.ack(lot, index)) return this.#acked();
    const state = lot.states[index];
    if (state === HELD.done || state === HELD.released) this.#ackIn(lot.shard, message.id); // else it is on its way
  }

  override ackWith(identifier: Pick<MessageIdentifier, "streamKey" | "shardId" | "id">): void {
    if (!this.#hasVerbs) return super.ackWith(identifier);
    this.#ackById(identifier);
  }

  override nack(message: Message, options: NackOptions = {}): void {
    if (!this.#hasVerbs) return super.nack(message, options);
    const delay = checkNumber("delay", options.delay, 0, { min: 0 });
    if (this.#isFree(message)) throw notPending("nack");
    const place = this.#placeOf(message);
    if (place === undefined) return this.#checkRead(message); // not ours to hold: whoever has it delivers it
    if (place.lot.states[place.index] !== HELD.returned) return;
    if (message.deliveries >= this.#host.settings.maxDeliveries) {
      return this.#parts.graveyard.bury(message, place, { deliveries: message.deliveries, reason: MAX_DELIVERIES });
    }
    this.#again(place, { delay });
  }

  /** @internal Takes a message back that nobody has looked at: it comes again, and that counts as no delivery. */
  putBack(message: Message): void {
    const place = this.#placeOf(message);
    if (place !== undefined) return this.#again(place, { delay: 0, seen: false });
    const mark = messagePlace(message)?.lot;
    if (mark !== undefined) this.#parts.free?.putBack(message, mark);
  }

  /** @internal Whether nothing is acknowledged any more. */
  get isEnded(): boolean {
    return this.#ending !== undefined;
  }

  override term(message: Message, reason = "terminated"): void {
    if (!this.#hasVerbs) return super.term(message, reason);
    if (typeof reason !== "string") throw invalidOption("reason", reason, "a string");
    if (this.#isFree(message)) throw notPending("term");
    const place = this.#placeOf(message);
    if (place === undefined) return this.#checkRead(message);
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
    const { ledger, free } = this.#parts;
    const shard = this.#roster.find({ streamKey, shardId });
    halves(id); // throws for what is none
    if (shard !== undefined && (shard.active || ledger.find(shard, id) !== undefined)) return this.#ackIn(shard, id);
    const isFree = free?.shards.some((one) => isShard(one, streamKey, shardId)) ?? false;
    if (!isFree) throw notFound(streamKey, shardId); // else it was read without the group, and is pending for others, if at all
  }

  /** An entry of a shard that is, or was, read through the group. */
  #ackIn(shard: GroupShard, id: MessageId): void {
    const { ledger } = this.#parts;
    const place = ledger.find(shard, id);
    if (place === undefined) ledger.ackForeign(shard, id);
    else ledger.ack(place.lot, place.index);
    this.#acked();
  }

  /** A message in the user's hands is to be delivered again: here, or to others if its shard is read no more. */
  #again({ lot, index }: AckPlace, how: { readonly delay: number; readonly seen?: boolean }): void {
    const { ledger, redelivery, releaser } = this.#parts;
    if (!ledger.move(lot, index, HELD.nacked)) return;
    if (lot.shard.active) return redelivery.add({ lot, index }, how);
    ledger.finish(lot, index);
    releaser.give(lot.shard, [lot.idAt(index)]);
    this.#parts.eased();
  }

  /** Whether a message was read by this consumer without its group. */
  #isFree(message: Message): boolean {
    const { free } = this.#parts;
    if (free === undefined || !(message instanceof Message)) return false;
    const place = messagePlace(message);
    return place !== undefined && free.hasRead(place.lot);
  }

  /** Where a message is held; `undefined` for one of another consumer, or of an earlier life. */
  #placeOf(message: Message): AckPlace | undefined {
    if (!(message instanceof Message)) throw invalidOption("message", message, "a message of this consumer");
    const place = messagePlace(message);
    if (place === undefined || !(place.lot instanceof Lot)) return undefined;
    return this.#roster.known.includes(place.lot.shard) ? { lot: place.lot, index: place.index } : undefined;
  }

  /** Refuses a message of a shard that is not read. */
  #checkRead({ streamKey, shardId }: StreamShard): void {
    if (!this.#moves.shards.some((one) => isShard(one, streamKey, shardId))) throw notFound(streamKey, shardId);
  }
}

/** Longest that an end waits for the server to end a blocked read; where it is slower, entries may be handed to nobody. */
const UNBLOCK_LIMIT = 1_000;

function checkMove(options: MoveOptions): void {
  checkNames("options of a move", options, ["signal", "group"]);
  checkBoolean("group", options.group, false);
}

function notPending(verb: string): StreamerError {
  return new StreamerError(
    "UNSUPPORTED",
    `Cannot ${verb} a message that was read without the group as it must be pending there`,
  );
}
