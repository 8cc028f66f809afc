// A consumer in a group: its creation, and its verbs.

import { StreamerError } from "../../resp/errors.ts";
import { halves, type SeqPos } from "../model/id.ts";
import type { StreamShard } from "../model/key.ts";
import { Message, type MessageIdentifier, messagePlace } from "../model/message.ts";
import { checkBoolean, checkNames, checkNumber, checkSignal, invalidOption } from "../model/options.ts";
import { abortable } from "../model/abortable.ts";
import { type ServerAccess, UNMADE } from "./server/server.ts";
import { AskingConsumer, checkEnd, checkWait, consumerEnded } from "./delivery/base_consumer.ts";
import type {
  CommitConsumer,
  ConsumerEndOptions,
  ConsumerJson,
  ConsumerStats,
  MoveOptions,
  NackOptions,
  WaitOptions,
} from "./consumer.ts";
import { FixedShards, type ShardSource, shardSource } from "./shards/shard_source.ts";
import { Ending, type EndLimits } from "./group/session/ending.ts";
import { targetOfPosition, targetOfTime } from "./reading/seek_target.ts";
import type { GroupContext } from "./group/context.ts";
import type { GroupSettings } from "./group_options.ts";
import { type AdoptOptions, GroupMoves } from "./group/moves.ts";
import { GroupSession } from "./group/session/group_session.ts";
import type { GroupShard } from "./shards/group_shard.ts";
import { beginGroup } from "./group/groups.ts";
import { lateShards } from "./group/late_shards.ts";
import { type EntryPlace, PendingBatch } from "./pending/pending_batch.ts";
import type { Worker } from "./pending/releases.ts";
import { ShardAssignment } from "./shards/assignment.ts";
import { checkSubscribed, isShard, notFound, type SubscribedShard } from "./shards/shard.ts";

/** What a consumer in a group works with, and the listeners of its end. */
export interface GroupConsumerContext extends GroupContext {
  /** Access to the server during the creation, limited to the `timeout` of `connect`. */
  readonly creating: ServerAccess;
  /** The consumer has failed for good. It can still commit acknowledgements. */
  readonly onFailed: (consumer: GroupConsumerCore) => void;
  /** The consumer has ended. */
  readonly onEnded: (consumer: GroupConsumerCore) => void;
}

/** Creates a consumer and its groups, so that messages that are written from now on are not missed. */
export async function createGroupConsumer(
  context: GroupConsumerContext,
  streamKeys: readonly string[],
  signal: AbortSignal,
): Promise<GroupConsumerCore> {
  const fixed = new FixedShards(streamKeys, context.settings.shards);
  const assignment = new ShardAssignment();
  const creating = { ...context, server: context.creating };
  let source: ShardSource = fixed;
  let shards: readonly GroupShard[] = [];
  let failure: StreamerError | undefined;
  try {
    source = await shardSource(streamKeys, fixed, { ...context, onShards: context.events.shards, signal });
    shards = source.shards.map((shard) => assignment.of(shard));
    const late = await lateShards(source.streams, creating, signal);
    await Promise.all(shards.map((shard) => {
      return beginGroup(shard, creating, { signal, from: late.has(shard.redisKey) ? "beginning" : undefined });
    }));
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof StreamerError) || UNMADE.includes(error.code)) throw error;
    failure = error; // as any fatal error, it rejects next()
  }
  assignment.admit(shards);
  const consumer = new GroupConsumerCore(context, { streamKeys, assignment, source });
  if (failure !== undefined) {
    consumer.fail(failure);
    return consumer;
  }
  consumer.start();
  return consumer;
}

/** What a consumer reads. */
interface Subscription {
  readonly streamKeys: readonly string[];
  readonly assignment: ShardAssignment;
  readonly source: ShardSource;
}

/** A consumer in a group with all verbs. Its options decide which of them its type has. */
export class GroupConsumerCore extends AskingConsumer implements CommitConsumer {
  readonly #context: GroupConsumerContext;
  readonly #streamKeys: readonly string[];
  readonly #assignment: ShardAssignment;
  readonly #session: GroupSession;
  readonly #moves: GroupMoves;
  readonly #source: ShardSource;
  readonly #end: Ending;
  #ending: Promise<void> | undefined;

