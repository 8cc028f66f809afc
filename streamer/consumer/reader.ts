// Reads pages ahead with XREAD over a connection of its own, from concrete positions, and takes the connection up again
// where it was lost. It must not know who gets the messages.

import { StreamerError } from "../../resp/errors.ts";
import type { RespDecoder } from "../../resp/decoder.ts";
import { type Clock, sleep } from "../../resp/connection/clock.ts";
import { type Command, isErrorReply, readError } from "../../resp/connection/command.ts";
import { Connection } from "../../resp/connection/connection.ts";
import type { OpenConnection, RedisNode } from "../../resp/connection/node.ts";
import { reconnectDelay, type ReconnectOptions } from "../../resp/connection/backoff.ts";
import { ProtocolError } from "../../resp/scanner.ts";
import { clientUnblock } from "../commands/client_unblock.ts";
import { lastIdOfStream } from "../commands/last_id.ts";
import { type PageSection, readPage, xreadArguments } from "../commands/xread.ts";
import { FIRST_ID, type MessageId, type TimestampFormat } from "../model/id.ts";
import type { Inbox, Page } from "./inbox.ts";
import type { ConsumerSettings } from "./options.ts";
import { type CountState, firstCount, halveCount, isFatal, nextCount, resetPosition } from "./policy.ts";

/** One shard that is read, and behind which id. */
export interface ShardPosition {
  readonly streamKey: string;
  readonly shardId: number;
  readonly redisKey: string;
  position: MessageId;
}

/** What a reader needs beside its settings. */
export interface ReaderOptions {
  readonly node: RedisNode;
  readonly settings: ConsumerSettings;
  readonly reconnect: Required<ReconnectOptions>;
  readonly timestampFormat: TimestampFormat;
  /** The payload's field. */
  readonly field: Uint8Array;
  readonly inbox: Inbox;
  /** Runs a command on another connection, which never blocks. */
  readonly run: <T>(command: Command<T>, options?: { readonly signal?: AbortSignal }) => Promise<T>;
  readonly onReset: (
    detail: { readonly streamKey: string; readonly shardId: number; readonly position: MessageId },
  ) => void;
  /** Reading cannot go on. */
  readonly onFatal: (error: StreamerError) => void;
}

/** Longest a read blocks on the server; half of the time within which a dead connection is noticed. */
const HEARTBEAT = 10_000;
/** Pause before asking again to unblock a read that may not have reached the server when it was asked first. */
const UNBLOCK_AGAIN = 10;
/** Bytes of the receive buffer at first: pages are large. */
const CAPACITY = 256 * 1024;

/** Keeps an inbox filled. */
export class Reader {
  readonly #options: ReaderOptions;
  readonly #clock: Clock;
  readonly #connection: Connection;
  readonly #closing = new AbortController();
  readonly #heartbeat: number;
  #shards: ShardPosition[] = [];
  #open: OpenConnection | undefined;
  #count: CountState;
  #reading: { readonly generation: number } | undefined;
  #generation = 0; // of the positions: what was asked under an older one is thrown away
  #holds = 0;
  #refusedSince: number | undefined;
  #waiting = false; // for a pause after a refusal
  #wasOpen = false;
  #checkedAt = 0;
  #checking = false;

