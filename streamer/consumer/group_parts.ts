// The parts of a consumer in a group, put together: what reads, keeps, claims, acknowledges and buries, and what has to happen
// among them. It must not know how any of them does it, nor the verbs that a program has.

import { StreamerError } from "../../resp/errors.ts";
import type { MessageId } from "../model/id.ts";
import { type Message, messagePlace } from "../model/message.ts";
import { consumerEnded } from "./asking.ts";
import { Claimer } from "./claimer.ts";
import { MAX_UNCOMMITTED } from "./commit_policy.ts";
import { Committer } from "./committer.ts";
import { decodingGate, tellSkipped } from "./decoding.ts";
import { Graveyard } from "./graveyard.ts";
import type { EntriesDetail, GroupHost } from "./group_host.ts";
import type { FreeReading } from "./free_reading.ts";
import { GroupReader } from "./group_reader.ts";
import { type GroupShard, shardName } from "./group_shard.ts";
import { beginGroup, Groups } from "./groups.ts";
import { Inbox } from "./inbox.ts";
import { Intake } from "./intake.ts";
import { Keeper } from "./keeper.ts";
import { Ledger } from "./ledger.ts";
import { Lot } from "./lot.ts";
import { RedeliveryQueue } from "./redelivery.ts";
import { Releaser } from "./releaser.ts";
import { Replay } from "./replay.ts";
import type { Roster } from "./roster.ts";

/** Whom the parts tell. */
export interface PartsOwner {
  /** Reading or acknowledging cannot go on. */
  readonly onFatal: (error: StreamerError) => void;
  /** Some of what was read without the group has been handed out. */
  readonly onProgress: () => void;
}

/** All that a consumer in a group is made of, but its verbs. */
export class GroupParts {
  readonly inbox: Inbox;
  readonly ledger: Ledger;
  readonly committer: Committer;
  readonly graveyard: Graveyard;
  readonly redelivery: RedeliveryQueue;
  readonly reader: GroupReader;
  readonly replay: Replay;
  readonly claimer: Claimer;
  readonly keeper: Keeper;
  readonly releaser: Releaser;
  readonly #host: GroupHost;
  readonly #owner: PartsOwner;
  readonly #roster: Roster;
  #free: FreeReading | undefined;
  readonly #closing = new AbortController(); // of reading
  readonly #ended = new AbortController(); // of acknowledging, too
  #exclusive: Promise<unknown> = Promise.resolve();
  #gaps = 0;
  #full = false; // whether somebody was refused since there was room last
  #awaiting = false; // whether streams that were missing are looked for

