// The public manager: inspects and maintains streams and their groups. It checks the options of each method and runs it.

import type { MessageId, SeqPos } from "../model/id.ts";
import { checkStreamKey } from "../model/key.ts";
import type { Message } from "../model/message.ts";
import type { WireName } from "../model/name.ts";
import { checkFor } from "../model/option_error.ts";
import { checkBoolean, checkNames, checkSignal } from "../model/options.ts";
import { idOfPosition } from "../model/position.ts";
import { type RangeBound, type RangeStart, spanOf } from "../model/span.ts";
import { xlen } from "../commands/xlen.ts";
import { checkIds, deleteEntries, deleteStream } from "./deletion.ts";
import { createGroup, deleteConsumer, deleteGroup, moveGroup } from "./groups.ts";
import { keyInfo, mergeInfos } from "./info.ts";
import {
  checkChoice,
  checkCount,
  type CheckedChoice,
  checkMatch,
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
import { checkMemberName, resolveConsumer, resolveGroup } from "./names.ts";
import { PageIterator } from "./page_iterator.ts";
import { collect, Range } from "./range.ts";
import { type ManagerContext, type ShardKey, shardKeys } from "./shard_keys.ts";
import { scanPrimaries, StreamNames } from "./streams.ts";
import { groupNames, trimKey } from "./trim.ts";

/**
 * Inspects and maintains streams and their consumer groups.
 *
 * - **Keys.** A stream key is the Redis key itself. With `shardId` it is one shard of the stream, and with `sharded: true` all
 *   shards, which are looked for at each call. For a stream without shards it is the plain key. Results of several shards are merged or
 *   summed. Changes of several shards are not one atomic step: each shard is tried, and then the first failure rejects.
 * - **Retries.** While the server cannot be reached or is not ready (it is loading, busy, or a replica), a method waits and
 *   retries. After the `timeout` of `connect` it rejects with the server's last answer, or with `DISCONNECTED`. If the connection
 *   is lost before the reply, reads and idempotent changes are sent again. Other changes reject with `DISCONNECTED`, and may
 *   have been executed.
 * - **Connections.** The manager uses the streamer's own connection, and a second one for replies that may be large. You do not
 *   have to close it.
 *
 * All methods reject with `INVALID_STREAM_KEY` or `INVALID_OPTION` for invalid arguments, and with a `RedisError` if the server
 * refuses a command. After `disconnect` they reject with `DISCONNECTED`, and on an aborted signal with its reason.
 *
 * @example Show the lag of all groups
 * ```ts
 * import { connect } from "@sea/streamer-redis";
 *
 * await using streamer = await connect();
 * const manager = await streamer.createManager();
 * for await (const key of manager.streams({ match: "orders*" })) {
 *   const { length, groups } = await manager.info(key);
 *   for (const { name, lag, pending } of groups) console.log(key, length, name, lag ?? "unknown", pending);
 * }
 * ```
 *
 * @category Managing
 */
export class Manager {
  readonly #context: ManagerContext;

  /** @internal Created by a streamer. */
  constructor(context: ManagerContext) {
    this.#context = context;
  }

  /**
   * Returns one page of the Redis keys of type stream, and the cursor of the next page.
   *
   * Start with the cursor `"0"`, and stop when the returned cursor is `"0"` again. Keys that exist during the whole scan are
   * returned at least once. A page may be empty, and keys may be repeated. {@linkcode streams} iterates without repetition.
   *
   * In a cluster the cursor names a node, and the nodes are scanned one after another. A key whose slot moves to another node during
   * the scan may be missed. {@linkcode streams} finds it.
   *
   * Source: SCAN with TYPE, Redis 6.0.
   *
   * @throws {StreamerError} `INVALID_OPTION` for invalid options or an unknown cursor.
   */
  async scan(cursor = "0", options: ScanStreamsOptions = {}): Promise<ScannedStreams> {
    const [count, match] = checkFor("scan streams", () => {
      checkNames("options of scan", options, ["count", "match", "signal"]);
      checkSignal(options.signal);
      return [checkCount("count", options.count), checkMatch(options.match)] as const;
    });
    return await scanPrimaries(this.#context.primaries, cursor, { count, match, signal: options.signal });
  }

  /**
   * Iterates over all Redis keys of type stream, in no particular order. Keys that are added or removed meanwhile may be included.
   *
   * A key is returned once, unless more than 65,536 other keys were returned since, so that memory stays bounded. In a cluster all
   * nodes are scanned. A node that gets slots meanwhile is scanned again, so that no key is missed that existed all the time.
   *
   * Source: SCAN with TYPE, Redis 6.0.
   *
   * @throws {StreamerError} `INVALID_OPTION`, when it is called. The loop throws other errors.
   */
  streams(options: StreamsOptions = {}): AsyncIterable<string> {
    const { signal } = options;
    const match = checkFor("list streams", () => {
      checkNames("options of streams", options, ["match", "signal"]);
      checkSignal(signal);
      return checkMatch(options.match);
    });
    const { rounds, primary } = this.#context;
    const names = () => new StreamNames({ rounds, primary, match, signal });
    return { [Symbol.asyncIterator]: () => new PageIterator(names()) };
  }

  /**
   * Reads the messages of a range, oldest first, or newest first with `reverse`. Both bounds are inclusive.
   *
   * No group is affected, and `deliveries` of the messages is 1. The range is read in pages, so entries that are added meanwhile may be
   * included. A missing stream, and a start after the end, give an empty array. With `sharded: true` the shards are merged in the
   * order of their ids. For large ranges use {@linkcode rangeAll}.
   *
   * Source: XRANGE and XREVRANGE, Redis 5.0.
   *
   * @throws {StreamerError} `INVALID_OPTION` for invalid bounds or options. `PROTOCOL` if one entry exceeds the `limits` of `connect`.
   *
   * @example
   * ```ts
   * import { connect } from "@sea/streamer-redis";
   *
   * await using streamer = await connect();
   * const manager = await streamer.createManager();
   * const lastTen = await manager.range("orders", "-", "+", { count: 10, reverse: true });
   * const lastHour = await manager.range("orders", new Date(Date.now() - 3_600_000), "+");
   * console.log(lastTen.length, lastHour.length);
   * ```
   */
  async range(key: string, start: RangeStart, end: RangeBound, options: RangeOptions = {}): Promise<Message[]> {
    const request = checkFor("read the range", () => ({
      choice: checkChoice("options of range", options, ["count", "reverse"]),
      limit: checkCount("count", options.count) ?? Infinity,
      reverse: checkBoolean("reverse", options.reverse, false),
      span: spanOf(start, end, this.#context.timestampFormat),
      streamKey: checkStreamKey(key),
    }));
    const { signal } = options;
    return await collect(new Range(this.#context, { ...request, pageSize: undefined, signal }), request.limit);
  }

  /**
   * Iterates over the messages of a range of any size, oldest first, in constant memory. It continues after a lost connection.
   *
   * One page is read ahead. A page has about 2 MiB at most, and the pages of all shards together about 16 MiB. These sizes are
   * estimated from the entries seen before: a larger message is read alone. A page that exceeds the limits for replies is
   * requested again with half the entries. A message keeps its page in memory: store its `copy()`. See {@linkcode range} for bounds
   * and shards.
   *
   * Source: XRANGE, Redis 5.0.
   *
   * @throws {StreamerError} `INVALID_STREAM_KEY` or `INVALID_OPTION`, when it is called. The loop throws other errors.
   *
   * @example
   * ```ts
   * import { connect } from "@sea/streamer-redis";
   *
   * await using streamer = await connect();
   * const manager = await streamer.createManager();
   * for await (const message of manager.rangeAll("orders", "-", "+", { sharded: true })) {
   *   console.log(message.shardId, message.id, message.text());
   * }
   * ```
   */
  rangeAll(key: string, start: RangeStart, end: RangeBound, options: RangeAllOptions = {}): AsyncIterable<Message> {
    const request = checkFor("read the range", () => ({
      choice: checkChoice("options of rangeAll", options, ["pageSize"]),
      pageSize: checkCount("pageSize", options.pageSize),
      span: spanOf(start, end, this.#context.timestampFormat),
      streamKey: checkStreamKey(key),
    }));
    const all = { ...request, reverse: false, limit: Infinity, signal: options.signal };
    return { [Symbol.asyncIterator]: () => new PageIterator(new Range(this.#context, all)) };
  }

  /**
   * Returns the length of a stream, its groups with their lag and pending entries, and the consumers of the groups.
   *
   * - **Lag.** `lag` is `null` if it is unknown: for a group that was created in the middle of the stream, or if undelivered
   *   entries were deleted. Before Redis 8 and Valkey 9 it is also `null` for a group in the middle of a stream of which entries
   *   were ever deleted or trimmed.
   * - **Age.** `oldestPendingAge` is the time since the timestamp of the lowest pending id, by the server's clock.
   * - **Names.** In a name that is not valid UTF-8, each backslash and each byte that is not printable ASCII is escaped as `\x`
   *   and two hexadecimal digits. Other names are returned unchanged.
   * - **Shards.** With `sharded: true`, `length`, `pending` and `lag` are sums. `lag` is `null` if it is `null` in one shard, or if
   *   one shard has entries but not the group. `firstId`, `lastDeliveredId`, `idle` and `inactive` are the lowest values. `lastId` and
   *   `oldestPendingAge` are the highest values.
   *
   * Length and groups are from the same moment.
   *
   * Source: XINFO STREAM with FULL (Redis 6.0; lag 7.0), XREVRANGE and TIME. All of them must be allowed.
   *
   * @throws {RedisError} `ERR` for a missing stream.
   */
  async info(key: string, options: ShardChoice = {}): Promise<StreamInfo> {
    const choice = checkFor("inspect the stream", () => checkChoice("options of info", options));
    const { signal } = options;
    const infos = await this.#each(key, { choice, signal }, ({ redisKey }) => keyInfo(this.#context, redisKey, signal));
    return infos.length === 1 ? infos[0] : mergeInfos(infos);
  }

  /**
   * Returns the number of entries of a stream. It is 0 for a missing stream.
   *
   * Source: XLEN, Redis 5.0.
   */
  async length(key: string, options: ShardChoice = {}): Promise<number> {
    const choice = checkFor("count entries", () => checkChoice("options of length", options));
    const { signal } = options;
    const run = ({ redisKey }: ShardKey) => this.#context.run(xlen(redisKey), { signal });
    return sum(await this.#each(key, { choice, signal }, run));
  }

  /**
   * Removes the oldest entries of a stream and returns how many were removed. It is 0 for a missing stream.
   *
   * Trimming is approximate by default: slightly more entries may stay, never fewer. With shards, `maxLength` applies to each shard.
   *
   * `acknowledged: true` removes only entries that every group has received and acknowledged. Without groups, no entries are
   * removed. With `sharded: true`, a shard without one of the groups is not trimmed, since that group will receive all of it. The
   * check and the removal are one atomic step. If scripts are forbidden they are several steps, and a group that is created or
   * moved back in between may miss entries.
   *
   * If the connection is lost and the command is sent again, only the entries of the second attempt are counted.
   *
   * Source: XTRIM, Redis 5.0. `minTimestamp`: 6.2. `acknowledged`: 6.2, with EVAL.
   *
   * @throws {StreamerError} `INVALID_OPTION` unless exactly one of `maxLength`, `minTimestamp` and `acknowledged` is given.
   *
   * @example
   * ```ts
   * import { connect } from "@sea/streamer-redis";
   *
   * await using streamer = await connect();
   * const manager = await streamer.createManager();
   * await manager.trim("orders", { minTimestamp: new Date(Date.now() - 86_400_000) });
   * await manager.trim("orders", { acknowledged: true, sharded: true });
   * ```
   */
  async trim(key: string, options: ManagerTrimOptions): Promise<number> {
    const { choice, target, exact } = checkFor("trim the stream", () => ({
      choice: checkChoice("options of trim", options, ["maxLength", "minTimestamp", "acknowledged", "exact"]),
      target: checkTrimTarget(options, this.#context.timestampFormat),
      exact: checkBoolean("exact", options.exact, false),
    }));
    const { signal } = options;
    let wanted: Promise<WireName[]> | undefined; // the groups of all shards, requested once
    const trimmed = await this.#each(key, { choice, signal }, async ({ redisKey }, shards) => {
      const keys = target === "acknowledged" && shards.length > 1 ? shards.map((shard) => shard.redisKey) : [];
      wanted ??= groupNames(this.#context, keys, { signal });
      return await trimKey(this.#context, redisKey, { target, exact, groups: await wanted, signal });
    });
    return sum(trimmed);
  }

  /**
   * Deletes entries by their ids and returns how many existed. With `sharded: true`, they are deleted in each shard.
   *
   * Groups keep deleted entries in their pending lists. A consumer that should deliver one skips and acknowledges it, with a `gap`
   * event. If the connection is lost and the command is sent again, only the entries of the second attempt are counted.
   *
   * Source: XDEL, Redis 5.0. One command has up to 1,000 ids.
   *
   * @throws {StreamerError} `INVALID_OPTION` for an invalid id: no entry is deleted then. `WRONGTYPE` if the key is not a stream.
   *
   * @example
   * ```ts
   * import { connect } from "@sea/streamer-redis";
   *
   * await using streamer = await connect();
   * const manager = await streamer.createManager();
   * const [first] = await manager.range("orders", "-", "+", { count: 1 });
   * if (first !== undefined) console.log(await manager.delete("orders", [first.id])); // 1
   * ```
   */
  async delete(key: string, ids: readonly MessageId[], options: ShardChoice = {}): Promise<number> {
    const { choice, checked } = checkFor("delete entries", () => ({
      choice: checkChoice("options of delete", options),
      checked: checkIds(ids),
    }));
    const { signal } = options;
    const run = ({ redisKey }: ShardKey) => deleteEntries(this.#context, { redisKey, ids: checked }, { signal });
    return sum(await this.#each(key, { choice, signal }, run));
  }

  /**
   * Deletes a stream with its entries and groups, and returns whether it existed. With `sharded: true`, all shards are deleted.
   *
   * The type of the key is checked in the same atomic step, so that no key of another type is ever deleted. This takes EVAL or, if
   * scripts are forbidden, WATCH, MULTI and EXEC on a connection of their own.
   *
   * Running producers recreate the stream with their next message. Running consumers notice the deletion, as `onStreamReset` and
   * `onGroupLost` say.
   *
   * Source: UNLINK, Redis 4.0, or DEL, with XLEN.
   *
   * @throws {StreamerError} `WRONGTYPE` if the key is not a stream. `DISCONNECTED` if the connection is lost before the reply: the
   * stream may be deleted. `UNSUPPORTED` if neither scripts nor transactions are allowed. `CONFLICT` if a transaction fails 100
   * times, since the stream is written to all the time.
   *
   * @example
   * ```ts
   * import { connect } from "@sea/streamer-redis";
   *
   * await using streamer = await connect();
   * const manager = await streamer.createManager();
   * console.log(await manager.deleteStream("orders-2025")); // true if it existed
   * ```
   */
  async deleteStream(key: string, options: ShardChoice = {}): Promise<boolean> {
    const choice = checkFor("delete the stream", () => checkChoice("options of deleteStream", options));
    const { signal } = options;
    const run = ({ redisKey }: ShardKey) => deleteStream(this.#context, redisKey, { signal });
    return (await this.#each(key, { choice, signal }, run)).includes(true);
  }

  /**
   * Creates a group that starts after a position. A missing stream is refused, unless `mkstream` is true.
   *
   * Source: XGROUP CREATE, Redis 5.0.
   *
   * @throws {RedisError} `BUSYGROUP` if the group exists. `ERR` for a missing stream.
   */
  async createGroup(
    key: string,
    group: string | Uint8Array,
    position: SeqPos,
    options: CreateGroupOptions = {},
  ): Promise<void> {
    const { choice, mkstream, name, id } = checkFor("create the group", () => ({
      choice: checkChoice("options of createGroup", options, ["mkstream"]),
      mkstream: checkBoolean("mkstream", options.mkstream, false),
      name: checkMemberName("group", group),
      id: idOfPosition(position),
    }));
    const { signal } = options;
    const run = ({ redisKey }: ShardKey) =>
      createGroup(this.#context, { redisKey, group: name.name }, { id, mkstream, signal });
    await this.#each(key, { choice, signal }, run);
  }

  /**
   * Moves a group: its next new messages are the entries after the position. Pending entries stay pending. `"end"` is the end of
   * the stream at the time of this call.
   *
   * Source: XGROUP SETID, Redis 5.0. For `"end"` also XINFO STREAM and ENTRIESREAD (7.0), so that the lag stays known.
   *
   * @throws {RedisError} `NOGROUP` for a missing group. `ERR` for a missing stream.
   */
  async setGroupPosition(
    key: string,
    group: string | Uint8Array,
    position: SeqPos,
    options: ShardChoice = {},
  ): Promise<void> {
    const { choice, name, id } = checkFor("move the group", () => ({
      choice: checkChoice("options of setGroupPosition", options),
      name: checkMemberName("group", group),
      id: idOfPosition(position),
    }));
    const { signal } = options;
    await this.#each(key, { choice, signal }, async ({ redisKey }) => {
      const found = await resolveGroup(this.#context, redisKey, name, { signal });
      await moveGroup(this.#context, { redisKey, group: found }, { id, signal });
    });
  }

  /**
   * Deletes a group with its pending entries and returns whether it existed, in any shard.
   *
   * Source: XGROUP DESTROY, Redis 5.0.
   *
   * @throws {RedisError} `ERR` for a missing stream.
   */
  async deleteGroup(key: string, group: string | Uint8Array, options: ShardChoice = {}): Promise<boolean> {
    const { choice, name } = checkFor("delete the group", () => ({
      choice: checkChoice("options of deleteGroup", options),
      name: checkMemberName("group", group),
    }));
    const { signal } = options;
    const deleted = await this.#each(key, { choice, signal }, async ({ redisKey }) => {
      const found = await resolveGroup(this.#context, redisKey, name, { signal });
      return await deleteGroup(this.#context, { redisKey, group: found }, { signal });
    });
    return deleted.includes(true);
  }

  /**
   * Deletes a consumer from its group and returns how many pending entries were dropped.
   *
   * A consumer with pending entries is refused, unless `force` is true. Dropped entries are not delivered again, unless the group
   * is moved back. The check and the deletion are one atomic step. A consumer that still reads is created again with its next
   * message.
   *
   * Groups and consumers can be named by text or by bytes. A text that {@linkcode info} has escaped stands for the name that is not
   * valid UTF-8. If a text fits two names, the method rejects with `CONFLICT`: pass the bytes then.
   *
   * Source: XGROUP DELCONSUMER, Redis 5.0. Without `force` with EVAL.
   *
   * @throws {StreamerError} `CONFLICT` if the consumer has pending entries, or if the text fits two names. `UNSUPPORTED` without
   * `force` if scripts are forbidden. `NOGROUP` for a missing group.
   *
   * @example Remove consumers that have been inactive for a day
   * ```ts
   * import { connect } from "@sea/streamer-redis";
   *
   * await using streamer = await connect();
   * const manager = await streamer.createManager();
   * await manager.createGroup("orders", "billing", "end", { mkstream: true });
   * for (const { name, consumers } of (await manager.info("orders")).groups) {
   *   for (const { name: consumer, idle, pending } of consumers) {
   *     if (idle > 86_400_000 && pending === 0) await manager.deleteConsumer("orders", name, consumer);
   *   }
   * }
   * ```
   */
  async deleteConsumer(
    key: string,
    group: string | Uint8Array,
    consumer: string | Uint8Array,
    options: DeleteConsumerOptions = {},
  ): Promise<number> {
    const { choice, force, givenGroup, given } = checkFor("delete the consumer", () => ({
      choice: checkChoice("options of deleteConsumer", options, ["force"]),
      force: checkBoolean("force", options.force, false),
      givenGroup: checkMemberName("group", group),
      given: checkMemberName("consumer", consumer),
    }));
    const { signal } = options;
    const dropped = await this.#each(key, { choice, signal }, async ({ redisKey }) => {
      const named = { redisKey, group: await resolveGroup(this.#context, redisKey, givenGroup, { signal }) };
      const found = await resolveConsumer(this.#context, named, given, { signal });
      return await deleteConsumer(this.#context, { ...named, consumer: found }, { force, signal });
    });
    return sum(dropped);
  }

  /** Runs `work` for each chosen key. Rejects with the first failure when all are done. */
  async #each<T>(
    key: string,
    { choice, signal }: { readonly choice: CheckedChoice; readonly signal: AbortSignal | undefined },
    work: (shard: ShardKey, all: readonly ShardKey[]) => Promise<T>,
  ): Promise<T[]> {
    const shards = await shardKeys(this.#context, checkStreamKey(key), { choice, signal });
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
