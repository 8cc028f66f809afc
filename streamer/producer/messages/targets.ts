// The targets of a producer, looked up for every message. All targets in use are kept, and a few thousand idle ones.

import { checkStreamKey } from "../../model/key.ts";
import type { Placed, Target } from "./target.ts";

/** Targets that are kept. Beyond this number, idle targets are dropped from time to time and recreated on demand. */
const MAX_TARGETS = 4096;

/** Creates the target of a stream's plain key, or of one of its shards. */
export type MakeTarget<R extends Placed> = (streamKey: string, shard: number | undefined) => Target<R>;

/** The targets of one stream. */
interface StreamTargets<R extends Placed> {
  readonly streamKey: string;
  plain: Target<R> | undefined;
  readonly shards: Map<number, Target<R>>;
}

/** The targets of one producer. A Redis key has one target as long as a message for it is not settled. */
export class Targets<R extends Placed> {
  readonly #make: MakeTarget<R>;
  readonly #streams = new Map<string, StreamTargets<R>>();
  #last: StreamTargets<R> | undefined; // also in #streams
  #size = 0;
  #sweepAt = MAX_TARGETS;

  constructor(make: MakeTarget<R>) {
    this.#make = make;
  }

  /** All kept targets. */
  *[Symbol.iterator](): Iterator<Target<R>> {
    for (const { plain, shards } of this.#streams.values()) {
      if (plain !== undefined) yield plain;
      yield* shards.values();
    }
  }

  /** The number of kept targets. */
  get size(): number {
    return this.#size;
  }

  /** Whether a stream's key was already checked, because one of its targets is kept. */
  has(streamKey: string): boolean {
    return (this.#last !== undefined && this.#last.streamKey === streamKey) || this.#streams.has(streamKey);
  }

  /**
   * The target of a stream's plain key, or of a shard of it.
   *
   * @throws {StreamerError} `INVALID_STREAM_KEY`
   */
  find(streamKey: string, shard?: number): Target<R> {
    const last = this.#last;
    const stream = last !== undefined && last.streamKey === streamKey ? last : this.#stream(streamKey);
    return (shard === undefined ? stream.plain : stream.shards.get(shard)) ?? this.#add(stream, shard);
  }

  #stream(streamKey: string): StreamTargets<R> {
    let stream = this.#streams.get(streamKey);
    if (stream === undefined) {
      stream = { streamKey: checkStreamKey(streamKey), plain: undefined, shards: new Map() };
      this.#streams.set(streamKey, stream);
    }
    return this.#last = stream;
  }

  /** Adds a target to the stream that was looked up last. */
  #add(stream: StreamTargets<R>, shard: number | undefined): Target<R> {
    if (this.#size >= this.#sweepAt) this.#dropIdle(stream);
    const target = this.#make(stream.streamKey, shard);
    if (shard === undefined) stream.plain = target;
    else stream.shards.set(shard, target);
    this.#size++;
    return target;
  }

  #dropIdle(wanted: StreamTargets<R>): void {
    for (const stream of this.#streams.values()) {
      if (stream.plain?.isIdle) {
        stream.plain = undefined;
        this.#size--;
      }
      for (const [shard, target] of stream.shards) {
        if (!target.isIdle) continue;
        stream.shards.delete(shard);
        this.#size--;
      }
      const empty = stream.plain === undefined && stream.shards.size === 0;
      if (empty && stream !== wanted) this.#streams.delete(stream.streamKey);
    }
    // Not too late, since all targets may be idle by then, and not too early, since each sweep visits all targets.
    this.#sweepAt = Math.max(MAX_TARGETS, this.#size + Math.max(MAX_TARGETS / 2, this.#size >> 6));
  }
}
