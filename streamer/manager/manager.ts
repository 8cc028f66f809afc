// What a program holds to look at streams and their groups and to keep them in order: the verbs, their options checked. It must
// not know connections.

import type { SeqPos } from "../model/id.ts";
import { checkStreamKey } from "../model/key.ts";
import type { Message } from "../model/message.ts";
import { checkBoolean, checkNames } from "../model/options.ts";
import { idOfPosition } from "../model/position.ts";
import { type RangeBound, type RangeStart, spanOf } from "../model/span.ts";
import { xlen } from "../commands/xlen.ts";
import { createGroup, deleteConsumer, deleteGroup, moveGroup } from "./groups.ts";
import { keyInfo, mergeInfos } from "./info.ts";
import {
  checkChoice,
  checkCount,
  type CheckedChoice,
  checkMatch,
  checkMemberName,
  checkSignal,
  checkTrimTarget,
  type CreateGroupOptions,
  type DeleteConsumerOptions,
  type ManagerTrimOptions,
  type RangeAllOptions,
  type RangeOptions,
  type ScannedStreams,
  type ScanStreamsOptions,
  type ShardChoice,
  type StreamInfo,
  type StreamsOptions,
} from "./options.ts";
import { PageIterator } from "./page_iterator.ts";
import { collect, Range } from "./range.ts";
import { type ManagerHost, type ShardKey, shardKeys } from "./shard_keys.ts";
import { scanPrimaries, StreamNames } from "./streams.ts";
import { groupNames, trimKey } from "./trim.ts";

/**
 * Looks at streams and their groups, and keeps them in order.
 *
 * A stream's name is taken as the Redis key it is, unless `shardId` names one of its shards or `sharded: true` means all of
 * them: then what is found is merged or summed up, and what is done is done to each, which is not one step. Shards are looked
 * for at each call; where there are none, the plain key is meant.
 *
 * It owns nothing that has to be closed: it uses the streamer's own connection, and another of the streamer's for what may be
 * answered with large replies, and waits while they are being taken up again.
 * What only looks, and what may be done twice, is sent again then; what may not rejects with `DISCONNECTED`, and may have been
 * carried out. After `disconnect` everything rejects with that code.
 *
 * All of it rejects with `INVALID_STREAM_KEY` and `INVALID_OPTION` for what cannot be meant, with what the server answers as a
 * `RedisError`, and with the signal's reason.
 *
 * @example
 * ```ts no-eval
 * import { connect } from "@sea/streamer-redis";
 *
 * await using streamer = await connect("redis://localhost");
 * const manager = await streamer.createManager();
 * for await (const key of manager.streams({ match: "orders*" })) {
 *   const { length, groups } = await manager.info(key);
 *   for (const { name, lag, pending } of groups) console.log(key, length, name, lag ?? "?", pending);
 * }
 * ```
 */
export class Manager {
  readonly #host: ManagerHost;

  /** @internal Made by a streamer. */
  constructor(host: ManagerHost) {
    this.#host = host;
  }

