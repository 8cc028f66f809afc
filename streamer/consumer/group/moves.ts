// Changes which shards a consumer in a group reads, and from where: one change after the other. Each is abandoned on its signal
// as long as it has not taken effect.

import type { StreamerError } from "../../../resp/errors.ts";
import type { Clock } from "../../../resp/connection/clock.ts";
import type { MessageId } from "../../model/id.ts";
import { invalidOption } from "../../model/options.ts";
import { abortable } from "../../model/abortable.ts";
import type { MoveOptions, WaitOptions } from "../consumer.ts";
import { StandaloneReading, startOfLater } from "../reading/standalone_reading.ts";
import type { FindTarget } from "../reading/seek_target.ts";
import type { GroupShard } from "../shards/group_shard.ts";
import { beginGroup, type BeginOptions, withRemedy } from "./groups.ts";
import { GroupSeek, type GroupSeekPorts } from "./group_seek.ts";
import { isGroupDone } from "../shards/drained.ts";
import { UNBLOCK_LIMIT } from "../server/unblock.ts";
import {
  checkDistinct,
  isShard,
  lastShard,
  notFound,
  type ReadShard,
  type StartAt,
  startAt,
  type SubscribedShard,
} from "../shards/shard.ts";
import { ShardPosition } from "../shards/shard_position.ts";
import type { Addition, Drain, ShardReading } from "../shards/shard_reading.ts";

/** What the changes need. */
export interface MovesPorts extends GroupSeekPorts {
  /** The positions of standalone reading have changed. */
  readonly onMoved: () => void;
  /** A shard was unassigned. Called in the same step. */
  readonly onUnassigned: (shard: SubscribedShard) => void;
  /** Reading has failed for good. */
  readonly onFatal: (error: StreamerError) => void;
}

/** What shards are added with. */
export interface AdoptOptions extends WaitOptions {
  /** Where a missing group is created. @default {as `autoStreamReset` says} */
  readonly from?: StartAt;
}

/** How the group of a shard is looked for, or created. A missing stream is an error, unless it is created. */
type JoinGroup = Omit<BeginOptions, "required">;

/** How the groups of shards that were discovered are created. A stream that was deleted since is not created again. */
const DISCOVERED = { from: "beginning", mkstream: false } as const;

/** What shards are joined with. */
interface JoinOptions extends JoinGroup {
  /** Called when the change takes effect. */
  readonly done: () => void;
}

/** Does the work of a change. Calls `done` when it takes effect, with anything else that its caller has to wait for. */
type Work = (signal: AbortSignal, done: (rest?: Promise<void>) => void) => Promise<void>;

/** The changes of one consumer. */
export class GroupMoves implements ShardReading {
  readonly #ports: MovesPorts;
  readonly #seek: GroupSeek;
  #moving: Promise<void> = Promise.resolve();

  constructor(ports: MovesPorts) {
    this.#ports = ports;
    this.#seek = new GroupSeek(ports);
  }

  /** The shards that are read, through the group or without. */
  get shards(): readonly ReadShard[] {
    const { session, assignment } = this.#ports;
    return session.standalone?.shards ?? assignment.read;
  }

  /** Aborted when reading has ended. */
  get signal(): AbortSignal {
    return this.#ports.session.signal;
  }

