// The reads of one unit, in rounds: one read of all shards that blocks, as long as they lie in one slot, or several that do not.

import type { Command } from "../../../resp/connection/command.ts";
import type { OpenConnection } from "../../../resp/connection/node.ts";
import { RedisError, type StreamerError } from "../../../resp/errors.ts";
import type { RespDecoder } from "../../../resp/decoder.ts";
import type { Router } from "../../cluster/router.ts";
import type { StreamShard } from "../../model/key.ts";
import type { Place, Placement } from "./placement.ts";
import { ReadRound } from "./read_round.ts";
import { heartbeatOf, type LostConnection, type Preceding, ReadUnit } from "./read_unit.ts";
import type { Look, LookOptions } from "./ready_shards.ts";
import type { ServerAccess } from "./server.ts";
import { WatchedReads } from "./watched_reads.ts";

export type { Preceding };

/** What the reads of a unit need. */
export interface UnitReadsPorts extends LookOptions {
  readonly router: Router;
  readonly server: ServerAccess;
  readonly place: Place;
  readonly placement: Placement;
  /** Reading cannot continue. */
  readonly onFatal: (error: StreamerError) => void;
}

/** A read that waits for its answer. `N` is what its owner notes when the read is sent. */
export interface Read<S, N> {
  readonly look: Look<S>;
  readonly shards: readonly S[];
  /** Requested entries of each shard. */
  readonly count: number;
  /** Most requested entries of each since the last answer. */
  readonly most: number;
  /** Milliseconds for which it blocks if there are no entries. @default {none} */
  readonly block: number | undefined;
  readonly round: ReadRound<Read<S, N>>;
  readonly note: N;
}

/** Reads of a lost connection. */
export interface LostReads<S, N> extends LostConnection {
  /** The first read without an answer. */
  readonly first: Read<S, N> | undefined;
  /** Rounds in flight. */
  readonly rounds: number;
}

/** A page that has arrived. */
export interface ArrivedPage<S> {
  /** Entries of the shard that gave most, and of all shards. */
  readonly entries: number;
  readonly total: number;
  readonly bytes: number;
  /** Shards with as many entries as were requested. */
  readonly full: ReadonlySet<S>;
}

/** Decides what a unit reads. */
export interface UnitReadsOwner<S, N> {
  /** Prepares a connection before it reads, or again. Gives false if that failed. */
  prepare(open: OpenConnection): boolean | Promise<boolean>;
  /** Reads may be sent, if there is room for their pages. */
  fill(): void;
  /** Shards that were held back after a refusal may be read again, or prepared for that. */
  released(): void;
  /** A heartbeat has passed while each slot is read by itself. */
  heartbeat(): void;
  /** The command of a read. */
  command(read: Read<S, N>): Command<unknown>;
  /** The command that arms a shard before its read, if the read does not. @default {XLEN} */
  arming?(shard: S): Preceding | undefined;
  /** The decoder is at the page of a read. An exception counts as a violation of the protocol. */
  arrived(decoder: RespDecoder, read: Read<S, N>): void;
  /** The server refused a read. */
  refused(error: RedisError, read: Read<S, N>): void;
  /** The connection was lost. It is opened again by itself. */
  lost(reads: LostReads<S, N>): void;
  /** The node does not push which of the shards have changed: they are to be read in another way. */
  untracked(cause: StreamerError): void;
}

/** What is read next. */
export interface NextReads<S, N> {
  /** Entries to request of each shard. */
  readonly count: number;
  /** Most shards that may be requested by several reads. */
  readonly width: number;
  /** The shards that are requested by a single read, if all lie in one slot. */
  readonly together: () => readonly S[];
  /** Whether that read may block. @default {true} */
  readonly blocks?: boolean;
  /** What is noted of a read of these shards. */
  readonly note: (shards: readonly S[]) => N;
}

/** Reads over one connection. */
export class UnitReads<S extends StreamShard & { readonly redisKey: string }, N> {
  readonly watched: WatchedReads<S>;
  readonly unit: ReadUnit;
  readonly #owner: UnitReadsOwner<S, N>;
  readonly #rounds = new Set<ReadRound<Read<S, N>>>();

