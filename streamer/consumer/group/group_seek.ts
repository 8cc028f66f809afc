// Moves the group of a consumer to another position, for all of its consumers.

import { sleep } from "../../../resp/connection/clock.ts";
import type { Command } from "../../../resp/connection/command.ts";
import { retryWhileUnavailable } from "../../../resp/connection/retry/retry.ts";
import { isGroupThere, isStreamMissing, xgroupCreate, xgroupSetId } from "../../commands/xgroup.ts";
import { abortable } from "../../model/abortable.ts";
import type { MessageId } from "../../model/id.ts";
import type { FindTarget } from "../reading/seek_target.ts";
import type { FindLater } from "../reading/standalone_reading.ts";
import type { ShardAssignment } from "../shards/assignment.ts";
import { pendingIds } from "../shards/drained.ts";
import type { GroupShard } from "../shards/group_shard.ts";
import type { GroupContext } from "./context.ts";
import type { GroupSession } from "./session/group_session.ts";

/** What moving a group needs. */
export interface GroupSeekPorts {
  readonly context: GroupContext;
  readonly session: GroupSession;
  readonly assignment: ShardAssignment;
  /** Shards that exist and are not read yet, and will be. */
  readonly later: FindLater;
}

/** Where the group of a shard is to continue. */
interface Move {
  readonly shard: GroupShard;
  readonly position: MessageId;
}

/** The Redis key of a shard that exists and is not read, and where its group is to begin. */
type UnfoundShard = readonly [redisKey: string, position: MessageId];

/** Entries looked for at once among the pending ones: a few milliseconds of work. */
const LOOKED_FOR = 2_000;

/** Moves the group of one consumer. */
export class GroupSeek {
  readonly #ports: GroupSeekPorts;

  constructor(ports: GroupSeekPorts) {
    this.#ports = ports;
  }

  /**
   * Moves the group on all shards, including those that exist and were not found yet. From the first XGROUP SETID on, the signal is
   * ignored, since that cannot be taken back.
   */
  async moveTo(target: FindTarget, signal: AbortSignal): Promise<void> {
    const { session, assignment } = this.#ports;
    const { queue, parts: { reader } } = session;
    const shards = assignment.read;
    queue.pause(); // until the move is done, even if its caller no longer waits
    reader.pause();
    try {
      const goals = await abortable(Promise.all(shards.map(({ redisKey }) => target(redisKey, signal))), signal);
      const unfound = await abortable(this.#unfound(target, signal), signal);
      await reader.quiet(signal); // pages from before and after the move look alike
      const moves = shards.map((shard, i) => ({ shard, position: goals[i].position }));
      const turn = Promise.withResolvers<void>();
      const moved = session.exclusively(shards, () => {
        turn.resolve();
        return this.#moveAll(moves, unfound, signal);
      });
      await abortable(turn.promise, signal);
      await moved;
    } finally {
      reader.resume();
      queue.resume();
    }
  }

  /**
   * Moves the groups of shards, and releases entries. Nothing of these shards is claimed or replayed meanwhile: a replay would take
   * entries that are just being released for lost ones.
   */
  async #moveAll(moves: readonly Move[], unfound: readonly UnfoundShard[], signal: AbortSignal): Promise<void> {
    const { session, context: { server, member } } = this.#ports;
    const { committer, releaser } = session.parts;
    signal.throwIfAborted();
    const listing = moves.map(({ shard }) => pendingIds(shard, { server, member, signal }));
    const listed = await abortable(Promise.all(listing), signal);
    await abortable(committer.settle(), signal); // these acks are not for entries that the group delivers again
    signal.throwIfAborted();
    const setting = moves.map(async ({ shard, position }, i) => {
      if (await this.#setPosition(shard, position)) await this.#release(shard, listed[i]);
      else session.drop(shard);
    });
    const beginning = unfound.map(([redisKey, position]) => this.#beginAt(redisKey, position));
    const results = await Promise.allSettled([...setting, ...beginning]);
    await releaser.settle(moves.map(({ shard }) => shard)); // before any of these entries is read again
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }

  /** Redis keys of shards that exist and are not read, and where their groups are to begin. */
  async #unfound(target: FindTarget, signal: AbortSignal): Promise<UnfoundShard[]> {
    const { assignment, later } = this.#ports;
    const found = (await later(signal)).filter((shard) => !assignment.of(shard).isRead);
    return await Promise.all(
      found.map(async ({ redisKey }) => [redisKey, (await target(redisKey, signal)).position] as const),
    );
  }

  /** Creates the group at a position before any consumer finds the shard. If the group exists by now, it is moved there. */
  async #beginAt(redisKey: string, position: MessageId): Promise<void> {
    const { group } = this.#ports.context.member;
    try {
      await this.#run(xgroupCreate(redisKey, group, { position, mkstream: false }));
    } catch (error) {
      if (isStreamMissing(error)) return; // deleted meanwhile
      if (!isGroupThere(error)) throw error;
      await this.#run(xgroupSetId(redisKey, group, { position, repeatable: true }));
    }
  }

  /** Moves the group on one shard. False if its stream is missing: all entries it may get are later than the position. */
  async #setPosition(shard: GroupShard, position: MessageId): Promise<boolean> {
    const { group } = this.#ports.context.member;
    try {
      await this.#run(xgroupSetId(shard.redisKey, group, { position, repeatable: true }));
    } catch (error) {
      if (isStreamMissing(error)) return false;
      throw error;
    }
    shard.moveTo(position);
    return true;
  }

  /**
   * Releases the entries that are pending here and not in flight. They come here again only if the group delivers them again. There
   * can be as many as `maxUnacked` allows, so other work runs in between.
   */
  async #release(shard: GroupShard, listed: readonly MessageId[]): Promise<void> {
    const { context, session } = this.#ports;
    session.parts.replay.cancel([shard]);
    session.pendingEntries.forgetAfter(shard, shard.position);
    const undelivered = session.drop(shard);
    const dropped = new Set(undelivered.map(({ id }) => id));
    const others: MessageId[] = [];
    for (let from = 0; from < listed.length; from += LOOKED_FOR) {
      if (from > 0) await sleep(context.server.clock, 0, session.signal);
      for (const id of listed.slice(from, from + LOOKED_FOR)) {
        const { pendingEntries } = session;
        if (dropped.has(id) || pendingEntries.find(shard, id) !== undefined) continue;
        if (pendingEntries.releases.find(shard, id) === undefined) others.push(id); // others come back by themselves
      }
    }
    shard.releaseEntries([...dropped, ...others]); // those of before that are still pending have been listed
    await session.parts.redelivery.settle(shard); // a nacked entry that is delivered again after its release would seem to be lost
    session.parts.releaser.releaseUndelivered(shard, undelivered);
    session.parts.releaser.release(shard, others);
  }

  #run<T>(command: Command<T>): Promise<T> {
    const { context: { server }, session: { signal } } = this.#ports;
    return retryWhileUnavailable(server, signal, () => server.run(command, { signal }));
  }
}
