// A consumer in a group: puts together what reads, keeps, claims, acknowledges and buries, and offers the verbs. It must not know
// how any of them does it.

import { StreamerError } from "../../resp/errors.ts";
import type { RedisNode } from "../../resp/connection/node.ts";
import type { GroupMember } from "../commands/xreadgroup.ts";
import { FIRST_ID, halves, type MessageId, type TimestampFormat } from "../model/id.ts";
import type { StreamShard } from "../model/key.ts";
import { Message, type MessageIdentifier, messagePlace } from "../model/message.ts";
import { checkNumber, invalidOption } from "../model/options.ts";
import { abortable } from "./abortable.ts";
import type { AnchorPorts } from "./anchor.ts";
import { AskingConsumer, consumerEnded } from "./asking.ts";
import { type ClaimedDetail, Claimer } from "./claimer.ts";
import { MAX_UNCOMMITTED } from "./commit_policy.ts";
import { Committer } from "./committer.ts";
import type { CommitConsumer, ConsumerStats, NackOptions, WaitOptions } from "./consumer.ts";
import { type DeadLetterDetail, Graveyard } from "./graveyard.ts";
import type { GroupSettings } from "./group_options.ts";
import { GroupReader } from "./group_reader.ts";
import { type GroupShard, shardName } from "./group_shard.ts";
import { beginGroup, Groups, type RecreatedDetail } from "./groups.ts";
import { Inbox } from "./inbox.ts";
import { Intake, MAX_DELIVERIES } from "./intake.ts";
import { Keeper } from "./keeper.ts";
import { type AckPlace, Ledger } from "./ledger.ts";
import { HELD, Lot } from "./lot.ts";
import { RedeliveryQueue } from "./redelivery.ts";
import { Replay } from "./replay.ts";
import { checkDistinct, isShard, subscribedShard } from "./shard.ts";

/** Entries of one shard that something has happened to. */
export interface EntriesDetail {
  readonly streamKey: string;
  readonly shardId: number;
  readonly group: string;
  readonly ids: readonly MessageId[];
}

/** The events of a consumer in a group. */
export interface GroupEvents {
  readonly claimed: (detail: ClaimedDetail) => void;
  readonly lost: (detail: EntriesDetail) => void;
  readonly released: (detail: EntriesDetail) => void;
  readonly gap: (detail: EntriesDetail) => void;
  readonly groupRecreated: (detail: RecreatedDetail) => void;
  readonly streamReset: (detail: Omit<RecreatedDetail, "group">) => void;
  readonly deadLetter: (detail: DeadLetterDetail) => void;
  readonly fenceUnavailable: (detail: { readonly node: string; readonly cause: unknown }) => void;
}

/** What a consumer in a group asks of the house it lives in. */
export interface GroupHost {
  readonly node: RedisNode;
  readonly settings: GroupSettings;
  readonly member: GroupMember;
  readonly anchor: AnchorPorts;
  readonly timestampFormat: TimestampFormat;
  /** The payload's field. */
  readonly field: Uint8Array;
  /** Longest that an end may take, in milliseconds, if nothing else is said. */
  readonly timeout: number;
  readonly events: GroupEvents;
  /** It has ended. */
  readonly onEnded: (consumer: GroupConsumerCore) => void;
}

/** Makes a consumer whose groups are there, so that what is written from now on is not missed. */
export async function createGroupConsumer(
  host: GroupHost,
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
  const consumer = new GroupConsumerCore(host, streamKeys, shards);
  if (failure === undefined) consumer.start();
  else consumer.fail(failure);
  return consumer;
}

/** A consumer in a group, with all of the verbs; which of them are offered follows from its options. */
export class GroupConsumerCore extends AskingConsumer implements CommitConsumer {
  readonly #host: GroupHost;
  readonly #streamKeys: readonly string[];
  readonly #shards: readonly GroupShard[];
  readonly #inbox: Inbox;
  readonly #ledger: Ledger;
  readonly #committer: Committer;
  readonly #reader: GroupReader;
  readonly #replay: Replay;
  readonly #claimer: Claimer;
  readonly #keeper: Keeper;
  readonly #graveyard: Graveyard;
  readonly #redelivery: RedeliveryQueue;
  readonly #closing = new AbortController(); // of reading
  readonly #ended = new AbortController(); // of acknowledging, too
  #ending: Promise<void> | undefined;
  #exclusive: Promise<unknown> = Promise.resolve();
  #gaps = 0;
  #full = false; // whether somebody was refused since there was room last
  #awaiting = false; // whether streams that were missing are looked for

