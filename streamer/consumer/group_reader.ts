// Reads pages through a group over a connection of its own: first what is pending for this consumer, then what is new, and
// after a lost connection what that has swallowed. It must not know who gets the messages, nor how they are acknowledged.

import { ProtocolError, RedisError, StreamerError } from "../../resp/errors.ts";
import type { RespDecoder } from "../../resp/decoder.ts";
import { reconnectDelay } from "../../resp/connection/backoff.ts";
import { type Clock, sleep } from "../../resp/connection/clock.ts";
import { type Command, isErrorReply, readError, wrongShape } from "../../resp/connection/command.ts";
import { Connection } from "../../resp/connection/connection.ts";
import { Fence } from "../../resp/connection/fence.ts";
import type { OpenConnection, RedisNode } from "../../resp/connection/node.ts";
import { isGroupMissing } from "../commands/scripts.ts";
import { checkPage, findPage } from "../commands/xread.ts";
import { type GroupMember, xreadgroupArguments } from "../commands/xreadgroup.ts";
import { abortable } from "../model/abortable.ts";
import type { AnchorPorts } from "./anchor.ts";
import type { Groups } from "./groups.ts";
import type { GroupSettings } from "./group_options.ts";
import type { GroupShard } from "./group_shard.ts";
import type { Inbox } from "./inbox.ts";
import type { Intake } from "./intake.ts";
import { isFatal } from "./policy.ts";
import { ReadPace } from "./read_pace.ts";
import type { Replay } from "./replay.ts";
import { endBlockedRead } from "./unblock.ts";

/** What a reader needs. */
export interface GroupReaderPorts {
  readonly node: RedisNode;
  readonly settings: GroupSettings;
  readonly anchor: AnchorPorts;
  readonly member: GroupMember;
  readonly inbox: Inbox;
  readonly intake: Intake;
  readonly groups: Groups;
  readonly replay: Replay;
  /** The shards that are read now. */
  readonly shards: () => readonly GroupShard[];
  /** Whether as many messages are in the user's hands as may be. */
  readonly isFull: () => boolean;
  readonly onFenceUnavailable: (detail: { readonly node: string; readonly cause: unknown }) => void;
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
  readonly shards: readonly GroupShard[];
  readonly count: number;
  readonly at: number;
}

/** Keeps an inbox filled with what the group delivers. */
export class GroupReader {
  readonly #ports: GroupReaderPorts;
  readonly #clock: Clock;
  readonly #connection: Connection;
  readonly #fence = new Fence();
  readonly #closing = new AbortController();
  readonly #heartbeat: number;
  readonly #noAck: boolean;
  readonly #pace: ReadPace;
  readonly #brought = new Set<GroupShard>(); // of which all that was pending has been brought in, over this connection
  #connected: OpenConnection | undefined;
  #preparing: OpenConnection | undefined;
  #open: OpenConnection | undefined; // the connected one, once what is new may be read
  #inFlight = 0;
  #stalled = 0; // reads in flight at the last cut: each may block on the server for as long as it may
  #reads = 0; // sent
  #answered = 0; // of those, or lost
  #refusedSince: number | undefined;
  #unreadable = 0; // replies in a row that broke the protocol
  #pausing = false; // after a refusal
  #room: PromiseWithResolvers<void> | undefined;
  #holds = 0;
  #quiet: PromiseWithResolvers<void> | undefined;
  #retired = false;

