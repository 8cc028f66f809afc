// XCLAIM and XRANGE for entries that are known by their ids: with their fields, as a frame. Redis 5.0. It must not know why
// they are claimed.

import type { RespArgument } from "../../resp/encoder.ts";
import type { RespFrame } from "../../resp/frame.ts";
import type { Command } from "../../resp/connection/command.ts";
import type { MessageId } from "../model/id.ts";
import { type EntryList, readEntries } from "./entries.ts";
import type { GroupMember } from "./xreadgroup.ts";

/** Entries, and the frame they stand in. */
export interface EntryPage extends EntryList {
  readonly frame: RespFrame;
}

/** What is claimed. */
export interface XclaimOptions {
  readonly redisKey: string;
  readonly ids: readonly MessageId[];
  /** Only those idle for so many milliseconds at least. */
  readonly minIdle: number;
  /** Sets the count of deliveries in place of adding to it. */
  readonly deliveries?: number;
}

/**
 * Takes entries over from whoever holds them; each counts as delivered once more. Gives those that were: of the rest some
 * were not idle enough, or not pending, or are no longer in the stream.
 */
export function xclaim(member: GroupMember, options: XclaimOptions): Command<EntryPage> {
  const { redisKey, ids, minIdle, deliveries } = options;
  const args: RespArgument[] = ["XCLAIM", redisKey, member.group, member.consumer, Math.ceil(minIdle), ...ids];
  if (deliveries !== undefined) args.push("RETRYCOUNT", deliveries);
  // Sent twice, the second time finds them idle no more, and gives none: whoever asks has to look whose they are.
  return { args, key: redisKey, repeatable: true, read: (decoder) => entryPage(decoder.detach(), "XCLAIM") };
}

/** Sets the idle time of entries, in milliseconds, whoever holds them, without counting a delivery. */
export function xclaimJustId(
  member: GroupMember,
  entries: { readonly redisKey: string; readonly ids: readonly MessageId[]; readonly idle: number },
): Command<void> {
  const { redisKey, ids, idle } = entries;
  const args = ["XCLAIM", redisKey, member.group, member.consumer, 0, ...ids, "IDLE", idle, "JUSTID"];
  return { args, key: redisKey, repeatable: true, read: () => {} };
}

/** Reads one entry; none where it is no longer in the stream. */
export function xrangeOne(redisKey: string, id: MessageId): Command<EntryPage> {
  return {
    args: ["XRANGE", redisKey, id, id],
    key: redisKey,
    repeatable: true,
    read: (decoder) => entryPage(decoder.detach(), "XRANGE"),
  };
}

/** The entries of a frame that is nothing but a list of them. */
export function entryPage(frame: RespFrame, command: string): EntryPage {
  return { frame, ...readEntries(frame, 0, command) };
}
