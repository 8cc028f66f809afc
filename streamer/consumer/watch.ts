// Looks now and then whether the streams that are read are still the ones they were: from one that was deleted and made
// anew, with lower ids, a read would wait for ever. It must not know how pages are read.

import { StreamerError } from "../../resp/errors.ts";
import type { MessageId } from "../model/id.ts";
import { FIRST_ID } from "../model/id.ts";
import { type AnchorPorts, findEnd } from "./anchor.ts";
import type { OnStreamReset } from "./options.ts";
import { judgeStream } from "./policy.ts";
import type { ShardPosition } from "./shard.ts";

/** What a watch needs, and whom it tells. */
export interface WatchPorts {
  readonly anchor: AnchorPorts;
  readonly policy: OnStreamReset;
  readonly signal: AbortSignal;
  /** The shards that are read now. */
  readonly shards: () => readonly ShardPosition[];
  /** A shard is to be read from another position. */
  readonly move: (shard: ShardPosition, position: MessageId) => void;
  readonly onReset: (
    detail: { readonly streamKey: string; readonly shardId: number; readonly position: MessageId },
  ) => void;
  readonly onFatal: (error: StreamerError) => void;
}

/** Streams looked at with one heartbeat: a consumer of many costs no more than one of few while nothing happens. */
const AT_ONCE = 4;

/** Watches over the streams of one reader. */
export class StreamWatch {
  readonly #ports: WatchPorts;
  #looking = false;
  #next = 0; // the shard whose turn it is
  #lookedAt: number;

  constructor(ports: WatchPorts) {
    this.#ports = ports;
    this.#lookedAt = ports.anchor.clock.now();
  }

  /** Looks at all streams, as after a reconnect. */
  lookAtAll(): Promise<void> {
    return this.#look(this.#ports.shards());
  }

  /** Looks at the next few in turn, if that has not happened within the last `interval` milliseconds. */
  async look(interval: number): Promise<void> {
    if (this.#ports.anchor.clock.now() - this.#lookedAt < interval) return;
    const shards = this.#ports.shards();
    const from = this.#next % shards.length;
    this.#next = from + AT_ONCE;
    await this.#look([...shards.slice(from), ...shards.slice(0, from)].slice(0, AT_ONCE));
  }

  async #look(shards: readonly ShardPosition[]): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    this.#lookedAt = this.#ports.anchor.clock.now();
    try {
      await Promise.all(shards.map((shard) => this.#lookAt(shard)));
    } finally {
      this.#looking = false;
    }
  }

  /** A page came from a stream that had been found deleted: it was made anew. Tells so; false where that is an end. */
  returned(shard: ShardPosition): boolean {
    const { policy, onReset } = this.#ports;
    shard.gone = false;
    if (policy === "fail") {
      this.#fail(shard);
      return false;
    }
    onReset({ streamKey: shard.streamKey, shardId: shard.shardId, position: FIRST_ID });
    return true;
  }

  async #lookAt(shard: ShardPosition): Promise<void> {
    const { anchor, policy, signal, shards, move, onReset } = this.#ports;
    const life = { reached: shard.reached, gone: shard.gone }; // of before the question: what is read meanwhile is no evidence
    let end;
    try {
      end = await findEnd(shard.redisKey, anchor, signal);
    } catch {
      return; // the read itself will tell what is wrong
    }
    if (signal.aborted || !shards().includes(shard) || shard.gone !== life.gone) return;
    const verdict = judgeStream(life, end, policy);
    switch (verdict.kind) {
      case "same":
        if (shard.reached === life.reached) shard.reached = verdict.reached;
        return;
      case "gone":
        if (shard.gone) return;
        shard.gone = true;
        return move(shard, FIRST_ID); // whatever it will hold once it is there again is new
      case "reset":
        shard.gone = false;
        shard.reached = end.id;
        move(shard, verdict.position);
        return onReset({ streamKey: shard.streamKey, shardId: shard.shardId, position: verdict.position });
      case "fail":
        return this.#fail(shard);
    }
  }

  #fail({ redisKey, reached }: ShardPosition): void {
    this.#ports.onFatal(
      new StreamerError(
        "CONFLICT",
        `Cannot go on reading ${redisKey} as the stream was made anew: it had reached ${reached}`,
      ),
    );
  }
}
