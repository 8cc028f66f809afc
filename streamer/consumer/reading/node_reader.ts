// Reads some shards from one node with XREAD, from concrete positions, one page after the other.

import { classOf, concernsOneSlot } from "../../../resp/connection/server_errors.ts";
import { wrongShape } from "../../../resp/connection/command.ts";
import type { OpenConnection } from "../../../resp/connection/node.ts";
import { refusalText } from "../../../resp/connection/retry/suspicion.ts";
import type { RespDecoder } from "../../../resp/decoder.ts";
import { ProtocolError, RedisError, RefusedReplyError, type StreamerError } from "../../../resp/errors.ts";
import type { RespFrame } from "../../../resp/decoding/frame.ts";
import type { Router } from "../../cluster/router.ts";
import type { PageSize } from "../../commands/page_count.ts";
import { checkPage, findPage, type PageSection, xread } from "../../commands/xread.ts";
import { compareIds, type MessageId, type TimestampFormat } from "../../model/id.ts";
import type { TrackingUnavailableDetail } from "../events.ts";
import type { ReadingSettings } from "../options.ts";
import type { Place, Placement } from "../server/placement.ts";
import type { Page, PrefetchQueue } from "../delivery/prefetch_queue.ts";
import { isFatal, type ServerAccess } from "../server/server.ts";
import { type LostReads, type Read, UnitReads } from "../server/unit_reads.ts";
import type { ShardPosition } from "../shards/shard_position.ts";
import type { PageBudget } from "./page_budget.ts";
import type { StreamResetDetector } from "./reset_detector.ts";
import { ALL_SHARDS, inRotation, narrowRotation, nextRotation, type ShardRotation } from "./rotation.ts";

/** What a consumer without a group reads with. */
export interface ReaderOptions {
  readonly router: Router;
  readonly settings: ReadingSettings;
  /** How to run commands on another connection. */
  readonly server: ServerAccess;
  readonly timestampFormat: TimestampFormat;
  /** The payload's field. */
  readonly field: Uint8Array;
  readonly queue: PrefetchQueue;
  /** What the messages of a page are marked with, so that they are recognized later. @default {nothing} */
  readonly mark?: () => object;
  /** A node does not tell which of many shards have changed. */
  readonly onTrackingUnavailable: (detail: TrackingUnavailableDetail) => void;
  /** A stream was recreated. */
  readonly onReset: (
    detail: { readonly streamKey: string; readonly shardId: number; readonly position: MessageId },
  ) => void;
  /** Reading cannot continue. */
  readonly onFatal: (error: StreamerError) => void;
}

/** What a reader of one node shares with those of the other nodes. */
export interface NodeReaderPorts {
  readonly options: ReaderOptions;
  readonly place: Place;
  readonly placement: Placement;
  readonly budget: PageBudget;
  readonly watch: StreamResetDetector;
  /** Whether nothing may be read now. */
  readonly isPaused: () => boolean;
  /** A read of these shards was redirected: those that another node has are taken from this reader. False if none are. */
  readonly onRedirected: (reader: NodeReader, shards: readonly ShardPosition[], refusal: RedisError) => boolean;
  /** The connection was lost: shards whose slots another node owns by now are taken from this reader. */
  readonly onLost: (reader: NodeReader) => void;
  /** The node does not push changes to this connection: the shards are taken from this reader. */
  readonly onUntracked: (reader: NodeReader, cause: StreamerError) => void;
}

/** What is noted of a read when it is sent. */
interface Asked {
  /** Where each shard is read from. */
  readonly positions: readonly MessageId[];
  readonly generation: number;
}

/** A read that waits for its answer. */
type PositionRead = Read<ShardPosition, Asked>;

/** The entries of one shard in the page that has just arrived. */
interface Arrived {
  readonly shard: ShardPosition;
  readonly entries: Int32Array;
  /** The shard's position before it, and the highest id it was known to have reached. */
  readonly before: MessageId;
  readonly reached: MessageId;
  readonly bytes: number;
}

/** Keeps the queue filled from one node. */
export class NodeReader {
  readonly #ports: NodeReaderPorts;
  readonly #reads: UnitReads<ShardPosition, Asked>;
  #shards: readonly ShardPosition[] = [];
  #rotation: ShardRotation = ALL_SHARDS;
  #unblocking = 0; // the last read that the server was asked to end
  #generation = 0; // of the positions: an answer to a read of an older one is dropped
  #suspected: { readonly redisKey: string; readonly position: MessageId } | undefined; // the first shard of the read that was cut last

