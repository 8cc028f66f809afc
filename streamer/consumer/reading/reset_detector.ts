// Checks now and then whether the streams that are read are still the same: a read of a stream that was deleted and recreated, with
// lower ids, would wait forever.

import { StreamerError } from "../../../resp/errors.ts";
import type { Run } from "../../commands/last_id.ts";
import { xread } from "../../commands/xread.ts";
import { compareIds, FIRST_ID, type MessageId, previousId } from "../../model/id.ts";
import { askEnd, findEnd } from "../server/stream_end.ts";
import type { ServerAccess } from "../server/server.ts";
import type { OnStreamReset } from "../options.ts";
import { judgeTail } from "./lost_tail.ts";
import { judgeStream } from "./stream_life.ts";
import type { ShardPosition } from "../shards/shard_position.ts";

/** What a detector needs, and what it calls. */
export interface ResetDetectorPorts {
  readonly server: ServerAccess;
  readonly policy: OnStreamReset;
  readonly signal: AbortSignal;
  /** The node that has a shard now. */
  readonly ownerOf: (shard: ShardPosition) => string;
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

/** Watches the streams of one reader. */
export class StreamResetDetector {
  readonly #ports: ResetDetectorPorts;
  #looking = false;
  #isWanted = false; // whether all are to be looked at after the look in progress
  #next = 0; // the shard to look at next
  #lookedAt: number;

  constructor(ports: ResetDetectorPorts) {
    this.#ports = ports;
    this.#lookedAt = ports.server.clock.now();
  }

  /** Looks at all streams, as after a reconnect. */
  async lookAtAll(): Promise<void> {
    this.#isWanted = this.#looking;
    await this.#look(this.#ports.shards());
  }

  /**
   * The primary of a shard has changed, and may have lost the last entries. Finds out whether those that were read are still there, and
   * where reading resumes if not; nothing of the shard may be read meanwhile. Rejects with a refusal of the server.
   */
  async verify(shard: ShardPosition, run: Run): Promise<void> {
    const { server: { barred }, policy, signal, shards, onReset } = this.#ports;
    const { redisKey, streamKey, shardId, milestones, start, isCut } = shard;
    const firstAfter = async (position: MessageId) => {
      const { sections } = await run(xread({ positions: [{ redisKey, position }], count: 1 }));
      return sections.at(0)?.lastId;
    };
    const isThere = async (id: MessageId) => await firstAfter(previousId(id) ?? FIRST_ID) === id;
    if (milestones.length === 0 || shard.gone || await isThere(milestones[0])) return shard.settle();
    const [first, end] = await Promise.all([firstAfter(FIRST_ID), askEnd(redisKey, barred, run)]);
    const known = start === undefined ? milestones : [...milestones, start];
    let left: MessageId | undefined;
    for (const id of known.slice(1)) { // one after the other: each answer has an entry
      if (await isThere(id)) {
        left = id;
        break;
      }
    }
    if (signal.aborted || !shards().includes(shard)) return;
    const verdict = judgeTail({ latest: milestones[0], left, isCut, first, end }, policy);
    if (verdict.kind === "fail") return this.#fail(shard);
    if (verdict.kind === "reset") {
      shard.reach(end.id);
      shard.moveTo(verdict.position);
    }
    shard.settle();
    if (verdict.kind === "reset") onReset({ streamKey, shardId, position: verdict.position });
  }

  /** Looks at the next few in turn, if that has not happened within the last `interval` milliseconds. */
  async look(interval: number): Promise<void> {
    if (this.#ports.server.clock.now() - this.#lookedAt < interval) return;
    const shards = this.#ports.shards();
    const from = this.#next % shards.length;
    this.#next = from + AT_ONCE;
    await this.#look([...shards.slice(from), ...shards.slice(0, from)].slice(0, AT_ONCE));
  }

  async #look(shards: readonly ShardPosition[]): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    this.#lookedAt = this.#ports.server.clock.now();
    try {
      await Promise.all(shards.map((shard) => this.#lookAt(shard)));
    } finally {
      this.#looking = false;
    }
    if (!this.#isWanted) return;
    this.#isWanted = false;
    await this.#look(this.#ports.shards());
  }

  /** A page arrived of a stream that had been found deleted: it was recreated. Gives false if that ends reading. */
  returned(shard: ShardPosition): boolean {
    const { policy, onReset } = this.#ports;
    shard.returned();
    if (policy === "fail") {
      this.#fail(shard);
      return false;
    }
    onReset({ streamKey: shard.streamKey, shardId: shard.shardId, position: FIRST_ID });
    return true;
  }

  async #lookAt(shard: ShardPosition): Promise<void> {
    const { server, policy, signal, shards, move, onReset } = this.#ports;
    const life = { reached: shard.reached, gone: shard.gone }; // as of before the question: entries that are read meanwhile prove nothing
    // What a primary has that has not been read from yet is verified, and not judged.
    const isVerified = () => shard.isDoubtful || this.#ports.ownerOf(shard) !== shard.servedBy;
    if (isVerified()) return;
    let end;
    try {
      end = await findEnd(shard.redisKey, server, signal);
    } catch {
      return; // the read itself fails with the error
    }
    if (signal.aborted || !shards().includes(shard) || shard.gone !== life.gone) return;
    if (isVerified() || compareIds(shard.reached, life.reached) < 0) return; // or was, meanwhile
    const verdict = judgeStream(life, end, policy);
    switch (verdict.kind) {
      case "same":
        if (shard.reached === life.reached) shard.reach(verdict.reached);
        return;
      case "gone":
        if (shard.gone) return;
        shard.foundGone();
        return move(shard, FIRST_ID); // all entries that it has once it exists again are new
      case "reset":
        shard.returned();
        shard.reach(end.id);
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
        `Stream ${redisKey} was deleted and recreated. Its last id was ${reached}.`,
      ),
    );
  }
}
