// Reads some shards through the group from one node: first the entries that are pending for this consumer, then new ones, and
// after a lost connection those that were delivered but never received.

import { sleep } from "../../../resp/connection/clock.ts";
import { wrongShape } from "../../../resp/connection/command.ts";
import type { OpenConnection } from "../../../resp/connection/node.ts";
import { classOf, concernsOneSlot, isPassing } from "../../../resp/connection/server_errors.ts";
import type { RespDecoder } from "../../../resp/decoder.ts";
import { ProtocolError, RedisError, RefusedReplyError, StreamerError } from "../../../resp/errors.ts";
import type { Router } from "../../cluster/router.ts";
import { isGroupMissing } from "../../commands/scripts.ts";
import { xinfoGroups } from "../../commands/xgroup.ts";
import { checkPage, findPage } from "../../commands/xread.ts";
import { type GroupMember, xreadgroup } from "../../commands/xreadgroup.ts";
import type { MessageId } from "../../model/id.ts";
import type { PrefetchQueue } from "../delivery/prefetch_queue.ts";
import type { GroupSettings } from "../group_options.ts";
import type { Intake } from "../pending/intake.ts";
import type { Place, Placement } from "../server/placement.ts";
import { isFatal, type ServerAccess } from "../server/server.ts";
import { type LostReads, type Preceding, type Read, UnitReads } from "../server/unit_reads.ts";
import type { GroupShard } from "../shards/group_shard.ts";
import type { Groups } from "./groups.ts";
import type { ReadAheadController } from "./read_ahead.ts";
import type { Replay } from "./replay.ts";

/** What reading through a group needs. */
export interface GroupReaderPorts {
  readonly router: Router;
  readonly settings: GroupSettings;
  readonly server: ServerAccess;
  readonly member: GroupMember;
  readonly queue: PrefetchQueue;
  readonly intake: Intake;
  readonly groups: Groups;
  readonly replay: Replay;
  /** The shards that are read now. */
  readonly shards: () => readonly GroupShard[];
  readonly pace: ReadAheadController;
  /** Shards may have become quiet. */
  readonly onQuiet: () => void;
  readonly onFenceUnavailable: (detail: { readonly node: string; readonly cause: unknown }) => void;
  readonly onTrackingUnavailable: (detail: { readonly node: string; readonly cause: unknown }) => void;
  readonly onFatal: (error: StreamerError) => void;
}

/** What a reader of one node shares with those of the other nodes. */
export interface NodeGroupReaderPorts {
  readonly shared: GroupReaderPorts;
  readonly place: Place;
  readonly placement: Placement;
  /** Whether nothing new may be read now. */
  readonly isPaused: () => boolean;
  /** Whether nothing is read through the group any more. */
  readonly isRetired: () => boolean;
  /** These shards were redirected: those that another node has are taken from this reader. False if none are, or were before. */
  readonly onRedirected: (reader: NodeGroupReader, shards: readonly GroupShard[], refusal: RedisError) => boolean;
  /** The connection was lost: shards whose slots another node owns by now are taken from this reader. */
  readonly onLost: (reader: NodeGroupReader) => void;
  /** The node does not push changes to this connection: the shards are taken from this reader. */
  readonly onUntracked: (reader: NodeGroupReader, cause: StreamerError) => void;
}

/** A shard, and what its reader has done of it. */
export interface Seat {
  readonly shard: GroupShard;
  /** Whether all entries that were pending for this consumer have been brought in, so that new ones may be read. */
  isReady: boolean;
  /** Whether that still holds over the next connection, since no read has been sent over one of this node. */
  isCarried: boolean;
  /** The preparation in progress, if any: it ends before another node reads the shard. */
  preparing: Promise<unknown> | undefined;
}

/** A read that waits for its answer. When it was sent is noted. */
type GroupRead = Read<GroupShard, number>;

/** Keeps the queue filled with the entries that the group delivers from one node. */
export class NodeGroupReader {
  readonly #ports: NodeGroupReaderPorts;
  readonly #reads: UnitReads<GroupShard, number>;
  readonly #noAck: boolean;
  readonly #armedAt = new Map<GroupShard, MessageId>(); // where the group was when the shard was armed last
  #notesEnds: boolean; // whether shards are armed by a command that returns the positions of their groups
  readonly #seats = new Map<GroupShard, Seat>();
  #prepared: OpenConnection | undefined; // the latest connection whose preparation has begun
  #stalled = 0; // reads in flight at the last cut that may block on the server one after the other

