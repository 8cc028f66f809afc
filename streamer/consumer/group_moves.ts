// How a consumer in a group is moved, and given other shards: one change after the other, each given up on its signal as long as
// it has not taken effect. It must not know how messages are read.

import { RedisError, type StreamerError } from "../../resp/errors.ts";
import { sleep } from "../../resp/connection/clock.ts";
import type { Command } from "../../resp/connection/command.ts";
import { isGroupThere, isStreamMissing, xgroupCreate, xgroupSetId, xinfoGroups } from "../commands/xgroup.ts";
import { type PendingEntry, xpending } from "../commands/xpending.ts";
import { compareIds, FIRST_ID, type MessageId, nextId } from "../model/id.ts";
import { invalidOption } from "../model/options.ts";
import { abortable } from "../model/abortable.ts";
import type { MoveOptions, WaitOptions } from "./consumer.ts";
import { type FindLater, FreeReading, startOfLater } from "./free_reading.ts";
import type { FindGoal } from "./goal.ts";
import type { GroupHost } from "./group_host.ts";
import type { GroupParts } from "./group_parts.ts";
import type { GroupShard } from "./group_shard.ts";
import { beginGroup } from "./groups.ts";
import { persist } from "./persist.ts";
import type { Roster } from "./roster.ts";
import {
  type Addition,
  checkDistinct,
  isShard,
  lastShard,
  notFound,
  type Replacement,
  type ShardPosition,
  type StartAt,
  startAt,
  type SubscribedShard,
} from "./shard.ts";

/** What moving needs. */
export interface MovesPorts {
  readonly host: GroupHost;
  readonly parts: GroupParts;
  readonly roster: Roster;
  /** Shards that are there and not read yet, and will be. */
  readonly later: FindLater;
  /** Reading without the group has been moved. */
  readonly onMoved: () => void;
  /** A shard is read no more; told in the same step. */
  readonly onUnassigned: (shard: SubscribedShard) => void;
  /** Reading cannot go on. */
  readonly onFatal: (error: StreamerError) => void;
}

/** What shards are added with. */
export interface AdoptOptions extends WaitOptions {
  /** Where a group begins that is missing. @default {as `autoStreamReset` says} */
  readonly from?: StartAt;
}

/** What shards are joined with. */
interface JoinOptions extends Pick<AdoptOptions, "from"> {
  readonly signal: AbortSignal;
  /** Is called at the moment it takes effect. */
  readonly done: () => void;
}

/** Does the work of a change; calls `done` at the moment it takes effect. */
type Work = (signal: AbortSignal, done: () => void) => Promise<void>;

/** Moves one consumer. */
export class GroupMoves {
  readonly #ports: MovesPorts;
  #moving: Promise<void> = Promise.resolve();

  constructor(ports: MovesPorts) {
    this.#ports = ports;
  }

  /** The shards that are read, through the group or without. */
  get shards(): readonly SubscribedShard[] {
    const { parts, roster } = this.#ports;
    return parts.free?.shards ?? roster.read;
  }

