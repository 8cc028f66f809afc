// Reads pages ahead without a group, from concrete positions: one reader for each node that has any of the shards.

import { type RedisError, StreamerError } from "../../../resp/errors.ts";
import type { MessageId } from "../../model/id.ts";
import { type Place, Placement } from "../server/placement.ts";
import { replyShare } from "../server/read_unit.ts";
import type { ShardPosition } from "../shards/shard_position.ts";
import { NodeReader, type ReaderOptions } from "./node_reader.ts";
import { PageBudget } from "./page_budget.ts";
import { StreamResetDetector } from "./reset_detector.ts";

/** Keeps a queue filled. */
export class StreamReader {
  readonly #options: ReaderOptions;
  readonly #placement: Placement;
  readonly #budget: PageBudget;
  readonly #watch: StreamResetDetector;
  readonly #closing = new AbortController();
  readonly #readers = new Map<string, NodeReader>(); // by the names of their places
  readonly #stopListening: () => void;
  #shards: readonly ShardPosition[];
  #isStarted = false;
  #pauses = 0;

  constructor(options: ReaderOptions, shards: readonly ShardPosition[]) {
    const { router, settings, server, queue, onReset, onFatal } = options;
    this.#options = options;
    this.#shards = shards;
    this.#placement = new Placement(router);
    this.#budget = new PageBudget({
      settings,
      queue,
      replyBytes: replyShare(router),
      units: () => Math.max(1, this.#readers.size),
    });
    this.#watch = new StreamResetDetector({
      server: { ...server, waits: undefined }, // the reads are noted as waiting
      policy: settings.onStreamReset,
      signal: this.#closing.signal,
      ownerOf: ({ redisKey }) => router.destination(router.nodeOf(router.slotOf(redisKey))).name,
      shards: () => this.#shards,
      move: (shard, position) => this.#move(shard, position),
      onReset,
      onFatal,
    });
    this.#stopListening = router.onChange((change) => {
      this.#placement.changed(change);
      this.#place();
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
    this.#isStarted = true;
    this.#place();
  }

  /** Reads the next pages if there is room for them and nothing prevents it. */
  fill(): void {
    for (const reader of this.#readers.values()) reader.fill();
  }

  /** Reads nothing until {@linkcode resume} has been called as often. Answers of reads in flight are dropped. */
  pause(): void {
    this.#pauses++;
    for (const reader of this.#readers.values()) reader.interrupt();
  }

  /** Takes one pause back. */
  resume(): void {
    this.#pauses--;
    this.fill();
  }

  /** Reads these shards from now on, from their positions. Only while paused. */
  reposition(shards: readonly ShardPosition[]): void {
    this.#shards = shards;
    for (const reader of this.#readers.values()) reader.restart();
    this.#place();
  }

  /** Closes the connections. Twice is harmless. */
  close(reason: StreamerError): void {
    this.#stopListening();
    this.#closing.abort(reason);
    for (const reader of this.#readers.values()) reader.close(reason);
  }

  #move(shard: ShardPosition, position: MessageId): void {
    this.pause();
    shard.moveTo(position);
    this.resume();
  }

  /** Has each shard read from its place. A shard that changes places is read on from its position; what the old place still answers is dropped. */
  #place(): void {
    if (!this.#isStarted || this.#closing.signal.aborted) return;
    this.#placement.keep(this.#shards);
    const places = new Map<string, { readonly place: Place; readonly shards: ShardPosition[] }>();
    for (const shard of this.#shards) {
      const place = this.#placement.of(shard.redisKey);
      const at = places.get(place.name);
      if (at === undefined) places.set(place.name, { place, shards: [shard] });
      else at.shards.push(shard);
    }
    for (const [name, reader] of this.#readers) { // first, so that no shard is read at two places
      if (places.has(name)) continue;
      this.#readers.delete(name);
      reader.close(new StreamerError("DISCONNECTED", `No shard is read from ${reader.place.node} any more`));
    }
    for (const { place, shards } of places.values()) this.#readerAt(place).assign(shards);
  }

  #readerAt(place: Place): NodeReader {
    const known = this.#readers.get(place.name);
    if (known !== undefined) return known;
    const reader = new NodeReader({
      options: this.#options,
      place,
      placement: this.#placement,
      budget: this.#budget,
      watch: this.#watch,
      isPaused: () => this.#pauses > 0,
      onRedirected: (from, shards, refusal) => this.#redirected(from, shards, refusal),
      onLost: (from) => this.#lost(from),
      onUntracked: (from, cause) => this.#untracked(from, cause),
    });
    this.#readers.set(place.name, reader);
    reader.start();
    return reader;
  }

  #redirected({ place }: NodeReader, shards: readonly ShardPosition[], refusal: RedisError): boolean {
    let isMoved = false;
    for (const { redisKey } of shards) isMoved = this.#placement.redirect(redisKey, place, refusal) || isMoved;
    if (isMoved) this.#place();
    return isMoved;
  }

  #lost(reader: NodeReader): void {
    this.#placement.forget(reader.shards);
    this.#place();
  }

  #untracked({ place: { node } }: NodeReader, cause: StreamerError): void {
    this.#placement.untrack(node);
    this.#options.onTrackingUnavailable({ node, cause });
    this.#place();
  }
}
