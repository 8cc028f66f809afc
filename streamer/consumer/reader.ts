// Reads pages ahead with XREAD over a connection of its own, from concrete positions, and takes the connection up again
// where it was lost. It must not know who gets the messages.

import { ProtocolError, type StreamerError } from "../../resp/errors.ts";
import type { RespDecoder } from "../../resp/decoder.ts";
import type { RespFrame } from "../../resp/frame.ts";
import { reconnectDelay } from "../../resp/connection/backoff.ts";
import { type Clock, sleep } from "../../resp/connection/clock.ts";
import { type Command, isErrorReply, readError, wrongShape } from "../../resp/connection/command.ts";
import { Connection } from "../../resp/connection/connection.ts";
import type { OpenConnection, RedisNode } from "../../resp/connection/node.ts";
import { type CountState, firstCount, halveCount, nextCount } from "../commands/page_count.ts";
import { checkPage, findPage, type PageSection, xreadArguments } from "../commands/xread.ts";
import { compareIds, type MessageId, type TimestampFormat } from "../model/id.ts";
import type { AnchorPorts } from "./anchor.ts";
import type { Inbox, Page } from "./inbox.ts";
import type { ReadingSettings } from "./options.ts";
import { isFatal, narrowTurn, nextTurn, type Turn } from "./policy.ts";
import type { ShardPosition } from "./shard.ts";
import { endBlockedRead } from "./unblock.ts";
import { StreamWatch } from "./watch.ts";

/** What a reader needs. */
export interface ReaderOptions {
  readonly node: RedisNode;
  readonly settings: ReadingSettings;
  /** How to ask questions on another connection. */
  readonly anchor: AnchorPorts;
  readonly timestampFormat: TimestampFormat;
  /** The payload's field. */
  readonly field: Uint8Array;
  readonly inbox: Inbox;
  /** What the messages of a page are marked with, so that they are known again; where nobody asks, nothing. */
  readonly mark?: () => object;
  /** A stream was made anew. */
  readonly onReset: (
    detail: { readonly streamKey: string; readonly shardId: number; readonly position: MessageId },
  ) => void;
  /** Reading cannot go on. */
  readonly onFatal: (error: StreamerError) => void;
}

/** Longest a read blocks on the server; half of the time within which a dead connection is noticed. */
const HEARTBEAT = 10_000;
/** Bytes of the receive buffer at first: pages are large. */
const CAPACITY = 256 * 1024;
/** Share of the limit of a reply that a page is fitted to, so that entries may differ in size. */
const REPLY_SHARE = 0.75;

/** A read that waits for its answer. */
interface Reading {
  readonly shards: readonly {
    readonly shard: ShardPosition;
    readonly redisKey: string;
    readonly position: MessageId;
  }[];
  readonly generation: number;
}

/** The entries of one shard in the page that has just come. */
interface Arrived {
  readonly shard: ShardPosition;
  readonly entries: Int32Array;
  /** The shard's position before it, and the highest id it was known to have reached. */
  readonly before: MessageId;
  readonly reached: MessageId;
  readonly bytes: number;
}

const NOTHING: readonly Arrived[] = [];

/** Keeps an inbox filled. */
export class Reader {
  readonly #options: ReaderOptions;
  readonly #clock: Clock;
  readonly #connection: Connection;
  readonly #watch: StreamWatch;
  readonly #closing = new AbortController();
  readonly #heartbeat: number;
  readonly #pageBytes: number;
  #shards: readonly ShardPosition[];
  #open: OpenConnection | undefined;
  #count: CountState;
  #turn: Turn = { kind: "all" };
  #reading: Reading | undefined;
  #arriving: readonly Arrived[] = NOTHING; // what is not yet in the inbox
  #generation = 0; // of the positions: what was asked under an older one is thrown away
  #holds = 0;
  #refusedSince: number | undefined;
  #unreadable = 0; // replies in a row that broke the protocol
  #pausing = false; // after a refusal