  constructor(context: GroupConsumerContext, { streamKeys, assignment, source }: Subscription) {
    const onFatal = (error: StreamerError) => this.fail(error);
    const onProgress = () => source.progressed();
    const session = new GroupSession(context, assignment, { onFatal, onProgress });
    super(session.queue, context.settings.commit.autoCommit);
    this.#context = context;
    this.#streamKeys = streamKeys;
    this.#assignment = assignment;
    this.#session = session;
    this.#source = source;
    const later = (signal: AbortSignal) => source.later(signal);
    const onUnassigned = (shard: SubscribedShard) => source.unassigned(shard);
    const ports = { context, session, assignment, later, onMoved: onProgress, onUnassigned, onFatal };
    this.#moves = new GroupMoves(ports);
    this.#end = new Ending({ context, session, assignment, flushAcks: (signal) => this.flushAcks({ signal }) });
  }

  /** @internal Starts reading. */
  start(): void {
    this.#session.start();
    this.#source.start(this.#moves);
  }

  get groupId(): string {
    return this.#context.member.group;
  }

  get consumerId(): string {
    return this.#context.member.consumer;
  }

  get streamShards(): readonly StreamShard[] {
    return this.#moves.shards.map(({ streamKey, shardId }) => ({ streamKey, shardId }));
  }

  /** @internal How messages are acknowledged. */
  override get autoCommit(): GroupSettings["commit"]["autoCommit"] {
    return this.#context.settings.commit.autoCommit;
  }

  /** @internal Acknowledges messages together with the outputs of their handlers. */
  get outputGate(): GroupSession["outputGate"] {
    return this.#session.outputGate;
  }

  /** @internal Whether other consumers of the group get messages of the same shards. */
  get sharesShards(): boolean {
    return this.#context.settings.mode === "load-balanced";
  }

  async seek(time: Date | bigint, options: MoveOptions = {}): Promise<void> {
    checkMove(options);
    await this.#moves.moveTo(targetOfTime(time, this.#context.timestampFormat), options);
  }

  async rewind(position: SeqPos, options: MoveOptions = {}): Promise<void> {
    checkMove(options);
    await this.#moves.moveTo(targetOfPosition(position, this.#context.server), options);
  }