  /** Goes on from there: without the group from now on, or with all of it. */
  async moveTo(goal: FindGoal, { group = false, signal }: MoveOptions): Promise<void> {
    const { inbox } = this.#ports.parts;
    signal?.throwIfAborted();
    if (inbox.over !== undefined) throw inbox.over;
    if (group) this.#checkInGroup();
    inbox.hold(); // nothing from before the call is handed out; if it fails, all of it is still there
    try {
      await this.#change(
        signal,
        (both, done) => group ? this.#moveGroup(goal, both) : this.#moveAlone(goal, both, done),
      );
    } finally {
      inbox.release();
    }
  }

  /** Reads more shards; those that are read already go on as they do. What is pending here of an earlier life comes first. */
  async adopt(added: readonly SubscribedShard[], { from, signal }: AdoptOptions): Promise<void> {
    const { host, parts } = this.#ports;
    await this.#change(signal, async (both, done) => {
      if (parts.free === undefined) return await this.#join(added, { from, signal: both, done });
      const start = from ?? startAt(host.settings.autoStreamReset);
      await parts.free.add(added, { from: start, signal: both, onChanged: done });
    });
  }

  /** Reads shards that were found later, too. */
  async addLater(addition: Addition): Promise<void> {
    const { parts } = this.#ports;
    const { shards, isWanted, done } = addition;
    await this.#change(undefined, async (signal) => {
      if (parts.free !== undefined) return await parts.free.addLater(addition);
      const wanted = shards.filter(isWanted);
      if (wanted.length > 0) await this.#join(wanted, { from: "beginning", signal, done });
    });
  }

  /** Reads more shards through the group. */
  async #join(added: readonly SubscribedShard[], { from, signal, done }: JoinOptions): Promise<void> {
    const { parts, roster } = this.#ports;
    const fresh = added.map((shard) => roster.of(shard)).filter(({ active }) => !active);
    checkDistinct([...roster.read, ...fresh]);
    await abortable(Promise.all(fresh.map((shard) => this.#begin(shard, { from, signal }))), signal);
    await abortable(parts.releaser.settle(), signal); // what was given back is brought in again
    signal.throwIfAborted();
    parts.join(fresh);
    done();
  }

  /**
   * Whether a plain key is left as far as this consumer is concerned: in a group, where what it held before was brought in,
   * and it holds nothing of it any more.
   */
  isLeft(plain: SubscribedShard, until: MessageId): boolean {
    const { parts, roster } = this.#ports;
    if (parts.free !== undefined) return parts.free.isLeft(plain, until);
    const shard = roster.read.find(({ redisKey }) => redisKey === plain.redisKey);
    if (shard === undefined || parts.inbox.holds(plain)) return false;
    if (shard.state === "missing") return true;
    return (shard.state === "lost" || shard.replayed) && !parts.ledger.holds(shard); // a lost one may be gone for good
  }

  /** Reads shards that were found in place of a plain key, if its group is done with it and any of them still is wanted. */
  async replace(replacement: Replacement): Promise<void> {
    const { parts, roster } = this.#ports;
    const { plain, until, shards, isWanted, done } = replacement;
    await this.#change(undefined, async (signal) => {
      if (parts.free !== undefined) return await parts.free.replace(replacement);
      const old = roster.read.find(({ redisKey }) => redisKey === plain.redisKey);
      const wanted = shards.filter(isWanted);
      if (old === undefined || wanted.length === 0 || !await this.#isDone(old, until, signal)) return;
      const fresh = wanted.map((shard) => roster.of(shard)).filter(({ active }) => !active);
      await Promise.all(fresh.map((shard) => this.#begin(shard, { from: "beginning", signal })));
      signal.throwIfAborted();
      if (!this.isLeft(plain, until)) return; // more of it has come meanwhile
      parts.leave([old]);
      parts.join(fresh);
      done();
    });
  }

  /** Reads one shard less. */
  async unassign(streamKey: string, shardId: number, { signal }: WaitOptions): Promise<void> {
    const { parts, roster, onUnassigned } = this.#ports;
    await this.#change(signal, async (both, done) => {
      if (parts.free !== undefined) {
        const options = { signal: both, onChanged: done, onRemoved: onUnassigned };
        return await parts.free.remove(streamKey, shardId, options);
      }
      const shard = roster.read.find((one) => isShard(one, streamKey, shardId));
      if (shard === undefined) throw notFound(streamKey, shardId);
      if (roster.read.length === 1) throw lastShard(streamKey, shardId);
      parts.leave([shard]);
      onUnassigned(shard);
      done();
    });
  }

  /** One change after the other. Rejects at once on the signal, or at the end, unless the change has taken effect before. */
  async #change(own: AbortSignal | undefined, work: Work): Promise<void> {
    const { signal: ended } = this.#ports.parts;
    const signal = own === undefined ? ended : AbortSignal.any([ended, own]);
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    const turn = this.#moving.then(async () => {
      signal.throwIfAborted();
      await work(signal, resolve);
    });
    this.#moving = turn.catch(() => {});
    turn.then(resolve, reject);
    try {
      await promise;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  /** Reads without the group from now on. */
  async #moveAlone(goal: FindGoal, signal: AbortSignal, done: () => void): Promise<void> {
    const { host, parts, roster, later, onMoved, onFatal } = this.#ports;
    if (parts.free !== undefined) return await parts.free.moveTo(goal, { signal, onChanged: done });
    const goals = await abortable(Promise.all(roster.read.map(({ redisKey }) => goal(redisKey, signal))), signal);
    const positions = roster.read.map(({ streamKey, shardId, redisKey, reached }, i): ShardPosition => {
      const { position, isEnd } = goals[i];
      return { streamKey, shardId, redisKey, position, reached: isEnd ? position : reached, gone: false };
    });
    const start = await abortable(startOfLater(goal, goals, { later, signal }), signal);
    signal.throwIfAborted();
    const { node, anchor, timestampFormat, field, events } = host;
    const settings = { ...host.settings, batchSize: host.settings.givenBatchSize };
    const shared = { node, anchor, timestampFormat, field, settings, inbox: parts.inbox, onFatal };
    const options = { marked: true, start, later, onMoved };
    parts.leaveGroup(new FreeReading({ ...shared, onReset: events.streamReset }, positions, options));
    done();
    onMoved();
  }

  /**
   * Moves the groups, also on shards that are there and were not found yet. From the first XGROUP SETID on it is carried through, whatever the signal says, since what was written
   * cannot be taken back.
   */
  async #moveGroup(goal: FindGoal, signal: AbortSignal): Promise<void> {
    const { parts, roster } = this.#ports;
    const { inbox, reader } = parts;
    this.#checkInGroup();
    const shards = roster.read;
    inbox.hold(); // for as long as it is carried through, also when nobody waits for it any more
    reader.hold();
    try {
      const goals = await abortable(Promise.all(shards.map(({ redisKey }) => goal(redisKey, signal))), signal);
      const unfound = await abortable(this.#unfound(goal, signal), signal);
      await reader.quiet(signal); // a page that is under way could not be told from one of after the move
      const listed = await abortable(Promise.all(shards.map((shard) => this.#pendingHere(shard, signal))), signal);
      await abortable(parts.committer.settle(), signal); // so that no ack is mistaken for one of what is delivered anew
      signal.throwIfAborted();
      const setting = shards.map(async (shard, i) => {
        if (await this.#setPosition(shard, goals[i].position)) await this.#giveBack(shard, listed[i]);
        else parts.drop(shard);
      });
      const beginning = unfound.map(([redisKey, position]) => this.#beginAt(redisKey, position));
      const results = await Promise.allSettled([...setting, ...beginning]);
      await parts.releaser.settle(); // before any of it is read again
      for (const result of results) if (result.status === "rejected") throw result.reason;
    } finally {
      reader.release();
      inbox.release();
    }
  }

  /** Redis keys of shards that are there and not read, and where their groups are to go on. */
  async #unfound(goal: FindGoal, signal: AbortSignal): Promise<(readonly [string, MessageId])[]> {
    const { roster, later } = this.#ports;
    const found = (await later(signal)).filter((shard) => !roster.of(shard).active);
    return await Promise.all(
      found.map(async ({ redisKey }) => [redisKey, (await goal(redisKey, signal)).position] as const),
    );
  }

  /** Has the group begin there, whoever finds the shard first, or go on there if that has happened meanwhile. */
  async #beginAt(redisKey: string, position: MessageId): Promise<void> {
    const { host, parts } = this.#ports;
    const { group } = host.member;
    try {
      await this.#run(xgroupCreate(redisKey, group, { position, mkstream: false }), parts.signal);
    } catch (error) {
      if (isStreamMissing(error)) return; // gone again
      if (!isGroupThere(error)) throw error;
      await this.#run(xgroupSetId(redisKey, group, { position, repeatable: true }), parts.signal);
    }
  }

  /** Moves one group; false where its stream is gone, and there is nothing to move in: all that it may get anew is from later. */
  async #setPosition(shard: GroupShard, position: MessageId): Promise<boolean> {
    const { host, parts } = this.#ports;
    try {
      await this.#run(xgroupSetId(shard.redisKey, host.member.group, { position, repeatable: true }), parts.signal);
    } catch (error) {
      if (isStreamMissing(error)) return false;
      throw error;
    }
    shard.position = position;
    shard.moved = true;
    return true;
  }

  /**
   * What was pending here, and is not in the user's hands, is given back, and comes here no more until it is read anew. Looks for
   * some at a time: there can be as many as `maxUnacked` allows, and others have to run.
   */
  async #giveBack(shard: GroupShard, listed: readonly MessageId[]): Promise<void> {
    const { host, parts } = this.#ports;
    parts.replay.cancel([shard]);
    parts.ledger.forgetBehind(shard, shard.position);
    const ids = new Set(parts.drop(shard));
    for (let from = 0; from < listed.length; from += LOOKED_FOR) {
      if (from > 0) await sleep(host.anchor.clock, 0, parts.signal);
      for (const id of listed.slice(from, from + LOOKED_FOR)) {
        if (parts.ledger.find(shard, id) === undefined) ids.add(id);
      }
    }
    shard.givenBack.clear(); // what of it is pending still has been listed
    for (const id of ids) shard.givenBack.add(id);
    parts.releaser.give(shard, [...ids]);
  }

  /** What the server lists as this consumer's; nothing where that may not be asked. */
  async #pendingHere({ redisKey }: GroupShard, signal: AbortSignal): Promise<MessageId[]> {
    const { member } = this.#ports.host;
    const ids: MessageId[] = [];
    try {
      for (let start: MessageId | undefined = FIRST_ID; start !== undefined;) {
        const rows: PendingEntry[] = await this.#run(xpending({ redisKey, ...member, start, count: LISTED }), signal);
        for (const { id } of rows) ids.push(id);
        start = rows.length < LISTED ? undefined : nextId(rows[rows.length - 1].id);
      }
    } catch (error) {
      if (!(error instanceof RedisError)) throw error;
    }
    return ids;
  }

  /**
   * Whether a group is done with a plain key: all up to this id was delivered to somebody, and, where what others leave lying
   * is claimed, acknowledged. What is pending for others where nothing is claimed would not come here anyway. Nor would what
   * this consumer gave back when the group was moved away from it: it holds up nothing here, and stays pending until another
   * who reads the plain key still claims it, if there is one.
   */
  async #isDone(shard: GroupShard, until: MessageId, signal: AbortSignal): Promise<boolean> {
    const { settings, member } = this.#ports.host;
    try {
      const groups = await this.#run(xinfoGroups(shard.redisKey), signal);
      const group = groups.find(({ name }) => name === member.group);
      if (group === undefined || compareIds(group.lastDeliveredId, until) < 0) return false;
      if (group.pending === 0 || settings.autoClaimInterval === undefined) return true;
      if (group.pending > shard.givenBack.size) return false; // most often, and then nothing needs to be listed
      const listed = await this.#pendingHere(shard, signal);
      return listed.length >= group.pending && listed.every((id) => shard.givenBack.has(id));
    } catch (error) {
      if (isStreamMissing(error)) return true;
      throw error;
    }
  }

  /** Makes a group where it is missing; that a stream is missing, and is not to be made, is an error. */
  async #begin(shard: GroupShard, { from, signal }: { readonly from?: StartAt; readonly signal: AbortSignal }) {
    shard.state = "ready"; // whatever it was when it was read last
    await beginGroup(shard, this.#ports.host, { signal, from, required: true });
  }

  #checkInGroup(): void {
    if (this.#ports.parts.free === undefined) return;
    throw invalidOption("group", true, "left out once a consumer reads without its group");
  }

  #run<T>(command: Command<T>, signal: AbortSignal): Promise<T> {
    const { anchor } = this.#ports.host;
    return persist(anchor, signal, () => anchor.run(command, { signal }));
  }
}

/** Entries listed at once. */
const LISTED = 1_000;

/** Entries looked for at once among what is held: a few milliseconds' worth. */
const LOOKED_FOR = 2_000;