  constructor(options: ReaderOptions, shards: readonly ShardPosition[]) {
    const { node, settings, anchor, onReset, onFatal } = options;
    this.#options = options;
    this.#clock = node.clock;
    this.#shards = shards;
    this.#count = firstCount(settings.batchSize);
    this.#heartbeat = Math.min(HEARTBEAT, node.timeout);
    this.#pageBytes = Math.min(settings.maxBufferedBytes / (settings.prefetch + 1), node.limits.reply * REPLY_SHARE);
    this.#connection = new Connection(node, {
      up: (open) => this.#up(open),
      down: (cause) => this.#down(cause),
      failed: (error) => onFatal(error),
      writable: () => this.fill(),
    }, { capacity: CAPACITY });
    this.#watch = new StreamWatch({
      anchor,
      policy: settings.onStreamReset,
      signal: this.#closing.signal,
      shards: () => this.#shards,
      move: (shard, position) => this.#move(shard, position),
      onReset,
      onFatal,
    });
  }

  /** The shards that are read. */
  get shards(): readonly ShardPosition[] {
    return this.#shards;
  }

  /** Aborted when reading has ended. */
  get signal(): AbortSignal {
    return this.#closing.signal;
  }

  /** Begins to read. */
  start(): void {
    this.#connection.start();
  }

  /** Reads the next page if there is room for it and nothing is in the way. */
  fill(): void {
    const { inbox, settings } = this.#options;
    const open = this.#open;
    if (open === undefined || this.#reading !== undefined || this.#holds > 0 || this.#pausing) return;
    const arriving = this.#arriving.reduce((sum, { bytes }) => sum + bytes, 0);
    if (inbox.over !== undefined || inbox.queuedBytes + arriving >= settings.maxBufferedBytes) return;
    const pages = inbox.pages + (arriving > 0 ? 1 : 0);
    if (settings.prefetch === 0 ? pages > 0 || !inbox.asked : pages > settings.prefetch) return;
    this.#read(open);
  }

  /** Reads nothing until {@linkcode release} has been called as often; what is under way is thrown away. */
  hold(): void {
    this.#holds++;
    this.#generation++;
    this.#unblock();
  }

  /** Takes one hold back. */
  release(): void {
    this.#holds--;
    this.fill();
  }

  /** Goes on with these shards, from their positions. Only while held. */
  reposition(shards: readonly ShardPosition[]): void {
    this.#shards = shards;
    this.#turn = { kind: "all" };
  }

  /** Closes the connection. Twice is harmless. */
  close(reason: StreamerError): void {
    this.#closing.abort(reason);
    this.#connection.close();
  }

  #move(shard: ShardPosition, position: MessageId): void {
    this.hold();
    shard.position = position;
    this.release();
  }

  #up(open: OpenConnection): void {
    this.#open = open;
    this.fill();
    this.#watch.lookAtAll(); // a failover may have put ids back since the last read, or since the anchoring
  }

  #down(cause: StreamerError): void {
    this.#open = undefined;
    this.#reading = undefined;
    if (!(cause instanceof ProtocolError && cause.tooLarge)) return;
    const halved = halveCount(this.#count);
    const narrowed = halved === undefined ? narrowTurn(this.#turn, this.#shards.length) : this.#turn;
    if (narrowed === undefined) return this.#options.onFatal(cause); // a single entry is larger than the limits
    this.#count = halved ?? this.#count;
    this.#turn = narrowed;
  }

  #read(open: OpenConnection): void {
    const turn = this.#turn;
    const block = turn.kind === "all" ? this.#heartbeat : undefined;
    const shards = turn.kind === "all" ? this.#shards : inTurn(this.#shards, turn.from, turn.width);
    const reading: Reading = {
      shards: shards.map((shard) => ({ shard, redisKey: shard.redisKey, position: shard.position })),
      generation: this.#generation,
    };
    this.#reading = reading;
    const command: Command<void> = {
      args: xreadArguments({ positions: reading.shards, count: this.#count.count, block }),
      repeatable: true,
      read: () => {},
    };
    open.pipeline.enqueue(command, {
      blocks: block ?? 0,
      reply: (decoder) => {
        this.#reading = undefined;
        if (isErrorReply(decoder)) return this.#refused(readError(decoder, command), reading);
        this.#arrived(decoder, reading);
        this.#refusedSince = undefined;
        this.#unreadable = 0;
      },
      lost: (cause) => this.#unread(cause),
    });
  }

  #arrived(decoder: RespDecoder, reading: Reading): void {
    const lent = decoder.borrow();
    const found = findPage(lent);
    if (reading.generation !== this.#generation) return this.fill();
    const { inbox, settings } = this.#options;
    const asked = new Map(reading.shards.map((one) => [one.redisKey, one]));
    const total = found.reduce((sum, section) => sum + section.entries.length, 0);
    for (const { redisKey, lastId } of found) { // all of it, before anything is taken from it
      const one = asked.get(redisKey);
      if (one === undefined || !asked.delete(redisKey)) throw wrongShape("XREAD", "entries of the keys asked for");
      if (compareIds(lastId, one.position) <= 0) throw wrongShape("XREAD", "entries behind the position asked for");
    }
    const shards = new Map(reading.shards.map((one) => [one.redisKey, one.shard]));
    for (const { redisKey } of found) {
      const shard = shards.get(redisKey);
      if (shard?.gone && !this.#watch.returned(shard)) return;
    }
    if (reading.generation !== this.#generation) return this.fill(); // a listener who was told has moved us
    const arrived: Arrived[] = [];
    let most = 0;
    for (const { redisKey, entries, lastId } of found) {
      const shard = shards.get(redisKey);
      if (shard === undefined) continue;
      const bytes = Math.ceil(lent.byteLength * entries.length / total);
      arrived.push({ shard, entries, before: shard.position, reached: shard.reached, bytes });
      shard.position = shard.reached = lastId;
      most = Math.max(most, entries.length);
    }
    if (total > 0) {
      const size = { entries: most, total, bytes: lent.byteLength, streams: reading.shards.length };
      this.#count = nextCount(this.#count, size, { batchSize: settings.batchSize, pageBytes: this.#pageBytes });
    }
    this.#turn = nextTurn(this.#turn, { total }, this.#shards.length);
    this.#arriving = arrived;
    this.fill(); // the server works on the next page while this one is copied and handed out
    this.#open?.pipeline.flush();
    this.#arriving = NOTHING;
    this.#check(lent, found, arrived);
    if (arrived.length > 0) inbox.add(this.#page(decoder, arrived));
    inbox.serve();
    this.#watch.look(total === 0 ? 0 : HEARTBEAT);
  }

  /** Throws for what is no page: what was asked for behind it is then asked for once more. */
  #check(lent: RespFrame, found: readonly PageSection[], arrived: readonly Arrived[]): void {
    try {
      checkPage(lent, found);
    } catch (error) {
      for (const { shard, before, reached } of arrived) {
        shard.position = before;
        shard.reached = reached;
      }
      throw error;
    }
  }

  /** What has arrived, as a page that lasts. */
  #page(decoder: RespDecoder, arrived: readonly Arrived[]): Page {
    const { timestampFormat, field, mark, settings: { decode } } = this.#options;
    const frame = decoder.detach();
    const lot = mark?.();
    return {
      sections: arrived.map(({ shard, entries, before, bytes }) => {
        const { streamKey, shardId } = shard;
        const source = { frame, streamKey, shardId, timestampFormat, field, decode };
        const marked = lot === undefined ? source : { ...source, delivered: { lot, entries, index: 0 } };
        return { source: marked, entries, taken: 0, before, bytes };
      }),
    };
  }

  /** A read was lost: with `PROTOCOL` by its own reply, which once may be an accident. One that is too large is asked for in parts. */
  #unread(cause: StreamerError): void {
    if (cause.code !== "PROTOCOL" || (cause instanceof ProtocolError && cause.tooLarge)) return;
    if (++this.#unreadable > 1) this.#options.onFatal(cause);
  }

  #refused(error: StreamerError, reading: Reading): void {
    if (isFatal(error.code)) {
      if (reading.generation === this.#generation) return this.#options.onFatal(error);
      return this.fill();
    }
    const now = this.#clock.now();
    this.#refusedSince ??= now;
    this.#pausing = true;
    const { reconnect } = this.#options.anchor;
    const delay = reconnectDelay(reconnect, now - this.#refusedSince, this.#clock.random());
    sleep(this.#clock, delay, this.#closing.signal).then(() => {
      this.#pausing = false;
      this.fill();
    }, () => {});
  }

  /** Ends the read that is blocked now: its answer is not wanted any more. */
  #unblock(): void {
    const reading = this.#reading;
    const open = this.#open;
    if (reading === undefined || open === undefined) return;
    endBlockedRead(open, {
      anchor: this.#options.anchor,
      signal: this.#closing.signal,
      isBlocked: () => this.#reading === reading && this.#open === open,
    });
  }
}

/** So many of them from one on, and from the beginning again. */
function inTurn(shards: readonly ShardPosition[], from: number, width: number): readonly ShardPosition[] {
  const start = from % shards.length;
  return [...shards.slice(start), ...shards.slice(0, start)].slice(0, width);
}
