// XRANGE and XREVRANGE: a page of a range of entries, framed in place. Redis 5.0.

import type { RespArgument } from "../../resp/encoder.ts";
import type { RespFrame } from "../../resp/decoding/frame.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { entriesReply } from "../../resp/reply_limits.ts";
import { compareIds, type MessageId, parseId } from "../model/id.ts";
import { checkEntries, findEntries, ID_MOST } from "./plain_entries.ts";

/** What to read. */
export interface XrangeOptions {
  readonly redisKey: string;
  /** The lowest id. */
  readonly start: MessageId;
  /** The highest id. */
  readonly end: MessageId;
  /** Most entries; at least 1. */
  readonly count: number;
  /** Whether the highest come first. */
  readonly reverse: boolean;
}

/** A part of a range. */
export interface RangePage {
  readonly frame: RespFrame;
  /** The place of each entry on the frame's tape. */
  readonly entries: Int32Array;
  /** The id of the last one; `undefined` without entries. */
  readonly lastId: MessageId | undefined;
}

/** Reads the first entries of a range; none where the stream is missing. */
export function xrange({ redisKey, start, end, count, reverse }: XrangeOptions): Command<RangePage> {
  const name = reverse ? "XREVRANGE" : "XRANGE";
  const args: RespArgument[] = [name, redisKey, ...(reverse ? [end, start] : [start, end]), "COUNT", count];
  return {
    args,
    key: redisKey,
    repeatable: true,
    limits: entriesReply(count),
    read(decoder) {
      const frame = decoder.detach();
      if (!frame.isArray(0) || frame.lengthAt(0) < 0) throw unexpected(name);
      if (frame.lengthAt(0) > count) throw wrongShape(name, `at most ${count} entries`);
      const entries = new Int32Array(frame.lengthAt(0));
      findEntries(frame, 2, entries, name);
      checkEntries(frame, entries, name);
      const lastId = lastOf(frame, entries, name);
      if (lastId === undefined) return { frame, entries, lastId };
      const within = compareIds(lastId, start) >= 0 && compareIds(lastId, end) <= 0;
      if (!within) throw wrongShape(name, "entries of the requested range"); // the next page would be requested in vain
      return { frame, entries, lastId };
    },
  };
}

function lastOf(frame: RespFrame, entries: Int32Array, name: string): MessageId | undefined {
  if (entries.length === 0) return undefined;
  const at = entries[entries.length - 1] + 2;
  const id = frame.isBulk(at) && frame.lengthAt(at) <= ID_MOST ? frame.textAt(at) : "";
  if (parseId(id) === undefined) throw unexpected(name);
  return id;
}

function unexpected(name: string): Error {
  return wrongShape(name, "entries of an id and fields");
}