  async assign(streamKey: string, shardId: number, options: WaitOptions = {}): Promise<void> {
    const signal = checkWait("assign", options);
    checkSubscribed(this.#streamKeys, { streamKey, shardId });
    const added = this.#source.shardOf(streamKey, shardId);
    await this.adopt([added], { signal });
  }

  /**
   * @internal Reads more shards, whose groups begin where `from` says if they are missing; those that are read already continue
   * unchanged. The change has taken effect when the call resolves.
   */
  async adopt(shards: readonly SubscribedShard[], options: AdoptOptions): Promise<void> {
    await this.#moves.adopt(shards, options);
  }

  async unassign(streamKey: string, shardId: number, options: WaitOptions = {}): Promise<void> {
    checkWait("unassign", options);
    checkSubscribed(this.#streamKeys, { streamKey, shardId });
    await this.#moves.unassign(streamKey, shardId, options);
  }

  override ack(message: Message): void {
    if (!this.#hasVerbs) return super.ack(message);
    if (this.#isFree(message)) return; // it is not pending
    const place = this.#placeOf(message);
    if (place === undefined) return this.#ackById(message.identifier);
    this.#session.parts.settlement.ack(place);
    if (this.#ending !== undefined) this.#session.drain.check();
  }

  override ackWith(identifier: Pick<MessageIdentifier, "streamKey" | "shardId" | "id">): void {
    if (!this.#hasVerbs) return super.ackWith(identifier);
    this.#ackById(identifier);
  }

  override nack(message: Message, options: NackOptions = {}): void {
    if (!this.#hasVerbs) return super.nack(message, options);
    checkNames("options of nack", options, ["delay"]);
    const delay = checkNumber("delay", options.delay, 0, { min: 0 });
    if (this.#isFree(message)) throw notPending("nack");
    const place = this.#placeOf(message);
    if (place === undefined) return this.#checkRead(message); // another consumer has it, and delivers it again
    this.#session.parts.settlement.nack(message, place, delay);
    if (this.#ending !== undefined) this.#session.drain.check();
  }

  /** @internal Takes back a message that was not looked at: it is delivered again, and this delivery does not count. */
  putBack(message: Message): void {
    const place = this.#placeOf(message);
    if (place !== undefined) {
      this.#session.parts.settlement.putBack(place);
      return this.#session.drain.check();
    }
    const mark = messagePlace(message)?.batch;
    if (mark !== undefined) this.#session.standalone?.putBack(message, mark);
  }

  /** @internal A message waits for its turn: until {@linkcode begin} it counts as read ahead. */
  postpone(message: Message): void {
    const place = this.#placeOf(message);
    if (place !== undefined) this.#session.pendingEntries.postpone(place);
  }

  /**
   * @internal Begins with a postponed message; false if it was lost or released. Returns a promise if its lease has to be verified
   * first, as this process was stopped or cut off for long: then call again.
   */
  begin(message: Message): boolean | Promise<void> {
    const place = this.#placeOf(message);
    if (place === undefined) return true; // read without the group
    const { batch, index } = place;
    const { parts: { leaseRenewer }, signal } = this.#session;
    if (signal.aborted || !batch.isInFlight(index)) return false;
    if (leaseRenewer.isStale(batch)) return leaseRenewer.whenVerified(batch.shard);
    batch.markDelivered(index, this.#context.server.clock.now());
    return true;
  }

  /** @internal Notes the text of the error with which a handler has failed: a dead letter of the message contains it. */
  noteFailure(message: Message, text: string): void {
    const place = this.#placeOf(message);
    place?.batch.noteFailure(place.index, text);
  }

  /** @internal Adds a list of messages that handlers work on, which are not delivered again. The returned function removes it. */
  attend(worker: Worker): () => void {
    const leave = this.#session.pendingEntries.releases.attend(worker);
    return () => {
      leave();
      this.#session.drain.check();
    };
  }

  /** @internal Whether nothing is acknowledged any more. */
  get isEnded(): boolean {
    return this.#ending !== undefined && !this.#session.drain.isActive;
  }

  override term(message: Message, reason = "terminated"): void {
    if (!this.#hasVerbs) return super.term(message, reason);
    if (typeof reason !== "string") throw invalidOption("reason", reason, "a string");
    if (this.#isFree(message)) throw notPending("term");
    const place = this.#placeOf(message);
    if (place === undefined) return this.#checkRead(message);
    this.#session.parts.settlement.term(message, place, reason);
    if (this.#ending !== undefined) this.#session.drain.check();
  }

  override commit(options: WaitOptions = {}): Promise<void> {
    if (this.autoCommit !== "disabled") return super.commit(options);
    return this.#commit(options);
  }

  async #commit(options: WaitOptions): Promise<void> {
    checkWait("commit", options);
    if (this.#session.acking.aborted) throw consumerEnded();
    await this.flushAcks(options);
  }

  /** @internal Sends acknowledgements whatever the policy; resolves when the server has confirmed them. */
  async flushAcks(options: WaitOptions = {}): Promise<void> {
    options.signal?.throwIfAborted();
    const deadLettered = abortable(this.#session.parts.deadLetters.settle(), options.signal); // a dead letter that waits for the server delays no ack
    await Promise.all([this.#session.parts.committer.flush(options.signal), deadLettered]);
  }

  toJSON(): ConsumerJson {
    const { groupId, consumerId, streamShards } = this;
    return { mode: this.#context.settings.mode, groupId, consumerId, streamShards, ...this.stats() };
  }

  stats(): ConsumerStats {
    const { queued, queuedBytes, delivered } = this.#session.queue;
    const { inFlight, unsent, sending, confirmed } = this.#session.pendingEntries;
    return {
      queued,
      queuedBytes,
      inHand: inFlight,
      unsentAcks: unsent + sending,
      delivered,
      acked: confirmed,
      claimed: this.#session.parts.claimer.claimed,
      replayed: this.#session.parts.replay.replayed,
      gaps: this.#session.parts.committer.dismissed,
    };
  }

  override end(options: ConsumerEndOptions = {}): Promise<void> {
    try {
      const limits = checkEnd(options, this.#context.timeout);
      options.signal?.throwIfAborted();
      if (this.#ending === undefined) {
        this.#ending = this.#run({ ...limits, drain: this.#hasVerbs ? limits.drain : 0 });
        return this.#awaitEnd(this.#ending, options.signal);
      }
    } catch (error) {
      return Promise.reject(error); // nothing has ended
    }
    if (options.drain !== undefined) this.#session.drain.shorten(options.drain);
    return this.#awaitEnd(this.#ending.catch(() => {}), options.signal); // its first caller gets the error
  }

  /** @internal Ends when the streamer disconnects, within so many milliseconds. */
  shutdown(limit: number): Promise<void> {
    if (this.#ending === undefined) return this.end({ timeout: limit });
    this.#end.hurry(limit);
    return this.end();
  }

  /** @internal Ends reading with this error. `end` can still commit acknowledgements. */
  fail(error: StreamerError): void {
    if (this.#ending !== undefined) return; // messages in flight can still be settled
    this.#session.stop(error);
    this.#session.parts.reader.close(error);
    this.#context.onFailed(this);
  }

  async #run(limits: EndLimits): Promise<void> {
    try {
      await this.#end.run(limits);
    } finally {
      this.#context.onEnded(this);
    }
  }

  /** The signal ends the drain, and the waiting. Acknowledgements are committed nevertheless. */
  async #awaitEnd(ending: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
    const endDrain = () => this.#session.drain.shorten(0);
    signal?.addEventListener("abort", endDrain, { once: true });
    try {
      await abortable(ending, signal);
    } finally {
      signal?.removeEventListener("abort", endDrain);
    }
  }

  get #hasVerbs(): boolean {
    return this.autoCommit === "rolling" || this.autoCommit === "disabled";
  }

  #ackById({ streamKey, shardId, id }: Pick<MessageIdentifier, "streamKey" | "shardId" | "id">): void {
    const { pendingEntries, standalone, parts: { settlement } } = this.#session;
    const shard = this.#assignment.find({ streamKey, shardId });
    halves(id); // throws for an invalid id
    if (shard !== undefined && (shard.isRead || pendingEntries.find(shard, id) !== undefined)) {
      settlement.ackById(shard, id);
      return this.#session.drain.check();
    }
    const isFree = standalone?.shards.some((one) => isShard(one, streamKey, shardId)) ?? false;
    if (!isFree) throw notFound(streamKey, shardId); // otherwise it was read without the group
  }

  /** Whether this consumer has read a message without its group. */
  #isFree(message: Message): boolean {
    const { standalone } = this.#session;
    if (standalone === undefined || !(message instanceof Message)) return false;
    const place = messagePlace(message);
    return place !== undefined && standalone.hasRead(place.batch);
  }

  /** The pending entry of a message; `undefined` if it is another consumer's, or of a previous session. */
  #placeOf(message: Message): EntryPlace | undefined {
    if (!(message instanceof Message)) throw invalidOption("message", message, "a message of this consumer");
    const place = messagePlace(message);
    if (place === undefined || !(place.batch instanceof PendingBatch)) return undefined;
    return this.#assignment.known.includes(place.batch.shard) ? { batch: place.batch, index: place.index } : undefined;
  }

  /** Refuses a message of a shard that is not read. */
  #checkRead({ streamKey, shardId }: StreamShard): void {
    if (!this.#moves.shards.some((one) => isShard(one, streamKey, shardId))) throw notFound(streamKey, shardId);
  }
}

function checkMove(options: MoveOptions): void {
  checkNames("options of a move", options, ["signal", "group"]);
  checkSignal(options.signal);
  checkBoolean("group", options.group, false);
}

function notPending(verb: string): StreamerError {
  return new StreamerError(
    "UNSUPPORTED",
    `Cannot ${verb} a message that was read without the group: it is not pending.`,
  );
}
