// The groups of a consumer: made where they are missing, looked for when the server says that one is gone, and made again
// as the policy says. It must not know how messages are read.

import { RedisError, StreamerError } from "../../resp/errors.ts";
import { reconnectDelay } from "../../resp/connection/backoff.ts";
import { sleep } from "../../resp/connection/clock.ts";
import type { GroupMember } from "../commands/xreadgroup.ts";
import { isGroupThere, isStreamMissing, xgroupCreate, xinfoGroups } from "../commands/xgroup.ts";
import { FIRST_ID, type MessageId } from "../model/id.ts";
import { type AnchorPorts, findEnd } from "./anchor.ts";
import { judgeLost } from "./group_policy.ts";
import type { GroupSettings } from "./group_options.ts";
import { type GroupShard, shardName } from "./group_shard.ts";
import { persist } from "./persist.ts";
import { type StartAt, startAt, type SubscribedShard } from "./shard.ts";

/** A shard, as events name it, and where its group begins again. */
export interface RecreatedDetail {
  readonly streamKey: string;
  readonly shardId: number;
  readonly group: string;
  readonly position: MessageId;
}

/** What groups need, and whom they tell. */
export interface GroupsPorts {
  readonly anchor: AnchorPorts;
  readonly settings: GroupSettings;
  readonly member: GroupMember;
  /** Aborted when the consumer ends. */
  readonly signal: AbortSignal;
  /** The group of this shard is gone: what is held of it is pending nowhere. */
  readonly onLost: (shard: GroupShard) => void;
  /** It is there again. */
  readonly onReady: (shard: GroupShard) => void;
  readonly onRecreated: (detail: RecreatedDetail) => void;
  readonly onReset: (detail: Omit<RecreatedDetail, "group">) => void;
  readonly onFatal: (error: StreamerError) => void;
}

/** Longest pause between two looks at a stream that is missing: an outage of minutes costs no more than a few commands a minute. */
const LONGEST_PAUSE = 10_000;

/** How a group begins. */
export interface BeginOptions {
  readonly signal: AbortSignal;
  /** Where, if it is missing. @default {as `autoStreamReset` says} */
  readonly from?: StartAt;
  /** Whether a missing stream is an error. @default {false} */
  readonly required?: boolean;
}

/** Makes a group where it is missing. A stream that is missing, and is not to be made, leaves the shard `"missing"`. */
export async function beginGroup(
  shard: GroupShard,
  ports: Pick<GroupsPorts, "anchor" | "settings" | "member">,
  { signal, from = startAt(ports.settings.autoStreamReset), required = false }: BeginOptions,
): Promise<void> {
  const { anchor, settings, member } = ports;
  const fromStart = from === "beginning" || shard.state === "missing"; // all of it is newer than we are
  const options = { position: fromStart ? FIRST_ID : "$", mkstream: settings.mkstream } as const;
  const waiting = shard.state === "missing";
  const before = await lastDelivered(shard, ports, signal);
  if (before !== undefined) { // asked first, since a server that is full refuses to make even what is there
    shard.position = before;
    shard.state = "ready";
    return;
  }
  try {
    await persist(anchor, signal, () => anchor.run(xgroupCreate(shard.redisKey, member.group, options), { signal }));
  } catch (error) {
    if (isStreamMissing(error) && !waiting && !required) {
      shard.state = "missing";
      return;
    }
    if (!isGroupThere(error)) throw error;
  }
  shard.position = await lastDelivered(shard, ports, signal) ?? FIRST_ID;
  shard.state = "ready";
}

/** Whether a group is there; one that may not be looked at seems not to be. */
export async function hasGroup(
  shard: SubscribedShard,
  ports: Pick<GroupsPorts, "anchor" | "member">,
  signal: AbortSignal,
): Promise<boolean> {
  return await lastDelivered(shard, ports, signal) !== undefined;
}

/** How far a group has come; `undefined` where it is not there, or may not be looked at. */
async function lastDelivered(
  shard: SubscribedShard,
  { anchor, member }: Pick<GroupsPorts, "anchor" | "member">,
  signal: AbortSignal,
): Promise<MessageId | undefined> {
  try {
    const groups = await persist(anchor, signal, () => anchor.run(xinfoGroups(shard.redisKey), { signal }));
    return groups.find(({ name }) => name === member.group)?.lastDeliveredId;
  } catch (error) {
    if (error instanceof RedisError) return undefined; // forbidden, or gone again: reading will tell
    throw error;
  }
}

