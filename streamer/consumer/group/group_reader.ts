// Reads pages through a group: one reader for each node that has any of the shards, and one controller of how far ahead.

import { type RedisError, StreamerError } from "../../../resp/errors.ts";
import { abortable } from "../../model/abortable.ts";
import { type Place, Placement } from "../server/placement.ts";
import type { GroupShard } from "../shards/group_shard.ts";
import { type GroupReaderPorts, NodeGroupReader, type Seat } from "./node_group_reader.ts";

/** A shard that is read, and the reader that reads it; `undefined` while it changes readers. */
interface Assigned {
  readonly seat: Seat;
  reader: NodeGroupReader | undefined;
}

/** Keeps a queue filled with the entries that the group delivers. */
export class GroupReader {
  readonly #ports: GroupReaderPorts;
  readonly #placement: Placement;
  readonly #closing = new AbortController();
  readonly #readers = new Map<string, NodeGroupReader>(); // by the names of their places
  readonly #assigned = new Map<GroupShard, Assigned>();
  readonly #stopListening: () => void;
  #leaving = 0; // shards that are changing readers
  #isStarted = false;
  #isRetired = false;
  #pauses = 0;

  constructor(ports: GroupReaderPorts) {
    const { router } = ports;
    this.#ports = ports;
    this.#placement = new Placement(router);
    this.#stopListening = router.onChange((change) => {
      this.#placement.changed(change);
      this.#place();
    });
  }

  /** Begins to read. */
  start(): void {
    this.#isStarted = true;
    this.#place();
  }

  /** There may be room, or a caller asks for messages: reads the next pages if nothing prevents it. */
  fill(): void {
    const { pace } = this.#ports;
    pace.measure();
    pace.wake();
    for (const reader of this.#readers.values()) reader.fill();
  }

  /** The groups of these shards exist now, and nothing of them is pending for this consumer. */
  joined(...shards: readonly GroupShard[]): void {
    const joined = new Set<NodeGroupReader>();
    for (const shard of shards) {
      const assigned = this.#assigned.get(shard);
      if (assigned === undefined) continue;
      assigned.seat.isReady = true;
      if (assigned.reader !== undefined) joined.add(assigned.reader);
    }
    for (const reader of joined) reader.joined();
  }

  /** The time since when the server knows nothing new of a shard, if it would push that. */
  quietSpan(shard: GroupShard): object | undefined {
    return this.#assigned.get(shard)?.reader?.quietSpan(shard);
  }

  /** Other shards are to be read: pending entries of new ones are brought in, and blocked reads are ended. */
  changed(): void {
    this.#place();
    for (const reader of this.#readers.values()) reader.changed();
  }

  /** Reads nothing new until {@linkcode resume} has been called as often. */
  pause(): void {
    this.#pauses++;
    for (const { unit } of this.#readers.values()) unit.endReads();
  }

  /** Takes one pause back. All shards are read, as their groups may have been moved: the server does not push that. */
  resume(): void {
    this.#pauses--;
    for (const reader of this.#readers.values()) reader.wake();
    this.fill();
  }

  /**
   * Resolves when no read is in flight, and none of a lost connection can be; only while paused. Until a connection is back that
   * is not known.
   */
  async quiet(signal: AbortSignal): Promise<void> {
    const isBusy = ({ unit }: NodeGroupReader) => !unit.isQuiet;
    for (let busy = this.#find(isBusy); busy !== undefined; busy = this.#find(isBusy)) await busy.unit.quiet(signal);
  }

  /** Reads nothing more through the group. Entries that are delivered until the server has ended the blocked reads are taken in. */
  async retire(reason: StreamerError): Promise<void> {
    this.#isRetired = true;
    this.#ports.pace.retire();
    await this.finish(this.#closing.signal);
    this.close(reason);
  }

  /**
   * Has the server end the reads that block there, and waits for the others, before the connections are closed: the entries of
   * their answers would stay pending. Nothing more is read by then, since the queue is over.
   */
  async finish(signal: AbortSignal): Promise<void> {
    if (this.#closing.signal.aborted) return;
    const endings = [...this.#readers.values()].flatMap(({ unit }) => {
      return [unit.endReads(unit.sent, signal), unit.whenOver(unit.sent)];
    });
    await abortable(Promise.all(endings), signal).catch(() => {});
  }

  /** Closes the connections. Twice is harmless. */
  close(reason: StreamerError): void {
    this.#stopListening();
    this.#closing.abort(reason);
    for (const reader of this.#readers.values()) reader.close(reason);
    this.#ports.pace.close(reason);
  }

  #find(wanted: (reader: NodeGroupReader) => boolean): NodeGroupReader | undefined {
    for (const reader of this.#readers.values()) if (wanted(reader)) return reader;
    return undefined;
  }

  /** Has each shard read from its place. */
  #place(): void {
    if (!this.#isStarted || this.#closing.signal.aborted) return;
    const shards = new Set(this.#ports.shards());
    this.#placement.keep([...shards]);
    for (const [shard, { reader }] of this.#assigned) {
      if (shards.has(shard)) continue;
      reader?.dismiss(shard);
      this.#assigned.delete(shard);
    }
    for (const shard of shards) {
      const assigned = this.#assigned.get(shard);
      if (assigned === undefined) this.#assign(shard);
      else if (assigned.reader !== undefined) this.#replace(assigned, assigned.reader);
    }
    if (this.#readers.size === 0) this.#readerAt(this.#placement.anywhere()); // it is connected before it has shards
    this.#tidy();
  }

  #assign(shard: GroupShard): void {
    const seat: Seat = { shard, isReady: false, isCarried: false, preparing: undefined };
    const reader = this.#readerAt(this.#placement.of(shard.redisKey));
    this.#assigned.set(shard, { seat, reader });
    reader.admit(seat);
  }

  /**
   * A shard whose place has changed leaves its reader. Another one reads it only after all requests of the first one are
   * answered or lost, so that entries stay in order. If entries may have been lost, the pending ones are brought in.
   */
  async #replace(assigned: Assigned, from: NodeGroupReader): Promise<void> {
    const { seat } = assigned;
    const { shard } = seat;
    if (this.#placement.of(shard.redisKey).name === from.unit.place.name) return;
    from.dismiss(shard);
    assigned.reader = undefined;
    this.#leaving++;
    const last = from.unit.sent;
    from.unit.endReads(last);
    const isComplete = await from.unit.whenOver(last);
    await seat.preparing?.catch(() => {});
    this.#leaving--;
    if (!isComplete) seat.isReady = false;
    if (this.#closing.signal.aborted) return;
    if (this.#assigned.get(shard) === assigned) { // it may have been released since
      const reader = assigned.reader = this.#readerAt(this.#placement.of(shard.redisKey));
      reader.admit(seat);
      reader.changed();
    }
    this.#tidy();
  }

  /** Closes readers that have no shards left, but for the last one. */
  #tidy(): void {
    if (this.#leaving > 0) return;
    const { pace } = this.#ports;
    for (const [name, reader] of this.#readers) {
      const { unit, seats } = reader;
      if (this.#readers.size === 1 || seats.size > 0 || unit.inFlight > 0) continue;
      this.#readers.delete(name);
      reader.close(new StreamerError("DISCONNECTED", `No shard is read from ${unit.place.node} any more`));
      pace.spread(this.#readers.size);
    }
  }

  #readerAt(place: Place): NodeGroupReader {
    const known = this.#readers.get(place.name);
    if (known !== undefined) return known;
    const reader = new NodeGroupReader({
      shared: this.#ports,
      place,
      placement: this.#placement,
      isPaused: () => this.#pauses > 0,
      isRetired: () => this.#isRetired,
      onRedirected: (from, shards, refusal) => this.#redirected(from, shards, refusal),
      onLost: (from) => this.#lost(from),
      onUntracked: (from, cause) => this.#untracked(from, cause),
    });
    this.#readers.set(place.name, reader);
    this.#ports.pace.spread(this.#readers.size);
    reader.unit.start();
    return reader;
  }

  #redirected({ seats, unit }: NodeGroupReader, shards: readonly GroupShard[], refusal: RedisError): boolean {
    let isMoved = false;
    for (const shard of shards) {
      const isGone = !seats.has(shard); // an earlier read was redirected, too
      isMoved = isGone || this.#placement.redirect(shard.redisKey, unit.place, refusal) || isMoved;
    }
    if (isMoved) this.#place();
    return isMoved;
  }

  #lost({ seats }: NodeGroupReader): void {
    this.#placement.forget([...seats.keys()]);
    this.#place();
  }

  #untracked({ unit }: NodeGroupReader, cause: StreamerError): void {
    const { node } = unit.place;
    this.#placement.untrack(node);
    this.#ports.onTrackingUnavailable({ node, cause });
    this.#place();
  }
}
