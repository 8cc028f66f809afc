// Reads some shards from one node with XREAD, from concrete positions, one page after the other.

import { classOf } from "../../../resp/connection/server_errors.ts";
import { wrongShape } from "../../../resp/connection/command.ts";
import type { OpenConnection } from "../../../resp/connection/node.ts";
import { refusalText } from "../../../resp/connection/retry/suspicion.ts";
import type { RespDecoder } from "../../../resp/decoder.ts";
import { ProtocolError, type RedisError, RefusedReplyError, type StreamerError } from "../../../resp/errors.ts";
import type { RespFrame } from "../../../resp/decoding/frame.ts";
import type { Router } from "../../cluster/router.ts";
import { checkPage, findPage, type PageSection, xread } from "../../commands/xread.ts";
import { compareIds, type MessageId, type TimestampFormat } from "../../model/id.ts";
import type { ReadingSettings } from "../options.ts";
import type { Place, Placement } from "../server/placement.ts";
import type { Page, PrefetchQueue } from "../delivery/prefetch_queue.ts";
import { HEARTBEAT, type LostConnection, ReadUnit } from "../server/read_unit.ts";
import { isFatal, type ServerAccess } from "../server/server.ts";
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
}

/** A read that waits for its answer. */
interface Read {
  readonly shards: readonly ShardPosition[];
  /** Where each of them is read from. */
  readonly positions: readonly MessageId[];
  readonly generation: number;
  /** Requested entries of each. */
  readonly count: number;
  /** Most requested entries of each since the last answer. */
  readonly most: number;
}

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
  readonly #unit: ReadUnit;
  #shards: readonly ShardPosition[] = [];
  #rotation: ShardRotation = ALL_SHARDS;
  #read: Read | undefined;
  #unblocking: Read | undefined; // the read that the server was last asked to end
  #generation = 0; // of the positions: an answer to a read of an older one is dropped
  #suspected: { readonly redisKey: string; readonly position: MessageId } | undefined; // the first shard of the read that was cut last

  constructor(ports: NodeReaderPorts) {
    const { options: { router, server, onFatal }, place } = ports;
    this.#ports = ports;
    this.#unit = new ReadUnit({ router, place, server, onFatal }, {
      prepare: (open) => this.#prepare(open),
      fill: () => this.fill(),
      lost: (connection) => this.#lost(connection),
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
    this.#unit.start();
  }

  /** Reads these shards from now on, each from its position. */
  assign(shards: readonly ShardPosition[]): void {
    const before = this.#shards;
    if (shards.length === before.length && shards.every((shard, i) => shard === before[i])) return;
    this.#shards = shards;
    this.restart();
    this.fill();
  }

  /** Drops the answer of the read in flight. The next read asks for all shards, each from its position. */
  restart(): void {
    this.interrupt();
    this.#rotation = ALL_SHARDS;
  }

  /** Drops the answer of the read in flight, and ends the read. */
  interrupt(): void {
    this.#generation++;
    this.#unit.suspicion.clear();
    const read = this.#read;
    if (read === undefined || read === this.#unblocking) return;
    this.#unblocking = read;
    this.#unit.endReads();
  }

  /** Reads the next page if there is room for it and nothing prevents it. */
  fill(): void {
    const { isPaused, budget } = this.#ports;
    if (this.#unit.phase !== "reading" || this.#read !== undefined || this.#shards.length === 0) return;
    if (!isPaused() && budget.hasRoom) this.#send();
  }

  /** Closes the connection. Twice is harmless. */
  close(reason: StreamerError): void {
    this.#unit.close(reason);
  }

  /** After cuts in a row the reader first finds out whether the server answers at all, and then sends the read that it may refuse. */
  #prepare(open: OpenConnection): boolean | Promise<boolean> {
    const { suspicion } = this.#unit;
    if (!suspicion.isSuspect) return this.#opened();
    const key = (this.#suspected ?? this.#shards[0])?.redisKey;
    return suspicion.ask(open.pipeline, { key, losses: open.node.gate.losses }).then((answers) => {
      if (!answers || this.#unit.signal.aborted) return false;
      if (!suspicion.isCertain) return this.#opened();
      this.#unreadableEntry(undefined);
      return false;
    });
  }

  #opened(): true {
    // A failover may have put ids back since the last read, or since the positions were found.
    queueMicrotask(() => this.#ports.watch.lookAtAll());
    return true;
  }

  /** A server will not send a single entry. */
  #unreadableEntry(cause: StreamerError | undefined): void {
    const { redisKey, position } = this.#suspected ?? this.#shards[0];
    const text = refusalText(`read the entry of ${redisKey} after ${position}`);
    this.#ports.options.onFatal(new RefusedReplyError(text, { cause }));
  }

  #lost({ cause, open: { pipeline } }: LostConnection): void {
    const read = this.#read;
    this.#read = undefined;
    if (read !== undefined) this.#shrinkAfter(cause, read, pipeline.heardOfNext);
    this.#ports.onLost(this);
  }

  /** A read was cut: after some cuts in a row, the next one asks for less. */
  #shrinkAfter(cause: StreamerError, { shards, positions, generation, count }: Read, heard: number | undefined): void {
    const { onFatal } = this.#ports.options;
    const { suspicion } = this.#unit;
    if (cause instanceof ProtocolError && cause.tooLarge) {
      if (!this.#shrink()) onFatal(cause); // a single entry is larger than the limits
      return;
    }
    if (cause.code === "PROTOCOL" || generation !== this.#generation) return;
    this.#suspected = { redisKey: shards[0].redisKey, position: positions[0] };
    suspicion.cut({ alone: shards.length === 1 && count === 1, heard });
    if (suspicion.isCertain) return this.#unreadableEntry(cause);
    if (suspicion.isSuspect) this.#shrink();
  }

  /** Asks for less from now on. Gives false if it was a single entry of one shard. */
  #shrink(): boolean {
    if (this.#ports.budget.halve()) return true;
    const narrowed = narrowRotation(this.#rotation, this.#shards.length);
    if (narrowed === undefined) return false;
    this.#rotation = narrowed;
    return true;
  }

  #send(): void {
    const unit = this.#unit;
    const { count } = this.#ports.budget;
    const shards = inRotation(this.#rotation, this.#shards);
    const read: Read = {
      shards,
      positions: shards.map(({ position }) => position),
      generation: this.#generation,
      count,
      most: unit.mostOf(count),
    };
    this.#read = read;
    const block = this.#rotation.kind === "all" && unit.mayBlock ? unit.heartbeat : undefined;
    unit.read(xread({ positions: shards, count, block }), {
      page: (decoder) => {
        this.#read = undefined;
        this.#arrived(decoder, read);
      },
      refused: (error) => {
        this.#read = undefined;
        this.#refused(error, read);
      },
    });
  }

  #arrived(decoder: RespDecoder, read: Read): void {
    const { options: { queue }, placement, budget, watch } = this.#ports;
    const lent = decoder.borrow();
    const found = findPage(lent, read.most);
    placement.answered(read.shards);
    if (read.generation !== this.#generation) return this.fill();
    const shards = shardsOf(found, read);
    for (const shard of shards) if (shard.gone && !watch.returned(shard)) return;
    if (read.generation !== this.#generation) return this.fill(); // a listener of the event has moved the consumer
    const total = found.reduce((sum, section) => sum + section.entries.length, 0);
    const arrived = found.map(({ entries, lastId }, i): Arrived => {
      const shard = shards[i];
      const bytes = Math.ceil(lent.byteLength * entries.length / total);
      const before = { before: shard.position, reached: shard.reached };
      shard.advance(lastId);
      return { shard, entries, ...before, bytes };
    });
    const most = found.reduce((max, { entries }) => Math.max(max, entries.length), 0);
    budget.arrived({ entries: most, total, bytes: lent.byteLength, streams: read.shards.length });
    this.#rotation = nextRotation(this.#rotation, { total }, this.#shards.length);
    this.fill(); // the server works on the next page while this one is copied and returned
    this.#unit.flush();
    budget.settled();
    check(lent, found, arrived);
    if (arrived.length > 0) queue.add(this.#page(decoder, arrived));
    queue.serve();
    watch.look(total === 0 ? 0 : HEARTBEAT);
  }

  /** The entries that have arrived, as a page that outlasts the decoder's buffer. */
  #page(decoder: RespDecoder, arrived: readonly Arrived[]): Page {
    const { timestampFormat, field, mark, settings: { decode } } = this.#ports.options;
    const frame = decoder.detach();
    const batch = mark?.();
    return {
      sections: arrived.map(({ shard, entries, before, bytes }) => {
        const { streamKey, shardId } = shard;
        const source = { frame, streamKey, shardId, timestampFormat, field, decode };
        const marked = batch === undefined ? source : { ...source, delivered: { batch, entries, index: 0 } };
        return { source: marked, entries, taken: 0, before, bytes };
      }),
    };
  }

  #refused(error: RedisError, read: Read): void {
    const isRedirect = classOf(error) === "redirect";
    if (isRedirect && this.#ports.onRedirected(this, read.shards, error)) return this.fill();
    if (!isFatal(error.code, error.message)) return void this.#unit.refused(error);
    if (read.generation === this.#generation) return this.#ports.options.onFatal(error);
    this.fill();
  }
}

/** The shards of the sections, in their order. Throws before any message is taken from the page if it was not requested. */
function shardsOf(found: readonly PageSection[], { shards, positions }: Read): ShardPosition[] {
  const asked = new Map(shards.map(({ redisKey }, i) => [redisKey, i]));
  return found.map(({ redisKey, lastId }) => {
    const i = asked.get(redisKey);
    if (i === undefined || !asked.delete(redisKey)) throw wrongShape("XREAD", "entries of the requested keys");
    if (compareIds(lastId, positions[i]) <= 0) throw wrongShape("XREAD", "entries after the requested position");
    return shards[i];
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