  constructor(host: GroupHost, roster: Roster, owner: PartsOwner) {
    const { node, settings, member, anchor, timestampFormat, field, events } = host;
    const { autoCommit } = settings.commit;
    const { onFatal: fail } = owner;
    const onFatal = (error: StreamerError) => {
      if (this.#free === undefined) fail(error); // what it says of the group is no end of reading without it
    };
    this.#host = host;
    this.#owner = owner;
    this.#roster = roster;
    const accepts = decodingGate(settings.onDecodeError, (message, reason) => this.#putAside(message, reason));
    const inbox: Inbox = this.inbox = new Inbox({ wanted: () => this.#wanted(), accepts });
    const onGone = (shard: GroupShard, ids: readonly MessageId[]) => this.#gone(shard, ids);
    const shards = () => roster.read;
    const count = () => this.reader.count;
    const exclusively = <T>(work: () => Promise<T>) => this.#exclusively(work);
    const { signal } = this.#closing;
    const ledger = this.ledger = new Ledger({ byTime: autoCommit === "delayed" });
    const committer = this.committer = new Committer({
      anchor,
      group: member.group,
      policy: settings.commit,
      ledger,
      onSent: () => this.eased(),
      onFatal: fail,
    });
    const graveyard = this.graveyard = new Graveyard({
      anchor,
      member,
      ledger,
      target: settings.deadLetter,
      signal: this.#ended.signal,
      onBuried: events.deadLetter,
      onSettled: () => this.eased(),
      onFatal: fail,
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
      onUnwanted: (shard, ids) => this.releaser.give(shard, ids),
      allowance,
    });
    const shared = { anchor, settings, member, ledger, inbox, intake, signal, count, exclusively, onGone, onFatal };
    const tell = (event: (detail: EntriesDetail) => void) => (shard: GroupShard, ids: readonly MessageId[]) =>
      event({ ...shardName(shard), group: member.group, ids });
    const onSized = (entries: number, bytes: number) => this.reader.sized(entries, bytes);
    this.replay = new Replay({ ...shared, clock: anchor.clock, onSized });
    this.claimer = new Claimer({
      ...shared,
      shards,
      room: () => this.reader.room(),
      onClaimed: events.claimed,
    });
    this.redelivery = new RedeliveryQueue({ ...shared, onDropped: () => this.eased() });
    this.keeper = new Keeper({
      ...shared,
      shards: () => roster.known,
      onFatal: fail,
      onLost: tell(events.lost),
      onReleased: tell(events.released),
      onGroupMissing: (shard, cause) => groups.lookFor([shard], cause),
      onVerified: () => this.eased(),
    });
    this.releaser = new Releaser({ anchor, member, signal, kept: () => this.keeper.settle() });
    const groups = new Groups({
      ...shared,
      onLost: (shard) => this.#orphan(shard),
      onReady: (shard) => {
        shard.replayed = true; // what an earlier life had left is gone with its group
        this.reader.joined(shard);
      },
      onRecreated: events.groupRecreated,
      onReset: events.streamReset,
    });
    this.reader = new GroupReader({
      ...shared,
      node,
      groups,
      replay: this.replay,
      isFull: () => this.#room === 0,
      shards,
      onFenceUnavailable: events.fenceUnavailable,
    });
  }

  /** Messages that were gone before they could be handed out. */
  get gaps(): number {
    return this.#gaps;
  }

  /** Whether nothing is acknowledged any more. */
  get isClosed(): boolean {
    return this.#ended.signal.aborted;
  }

  /** Aborted, with the error that everybody gets, when reading has ended. */
  get signal(): AbortSignal {
    return this.#closing.signal;
  }

  /** What reads without the group, once it does. */
  get free(): FreeReading | undefined {
    return this.#free;
  }

  /** Begins to read. */
  start(): void {
    this.reader.start();
    this.keeper.start();
    this.claimer.start();
  }

  /** Hands out nothing more, and keeps nothing more. */
  stop(error: StreamerError): void {
    this.inbox.end(error);
    this.#closing.abort(error);
    this.keeper.close();
    this.redelivery.close();
    this.#free?.close(error);
  }

  /** Acknowledges nothing more. */
  close(): void {
    this.#ended.abort(consumerEnded());
    this.committer.close();
  }

  /** Reads these, too. Their groups are there. */
  join(shards: readonly GroupShard[]): void {
    for (const shard of shards) shard.givenBack.clear(); // what of it is still pending here comes now
    this.#roster.admit(shards);
    this.reader.changed();
  }

  /** Reads these no more: what is not in the user's hands is given back. */
  leave(shards: readonly GroupShard[]): void {
    this.#roster.dismiss(shards);
    for (const shard of shards) {
      this.replay.leave(shard);
      this.releaser.give(shard, this.drop(shard));
    }
    this.reader.changed();
  }

  /** Throws away what is not in the user's hands; gives the ids of what is pending still. */
  drop(shard: GroupShard): MessageId[] {
    this.inbox.clear(shard);
    return this.ledger.letGo(shard);
  }

  /** From now on this reads, and the group is read no more. */
  leaveGroup(reading: FreeReading): void {
    this.#free = reading;
    this.leave(this.#roster.read);
    this.claimer.stop();
    this.redelivery.close();
    this.reader.retire(new StreamerError("DISCONNECTED", "The group is read no more"));
    reading.start();
  }

  /** Fewer messages are in the user's hands, or more may be handed out: who was refused is served. Cheap where nobody was. */
  eased(): void {
    if (!this.#full) return;
    this.#full = false;
    this.inbox.serve();
    this.reader.fill();
  }

  /** How many more messages may be handed out; where none may, whoever asked is told when that has changed. */
  get #room(): number {
    const { inHand, nacked, unsent } = this.ledger;
    const held = inHand + nacked + this.graveyard.burying;
    const room = Math.min(this.#host.settings.maxUnacked - held, MAX_UNCOMMITTED - unsent);
    if (room > 0) return room;
    this.#full = true;
    return 0;
  }

  #allowance(lot: Lot): number {
    const room = this.#room;
    if (room === 0 || !this.keeper.isStale(lot)) return room;
    this.#full = true;
    this.keeper.verify(); // after which there is room again
    return 0;
  }

  /** Somebody asks for what is not there, or a page has been handed out to its end. */
  #wanted(): void {
    if (this.#free !== undefined) {
      this.#free.fill();
      return this.#owner.onProgress();
    }
    this.reader.fill();
    const isMissing = this.#roster.read.some(({ state }) => state === "missing");
    if (!this.#awaiting && this.inbox.asked && isMissing) this.#await();
  }

  /** Streams were missing when this consumer was made. If they still are when somebody asks, that is an error. */
  async #await(): Promise<void> {
    this.#awaiting = true;
    const { signal } = this.#closing;
    try {
      const missing = this.#roster.read.filter(({ state }) => state === "missing");
      await Promise.all(missing.map((shard) => this.#awaitOne(shard, signal)));
    } catch (error) {
      if (!signal.aborted && error instanceof StreamerError) this.#owner.onFatal(error);
    }
    this.#awaiting = false;
  }

  async #awaitOne(shard: GroupShard, signal: AbortSignal): Promise<void> {
    try {
      await beginGroup(shard, this.#host, { signal });
      shard.replayed = true; // there was no stream, and so no earlier life
      if (shard.active) this.reader.joined(shard);
    } catch (error) {
      if (shard.active) throw error; // else nobody reads it any more
    }
  }

  /** A message that does not decode is not handed out. */
  #putAside(message: Message, reason: string): void {
    const { events, settings } = this.#host;
    const { lot, index } = messagePlace(message) ?? {};
    if (!(lot instanceof Lot) || index === undefined) return tellSkipped(message, reason, events.deadLetter);
    const unwritten = settings.onDecodeError === "skip";
    this.graveyard.bury(message, { lot, index }, { deliveries: message.deliveries, reason, unwritten });
  }

  /** Entries that are pending and no longer in their stream: nobody can have them, so that they are acknowledged. */
  #gone(shard: GroupShard, ids: readonly MessageId[]): void {
    const { member, events } = this.#host;
    this.#gaps += ids.length;
    this.committer.dismiss(shard, ids);
    events.gap({ ...shardName(shard), group: member.group, ids });
  }

  /** What is held of a shard whose group is gone is pending nowhere, and kept by nobody but us. */
  #orphan(shard: GroupShard): void {
    for (const lot of this.ledger.lotsOf(shard)) lot.orphaned = true;
    this.eased(); // they need no looking at any more
  }

  /** One at a time. */
  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#exclusive.then(work);
    this.#exclusive = result.catch(() => {});
    return result;
  }
}