  constructor(ports: NodeReaderPorts) {
    const { options: { router, server, onFatal }, place, placement, onUntracked } = ports;
    this.#ports = ports;
    this.#reads = new UnitReads<ShardPosition, Asked>({ router, server, place, placement, onFatal }, {
      prepare: (open) => this.#prepare(open),
      fill: () => this.fill(),
      released: () => this.#prepareOrFill(),
      heartbeat: () => this.#lookAtStreams(),
      command: ({ note: { positions }, shards, count, block }) =>
        xread({ positions: shards.map(({ redisKey }, i) => ({ redisKey, position: positions[i] })), count, block }),
      arrived: (decoder, read) => this.#arrived(decoder, read),
      refused: (error, read) => this.#refused(error, read),
      lost: (reads) => this.#lost(reads),
      untracked: (cause) => onUntracked(this, cause),
    });
  }

  get place(): Place {
    return this.#ports.place;
  }

  get shards(): readonly ShardPosition[] {
    return this.#shards;
  }

  /** Opens the connection. */
  start(): void {
    this.#reads.unit.start();
  }

  /** Reads these shards from now on, each from its position. */
  assign(shards: readonly ShardPosition[]): void {
    const { watched, unit } = this.#reads;
    const before = this.#shards;
    if (shards.length === before.length && shards.every((shard, i) => shard === before[i])) return;
    this.#shards = shards;
    const assigned = new Set(shards);
    for (const shard of before) if (!assigned.has(shard)) watched.uncover(shard);
    for (const shard of shards) watched.cover(shard);
    if (unit.connected !== undefined) this.#comeTo(unit.connected);
    watched.read(shards.filter(({ isDoubtful }) => !isDoubtful));
    if (!watched.isActive) this.restart(); // otherwise answers about other shards are still of use
    this.#prepareOrFill();
  }

  /** Drops the answers of reads in flight. The next read asks for all shards, each from its position. */
  restart(): void {
    this.interrupt();
    this.#rotation = ALL_SHARDS;
  }

  /** Drops the answers of reads in flight, and ends reads that block. */
  interrupt(): void {
    const { unit, watched } = this.#reads;
    this.#generation++;
    unit.suspicion.clear();
    watched.wake();
    if (unit.sent === this.#unblocking) return;
    this.#unblocking = unit.sent;
    unit.endReads();
  }

  /** Reads the next page if there is room for it and nothing prevents it. */
  fill(): void {
    const { isPaused, budget } = this.#ports;
    const reads = this.#reads;
    if (!reads.isOpen || reads.rounds > 0 || this.#shards.length === 0) return;
    if (!isPaused() && budget.hasRoom) this.#send();
  }

  /** Closes the connection. Twice is harmless. */
  close(reason: StreamerError): void {
    this.#reads.close(reason);
  }

  /** After cuts in a row the reader first finds out whether the server answers at all, and then sends the read that it may refuse. */
  #prepare(open: OpenConnection): boolean | Promise<boolean> {
    const { suspicion, signal } = this.#reads.unit;
    this.#comeTo(open);
    if (!suspicion.isSuspect) return this.#opened(open);
    const key = (this.#suspected ?? this.#shards[0])?.redisKey;
    return suspicion.ask(open.pipeline, { key, losses: open.node.gate.losses }).then((answers) => {
      if (!answers || signal.aborted) return false;
      if (!suspicion.isCertain) return this.#opened(open);
      this.#unreadableEntry(undefined);
      return false;
    });
  }

  #opened(open: OpenConnection): boolean | Promise<boolean> {
    // A failover may have put ids back since the last read, or since the positions were found.
    queueMicrotask(() => this.#ports.watch.lookAtAll());
    return this.#doubtful.length === 0 || this.#verify(open);
  }

  #prepareOrFill(): void {
    const { watched, unit } = this.#reads;
    if (watched.needsTracking || this.#doubtful.length > 0) unit.prepare();
    else this.fill();
  }

  /** The shards are read from this node. While a slot is migrating to it, its primary is still another one. */
  #comeTo({ node: { name } }: OpenConnection): void {
    if (!this.place.asking) { for (const shard of this.#shards) shard.comeTo(name); }
  }

  /** Shards whose new primary may have lost entries, and can be asked now. */
  get #doubtful(): readonly ShardPosition[] {
    return this.#shards.filter((shard) => shard.isDoubtful && !this.#reads.watched.isHeld(shard));
  }

  /** Finds out where to read the shards on whose primary has changed. Gives false if that is to be tried again. */
  async #verify(open: OpenConnection): Promise<boolean> {
    const { watched, unit } = this.#reads;
    for (let some = this.#doubtful; some.length > 0; some = this.#doubtful) {
      const verified = await Promise.all(
        some.slice(0, VERIFIED_AT_ONCE).map((shard) => this.#verifyShard(shard, open)),
      );
      const { ending } = open.pipeline;
      if (ending?.code === "PROTOCOL") unit.unreadable(ending);
      if (verified.includes(false) || ending !== undefined || unit.signal.aborted) return false;
    }
    watched.read(this.#shards.filter(({ isDoubtful }) => !isDoubtful));
    return true;
  }

  async #verifyShard(shard: ShardPosition, { pipeline }: OpenConnection): Promise<boolean> {
    const { watch, placement, onRedirected } = this.#ports;
    const { watched, unit } = this.#reads;
    try {
      await watch.verify(shard, (command) => pipeline.call(command));
    } catch (error) {
      if (!(error instanceof RedisError)) return false; // the connection has ended
      const { code, message } = error;
      if (classOf(error) === "redirect" && onRedirected(this, [shard], error)) return true;
      const before = placement.rest([shard], unit.signal);
      if (isFatal(code, message)) shard.settle(); // its read will fail, too
      else if (watched.isActive && concernsOneSlot(code, message)) watched.hold([shard], error, { before });
      else {
        unit.refused(error, { isPreparing: true, before });
        return false;
      }
    }
    return true;
  }

  /** A server will not send a single entry. */
  #unreadableEntry(cause: StreamerError | undefined): void {
    const { redisKey, position } = this.#suspected ?? this.#shards[0];
    const text = refusalText(`read the entry of ${redisKey} after ${position}`);
    this.#ports.options.onFatal(new RefusedReplyError(text, { cause }));
  }

  #lost({ cause, open: { pipeline }, first }: LostReads<ShardPosition, Asked>): void {
    for (const shard of this.#shards) shard.cut();
    if (first !== undefined) this.#shrinkAfter(cause, first, pipeline.heardOfNext);
    this.#ports.onLost(this);
  }

  /** Reads were cut, this one first: after some cuts in a row, the next ones ask for less. */
  #shrinkAfter(cause: StreamerError, read: PositionRead, heard: number | undefined): void {
    const { onFatal } = this.#ports.options;
    const { suspicion } = this.#reads.unit;
    const { shards, count, round, note: { positions, generation } } = read;
    if (cause instanceof ProtocolError && cause.tooLarge) {
      if (!this.#shrink(shards.length)) onFatal(cause); // a single entry is larger than the limits
      return;
    }
    if (cause.code === "PROTOCOL" || generation !== this.#generation) return;
    this.#suspected = { redisKey: shards[0].redisKey, position: positions[0] };
    suspicion.cut({ alone: round.width === 1 && count === 1, heard });
    if (suspicion.isCertain) return this.#unreadableEntry(cause);
    if (suspicion.isSuspect) this.#shrink(round.width);
  }

  /** Asks for less from now on than for these many shards. Gives false if it was a single entry of one shard. */
  #shrink(width: number): boolean {
    if (this.#ports.budget.halve()) return true;
    const narrowed = narrowRotation(this.#rotation, width);
    if (narrowed === undefined) return false;
    this.#rotation = narrowed;
    return true;
  }

  #send(): void {
    const { count, width } = this.#ports.budget;
    const rotation = this.#rotation;
    const isAll = rotation.kind === "all";
    this.#reads.send({
      count,
      width: isAll ? width : Math.min(width, rotation.width),
      together: () => inRotation(rotation, this.#shards),
      blocks: isAll,
      note: (shards) => ({ positions: shards.map(({ position }) => position), generation: this.#generation }),
    });
  }

  #arrived(decoder: RespDecoder, read: PositionRead): void {
    const { options: { queue }, placement, budget, watch } = this.#ports;
    const { round, count } = read;
    const lent = decoder.borrow();
    const found = findPage(lent, read.most);
    placement.answered(read.shards);
    for (const shard of read.shards) shard.served();
    const isOutdated = () => read.note.generation !== this.#generation;
    if (isOutdated()) return this.#drop(read);
    const wanted = sectionsOf(found, read).filter(({ shard, position }) => this.#isWanted(shard, position));
    for (const { shard } of wanted) if (shard.gone && !watch.returned(shard)) return;
    if (isOutdated()) return this.#drop(read); // a listener of the event has moved the consumer
    const total = wanted.reduce((sum, { entries }) => sum + entries.length, 0);
    const arrived = wanted.map(({ shard, entries, lastId }): Arrived => {
      const bytes = Math.ceil(lent.byteLength * entries.length / total);
      const before = { before: shard.position, reached: shard.reached };
      shard.advance(lastId);
      return { shard, entries, ...before, bytes };
    });
    const entries = wanted.reduce((max, { entries }) => Math.max(max, entries.length), 0);
    const full = new Set(wanted.filter(({ entries }) => entries.length >= count).map(({ shard }) => shard));
    this.#reads.arrived(read, { entries, total, bytes: lent.byteLength, full });
    if (round.isOver) this.#readOn(round.size, lent.byteLength); // the server works on the next page while this one is copied and returned
    budget.settled();
    check(lent, found, arrived);
    for (const { shard, entries } of arrived) {
      shard.passed({
        count: entries.length,
        idAt: (i) => lent.textAt(entries[i] + ID),
      });
    }
    if (arrived.length > 0) queue.add(this.#page(decoder, arrived, round.name));
    queue.serve();
    if (this.#reads.watched.isActive) this.fill();
    else watch.look(total === 0 ? 0 : this.#reads.unit.heartbeat);
  }

  /** Nothing blocks, so empty pages say nothing about how long the streams have been idle. */
  #lookAtStreams(): void {
    this.#ports.watch.look(this.#reads.unit.heartbeat / 2);
  }

  /** Whether entries after this position are still to be read here. */
  #isWanted(shard: ShardPosition, position: MessageId): boolean {
    const { watched } = this.#reads;
    return !watched.isActive || (watched.has(shard) && shard.position === position);
  }

  #drop({ look }: PositionRead): void {
    this.#reads.watched.failed(look);
    this.fill();
  }

  /** A page is complete. The last `arriving` bytes of it are not in the queue yet. */
  #readOn(size: PageSize, arriving: number): void {
    this.#ports.budget.arrived(size, arriving);
    this.#rotation = nextRotation(this.#rotation, size, this.#shards.length);
    this.fill();
    this.#reads.unit.flush();
  }

  /** The entries that have arrived, as a page that outlasts the decoder's buffer. */
  #page(decoder: RespDecoder, arrived: readonly Arrived[], round: object | undefined): Page {
    const { timestampFormat, field, mark, settings: { decode } } = this.#ports.options;
    const frame = decoder.detach();
    const batch = mark?.();
    return {
      round,
      sections: arrived.map(({ shard, entries, before, bytes }) => {
        const { streamKey, shardId } = shard;
        const source = { frame, streamKey, shardId, timestampFormat, field, decode };
        const marked = batch === undefined ? source : { ...source, delivered: { batch, entries, index: 0 } };
        return { source: marked, entries, taken: 0, before, bytes };
      }),
    };
  }

  #refused(error: RedisError, { shards, note: { generation } }: PositionRead): void {
    const { onRedirected, placement, options: { onFatal } } = this.#ports;
    const { unit, watched } = this.#reads;
    const { code, message } = error;
    if (classOf(error) === "redirect" && onRedirected(this, shards, error)) return this.fill();
    const before = placement.rest(shards, unit.signal);
    if (isFatal(code, message)) {
      const isRead = !watched.isActive || shards.some((shard) => watched.has(shard));
      if (isRead && generation === this.#generation) return onFatal(error);
    } else if (watched.isActive && concernsOneSlot(code, message)) watched.hold(shards, error, { before });
    else {
      for (const shard of this.#shards) shard.cut();
      return void unit.refused(error, { before });
    }
    this.fill();
  }
}

/** Offset of an entry's id on the tape: it follows the array of the entry. */
const ID = 2;
/** Shards that are verified together: each reply has an entry. */
const VERIFIED_AT_ONCE = 16;

/** A section of a page, and what was requested of its shard. */
interface ShardSection extends PageSection {
  readonly shard: ShardPosition;
  readonly position: MessageId;
}

/** The sections with their shards. Throws before any message is taken from the page if it was not requested. */
function sectionsOf(found: readonly PageSection[], { shards, note: { positions } }: PositionRead): ShardSection[] {
  const asked = new Map(shards.map(({ redisKey }, i) => [redisKey, i]));
  return found.map((section) => {
    const i = asked.get(section.redisKey);
    if (i === undefined || !asked.delete(section.redisKey)) throw wrongShape("XREAD", "entries of the requested keys");
    const position = positions[i];
    if (compareIds(section.lastId, position) <= 0) throw wrongShape("XREAD", "entries after the requested position");
    return { ...section, shard: shards[i], position };
  });
}

/** Throws for a malformed page. Its entries are then asked for once more. */
function check(lent: RespFrame, found: readonly PageSection[], arrived: readonly Arrived[]): void {
  try {
    checkPage(lent, found);
  } catch (error) {
    for (const { shard, before, reached } of arrived) shard.revert(before, reached);
    throw error;
  }
}