  /**
   * Gives some of the Redis keys of type stream, and where to go on: until the cursor is `"0"` again, all that were there from
   * the beginning to the end have come at least once. A page may be empty, and may repeat names. Of a cluster one primary is
   * asked at a time.
   *
   * Source: SCAN with TYPE, Redis 6.0.
   *
   * @throws {StreamerError} `INVALID_OPTION`; what the server answers; the signal's reason.
   *
   * @example
   * ```ts no-eval
   * import { connect } from "@sea/streamer-redis";
   *
   * await using streamer = await connect("redis://localhost");
   * const manager = await streamer.createManager();
   * let cursor = "0";
   * do {
   *   const page = await manager.scan(cursor, { match: "orders*" });
   *   console.log(page.streams);
   *   cursor = page.cursor;
   * } while (cursor !== "0");
   * ```
   */
  async scan(cursor = "0", options: ScanStreamsOptions = {}): Promise<ScannedStreams> {
    checkNames("options of scan", options, ["count", "match", "signal"]);
    const { signal } = options;
    checkSignal(signal);
    const [count, match] = [checkCount("count", options.count), checkMatch(options.match)];
    return await scanPrimaries(this.#host.primaries(), cursor, { count, match, signal });
  }

  /**
   * All Redis keys of type stream, on every primary, in no order. What is made or deleted meanwhile may or may not come. A name
   * comes once, unless more than 65,536 others came since; so memory stays bounded. Each loop begins anew.
   *
   * Source: SCAN with TYPE, Redis 6.0.
   *
   * @throws {StreamerError} `INVALID_OPTION`, at the call; the loop throws what the server answers, or the signal's reason.
   */
  streams(options: StreamsOptions = {}): AsyncIterable<string> {
    checkNames("options of streams", options, ["match", "signal"]);
    const { signal } = options;
    checkSignal(signal);
    const match = checkMatch(options.match);
    const { primaries } = this.#host;
    return { [Symbol.asyncIterator]: () => new PageIterator(new StreamNames(primaries, match, signal)) };
  }

  /**
   * Gives the messages of a range, oldest first, or newest first with `reverse`; both bounds belong to it.
   *
   * A Date stands for its whole millisecond, a bigint is a time in the stream's own unit, `{ after: date }` begins behind all of
   * it. Where the start is behind the end, and of a missing stream, there are none. They are read page by page, so that what is
   * written meanwhile may be among them. The messages are those a consumer gives, with `deliveries` 1, as in real time; no group
   * is touched. With `sharded: true` they are merged in the order of their ids.
   *
   * Source: XRANGE and XREVRANGE, Redis 5.0.
   *
   * @throws {StreamerError} `INVALID_STREAM_KEY`, `INVALID_OPTION`; `PROTOCOL` where a single entry is larger than the limits;
   * `DISCONNECTED`; what the server answers; the signal's reason.
   *
   * @example
   * ```ts no-eval
   * import { connect } from "@sea/streamer-redis";
   *
   * await using streamer = await connect("redis://localhost");
   * const manager = await streamer.createManager();
   * const lastTen = await manager.range("orders", "-", "+", { count: 10, reverse: true });
   * const sinceNoon = await manager.range("orders", new Date("2026-01-01T12:00Z"), "+");
   * ```
   */
  async range(key: string, start: RangeStart, end: RangeBound, options: RangeOptions = {}): Promise<Message[]> {
    const choice = checkChoice("options of range", options, ["count", "reverse"]);
    const limit = checkCount("count", options.count) ?? Infinity;
    const reverse = checkBoolean("reverse", options.reverse, false);
    const span = spanOf(start, end, this.#host.timestampFormat);
    const request = { streamKey: checkStreamKey(key), choice, span, reverse, limit, pageSize: undefined };
    return await collect(new Range(this.#host, { ...request, signal: options.signal }), limit);
  }

  /**
   * The messages of a range of any size, oldest first, in constant memory: the next page is asked for while one is handed out.
   * It goes on where it was after a lost connection. A page over the limit on replies is asked for again with half as many.
   * Each loop begins anew; leaving it ends what is under way. What else there is to know is told by {@linkcode range}.
   *
   * Of a page at most about 2 MiB are asked for, of all shards of a stream together 16 MiB are kept, as far as that can be told
   * from the sizes seen; a single larger message comes alone, and then none ahead. The first message is asked for alone, to see
   * its size. Holding a message holds its page: hold its `copy()`.
   *
   * Source: XRANGE, Redis 5.0.
   *
   * @throws {StreamerError} `INVALID_STREAM_KEY` and `INVALID_OPTION`, at the call; the loop throws what {@linkcode range} does.
   *
   * @example
   * ```ts no-eval
   * import { connect } from "@sea/streamer-redis";
   *
   * await using streamer = await connect("redis://localhost");
   * const manager = await streamer.createManager();
   * for await (const message of manager.rangeAll("orders", "-", "+", { sharded: true })) {
   *   console.log(message.shardId, message.id, message.text());
   * }
   * ```
   */
  rangeAll(
    key: string,
    start: RangeStart,
    end: RangeBound,
    options: RangeAllOptions = {},
  ): AsyncIterable<Message> {
    const choice = checkChoice("options of rangeAll", options, ["pageSize"]);
    const pageSize = checkCount("pageSize", options.pageSize);
    const span = spanOf(start, end, this.#host.timestampFormat);
    const { signal } = options;
    const request = {
      streamKey: checkStreamKey(key),
      choice,
      span,
      reverse: false,
      limit: Infinity,
      pageSize,
      signal,
    };
    return { [Symbol.asyncIterator]: () => new PageIterator(new Range(this.#host, request)) };
  }

  /**
   * Tells what a stream holds, how far its groups are, and who is in them.
   *
   * A group's `lag` follows from where it stands, or is the server's count: `null` where that is not known (a group that was made
   * in the middle, deleted entries that were not read), or not to be relied on: before Redis 8 and Valkey 9, for a group that
   * stands in the middle of a stream of which entries were ever deleted or trimmed. `oldestPendingAge` is the time since the lowest id that is pending, in milliseconds by the
   * server's clock, and never below 0; ids that are no times give no sensible age. The length and the groups are of one moment.
   *
   * With `sharded: true`, lengths, `pending` and `lag` are summed up (`lag` is `null` where any is, or where the group is not in a shard that has entries); `firstId` is the lowest,
   * `lastId` the highest, `lastDeliveredId` the lowest; `oldestPendingAge` the highest; groups and consumers with the same name
   * are one, `idle` and `inactive` the lowest.
   *
   * Source: XINFO STREAM with FULL (Redis 6.0; lag 7.0), XREVRANGE, TIME. All of them must be allowed.
   *
   * @throws {StreamerError} `INVALID_STREAM_KEY`, `INVALID_OPTION`, `DISCONNECTED`; `ERR` for a missing stream and whatever else
   * the server answers; the signal's reason.
   */
  async info(key: string, options: ShardChoice = {}): Promise<StreamInfo> {
    const choice = checkChoice("options of info", options);
    const { signal } = options;
    const infos = await this.#each(key, { choice, signal }, ({ redisKey }) => keyInfo(this.#host, redisKey, signal));
    return infos.length === 1 ? infos[0] : mergeInfos(infos);
  }

  /**
   * Counts the entries of a stream; 0 where it is missing.
   *
   * Source: XLEN, Redis 5.0.
   *
   * @throws {StreamerError} `INVALID_STREAM_KEY`, `INVALID_OPTION`, `DISCONNECTED`; what the server answers; the signal's reason.
   */
  async length(key: string, options: ShardChoice = {}): Promise<number> {
    const choice = checkChoice("options of length", options);
    const { signal } = options;
    return sum(await this.#each(key, { choice, signal }, ({ redisKey }) => this.#host.run(xlen(redisKey), { signal })));
  }

  /**
   * Cuts a stream and gives how many entries were removed; 0 where it is missing. It is approximate unless `exact`: a few more
   * may stay, never fewer.
   *
   * `maxLength` is that of each shard. `acknowledged: true` removes only what stands in front of the first entry that any group
   * has not acknowledged or was not yet given; without groups nothing. With `sharded: true` a shard in which a group of the others
   * is not there yet stays whole, as that is given all of it once it is; a key that is named alone knows of its own groups only.
   * That is one step, which no reading, claiming or
   * making of groups can come in between; where scripts are forbidden it is several, which are safe too, except for a group
   * that is made, or set back, in between behind where the others are. Cut off and sent again, it gives only what the second
   * time removed.
   *
   * Source: XTRIM, Redis 5.0; `minTimestamp` and `acknowledged` 6.2, the latter by EVAL.
   *
   * @throws {StreamerError} `INVALID_STREAM_KEY`, `INVALID_OPTION`, `DISCONNECTED`; what the server answers; the signal's reason.
   *
   * @example
   * ```ts no-eval
   * import { connect } from "@sea/streamer-redis";
   *
   * await using streamer = await connect("redis://localhost");
   * const manager = await streamer.createManager();
   * await manager.trim("orders", { minTimestamp: new Date(Date.now() - 86_400_000) });
   * await manager.trim("orders", { acknowledged: true, sharded: true });
   * ```
   */
  async trim(key: string, options: ManagerTrimOptions): Promise<number> {
    const choice = checkChoice("options of trim", options, ["maxLength", "minTimestamp", "acknowledged", "exact"]);
    const target = checkTrimTarget(options, this.#host.timestampFormat);
    const exact = checkBoolean("exact", options.exact, false);
    const { signal } = options;
    let asked: Promise<string[]> | undefined; // the groups of all shards, asked for once
    const trimmed = await this.#each(key, { choice, signal }, async ({ redisKey }, shards) => {
      const several = target === "acknowledged" && shards.length > 1;
      asked ??= several
        ? groupNames(this.#host, shards.map((shard) => shard.redisKey), { signal })
        : Promise.resolve([]);
      return await trimKey(this.#host, redisKey, { target, exact, groups: await asked, signal });
    });
    return sum(trimmed);
  }

  /**
   * Makes a group that begins at a position: `"beginning"`, `"end"` (what is added from now on), behind a sequence or behind an
   * id. A missing stream is refused unless `mkstream`. In several shards it is tried in each, and the first refusal is told.
   *
   * Source: XGROUP CREATE, Redis 5.0.
   *
   * @throws {StreamerError} `BUSYGROUP` where the group is there, and whatever else the server answers; `INVALID_STREAM_KEY`,
   * `INVALID_OPTION`; `DISCONNECTED`; the signal's reason.
   */
  async createGroup(key: string, group: string, position: SeqPos, options: CreateGroupOptions = {}): Promise<void> {
    const choice = checkChoice("options of createGroup", options, ["mkstream"]);
    const mkstream = checkBoolean("mkstream", options.mkstream, false);
    const name = checkMemberName("group", group);
    const id = idOfPosition(position);
    const { signal } = options;
    await this.#each(
      key,
      { choice, signal },
      ({ redisKey }) => createGroup(this.#host, { redisKey, group: name }, { id, mkstream, signal }),
    );
  }

  /**
   * Moves a group: what is behind the position is delivered next, also if it was before. What is pending stays pending, until
   * it is delivered again. `"end"` is the end as of this call.
   *
   * Source: XGROUP SETID, Redis 5.0; where the end is meant, its lag is made known by ENTRIESREAD (7.0) and XINFO STREAM.
   *
   * @throws {StreamerError} `NOGROUP` where there is no such group, and whatever else the server answers; `INVALID_STREAM_KEY`,
   * `INVALID_OPTION`; `DISCONNECTED`; the signal's reason.
   */
  async setGroupPosition(key: string, group: string, position: SeqPos, options: ShardChoice = {}): Promise<void> {
    const choice = checkChoice("options of setGroupPosition", options);
    const name = checkMemberName("group", group);
    const id = idOfPosition(position);
    const { signal } = options;
    await this.#each(
      key,
      { choice, signal },
      ({ redisKey }) => moveGroup(this.#host, { redisKey, group: name }, { id, signal }),
    );
  }

  /**
   * Deletes a group with everything that is pending in it, and tells whether there was one (in any shard).
   *
   * Source: XGROUP DESTROY, Redis 5.0.
   *
   * @throws {StreamerError} `ERR` for a missing stream, and whatever else the server answers; `INVALID_STREAM_KEY`,
   * `INVALID_OPTION`; `DISCONNECTED`; the signal's reason.
   */
  async deleteGroup(key: string, group: string, options: ShardChoice = {}): Promise<boolean> {
    const choice = checkChoice("options of deleteGroup", options);
    const name = checkMemberName("group", group);
    const { signal } = options;
    const deleted = await this.#each(
      key,
      { choice, signal },
      ({ redisKey }) => deleteGroup(this.#host, { redisKey, group: name }, { signal }),
    );
    return deleted.includes(true);
  }

  /**
   * Deletes a consumer from its group, only if it holds nothing, which is looked at in the same step. With `force` also if it
   * does: what was pending for it is then never delivered again, unless the group is set back. Gives how many entries that
   * were; 0 also where there is no such consumer. One that still reads comes back with its next message.
   *
   * Source: XGROUP DELCONSUMER, Redis 5.0; without `force` by EVAL.
   *
   * @throws {StreamerError} `CONFLICT` where it holds entries, `UNSUPPORTED` where scripts are forbidden, both only without
   * `force`; `NOGROUP`, `ERR` for a missing stream, and whatever else the server answers; `INVALID_STREAM_KEY`,
   * `INVALID_OPTION`; `DISCONNECTED`; the signal's reason.
   *
   * @example
   * ```ts no-eval
   * import { connect } from "@sea/streamer-redis";
   *
   * await using streamer = await connect("redis://localhost");
   * const manager = await streamer.createManager();
   * for (const { name, consumers } of (await manager.info("orders")).groups) {
   *   for (const { name: consumer, idle, pending } of consumers) {
   *     if (idle > 86_400_000 && pending === 0) await manager.deleteConsumer("orders", name, consumer);
   *   }
   * }
   * ```
   */
  async deleteConsumer(
    key: string,
    group: string,
    consumer: string,
    options: DeleteConsumerOptions = {},
  ): Promise<number> {
    const choice = checkChoice("options of deleteConsumer", options, ["force"]);
    const force = checkBoolean("force", options.force, false);
    const member = { group: checkMemberName("group", group), consumer: checkMemberName("consumer", consumer) };
    const { signal } = options;
    const dropped = await this.#each(
      key,
      { choice, signal },
      ({ redisKey }) => deleteConsumer(this.#host, { redisKey, ...member }, { force, signal }),
    );
    return sum(dropped);
  }

  /** Does something with each key that is meant, with all of them; rejects with the first refusal, when all are done. */
  async #each<T>(
    key: string,
    { choice, signal }: { readonly choice: CheckedChoice; readonly signal: AbortSignal | undefined },
    work: (shard: ShardKey, all: readonly ShardKey[]) => Promise<T>,
  ): Promise<T[]> {
    const shards = await shardKeys(this.#host, checkStreamKey(key), { choice, signal });
    const results = await Promise.allSettled(shards.map((shard) => work(shard, shards)));
    return results.map((result) => {
      if (result.status === "rejected") throw result.reason;
      return result.value;
    });
  }
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
