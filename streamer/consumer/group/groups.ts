// The groups of a consumer: creates missing groups, and recreates lost ones as the policy says.

import { RedisError, StreamerError } from "../../../resp/errors.ts";
import { classOf } from "../../../resp/connection/server_errors.ts";
import { reconnectDelay } from "../../../resp/connection/reconnect/backoff.ts";
import { sleep } from "../../../resp/connection/clock.ts";
import type { Wait } from "../../../resp/connection/retry/waiting.ts";
import type { GroupMember } from "../../commands/xreadgroup.ts";
import { isGroupThere, isStreamMissing, xgroupCreate, xinfoGroups } from "../../commands/xgroup.ts";
import { FIRST_ID, type MessageId } from "../../model/id.ts";
import { findEnd } from "../server/stream_end.ts";
import { isFatal, type ServerAccess } from "../server/server.ts";
import { judgeLost } from "./group_lost_policy.ts";
import type { RecreatedDetail, StreamResetDetail } from "../events.ts";
import type { GroupSettings } from "../group_options.ts";
import { type GroupShard, shardName } from "../shards/group_shard.ts";
import { retryWhileUnavailable } from "../../../resp/connection/retry/retry.ts";
import { type StartAt, startAt, type SubscribedShard } from "../shards/shard.ts";

/** What the groups of a consumer need. */
export interface GroupsPorts {
  readonly server: ServerAccess;
  readonly settings: GroupSettings;
  readonly member: GroupMember;
  /** Aborted when the consumer ends. */
  readonly signal: AbortSignal;
  /** The group of a shard was lost, and with it the list of its pending entries. */
  readonly onLost: (shard: GroupShard) => void;
  /** The server says that the group of a shard is missing. If it is, the returned function is called. */
  readonly orphans: (shard: GroupShard) => () => void;
  /** The group exists again. */
  readonly onReady: (shard: GroupShard) => void;
  readonly onRecreated: (detail: RecreatedDetail) => void;
  readonly onReset: (detail: StreamResetDetail) => void;
  readonly onFatal: (error: StreamerError) => void;
}

/** Longest pause between two looks at a missing stream, in milliseconds: a few commands a minute. */
const LONGEST_PAUSE = 10_000;

/** How a group is looked for, or created. */
export interface BeginOptions {
  readonly signal: AbortSignal;
  /** Where a missing group is created. @default {as `autoStreamReset` says} */
  readonly from?: StartAt;
  /** Whether a missing stream is an error. @default {false} */
  readonly required?: boolean;
  /** Whether a missing stream is created. @default {as `mkstream` says} */
  readonly mkstream?: boolean;
}

/** Creates a group if it is missing. Unless the stream is required or created with it, the shard then awaits a missing stream. */
export async function beginGroup(
  shard: GroupShard,
  ports: Pick<GroupsPorts, "server" | "settings" | "member">,
  options: BeginOptions,
): Promise<void> {
  const { server, settings, member } = ports;
  const { signal, from = startAt(settings.autoStreamReset), required = false, mkstream = settings.mkstream } = options;
  const waiting = shard.phase === "awaiting-stream";
  const fromStart = from === "beginning" || waiting; // all of it was written after the consumer was created
  const create = { position: fromStart ? FIRST_ID : "$", mkstream } as const;
  const before = await lastDelivered(shard, ports, signal);
  if (before !== undefined) { // asked first, since a server out of memory refuses XGROUP CREATE even for an existing group
    return shard.groupFound(before);
  }
  try {
    await retryWhileUnavailable(
      server,
      signal,
      () => server.run(xgroupCreate(shard.redisKey, member.group, create), { signal }),
    );
  } catch (error) {
    if (isStreamMissing(error) && !waiting && !required) return shard.streamMissing();
    if (!isGroupThere(error)) throw error;
  }
  shard.groupFound(await lastDelivered(shard, ports, signal) ?? FIRST_ID);
}

/** Adds a remedy to the error of a missing stream. Returns other errors as they are. */
export function withRemedy(error: unknown, { redisKey }: SubscribedShard): unknown {
  if (!(error instanceof RedisError) || !isStreamMissing(error)) return error;
  const { command, message } = error;
  const text = `Stream ${redisKey} does not exist. Create it first, or leave out "mkstream: false". Server: ${message}`;
  return new RedisError(text, { command, cause: error });
}

/** Whether a group exists, as far as the server allows the question. */
export async function hasGroup(
  shard: SubscribedShard,
  ports: Pick<GroupsPorts, "server" | "member">,
  signal: AbortSignal,
): Promise<boolean> {
  return await lastDelivered(shard, ports, signal) !== undefined;
}

