// XCLAIM, and XRANGE of entries known by their ids: returns the entries with their fields, as a frame. Redis 5.0.

import type { RespArgument } from "../../resp/encoder.ts";
import type { RespFrame } from "../../resp/decoding/frame.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { entriesReply, rowsReply } from "../../resp/reply_limits.ts";
import type { MessageId } from "../model/id.ts";
import { type EntryList, readEntries } from "./entries.ts";
import type { GroupMember } from "./xreadgroup.ts";

/** Entries, and the frame that contains them. */
export interface EntryPage extends EntryList {
  readonly frame: RespFrame;
}

/** The entries to claim. */
export interface XclaimOptions {
  readonly redisKey: string;
  readonly ids: readonly MessageId[];
  /** Only those idle for so many milliseconds at least. */
  readonly minIdle: number;
  /** Sets the count of deliveries in place of adding to it. */
  readonly deliveries?: number;
}

/**
 * Claims entries from their current consumers; each counts as delivered once more. Returns the claimed ones. The others were not
 * idle enough, not pending, or are no longer in the stream.
 */
export function xclaim(member: GroupMember, options: XclaimOptions): Command<EntryPage> {
  const { redisKey, ids, minIdle, deliveries } = options;
  const args: RespArgument[] = ["XCLAIM", redisKey, member.group, member.consumer, Math.ceil(minIdle), ...ids];
  if (deliveries !== undefined) args.push("RETRYCOUNT", deliveries);
  // Sent twice, the second command finds them not idle and returns none: the caller has to check whose they are.
  return {
    args,
    key: redisKey,
    repeatable: true,
    limits: entriesReply(ids.length),
    read: (decoder) => entryPage(decoder.detach(), "XCLAIM", ids),
  };
}

/** Sets the idle time of entries, in milliseconds, whichever consumer they are pending for. It counts no delivery. */
export function xclaimJustId(
  member: GroupMember,
  entries: {
    readonly redisKey: string;
    readonly ids: readonly MessageId[];
    readonly idle: number;
    /** The count of deliveries. @default {as it is} */
    readonly deliveries?: number;
  },
): Command<void> {
  const { redisKey, ids, idle, deliveries } = entries;
  const count = deliveries === undefined ? [] : ["RETRYCOUNT", deliveries];
  const args = ["XCLAIM", redisKey, member.group, member.consumer, 0, ...ids, "IDLE", idle, ...count, "JUSTID"];
  return {
    args,
    key: redisKey,
    repeatable: true,
    limits: rowsReply(ids.length, 0),
    read(decoder) {
      const value = decoder.value();
      if (!Array.isArray(value) || value.length > ids.length) throw wrongShape("XCLAIM", "requested ids");
    },
  };
}

/** Reads one entry; none where it is no longer in the stream. */
export function xrangeOne(redisKey: string, id: MessageId): Command<EntryPage> {
  return {
    args: ["XRANGE", redisKey, id, id],
    key: redisKey,
    repeatable: true,
    limits: entriesReply(1),
    read: (decoder) => entryPage(decoder.detach(), "XRANGE", [id]),
  };
}

/** The entries of a frame that is only a list of them, each one of those asked for, and none twice. */
export function entryPage(frame: RespFrame, command: string, asked: readonly MessageId[]): EntryPage {
  const list = readEntries(frame, 0, command, asked.length);
  const wanted = new Set(asked);
  const ids = [...Array.from(list.entries, (at) => frame.textAt(at + 2)), ...list.gone];
  if (!ids.every((id) => wanted.delete(id))) throw wrongShape(command, "requested entries");
  return { frame, ...list };
}