  /** Reads from another position: without the group from now on, or by moving the group for all of its consumers. */
  async moveTo(target: FindTarget, { group = false, signal }: MoveOptions): Promise<void> {
    const { queue } = this.#ports.session;
    signal?.throwIfAborted();
    if (queue.over !== undefined) throw queue.over;
    if (group) this.#checkInGroup();
    queue.pause(); // no message from before the call is returned; if the call fails, they are all still queued
    try {
      await this.#change(
        signal,
        (both, done) => group ? this.#moveGroup(target, both) : this.#moveAlone(target, both, done),
      );
    } finally {
      queue.resume();
    }
  }

  /** Reads more shards. Entries of them that a previous session left pending are delivered first. */
  async adopt(added: readonly SubscribedShard[], { from, signal }: AdoptOptions): Promise<void> {
    const { context, session } = this.#ports;
    await this.#change(signal, async (both, done) => {
      if (session.standalone === undefined) return await this.#joinChosen(added, { from, signal: both, done });
      const start = from ?? startAt(context.settings.autoStreamReset);
      await session.standalone.add(added, { from: start, signal: both, onChanged: done });
    });
  }

  /** Reads more shards that were discovered. */
  async addLater(addition: Addition): Promise<void> {
    const { session } = this.#ports;
    await this.#change(undefined, async (signal) => {
      if (session.standalone !== undefined) return await session.standalone.addLater(addition);
      const wanted = addition.wanted();
      if (wanted.length > 0) await this.#join(wanted, { ...DISCOVERED, signal, done: () => addition.done() });
    });
  }

  /** Reads more shards that the program has named. */
  async #joinChosen(added: readonly SubscribedShard[], options: JoinOptions): Promise<void> {
    try {
      await this.#join(added, options);
    } catch (error) {
      throw withRemedy(error, added[0]);
    }
  }

  /** Reads more shards through the group. */
  async #join(added: readonly SubscribedShard[], { done, ...group }: JoinOptions): Promise<void> {
    const { signal } = group;
    const { session, assignment } = this.#ports;
    const fresh = added.map((shard) => assignment.of(shard)).filter(({ isRead }) => !isRead);
    checkDistinct([...assignment.read, ...fresh]);
    await abortable(Promise.all(fresh.map((shard) => this.#begin(shard, group))), signal);
    await abortable(session.parts.releaser.settle(fresh), signal); // released entries are delivered again
    signal.throwIfAborted();
    session.join(fresh);
    done();
  }

  /**
   * Whether a plain key is drained as far as this consumer is concerned. In a group: entries that a previous session left pending
   * were delivered, and none are pending here any longer.
   */
  isDrained(drain: Drain): boolean {
    const { session, assignment } = this.#ports;
    const { plain } = drain;
    if (session.standalone !== undefined) return session.standalone.isDrained(drain);
    const shard = assignment.read.find(({ redisKey }) => redisKey === plain.redisKey);
    if (shard === undefined || session.queue.hasAny(plain)) return false;
    if (shard.phase === "awaiting-stream") return true;
    return shard.phase !== "replaying" && !session.pendingEntries.hasAny(shard); // a lost group may be gone for good
  }

  /** Reads shards in place of a plain key, if its group is done with it and any of them is still wanted. */
  async leaveDrained(drain: Drain, addition: Addition): Promise<void> {
    const { session, assignment } = this.#ports;
    const { plain, until } = drain;
    await this.#change(undefined, async (signal) => {
      if (session.standalone !== undefined) return await session.standalone.leaveDrained(drain, addition);
      const old = assignment.read.find(({ redisKey }) => redisKey === plain.redisKey);
      const wanted = addition.wanted();
      if (old === undefined || wanted.length === 0 || !await this.#isDone(old, until, signal)) return;
      const fresh = wanted.map((shard) => assignment.of(shard)).filter(({ isRead }) => !isRead);
      await Promise.all(fresh.map((shard) => this.#begin(shard, { ...DISCOVERED, signal })));
      signal.throwIfAborted();
      if (!this.isDrained(drain)) return; // more of its entries have arrived meanwhile
      session.leave([old]);
      session.join(fresh);
      addition.done();
    });
  }

  /** Stops reading a shard. */
  async unassign(streamKey: string, shardId: number, { signal }: WaitOptions): Promise<void> {
    const { session, assignment, onUnassigned } = this.#ports;
    await this.#change(signal, async (both, done) => {
      if (session.standalone !== undefined) {
        const options = { signal: both, onChanged: done, onRemoved: onUnassigned };
        return await session.standalone.remove(streamKey, shardId, options);
      }
      const shard = assignment.read.find((one) => isShard(one, streamKey, shardId));
      if (shard === undefined) throw notFound(streamKey, shardId);
      if (assignment.read.length === 1) throw lastShard(streamKey, shardId);
      session.leave([shard]);
      onUnassigned(shard);
      done();
    });
  }

  /** Does one change after the other. Rejects at once when a signal is aborted, unless the change has taken effect before. */
  async #change(own: AbortSignal | undefined, work: Work): Promise<void> {
    const { signal: ended } = this.#ports.session;
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
  async #moveAlone(target: FindTarget, signal: AbortSignal, done: (rest?: Promise<void>) => void): Promise<void> {
    const { context, session, assignment, later, onMoved, onFatal } = this.#ports;
    if (session.standalone !== undefined) return await session.standalone.moveTo(target, { signal, onChanged: done });
    const goals = await abortable(Promise.all(assignment.read.map(({ redisKey }) => target(redisKey, signal))), signal);
    const positions = assignment.read.map((shard, i) => {
      const { position, isEnd } = goals[i];
      return new ShardPosition(shard, { position, reached: isEnd ? position : shard.reached });
    });
    const start = await abortable(startOfLater(target, goals, { later, signal }), signal);
    signal.throwIfAborted();
    const { router, server, timestampFormat, field, events } = context;
    const settings = { ...context.settings, batchSize: context.settings.givenBatchSize };
    const shared = { router, server, timestampFormat, field, settings, queue: session.queue, onFatal };
    const listeners = { onTrackingUnavailable: events.trackingUnavailable, onReset: events.streamReset };
    const options = { marked: true, start, later, onMoved };
    const retired = session.leaveGroup(new StandaloneReading({ ...shared, ...listeners }, positions, options));
    done(atMost(retired, server.clock)); // until then the group could still deliver an entry here
    onMoved();
  }

  /** Moves the groups of all shards. */
  async #moveGroup(target: FindTarget, signal: AbortSignal): Promise<void> {
    this.#checkInGroup();
    await this.#seek.moveTo(target, signal);
  }

  /** Whether a group is done with a plain key, so that nothing of it would come here any longer. */
  async #isDone(shard: GroupShard, until: MessageId, signal: AbortSignal): Promise<boolean> {
    const { context: { server, member, settings }, session } = this.#ports;
    const { releases } = session.pendingEntries; // nacked entries come back, if no other consumer claims them
    const claims = () => settings.autoClaimInterval !== undefined || releases.has(shard);
    return await isGroupDone(shard, until, { server, member, claims, signal });
  }

  /** Looks for the group of a shard that is to be read, and creates it if it is missing. */
  async #begin(shard: GroupShard, options: JoinGroup): Promise<void> {
    shard.prepare();
    await beginGroup(shard, this.#ports.context, { ...options, required: true });
  }

  #checkInGroup(): void {
    if (this.#ports.session.standalone === undefined) return;
    throw invalidOption("group", true, "left out after the consumer has left its group");
  }
}

/** Resolves when the blocked read of the group has ended, or after {@linkcode UNBLOCK_LIMIT}. Entries it returns later are released. */
async function atMost(ending: Promise<void>, clock: Clock): Promise<void> {
  const limit = new AbortController();
  const timer = clock.after(UNBLOCK_LIMIT, () => limit.abort());
  await abortable(ending, limit.signal).catch(() => {});
  timer.stop();
}