  constructor(host: GroupHost, streamKeys: readonly string[], shards: readonly GroupShard[]) {
    const { node, settings, member, anchor, timestampFormat, field, events } = host;
    const { autoCommit } = settings.commit;
    const inbox: Inbox = new Inbox({ wanted: () => this.#wanted() });
    super(inbox, autoCommit);
    this.#host = host;
    this.#streamKeys = streamKeys;
    this.#shards = shards;
    this.#inbox = inbox;
    const onFatal = (error: StreamerError) => this.fail(error);
    const onGone = (shard: GroupShard, ids: readonly MessageId[]) => this.#gone(shard, ids);
    const allShards = () => this.#shards;
    const count = () => this.#reader.count;
    const exclusively = <T>(work: () => Promise<T>) => this.#exclusively(work);
    const { signal } = this.#closing;
    const ledger = this.#ledger = new Ledger({ byTime: autoCommit === "delayed" });
    const committer = this.#committer = new Committer({
      anchor,
      group: member.group,
      policy: settings.commit,
      ledger,
      onSent: () => this.#eased(),
      onFatal,
    });
    const graveyard = this.#graveyard = new Graveyard({
      anchor,
      member,
      ledger,
      target: settings.deadLetter,
      signal: this.#ended.signal,
      onBuried: (detail) => {
        events.deadLetter(detail);
        this.#eased();
      },
      onFatal,
    });
    const allowance = (lot: Lot) => this.#allowance(lot);
    const intake = new Intake({
      clock: anchor.clock,
      settings,
      timestampFormat,
      field,
      inbox,
      ledger,
      committer,
      graveyard,
      allowance,
    });
    const shared = { anchor, settings, member, ledger, inbox, intake, signal, count, exclusively, onGone, onFatal };
    const tell = (event: (detail: EntriesDetail) => void) => (shard: GroupShard, ids: readonly MessageId[]) =>
      event({ ...shardName(shard), group: member.group, ids });
    const onSized = (entries: number, bytes: number) => this.#reader.sized(entries, bytes);
    this.#replay = new Replay({ ...shared, clock: anchor.clock, onSized });
    this.#claimer = new Claimer({
      ...shared,
      shards: allShards,
      room: () => this.#reader.room(),
      onClaimed: events.claimed,
    });
    this.#redelivery = new RedeliveryQueue({ ...shared, onDropped: () => this.#eased() });
    this.#keeper = new Keeper({
      ...shared,
      shards: allShards,
      onLost: tell(events.lost),
      onReleased: tell(events.released),
      onGroupMissing: (shard, cause) => groups.lookFor([shard], cause),
      onVerified: () => this.#eased(),
    });
    const groups = new Groups({
      ...shared,
      onLost: (shard) => this.#orphan(shard),
      onReady: (shard) => {
        shard.replayed = true; // what an earlier life had left is gone with its group
        this.#reader.joined();
      },
      onRecreated: events.groupRecreated,
      onReset: events.streamReset,
    });
    this.#reader = new GroupReader({
      ...shared,
      node,
      groups,
      replay: this.#replay,
      isFull: () => this.#room === 0,
      onFenceUnavailable: events.fenceUnavailable,
    }, shards);
  }

  /** @internal Begins to read. */
  start(): void {
    this.#reader.start();
    this.#keeper.start();
    this.#claimer.start();
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
    if (place === undefined || !this.#ledger.ack(place.lot, place.index)) {
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
      return this.#graveyard.bury(message, place, { deliveries: message.deliveries, reason: MAX_DELIVERIES });
    }
    if (this.#ledger.move(place.lot, place.index, HELD.nacked)) this.#redelivery.add(place, { delay });
  }

  /** @internal Takes a message back that nobody has looked at: it comes again, and that counts as no delivery. */
  putBack(message: Message): void {
    const place = this.#placeOf(message);
    if (place === undefined || !this.#ledger.move(place.lot, place.index, HELD.nacked)) return;
    this.#redelivery.add(place, { delay: 0, seen: false });
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
    this.#graveyard.bury(message, place, { deliveries: message.deliveries, reason });
  }

  override commit(options: WaitOptions = {}): Promise<void> {
    if (this.autoCommit !== "disabled") return super.commit(options);
    if (this.#ended.signal.aborted) return Promise.reject(consumerEnded());
    return this.flushAcks(options);
  }

  /** @internal Sends what was acknowledged, whatever the policy; resolves when the server has said so. */
  async flushAcks(options: WaitOptions = {}): Promise<void> {
    options.signal?.throwIfAborted();
    const buried = abortable(this.#graveyard.settle(), options.signal); // a dead letter that has no room holds up no ack
    await Promise.all([this.#committer.flush(options.signal), buried]);
  }

  stats(): ConsumerStats {
    const { queued, queuedBytes, delivered } = this.#inbox;
    const { inHand, unsent, sending, confirmed } = this.#ledger;
    return {
      queued,
      queuedBytes,
      inHand,
      unsentAcks: unsent + sending,
      delivered,
      acked: confirmed,
      claimed: this.#claimer.claimed,
      replayed: this.#replay.replayed,
      gaps: this.#gaps,
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
    this.#stop(error);
    this.#reader.close(error);
  }

  #stop(error: StreamerError): void {
    this.#inbox.end(error);
    this.#closing.abort(error);
    this.#keeper.close();
    this.#redelivery.close();
  }

  async #end(limit: number, signal: AbortSignal | undefined): Promise<void> {
    const { clock } = this.#host.anchor;
    this.#stop(consumerEnded());
    if (this.autoCommit === "delayed") this.#ledger.ackReturned(Infinity);
    const late = new AbortController();
    const unread = new AbortController();
    const timers = [clock.after(Math.min(limit, UNBLOCK_LIMIT), () => unread.abort())];
    timers.push(clock.after(limit, () => {
      late.abort(new StreamerError("TIMEOUT", `Cannot commit within ${limit} ms: what is left stays pending`));
    }));
    const finished = this.#reader.finish(unread.signal).then(() => this.#reader.close(consumerEnded()));
    try {
      await this.flushAcks({ signal: signal === undefined ? late.signal : AbortSignal.any([late.signal, signal]) });
      await finished;
    } finally {
      unread.abort();
      this.#reader.close(consumerEnded());
      for (const timer of timers) timer.stop();
      this.#ended.abort(consumerEnded());
      this.#committer.close();
      this.#host.onEnded(this);
    }
  }

  get #hasVerbs(): boolean {
    return this.autoCommit === "rolling" || this.autoCommit === "disabled";
  }

  /** How many more messages may be handed out; where none may, whoever asked is told when that has changed. */
  get #room(): number {
    const { inHand, nacked, unsent } = this.#ledger;
    const room = Math.min(this.#host.settings.maxUnacked - inHand - nacked, MAX_UNCOMMITTED - unsent);
    if (room > 0) return room;
    this.#full = true;
    return 0;
  }

  #allowance(lot: Lot): number {
    const room = this.#room;
    if (room === 0 || !this.#keeper.isStale(lot)) return room;
    this.#full = true;
    this.#keeper.verify(); // after which there is room again
    return 0;
  }

  /** Somebody asks for what is not there, or a page has been handed out to its end. */
  #wanted(): void {
    this.#reader.fill();
    if (!this.#awaiting && this.#inbox.asked && this.#shards.some(({ state }) => state === "missing")) this.#await();
  }

  /** Streams were missing when this consumer was made. If they still are when somebody asks, that is an error. */
  async #await(): Promise<void> {
    this.#awaiting = true;
    const { signal } = this.#closing;
    try {
      const missing = this.#shards.filter(({ state }) => state === "missing");
      await Promise.all(missing.map((shard) => beginGroup(shard, this.#host, signal)));
      for (const shard of missing) shard.replayed = true; // there was no stream, and so no earlier life
      this.#reader.joined();
    } catch (error) {
      if (!signal.aborted && error instanceof StreamerError) this.fail(error);
    }
    this.#awaiting = false;
  }

  #acked(): void {
    this.#committer.touch();
    this.#eased();
  }

  /** Fewer messages are in the user's hands, or more may be handed out: who was refused is served. Cheap where nobody was. */
  #eased(): void {
    if (!this.#full) return;
    this.#full = false;
    this.#inbox.serve();
    this.#reader.fill();
  }

  #ackById({ streamKey, shardId, id }: Pick<MessageIdentifier, "streamKey" | "shardId" | "id">): void {
    const shard = this.#shardOf({ streamKey, shardId });
    halves(id); // throws for what is none
    const place = this.#ledger.find(shard, id);
    if (place === undefined) this.#ledger.ackForeign(shard, id);
    else this.#ledger.ack(place.lot, place.index);
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

  /** Entries that are pending and no longer in their stream: nobody can have them, so that they are acknowledged. */
  #gone(shard: GroupShard, ids: readonly MessageId[]): void {
    this.#gaps += ids.length;
    this.#committer.dismiss(shard, ids);
    this.#host.events.gap({ ...shardName(shard), group: this.groupId, ids });
  }

  /** What is held of a shard whose group is gone is pending nowhere, and kept by nobody but us. */
  #orphan(shard: GroupShard): void {
    for (const lot of this.#ledger.lotsOf(shard)) lot.orphaned = true;
    this.#eased(); // they need no looking at any more
  }

  /** One at a time. */
  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#exclusive.then(work);
    this.#exclusive = result.catch(() => {});
    return result;
  }
}

/** Longest that an end waits for the server to end a blocked read; where it is slower, entries may be handed to nobody. */
const UNBLOCK_LIMIT = 1_000;

function notMoved(): StreamerError {
  return new StreamerError("UNSUPPORTED", "Cannot move a consumer in a group as that is not built yet");
}