  constructor(options: ReaderOptions, shards: readonly ShardPosition[]) {
    const { node, settings } = options;
    this.#options = options;
    this.#clock = node.clock;
    this.#shards = [...shards];
    this.#count = firstCount(settings.batchSize);
    this.#heartbeat = Math.min(HEARTBEAT, node.timeout);
    this.#checkedAt = this.#clock.now();
    this.#connection = new Connection(node, {
      up: (open) => this.#up(open),
      down: (cause) => this.#down(cause),
      failed: (error) => options.onFatal(error),
      writable: () => this.fill(),
    }, { capacity: CAPACITY });
  }

  /** The shards that are read. */
  get shards(): readonly ShardPosition[] {
    return this.#shards;
  }

  /** Begins to read. */
  start(): void {
    this.#connection.start();
  }

  /** Reads the next page if there is room for it and nothing is in the way. */
  fill(): void {
    const { inbox, settings } = this.#options;
    const open = this.#open;
    if (
      open === undefined || this.#reading !== undefined || this.#holds > 0 || this.#waiting || this.#shards.length === 0
    ) return;
    if (inbox.over !== undefined || inbox.queuedBytes >= settings.maxBufferedBytes) return;
    if (settings.prefetch === 0 ? inbox.pages > 0 || !inbox.asked : inbox.pages > settings.prefetch) return;
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
    this.#shards = [...shards];
  }

  /** Closes the connection. Twice is harmless. */
  close(): void {
    this.#closing.abort(new StreamerError("CONSUMER_ENDED", "The consumer has ended"));
    this.#connection.close();
  }

  #up(open: OpenConnection): void {
    const again = this.#wasOpen;
    this.#wasOpen = true;
    this.#open = open;
    this.fill();
    if (again) this.#check(); // a failover may have put ids back
  }

  #down(cause: StreamerError): void {
    this.#open = undefined;
    this.#reading = undefined;
    if (!(cause instanceof ProtocolError && cause.tooLarge)) return;
    const halved = halveCount(this.#count);
    if (halved === undefined) this.#options.onFatal(cause);
    else this.#count = halved;
  }

  #read(open: OpenConnection): void {
    const { count } = this.#count;
    const asked = this.#shards.map((shard) => ({ shard, redisKey: shard.redisKey, position: shard.position }));
    const block = this.#heartbeat;
    const reading = { generation: this.#generation };
    this.#reading = reading;
    const command: Command<void> = {
      args: xreadArguments({ positions: asked, count, block }),
      repeatable: true,
      blocks: block,
      read: () => {},
    };
    open.pipeline.enqueue(command, {
      blocks: block,
      reply: (decoder) => {
        this.#reading = undefined;
        if (isErrorReply(decoder)) return this.#refused(readError(decoder, command), reading.generation);
        this.#refusedSince = undefined;
        this.#arrived(decoder, asked, reading.generation);
      },
      lost: () => {},
    });
  }

  #arrived(decoder: RespDecoder, asked: readonly { readonly shard: ShardPosition }[], generation: number): void {
    const frame = decoder.detach();
    const found = readPage(frame);
    if (generation !== this.#generation) return this.fill();
    const { inbox, settings, timestampFormat, field } = this.#options;
    const shards = new Map(asked.map(({ shard }) => [shard.redisKey, shard]));
    const total = found.reduce((sum, section) => sum + section.entries.length, 0);
    const page: Page = { sections: [] };
    for (const section of found) {
      const shard = shards.get(section.redisKey);
      if (shard === undefined) {
        throw new StreamerError("PROTOCOL", "Cannot read the reply of XREAD as it has a key nobody asked for");
      }
      const { streamKey, shardId, position } = shard;
      const source = { frame, streamKey, shardId, timestampFormat, field };
      const bytes = Math.ceil(frame.byteLength * section.entries.length / total);
      page.sections.push({ source, entries: section.entries, taken: 0, before: position, bytes });
      shard.position = section.lastId;
    }
    if (total > 0) {
      const entries = found.reduce((most: number, section: PageSection) => Math.max(most, section.entries.length), 0);
      const pageBytes = settings.maxBufferedBytes / (settings.prefetch + 1);
      const size = { entries, total, bytes: frame.byteLength };
      this.#count = nextCount(this.#count, size, { batchSize: settings.batchSize, pageBytes });
    }
    inbox.add(page);
    this.fill(); // the server works on the next page while this one is handed out
    inbox.serve();
    if (this.#clock.now() - this.#checkedAt >= HEARTBEAT || total === 0) this.#check();
  }

  #refused(error: StreamerError, generation: number): void {
    if (isFatal(error.code)) {
      if (generation === this.#generation) return this.#options.onFatal(error);
      return this.fill();
    }
    const now = this.#clock.now();
    this.#refusedSince ??= now;
    this.#waiting = true;
    const delay = reconnectDelay(this.#options.reconnect, now - this.#refusedSince, this.#clock.random());
    sleep(this.#clock, delay, this.#closing.signal).then(() => {
      this.#waiting = false;
      this.fill();
    }, () => {});
  }

  /** Ends the read that is blocked now: its answer is not wanted any more. Tries until it has come. */
  async #unblock(): Promise<void> {
    const reading = this.#reading;
    const open = this.#open;
    if (reading === undefined || open === undefined) return;
    const { identity } = open.info;
    const still = () => this.#reading === reading && this.#open === open;
    try {
      while (identity !== undefined && still()) {
        await this.#options.run(clientUnblock(identity.id), { signal: this.#closing.signal });
        if (still()) await sleep(this.#clock, UNBLOCK_AGAIN, this.#closing.signal);
      }
    } catch {
      // Not allowed, or we are ending: a fresh connection does as well.
    }
    if (still()) this.#connection.replace(new StreamerError("DISCONNECTED", "The blocked read was given up"));
  }

  /** Looks whether streams were made anew: their ids then are behind our positions, and a read would wait for ever. */
  async #check(): Promise<void> {
    if (this.#checking) return;
    this.#checking = true;
    this.#checkedAt = this.#clock.now();
    try {
      const moved = this.#shards.filter((shard) => shard.position !== FIRST_ID);
      await Promise.all(moved.map((shard) => this.#checkShard(shard)));
    } finally {
      this.#checking = false;
    }
  }

  async #checkShard(shard: ShardPosition): Promise<void> {
    const { position, streamKey, shardId, redisKey } = shard;
    const { settings, run, onReset, onFatal } = this.#options;
    const { signal } = this.#closing;
    let lastId: MessageId;
    try {
      lastId = await lastIdOfStream(redisKey, (command) => run(command, { signal }));
    } catch {
      return; // the read itself will tell what is wrong
    }
    // Compared with the position of before the question: what was read meanwhile is behind it for good reason.
    const reset = resetPosition(position, lastId, settings.onStreamReset);
    if (reset === undefined || signal.aborted || !this.#shards.includes(shard)) return;
    if (reset === "fail") {
      const message =
        `Cannot go on reading ${redisKey} as the stream was made anew: its last id is ${lastId}, ours ${position}`;
      return onFatal(new StreamerError("CONFLICT", message));
    }
    this.hold();
    shard.position = reset;
    onReset({ streamKey, shardId, position: reset });
    this.release();
  }
}
