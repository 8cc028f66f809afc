// XREADGROUP: its words, for what is new and for what is pending already. Redis 5.0. The pages of what is new are those of
// XREAD. It must not know who reads.

import type { RespArgument } from "../../resp/encoder.ts";
import type { RespFrame } from "../../resp/frame.ts";
import { TYPE } from "../../resp/wire.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import type { MessageId } from "../model/id.ts";
import { type EntryList, isNull, readEntries } from "./entries.ts";

/** A consumer of a group, as the server knows it. */
export interface GroupMember {
  readonly group: string;
  readonly consumer: string;
}

/** What to read of what is new. */
export interface XreadgroupOptions {
  readonly redisKeys: readonly string[];
  /** Most entries of each key. */
  readonly count: number;
  /** Milliseconds to wait for entries where there are none. */
  readonly block: number;
  /** Whether they count as acknowledged as soon as they are read. */
  readonly noAck: boolean;
}

/** The words that read what the group has not delivered yet. */
export function xreadgroupArguments(member: GroupMember, options: XreadgroupOptions): RespArgument[] {
  const { redisKeys, count, block, noAck } = options;
  const args: RespArgument[] = ["XREADGROUP", "GROUP", member.group, member.consumer, "COUNT", count];
  args.push("BLOCK", Math.ceil(block));
  if (noAck) args.push("NOACK");
  args.push("STREAMS", ...redisKeys);
  for (let i = 0; i < redisKeys.length; i++) args.push(">");
  return args;
}

/** A page of what is pending for a consumer. */
export interface PendingPage extends EntryList {
  readonly frame: RespFrame;
}

/** What to read of what is pending. */
export interface PendingOptions {
  readonly redisKey: string;
  /** Only what is behind this id. */
  readonly after: MessageId;
  readonly count: number;
}

/** Reads entries that are pending for this consumer already; each counts as delivered once more. Never blocks. */
export function xreadgroupPending(member: GroupMember, options: PendingOptions): Command<PendingPage> {
  const { redisKey, after, count } = options;
  return {
    args: ["XREADGROUP", "GROUP", member.group, member.consumer, "COUNT", count, "STREAMS", redisKey, after],
    key: redisKey,
    repeatable: false, // it counts deliveries
    read(decoder) {
      const frame = decoder.detach();
      if (isNull(frame, 0)) return { frame, entries: new Int32Array(0), gone: [], end: 2 };
      const type = frame.typeAt(0);
      if ((type !== TYPE.map && type !== TYPE.array) || frame.lengthAt(0) !== 1) throw unexpected();
      const at = type === TYPE.map ? 2 : 4;
      if (type === TYPE.array && (!frame.isArray(2) || frame.lengthAt(2) !== 2)) throw unexpected();
      if (!frame.isBulk(at) || frame.textAt(at) !== redisKey) throw unexpected();
      return { frame, ...readEntries(frame, at + 2, "XREADGROUP") };
    },
  };
}

function unexpected(): Error {
  return wrongShape("XREADGROUP", "the key asked for with entries");
}
