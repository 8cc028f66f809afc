// XREADGROUP: its commands, for new entries and for pending ones. Redis 5.0. Pages of new entries have the same form as
// those of XREAD.

import type { RespArgument } from "../../resp/encoder.ts";
import type { RespFrame } from "../../resp/decoding/frame.ts";
import { TYPE } from "../../resp/wire.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { entriesReply } from "../../resp/reply_limits.ts";
import { compareIds, type MessageId } from "../model/id.ts";
import { type EntryList, isNull, readEntries } from "./entries.ts";
import { type SectionedPage, sectionedPage } from "./xread.ts";

/** A consumer of a group, as the server knows it. */
export interface GroupMember {
  readonly group: string;
  readonly consumer: string;
}

/** Options of {@linkcode xreadgroup}. */
export interface XreadgroupOptions {
  readonly redisKeys: readonly string[];
  /** Most entries of each key. */
  readonly count: number;
  /** Milliseconds to wait if there are no entries. @default {no wait} */
  readonly block?: number | undefined;
  /** Whether entries count as acknowledged as soon as they are read. */
  readonly noAck: boolean;
}

/**
 * Reads entries that the group has not delivered yet, of several keys. A reader that decodes in place uses `findPage` instead of
 * `read`. It is not repeatable: the entries of a lost reply stay pending for this consumer.
 */
export function xreadgroup(member: GroupMember, options: XreadgroupOptions): Command<SectionedPage> {
  const { redisKeys, count, block } = options;
  return {
    args: xreadgroupArguments(member, options),
    key: redisKeys[0],
    keys: redisKeys,
    repeatable: false,
    blocks: block,
    limits: entriesReply(redisKeys.length),
    read: (decoder) => sectionedPage(decoder, count),
  };
}

/** The arguments that read entries which the group has not delivered yet. */
function xreadgroupArguments(member: GroupMember, options: XreadgroupOptions): RespArgument[] {
  const { redisKeys, count, block, noAck } = options;
  const args: RespArgument[] = ["XREADGROUP", "GROUP", member.group, member.consumer, "COUNT", count];
  if (block !== undefined) args.push("BLOCK", Math.ceil(block));
  if (noAck) args.push("NOACK");
  args.push("STREAMS", ...redisKeys);
  for (let i = 0; i < redisKeys.length; i++) args.push(">");
  return args;
}

/** A page of the pending entries of a consumer. */
export interface PendingPage extends EntryList {
  readonly frame: RespFrame;
}

/** Which pending entries to read. */
export interface PendingOptions {
  readonly redisKey: string;
  /** Only entries after this id. */
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
    limits: entriesReply(1),
    read(decoder) {
      const frame = decoder.detach();
      if (isNull(frame, 0)) return { frame, entries: new Int32Array(0), gone: [], end: 2 };
      const type = frame.typeAt(0);
      if ((type !== TYPE.map && type !== TYPE.array) || frame.lengthAt(0) !== 1) throw unexpected();
      const at = type === TYPE.map ? 2 : 4;
      if (type === TYPE.array && (!frame.isArray(2) || frame.lengthAt(2) !== 2)) throw unexpected();
      if (!frame.isBulk(at) || frame.textAt(at) !== redisKey) throw unexpected();
      const list = readEntries(frame, at + 2, "XREADGROUP", count);
      const ids = [Array.from(list.entries, (entry) => frame.textAt(entry + 2)), list.gone];
      if (!ids.every((some) => ascend(some, after))) throw wrongShape("XREADGROUP", "entries after the requested id");
      return { frame, ...list };
    },
  };
}

/** Whether each id is above the one before it, the first above `after`. */
function ascend(ids: readonly MessageId[], after: MessageId): boolean {
  return ids.every((id, i) => compareIds(i === 0 ? after : ids[i - 1], id) < 0);
}

function unexpected(): Error {
  return wrongShape("XREADGROUP", "the requested key with entries");
}