  constructor(ports: GroupReaderPorts) {
    const { node, settings, inbox, isFull, onFatal } = ports;
    this.#ports = ports;
    this.#clock = node.clock;
    this.#noAck = settings.commit.autoCommit === "immediate";
    this.#heartbeat = Math.min(HEARTBEAT, node.timeout);
    const replyBytes = node.limits.reply * REPLY_SHARE;
    this.#pace = new ReadPace({ clock: node.clock, settings, inbox, isFull, replyBytes });
    this.#connection = new Connection(node, {
      up: (open) => this.#up(open),
      down: (cause, open) => this.#down(cause, open),
      failed: onFatal,
      writable: () => this.fill(),
    }, { capacity: CAPACITY });
  }

  /** Begins to read. */
  start(): void {
    this.#connection.start();
  }

  /** Entries of a page that may be asked for now. */
  get count(): number {
    return this.#pace.count;
  }

  /** A page of one shard has come by another way: the next ones are fitted to the size of its entries. */
  sized(entries: number, bytes: number): void {
    this.#pace.sized(entries, bytes);
  }

  /** Resolves when there is room for a page, or nothing is read any more; rejects when reading has ended. */
  async room(): Promise<void> {
    const { signal } = this.#closing;
    while (!this.#retired && !this.#pace.hasRoom(0)) {
      this.#room ??= Promise.withResolvers<void>();
      await this.#room.promise;
      if (!this.#retired) signal.throwIfAborted();
    }
    if (!this.#retired) signal.throwIfAborted();
  }

  /** There may be room, or somebody asks: reads the next pages if nothing is in the way. */
  fill(): void {
    this.#pace.measure();
    if (this.#room !== undefined && this.#pace.hasRoom(0)) {
      this.#room.resolve();
      this.#room = undefined;
    }
    const open = this.#open;
    if (open === undefined || this.#pausing || this.#holds > 0) return;
    const shards = this.#ports.shards().filter((shard) => shard.state === "ready" && this.#brought.has(shard));
    if (shards.length === 0) return;
    const idle = this.#inFlight === 0;
    while (this.#pace.hasRoom(this.#inFlight)) this.#read(open, shards);
    // The server works on the next page while the last one is handed out. Where it has another to work on, there is no
    // hurry: what is asked for within one tick goes in one write, which costs more than all else of a small page.
    if (idle && this.#inFlight > 0) open.pipeline.flush();
  }

  /** These shards can be read that were not there when the blocked read was sent, and nothing of them is pending. */
  joined(...shards: readonly GroupShard[]): void {
    for (const shard of shards) this.#brought.add(shard);
    const last = this.#reads;
    this.fill();
    this.#endRead(last, this.#closing.signal);
  }

  /** Other shards are to be read: what is pending of those that are new is brought in, and the blocked read is ended. */
  changed(): void {
    const shards = this.#ports.shards();
    for (const shard of this.#brought) if (!shards.includes(shard)) this.#brought.delete(shard);
    this.#endRead(this.#reads, this.#closing.signal);
    if (this.#nextToBring() !== undefined) this.#open = undefined;
    this.#goOn();
  }

  /** Reads nothing new until {@linkcode release} has been called as often. */
  hold(): void {
    this.#holds++;
    this.#endRead(this.#reads, this.#closing.signal);
  }

  /** Takes one hold back. */
  release(): void {
    this.#holds--;
    this.fill();
  }

  /**
   * Resolves when no read is under way, and none of a lost connection can be; only while held. Until the connection is back
   * that cannot be known.
   */
  async quiet(signal: AbortSignal): Promise<void> {
    while (this.#inFlight > 0 || this.#connected === undefined || this.#fence.needed) {
      this.#quiet ??= Promise.withResolvers<void>();
      await abortable(this.#quiet.promise, signal);
    }
  }

  /** Reads nothing more through the group. What the server hands out until it has ended the blocked read is taken in. */
  async retire(reason: StreamerError): Promise<void> {
    this.#retired = true;
    this.#room?.resolve();
    await this.finish(this.#closing.signal);
    this.close(reason);
  }

  /**
   * Has the server end the read that blocks there, before the connection is closed: until the server notices that, it would
   * hand out entries to nobody. Nothing more is read by then, since the inbox is over.
   */
  async finish(signal: AbortSignal): Promise<void> {
    if (this.#closing.signal.aborted) return;
    await abortable(this.#endRead(this.#reads, signal), signal).catch(() => {});
  }

  /** Closes the connection. Twice is harmless. */
  close(reason: StreamerError): void {
    this.#closing.abort(reason);
    this.#connection.close();
    this.#room?.resolve();
  }

  /** Has the server end the reads that were sent up to this one. */
  async #endRead(last: number, signal: AbortSignal): Promise<void> {
    const connected = this.#connected;
    if (connected === undefined || this.#answered >= last) return;
    const isBlocked = () => this.#connected === connected && this.#answered < last;
    await endBlockedRead(connected, { anchor: this.#ports.anchor, signal, isBlocked });
  }

  /** Tells who waits for it that no read is under way. */
  #quieter(): void {
    if (this.#inFlight > 0) return;
    this.#quiet?.resolve();
    this.#quiet = undefined;
  }

  #nextToBring(): GroupShard | undefined {
    return this.#ports.shards().find((shard) => shard.state === "ready" && !this.#brought.has(shard));
  }

  #up(open: OpenConnection): void {
    this.#connected = open;
    this.#brought.clear();
    this.#quieter();
    this.#goOn();
  }

  /** Reads on, or first prepares a connection that is not prepared yet, unless a refusal is being waited out. */
  #goOn(): void {
    const connected = this.#connected;
    if (connected === undefined || this.#pausing || this.#preparing === connected) return;
    if (this.#open === connected) return this.fill();
    this.#preparing = connected;
    this.#prepare(connected).finally(() => {
      if (this.#preparing === connected) this.#preparing = undefined;
      if (this.#connected !== connected || this.#open !== connected) this.#goOn();
    });
  }

  /** Before what is new: old connections are put to silence, and what is pending for this consumer is brought in. */
  async #prepare(open: OpenConnection): Promise<void> {
    const { onFenceUnavailable, onFatal } = this.#ports;
    const { signal } = this.#closing;
    const { pipeline } = open;
    let silenced = true;
    try {
      if (this.#fence.needed) {
        const onUnavailable = (cause: unknown) => {
          silenced = false;
          onFenceUnavailable({ node: this.#connection.node.name, cause });
        };
        await this.#fence.raise(pipeline, { clock: this.#clock, signal, onUnavailable });
        this.#quieter();
      }
      for (let shard = this.#nextToBring(); shard !== undefined; shard = this.#nextToBring()) {
        const isBrought = await this.#bring(open, shard);
        if (isBrought && shard.active) this.#brought.add(shard); // it may have been left since it was
      }
    } catch (error) {
      if (signal.aborted) return;
      if (pipeline.ending !== undefined) { // there will be another connection, or none
        const unreadable = pipeline.ending.code === "PROTOCOL" && error === pipeline.ending;
        if (unreadable && ++this.#unreadable > 1) onFatal(pipeline.ending);
        return;
      }
      if (error instanceof StreamerError) return void this.#refused(error);
      return onFatal(new StreamerError("PROTOCOL", "Cannot make sense of what is pending", { cause: error }));
    }
    if (pipeline.ending !== undefined || signal.aborted) return;
    this.#refusedSince = undefined;
    this.#open = open;
    if (!silenced) this.#bringAgain();
    this.fill();
  }

  #bring({ pipeline }: OpenConnection, shard: GroupShard): Promise<boolean> {
    return this.#ports.replay.bring(shard, pipeline, () => this.room());
  }

  /**
   * A lost connection that could not be killed may go on blocking on the server, and be handed what comes. When its reads
   * must have ended, what it was given is brought in.
   */
  async #bringAgain(): Promise<void> {
    const { signal } = this.#closing;
    try {
      await sleep(this.#clock, this.#stalled * this.#heartbeat, signal);
      for (const shard of this.#ports.shards()) {
        if (this.#open !== undefined && shard.state === "ready") await this.#bring(this.#open, shard);
      }
    } catch {
      // The end; or one more lost connection, after which it is brought in all the same.
    }
  }

  #down(cause: StreamerError, { info }: OpenConnection): void {
    if (this.#inFlight > 0) {
      this.#fence.add(info.identity);
      this.#stalled = this.#inFlight;
    }
    this.#open = this.#connected = undefined;
    this.#inFlight = 0;
    this.#answered = this.#reads;
    this.#pace.cut();
    this.#quieter();
    if (!(cause instanceof ProtocolError && cause.tooLarge)) return;
    if (!this.#pace.halve() && ++this.#unreadable > 1) this.#ports.onFatal(cause); // a single entry is larger than the limits
  }

  #read(open: OpenConnection, shards: readonly GroupShard[]): void {
    const { member } = this.#ports;
    const { count } = this;
    const reading: Reading = { shards, count, at: this.#clock.now() };
    const redisKeys = shards.map(({ redisKey }) => redisKey);
    const command: Command<void> = {
      args: xreadgroupArguments(member, { redisKeys, count, block: this.#heartbeat, noAck: this.#noAck }),
      repeatable: false,
      read: () => {},
    };
    this.#inFlight++;
    this.#reads++;
    open.pipeline.enqueue(command, {
      blocks: this.#heartbeat,
      reply: (decoder) => {
        this.#inFlight--;
        this.#answered++;
        if (isErrorReply(decoder)) {
          this.#quieter();
          return void this.#refused(readError(decoder, command));
        }
        this.#arrived(decoder, reading);
        this.#quieter(); // now that it has been taken in
        this.#refusedSince = undefined;
        this.#unreadable = 0;
      },
      lost: (cause) => {
        if (cause.code !== "PROTOCOL" || (cause instanceof ProtocolError && cause.tooLarge)) return;
        if (++this.#unreadable > 1) this.#ports.onFatal(cause); // once it may be an accident
      },
    });
  }

  #arrived(decoder: RespDecoder, reading: Reading): void {
    const lent = decoder.borrow();
    const found = findPage(lent);
    const { inbox, intake } = this.#ports;
    const asked = new Map(reading.shards.map((shard) => [shard.redisKey, shard]));
    const arrived = found.map(({ redisKey, entries, lastId }) => {
      const shard = asked.get(redisKey);
      if (shard === undefined || !asked.delete(redisKey)) {
        throw wrongShape("XREADGROUP", "entries of the keys asked for");
      }
      return { shard, entries, lastId };
    });
    const total = arrived.reduce((sum, { entries }) => sum + entries.length, 0);
    const most = arrived.reduce((max, { entries }) => Math.max(max, entries.length), 0);
    const size = { entries: most, total, bytes: lent.byteLength, streams: reading.shards.length };
    this.#pace.arrived(size, reading.count);
    this.fill(); // the server works on the next page while this one is copied and handed out
    this.#pace.settled();
    checkPage(lent, found);
    if (total > 0) {
      const frame = decoder.detach();
      for (const { shard, lastId } of arrived) shard.position = lastId;
      const bytesOf = (entries: Int32Array) => Math.ceil(frame.byteLength * entries.length / total);
      const deliveries = arrived.map(({ shard, entries }) => ({ shard, frame, entries, bytes: bytesOf(entries) }));
      intake.add(deliveries, { acknowledged: this.#noAck, readAt: reading.at });
    }
    inbox.serve();
    if (total === 0) this.fill();
  }

  /** A refusal: looks for a lost group, waits for what passes, or ends; then goes on with whatever connection there is. */
  async #refused(error: StreamerError): Promise<void> {
    const { groups, anchor, onFatal } = this.#ports;
    const { signal } = this.#closing;
    if (this.#retired) return;
    const lost = isGroupMissing(error);
    if (!lost && (!(error instanceof RedisError) || isFatal(error.code))) return onFatal(error);
    const now = this.#clock.now();
    this.#refusedSince ??= now;
    if (this.#pausing) return; // whoever was refused first waits for all
    this.#pausing = true;
    try {
      if (lost) await groups.lookFor(this.#ports.shards().filter(({ state }) => state === "ready"), error);
      const delay = reconnectDelay(anchor.reconnect, now - this.#refusedSince, this.#clock.random());
      await sleep(this.#clock, delay, signal);
    } catch {
      return; // we are ending
    } finally {
      this.#pausing = false;
    }
    this.#goOn();
  }
}