  constructor(ports: NodeGroupReaderPorts) {
    const { shared: { router, server, settings, member, onFatal }, place, placement, onUntracked } = ports;
    const noAck = settings.commit.autoCommit === "immediate";
    this.#ports = ports;
    this.#noAck = noAck;
    this.#notesEnds = settings.onGroupLost === "latest";
    const how = { arms: true, overlaps: true };
    this.#reads = new UnitReads<GroupShard, number>({ router, server, place, placement, onFatal, ...how }, {
      prepare: (open) => this.#prepare(open),
      fill: () => this.fill(),
      released: () => this.#prepareOrFill(),
      heartbeat: () => {},
      command: ({ shards, count, block }) =>
        xreadgroup(member, { redisKeys: shards.map(({ redisKey }) => redisKey), count, block, noAck }),
      arming: (shard) => this.#arming(shard),
      arrived: (decoder, read) => this.#arrived(decoder, read),
      refused: (error, read) => this.#readRefused(error, read),
      lost: (reads) => this.#lost(reads),
      untracked: (cause) => onUntracked(this, cause),
    });
  }

  /** The connection: to start it, and to end and await its reads. */
  get unit(): UnitReads<GroupShard, number>["unit"] {
    return this.#reads.unit;
  }

  get seats(): ReadonlyMap<GroupShard, Seat> {
    return this.#seats;
  }

  /** Reads this shard, too. If entries of it may be pending for this consumer, they are brought in first. */
  admit(seat: Seat): void {
    this.#seats.set(seat.shard, seat);
    this.#reads.watched.cover(seat.shard);
    seat.isCarried = seat.isReady && this.unit.connected === undefined;
  }

  /** Reads this shard no more. */
  dismiss(shard: GroupShard): void {
    this.#seats.delete(shard);
    this.#armedAt.delete(shard);
    this.#reads.watched.uncover(shard);
  }

  /** Other shards are to be read: new ones are prepared, and a blocked read is ended. */
  changed(): void {
    this.unit.endReads();
    this.#prepareOrFill();
  }

  /** Shards of this reader became ready while a read may block: that read is ended. The server does not push that. */
  joined(): void {
    const last = this.unit.sent;
    this.#reads.watched.read(this.#readable());
    this.wake();
    this.fill();
    this.unit.endReads(last);
  }

  /** The time since when a shard has been quiet, see {@linkcode WatchedReads.quietSpan}. */
  quietSpan(shard: GroupShard): object | undefined {
    return this.#reads.watched.quietSpan(shard);
  }

  /** The next reads ask for all shards, whether or not they have changed. */
  wake(): void {
    this.#reads.watched.wake();
  }

  /** Reads the next pages if there is room for them and nothing prevents it. */
  fill(): void {
    const { shared: { pace }, isPaused } = this.#ports;
    const reads = this.#reads;
    if (!reads.isOpen || isPaused()) return;
    const isIdle = reads.rounds === 0;
    let readable: readonly GroupShard[] | undefined;
    const next = { together: () => readable ??= this.#readable(), note: () => this.#ports.shared.router.clock.now() };
    while (
      pace.hasRoom(reads.rounds, reads.requested) && reads.send({ count: pace.count, width: pace.width, ...next })
    );
    // The server works on the next page while the last one is returned. If it has another read to work on, the write can wait:
    // reads of one tick go in one write, which costs more than everything else of a small page.
    if (isIdle && reads.rounds > 0) this.unit.flush();
  }

  /** Closes the connection. Twice is harmless. */
  close(reason: StreamerError): void {
    this.#reads.close(reason);
  }

  /**
   * The server does not push that a group is deleted. If the group is to be recreated at the end of its stream, that must be the end at
   * that time, and not after the entry that reveals the loss. So the position of the group is noted whenever the shard is armed.
   */
  #arming(shard: GroupShard): Preceding | undefined {
    if (!this.#notesEnds) return undefined;
    const command = xinfoGroups(shard.redisKey);
    const { group } = this.#ports.shared.member;
    return {
      command,
      answered: (decoder) => {
        const position = command.read(decoder).find(({ name }) => name === group)?.lastDeliveredId;
        if (position !== undefined) this.#armedAt.set(shard, position);
      },
      refused: (error) => {
        const kind = classOf(error);
        if (kind !== "stream-missing" && !isPassing(kind)) this.#notesEnds = false;
      },
    };
  }

  /** Notes the ends of streams of which all entries have been delivered. */
  #noteEnds({ shards }: GroupRead, full: ReadonlySet<GroupShard>): void {
    if (!this.#notesEnds) return;
    for (const shard of shards) shard.drained(full.has(shard) ? undefined : this.#armedAt.get(shard));
  }

  /** Shards whose new entries may be read. */
  #readable(): GroupShard[] {
    const shards: GroupShard[] = [];
    for (const { shard, isReady } of this.#seats.values()) if (isReady && shard.hasGroup) shards.push(shard);
    return shards;
  }

  #prepareOrFill(): void {
    if (this.#reads.watched.needsTracking || this.#nextToPrepare() !== undefined) return this.unit.prepare();
    this.#reads.watched.read(this.#readable());
    this.fill();
  }

  #nextToPrepare(): Seat | undefined {
    for (const seat of this.#seats.values()) {
      if (seat.shard.hasGroup && !seat.isReady && !this.#reads.watched.isHeld(seat.shard)) return seat;
    }
    return undefined;
  }

  /** Before new entries are read, lost connections are killed, and pending entries are brought in. */
  async #prepare(open: OpenConnection): Promise<boolean> {
    const { onFenceUnavailable } = this.#ports.shared;
    const unit = this.unit;
    for (const seat of this.#seats.values()) {
      if (seat.isCarried) seat.isCarried = false;
      else if (this.#prepared !== open) seat.isReady = false;
    }
    this.#prepared = open;
    let isSilenced = true;
    try {
      isSilenced = await unit.silence(open, (node, cause) => onFenceUnavailable({ node, cause }));
      for (let seat = this.#nextToPrepare(); seat !== undefined; seat = this.#nextToPrepare()) {
        await this.#prepareSeat(open, seat);
      }
    } catch (error) {
      this.#unprepared(open, error);
      return false;
    }
    if (open.pipeline.ending !== undefined || unit.signal.aborted) return false;
    this.#reads.watched.read(this.#readable());
    if (!isSilenced && this.#stalled > 0) this.#bringInAgain();
    return true;
  }

  async #prepareSeat(open: OpenConnection, seat: Seat): Promise<void> {
    const { shard } = seat;
    try {
      const isBroughtIn = await this.#bringIn(open, seat);
      if (isBroughtIn && shard.isRead) seat.isReady = true; // it may have been released since
    } catch (error) {
      if (isRedirect(error) && this.#ports.onRedirected(this, [shard], error)) return;
      if (!this.#hold([shard], error)) throw error;
    }
  }

  #unprepared({ pipeline }: OpenConnection, error: unknown): void {
    const { onFatal } = this.#ports.shared;
    if (this.unit.signal.aborted) return;
    if (error instanceof RefusedReplyError) return onFatal(error);
    if (pipeline.ending !== undefined) { // there will be another connection, or none
      if (pipeline.ending.code === "PROTOCOL" && error === pipeline.ending) this.unit.unreadable(pipeline.ending);
      return;
    }
    if (error instanceof StreamerError) return this.#refused(error, { isPreparing: true });
    onFatal(new StreamerError("PROTOCOL", "Reading pending messages failed", { cause: error }));
  }

  #bringIn(open: OpenConnection, seat: Seat): Promise<boolean> {
    const { replay, pace } = this.#ports.shared;
    const bringing = replay.bring(seat.shard, open, () => pace.room());
    seat.preparing = bringing;
    return bringing;
  }

  /**
   * A lost connection that could not be killed may still block on the server, and be delivered entries. When its reads must have
   * ended, those entries are brought in.
   */
  async #bringInAgain(): Promise<void> {
    const unit = this.unit;
    try {
      await sleep(this.#ports.shared.router.clock, this.#stalled * unit.heartbeat, unit.signal);
      for (const seat of this.#seats.values()) {
        const open = unit.connected;
        if (open !== undefined && unit.phase === "reading" && seat.shard.hasGroup) await this.#bringIn(open, seat);
      }
    } catch {
      // The end, or another lost connection, after which they are brought in all the same.
    }
  }

  #lost({ cause, open, inFlight, blocking, rounds }: LostReads<GroupShard, number>): void {
    const { shared: { pace, replay }, isPaused, onLost } = this.#ports;
    const unit = this.unit;
    if (inFlight > 0 || replay.isAsking(open.pipeline)) unit.fence(open);
    if (inFlight > 0) {
      this.#stalled = Math.max(1, blocking);
      for (const seat of this.#seats.values()) seat.isReady = seat.isCarried = false;
    }
    pace.cut(rounds);
    if (cause.code !== "PROTOCOL" && inFlight > 0 && !isPaused()) {
      // Entries that the server had delivered are pending. They are brought in next, which shows whether a single one is refused.
      unit.suspicion.cut({ alone: false, heard: undefined });
      if (unit.suspicion.isSuspect) pace.halve();
    }
    const isTooLarge = cause instanceof ProtocolError && cause.tooLarge;
    if (isTooLarge && !pace.halve()) unit.unreadable(cause); // a single entry is larger than the limits
    onLost(this);
  }

  #arrived(decoder: RespDecoder, read: GroupRead): void {
    const { shared: { queue, intake, pace, onQuiet }, placement } = this.#ports;
    const { round, count } = read;
    const lent = decoder.borrow();
    const found = findPage(lent, read.most);
    placement.answered(read.shards);
    const asked = new Map(read.shards.map((shard) => [shard.redisKey, shard]));
    const arrived = found.map(({ redisKey, entries, lastId }) => {
      const shard = asked.get(redisKey);
      if (shard === undefined || !asked.delete(redisKey)) {
        throw wrongShape("XREADGROUP", "entries of the requested keys");
      }
      return { shard, entries, lastId };
    });
    const total = arrived.reduce((sum, { entries }) => sum + entries.length, 0);
    const most = arrived.reduce((max, { entries }) => Math.max(max, entries.length), 0);
    const full = new Set(arrived.filter(({ entries }) => entries.length >= count).map(({ shard }) => shard));
    this.#reads.arrived(read, { entries: most, total, bytes: lent.byteLength, full });
    if (round.isOver) {
      pace.arrived(round.size, count, total);
      this.fill(); // the server works on the next page while this one is copied and returned
      pace.settled();
    }
    checkPage(lent, found);
    for (const { shard, lastId } of arrived) shard.advance(lastId);
    this.#noteEnds(read, full);
    if (total > 0) {
      const frame = decoder.detach();
      const bytesOf = (entries: Int32Array) => Math.ceil(frame.byteLength * entries.length / total);
      const deliveries = arrived.map(({ shard, entries }) => ({ shard, frame, entries, bytes: bytesOf(entries) }));
      intake.add(deliveries, { acknowledged: this.#noAck, readAt: read.note, round: round.name });
    }
    queue.serve();
    if (!this.#reads.watched.isActive) {
      if (total === 0) this.fill();
      return;
    }
    this.fill();
    onQuiet();
  }

  #readRefused(error: RedisError, { shards }: GroupRead): void {
    const { isRetired, onRedirected } = this.#ports;
    if (isRetired()) return;
    const isHandled = (isRedirect(error) && onRedirected(this, shards, error)) || this.#hold(shards, error);
    if (isHandled) this.fill();
    else this.#refused(error, { isPreparing: false });
  }

  /** Holds shards back that the server refuses alone. Gives false if the refusal is about all of them, or final. */
  #hold(shards: readonly GroupShard[], error: unknown): boolean {
    const { placement, shared: { groups } } = this.#ports;
    if (!this.#reads.watched.isActive || !(error instanceof RedisError)) return false;
    const isLost = isGroupMissing(error);
    if (!isLost && !concernsOneSlot(error.code, error.message)) return false;
    this.#reads.watched.hold(shards, error, {
      isNoted: !isLost, // recreating the group is noted by itself
      before: isLost
        ? () => groups.lookFor(shards.filter(({ hasGroup }) => hasGroup), error)
        : placement.rest(shards, this.unit.signal),
    });
    return true;
  }

  /** A refusal: looks for a lost group, waits, or ends. */
  #refused(error: StreamerError, { isPreparing }: { readonly isPreparing: boolean }): void {
    const { placement, shared: { groups, onFatal }, isRetired } = this.#ports;
    if (isRetired()) return;
    const isLost = isGroupMissing(error);
    if (!isLost && (!(error instanceof RedisError) || isFatal(error.code, error.message))) return onFatal(error);
    const ready = () => [...this.#seats.keys()].filter(({ hasGroup }) => hasGroup);
    this.unit.refused(error, {
      isPreparing,
      isNoted: !isLost, // recreating the group is noted by itself
      before: isLost ? () => groups.lookFor(ready(), error) : placement.rest([...this.#seats.keys()], this.unit.signal),
    });
  }
}

function isRedirect(error: unknown): error is RedisError {
  return error instanceof RedisError && classOf(error) === "redirect";
}