  constructor(ports: UnitReadsPorts, owner: UnitReadsOwner<S, N>) {
    const { router, server, place, placement, onFatal, arms, overlaps } = ports;
    this.#owner = owner;
    const watching = {
      ready: () => owner.fill(),
      released: () => owner.released(),
      heartbeat: () => owner.heartbeat(),
      untracked: (cause: StreamerError) => owner.untracked(cause),
      arming: (shard: S) => owner.arming?.(shard),
    };
    const watched = this.watched = new WatchedReads<S>({
      router,
      arms,
      overlaps,
      reconnect: server.reconnect,
      slotOf: (redisKey) => placement.slotOf(redisKey),
      heartbeat: heartbeatOf(router),
      isPolled: place.isPolled ?? false,
    }, watching);
    this.unit = new ReadUnit({ router, place, server, onFatal }, {
      prepare: (open) => watched.needsTracking ? this.#track(open) : owner.prepare(open),
      fill: () => owner.fill(),
      push: (decoder) => watched.push(decoder),
      lost: (connection) => this.#lost(connection),
    });
  }

  /** Whether reads may be sent now. */
  get isOpen(): boolean {
    return this.unit.phase === "reading" && !this.watched.needsTracking;
  }

  /** Rounds in flight. */
  get rounds(): number {
    return this.#rounds.size;
  }

  /** Entries that the rounds in flight may bring; `undefined` if each has one read of all shards. */
  get requested(): number | undefined {
    if (!this.watched.isActive) return undefined;
    let requested = 0;
    for (const round of this.#rounds) requested += round.requested;
    return requested;
  }

  /** Sends the next round. Gives false if there is nothing to read. */
  send({ count, width, together, blocks = true, note }: NextReads<S, N>): boolean {
    const { unit, watched } = this;
    const looks = watched.isActive ? watched.next(width) : [{ shards: together() }];
    if (looks.length === 0 || looks[0].shards.length === 0) return false;
    const block = blocks && !watched.isActive && unit.mayBlock ? unit.heartbeat : undefined;
    const round = new ReadRound<Read<S, N>>(count);
    this.#rounds.add(round);
    const shared = { count, most: unit.mostOf(count), block, round };
    for (const look of looks) {
      const { shards } = look;
      const read: Read<S, N> = { look, shards, ...shared, note: note(shards) };
      round.add(read);
      this.#send(read);
    }
    return true;
  }

  /** A page has arrived and was accepted. Until its round is over, the next ones are only noted. */
  arrived({ round, look }: Read<S, N>, page: ArrivedPage<S>): void {
    round.arrived(page);
    this.watched.answered(look, page);
  }

  /** Closes the connection. Twice is harmless. */
  close(reason: StreamerError): void {
    this.watched.close(reason);
    this.unit.close(reason);
  }

  #send(read: Read<S, N>): void {
    const { unit, watched } = this;
    const owner = this.#owner;
    unit.read(owner.command(read), {
      page: (decoder) => {
        this.#answered(read);
        owner.arrived(decoder, read);
      },
      refused: (error) => {
        this.#answered(read);
        watched.failed(read.look);
        owner.refused(error, read);
      },
    }, watched.armingOf(read.look));
  }

  #answered(read: Read<S, N>): void {
    const { round } = read;
    round.answered(read);
    if (round.isOver) this.#rounds.delete(round);
  }

  async #track(open: OpenConnection): Promise<boolean> {
    try {
      return await this.watched.track(open) && await this.#owner.prepare(open);
    } catch (error) {
      if (error instanceof RedisError && open.pipeline.ending === undefined) {
        this.unit.refused(error, { isPreparing: true });
      }
      return false;
    }
  }

  #lost(connection: LostConnection): void {
    const [oldest] = this.#rounds;
    const lost = { ...connection, first: oldest?.first, rounds: this.#rounds.size };
    this.#rounds.clear();
    this.watched.lost();
    this.#owner.lost(lost);
  }
}