/** How far a group has come; `undefined` if it is missing, or the server does not allow the question. */
async function lastDelivered(
  shard: SubscribedShard,
  { server, member }: Pick<GroupsPorts, "server" | "member">,
  signal: AbortSignal,
): Promise<MessageId | undefined> {
  try {
    const groups = await retryWhileUnavailable(
      server,
      signal,
      () => server.run(xinfoGroups(shard.redisKey), { signal }),
    );
    return groups.find(({ name }) => name === member.group)?.lastDeliveredId;
  } catch (error) {
    if (error instanceof RedisError) return undefined; // not allowed, or deleted meanwhile: the read will fail, too
    throw error;
  }
}

/** Finds and recreates the lost groups of one consumer. */
export class Groups {
  readonly #ports: GroupsPorts;

  constructor(ports: GroupsPorts) {
    this.#ports = ports;
  }

  /** The server says that one of these groups is missing. Finds out which, and recreates them in the background. */
  async lookFor(shards: readonly GroupShard[], cause: StreamerError): Promise<void> {
    const { server, member, signal, orphans } = this.#ports;
    await Promise.all(shards.map(async (shard) => {
      const orphan = orphans(shard);
      try {
        const groups = await retryWhileUnavailable(
          server,
          signal,
          () => server.run(xinfoGroups(shard.redisKey), { signal }),
        );
        if (groups.some(({ name }) => name === member.group)) {
          if (shards.length === 1 || cause.message.includes(`'${shard.redisKey}'`)) orphan(); // recreated by another consumer
          return;
        }
      } catch (error) {
        if (signal.aborted) return;
        if (classOf(error) !== "forbidden" && !isStreamMissing(error)) return this.#fail(error);
      }
      if (!shard.hasGroup) return;
      orphan();
      shard.groupLost();
      this.#ports.onLost(shard);
      if (!shard.isRead) return; // a released shard: its messages in flight need no group
      this.#recreate(shard, cause).catch((error) => this.#fail(error));
    }));
  }

  async #recreate(shard: GroupShard, cause: StreamerError): Promise<void> {
    const { server, settings, member, signal, onRecreated, onReset, onReady, onFatal } = this.#ports;
    const { clock, reconnect } = server;
    const pace = { ...reconnect, maxDelay: Math.max(LONGEST_PAUSE, reconnect.initialDelay) };
    const lostAt = clock.now();
    let wait: Wait | undefined;
    try {
      for (let wasMissing = false;;) {
        const end = await findEnd(shard.redisKey, server, signal);
        if (isOver(shard)) return;
        const missing = end.exists === false;
        wasMissing ||= missing;
        const verdict = judgeLost(
          { position: shard.position, reached: shard.streamReached, drainedTo: shard.drainedTo, wasMissing, end },
          settings.onGroupLost,
          settings.onStreamReset,
        );
        if (verdict.kind === "fail") return onFatal(cause);
        const { position, isReset } = verdict;
        const made = missing ? cause : await this.#create(shard, position);
        if (isOver(shard)) return;
        if (made === "made" || made === "there") {
          const begun = made === "made" ? position : await lastDelivered(shard, this.#ports, signal) ?? position;
          if (isOver(shard)) return;
          shard.groupRecreated(begun, { isReset });
          if (made === "made") onRecreated({ ...shardName(shard), group: member.group, position });
          if (isReset) onReset({ ...shardName(shard), position });
          return onReady(shard);
        }
        if (wait === undefined) wait = server.waits?.begin(made, shard.streamKey);
        else wait.refused(made);
        const delay = reconnectDelay(missing ? pace : reconnect, clock.now() - lostAt, clock.random());
        await sleep(clock, delay, signal);
        if (isOver(shard)) return;
      }
    } finally {
      wait?.over();
    }
  }

  /** Creates a group, unless another consumer was faster. Returns the server's error if that cannot succeed yet. */
  async #create(shard: GroupShard, position: MessageId): Promise<"made" | "there" | RedisError> {
    const { server, member, signal } = this.#ports;
    const create = xgroupCreate(shard.redisKey, member.group, { position, mkstream: false });
    try {
      await server.run(create, { signal });
      return "made";
    } catch (error) {
      if (isGroupThere(error)) return "there";
      if (error instanceof RedisError && (isStreamMissing(error) || !isFatal(error.code, error.message))) return error;
      throw error;
    }
  }

  #fail(error: unknown): void {
    const { signal, onFatal } = this.#ports;
    if (!signal.aborted && error instanceof StreamerError) onFatal(error);
  }
}

/** Whether a group needs no recreation any longer: its shard was released, or its group was found. */
function isOver({ phase }: GroupShard): boolean {
  return phase !== "group-lost";
}