/** Watches over the groups of one consumer. */
export class Groups {
  readonly #ports: GroupsPorts;

  constructor(ports: GroupsPorts) {
    this.#ports = ports;
  }

  /** The server says that one of these groups is gone: finds out which, and makes them again in the background. */
  async lookFor(shards: readonly GroupShard[], cause: StreamerError): Promise<void> {
    const { anchor, member, signal } = this.#ports;
    await Promise.all(shards.map(async (shard) => {
      try {
        const groups = await persist(anchor, signal, () => anchor.run(xinfoGroups(shard.redisKey), { signal }));
        if (groups.some(({ name }) => name === member.group)) return;
      } catch (error) {
        if (signal.aborted) return;
        const forbidden = error instanceof RedisError && error.code === "NOPERM";
        if (!forbidden && !isStreamMissing(error)) return this.#fail(error);
      }
      if (shard.state !== "ready") return;
      shard.state = "lost";
      this.#ports.onLost(shard);
      if (!shard.active) return; // it is read no more: what is in the user's hands needs no group
      this.#remake(shard, cause).catch((error) => this.#fail(error));
    }));
  }

  async #remake(shard: GroupShard, cause: StreamerError): Promise<void> {
    const { anchor, settings, member, signal, onRecreated, onReset, onReady, onFatal } = this.#ports;
    const { clock, reconnect } = anchor;
    const pace = { ...reconnect, maxDelay: Math.max(LONGEST_PAUSE, reconnect.initialDelay) };
    const lostAt = clock.now();
    for (let wasMissing = false;;) {
      const end = await findEnd(shard.redisKey, anchor, signal);
      if (isOver(shard)) return;
      const missing = end.exists === false;
      wasMissing ||= missing;
      const verdict = judgeLost(
        { position: shard.position, reached: shard.moved ? shard.reached : shard.position, wasMissing, end },
        settings.onGroupLost,
        settings.onStreamReset,
      );
      if (verdict.kind === "fail") return onFatal(cause);
      const { position, anew } = verdict;
      const made = missing && !settings.mkstream ? "not yet" : await this.#create(shard, position);
      if (isOver(shard)) return;
      if (made !== "not yet") {
        shard.position = made === "made" ? position : await lastDelivered(shard, this.#ports, signal) ?? position;
        shard.state = "ready";
        if (anew) beganAnew(shard);
        if (made === "made") onRecreated({ ...shardName(shard), group: member.group, position });
        if (anew) onReset({ ...shardName(shard), position });
        return onReady(shard);
      }
      await sleep(clock, reconnectDelay(pace, clock.now() - lostAt, clock.random()), signal);
      if (isOver(shard)) return;
    }
  }

  /** Makes a group, unless another consumer was faster, or it cannot be made yet. */
  async #create(shard: GroupShard, position: MessageId): Promise<"made" | "there" | "not yet"> {
    const { anchor, settings, member, signal } = this.#ports;
    const create = xgroupCreate(shard.redisKey, member.group, { position, mkstream: settings.mkstream });
    try {
      await persist(anchor, signal, () => anchor.run(create, { signal }));
      return "made";
    } catch (error) {
      if (isGroupThere(error)) return "there";
      const full = error instanceof RedisError && error.code === "OOM";
      if (full || isStreamMissing(error)) return "not yet";
      throw error;
    }
  }

  #fail(error: unknown): void {
    const { signal, onFatal } = this.#ports;
    if (!signal.aborted && error instanceof StreamerError) onFatal(error);
  }
}

/** What was known of how far a stream had come, and of what was given back of it, says nothing about the one in its place. */
function beganAnew(shard: GroupShard): void {
  shard.reached = FIRST_ID;
  shard.moved = false;
  shard.givenBack.clear();
}

/** Whether nobody waits for a lost group any more: its shard is read no more, or was begun again. */
function isOver({ active, state }: GroupShard): boolean {
  return !active || state !== "lost";
}
