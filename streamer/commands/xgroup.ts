// XGROUP, XINFO GROUPS and XINFO CONSUMERS: the groups of a stream and their consumers. Redis 5.0; ENTRIESREAD 7.0.

import type { RespArgument } from "../../resp/encoder.ts";
import type { RespValue } from "../../resp/value.ts";
import { pairsOf, textOf } from "../../resp/value.ts";
import { TYPE } from "../../resp/wire.ts";
import { type Command, valueCommand, wrongShape } from "../../resp/connection/command.ts";
import { classOf } from "../../resp/connection/server_errors.ts";
import { LISTING_REPLY, SMALL_REPLY } from "../../resp/reply_limits.ts";
import { type MessageId, parseId } from "../model/id.ts";
import { nameOf, type WireName } from "../model/name.ts";

/** Where a group begins, and whether its stream is made where it is missing. */
export interface CreateOptions {
  /** An id, or `"$"` for the end. */
  readonly position: MessageId | "$";
  readonly mkstream: boolean;
}

/** Makes a group. */
export function xgroupCreate(
  redisKey: string,
  group: WireName,
  { position, mkstream }: CreateOptions,
): Command<RespValue> {
  const args: RespArgument[] = ["XGROUP", "CREATE", redisKey, group, position];
  if (mkstream) args.push("MKSTREAM");
  return valueCommand(args, { key: redisKey, repeatable: true }); // the second time it is there, which is as good
}

/** Where a group is moved to. */
export interface SetIdOptions {
  /** An id, or `"$"` for the end. */
  readonly position: MessageId | "$";
  /** How many entries had ever been added up to there, if that is known: the group's lag follows from it. */
  readonly entriesRead?: number | bigint | undefined;
  /** Whether it may be sent again after a cut. That would reset reads since the first time. @default {false} */
  readonly repeatable?: boolean;
}

/** Moves a group: it continues after this id. Pending entries stay pending. */
export function xgroupSetId(
  redisKey: string,
  group: WireName,
  { position, entriesRead, repeatable = false }: SetIdOptions,
): Command<RespValue> {
  const args: RespArgument[] = ["XGROUP", "SETID", redisKey, group, position];
  if (entriesRead !== undefined) args.push("ENTRIESREAD", entriesRead);
  return valueCommand(args, { key: redisKey, repeatable });
}

/** Deletes a group with its pending entries; the reply is 1, or 0 without the group. Not sent twice, since the second time could hit another group of that name. */
export function xgroupDestroy(redisKey: string, group: WireName): Command<number> {
  return numberCommand(["XGROUP", "DESTROY", redisKey, group], redisKey);
}

/** Deletes a consumer with all that is pending for it; answers how much that was. Not sent twice: by then it may be another's. */
export function xgroupDelConsumer(redisKey: string, group: WireName, consumer: WireName): Command<number> {
  return numberCommand(["XGROUP", "DELCONSUMER", redisKey, group, consumer], redisKey);
}

function numberCommand(args: readonly RespArgument[], key: string): Command<number> {
  return {
    args,
    key,
    repeatable: false,
    limits: SMALL_REPLY,
    read(decoder) {
      const value = decoder.typeByte() === TYPE.integer ? decoder.value() : undefined;
      if (typeof value !== "number") throw wrongShape(`${args[0]} ${args[1]}`, "a number");
      return value;
    },
  };
}

/** Whether a group could not be made because it is there. */
export function isGroupThere(error: unknown): boolean {
  return classOf(error) === "group-exists";
}

/** Whether something was refused because the stream is missing. */
export function isStreamMissing(error: unknown): boolean {
  return classOf(error) === "stream-missing";
}

/** A group of a stream. */
export interface GroupInfo {
  readonly name: WireName;
  readonly lastDeliveredId: MessageId;
  /** Entries delivered and not acknowledged. */
  readonly pending: number;
}

/** The groups of a stream. */
export function xinfoGroups(redisKey: string): Command<GroupInfo[]> {
  return rowsOf(["XINFO", "GROUPS", redisKey], redisKey, (row) => {
    const name = nameOf(row.get("name"));
    const lastDeliveredId = textOf(row.get("last-delivered-id"));
    const pending = row.get("pending");
    const valid = name !== undefined && lastDeliveredId !== undefined && parseId(lastDeliveredId) !== undefined;
    return valid && typeof pending === "number" ? { name, lastDeliveredId, pending } : undefined;
  });
}

/** A consumer of a group. */
export interface ConsumerInfo {
  readonly name: WireName;
  readonly pending: number;
  /** Milliseconds since it last asked for something; before Redis 7.2, since it last got something. */
  readonly idle: number;
}

/** The consumers of a group. */
export function xinfoConsumers(redisKey: string, group: WireName): Command<ConsumerInfo[]> {
  return rowsOf(["XINFO", "CONSUMERS", redisKey, group], redisKey, (row) => {
    const name = nameOf(row.get("name"));
    const [pending, idle] = [row.get("pending"), row.get("idle")];
    const valid = name !== undefined && typeof pending === "number" && typeof idle === "number";
    return valid ? { name, pending, idle } : undefined;
  });
}

type Row = ReadonlyMap<string | undefined, RespValue>;

function rowsOf<T>(args: readonly RespArgument[], key: string, read: (row: Row) => T | undefined): Command<T[]> {
  const name = `${args[0]} ${args[1]}`;
  return {
    args,
    key,
    repeatable: true,
    limits: LISTING_REPLY,
    read(decoder) {
      const value = decoder.value();
      if (!Array.isArray(value)) throw wrongShape(name, "a list");
      return value.map((one: RespValue) => {
        const pairs = pairsOf(one);
        const row = pairs && read(new Map(pairs.map(([key, entry]) => [textOf(key), entry])));
        if (row === undefined) throw wrongShape(name, "rows of pairs");
        return row;
      });
    },
  };
}
