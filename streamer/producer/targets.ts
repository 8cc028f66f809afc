// Which Redis keys a producer writes to, each with its target, found again for every message; those in use are kept, and no
// more of the others than a few thousand. It must not know how a target is made.

import { checkStreamKey } from "../model/key.ts";
import type { Placed, Target } from "./target.ts";

/** Targets that are kept; past that the idle ones are dropped now and then, and made again when needed. */
const MAX_TARGETS = 4096;

/** Makes the target of a stream's plain key, or of one of its shards. */
export type MakeTarget<R extends Placed> = (streamKey: string, shard: number | undefined) => Target<R>;

/** The targets of one stream. */
interface StreamTargets<R extends Placed> {
  readonly streamKey: string;
  plain: Target<R> | undefined;
  readonly shards: Map<number, Target<R>>;
}

/** The targets of one producer. There is one for a Redis key at any time while something of it is on its way. */
export class Targets<R extends Placed> {
  readonly #make: MakeTarget<R>;
  readonly #streams = new Map<string, StreamTargets<R>>();
  #last: StreamTargets<R> | undefined; // it stays among the streams
  #size = 0;
  #sweepAt = MAX_TARGETS;

  constructor(make: MakeTarget<R>) {
    this.#make = make;
  }

  /** How many are kept. */
  get size(): number {
    return this.#size;
  }

  /** Whether a stream's key has been checked: a target of it is kept. */
  has(streamKey: string): boolean {
    return this.#last?.streamKey === streamKey || this.#streams.has(streamKey);
  }

  /**
   * The target of a stream's plain key, or of a shard of it.
   *
   * @throws {StreamerError} `INVALID_STREAM_KEY`
   */
  find(streamKey: string, shard?: number): Target<R> {
    const stream = this.#last?.streamKey === streamKey ? this.#last : this.#stream(streamKey);
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

  /** Adds to the stream that was looked for last. */
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
      if (stream.plain !== undefined && isIdle(stream.plain)) {
        stream.plain = undefined;
        this.#size--;
      }
      for (const [shard, target] of stream.shards) {
        if (!isIdle(target)) continue;
        stream.shards.delete(shard);
        this.#size--;
      }
      const empty = stream.plain === undefined && stream.shards.size === 0;
      if (empty && stream !== wanted) this.#streams.delete(stream.streamKey);
    }
    // Not long after, since all of them may be idle by then; and not soon, since each looks at all.
    this.#sweepAt = Math.max(MAX_TARGETS, this.#size + Math.max(MAX_TARGETS / 2, this.#size >> 6));
  }
}

/** Whether nothing is known of it that a new one would not know. */
function isIdle({ unsettled, inFlight, backlog }: Target<Placed>): boolean {
  return unsettled === 0 && inFlight === 0 && backlog === undefined;
}
