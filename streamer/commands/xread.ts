// XREAD: its command, and the pages of its reply, framed in place. Redis 5.0.

import type { RespDecoder } from "../../resp/decoder.ts";
import type { RespArgument } from "../../resp/encoder.ts";
import type { RespFrame } from "../../resp/decoding/frame.ts";
import { TYPE } from "../../resp/wire.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { entriesReply } from "../../resp/reply_limits.ts";
import { type MessageId, parseId } from "../model/id.ts";
import { checkEntries, findEntries, ID_MOST } from "./plain_entries.ts";

/** Options of {@linkcode xread}. */
export interface XreadOptions {
  /** The Redis keys, and for each the id after which entries are read. */
  readonly positions: readonly { readonly redisKey: string; readonly position: MessageId }[];
  /** Most entries of each key. */
  readonly count: number;
  /** Milliseconds to wait if there are no entries. @default {no wait} */
  readonly block?: number | undefined;
}

/** A reply with the entries of several keys. */
export interface SectionedPage {
  readonly frame: RespFrame;
  readonly sections: readonly PageSection[];
}

/** Reads the entries after a position of each key. A reader that decodes in place uses {@linkcode findPage} instead of `read`. */
export function xread(options: XreadOptions): Command<SectionedPage> {
  const { positions, count, block } = options;
  const keys = positions.map(({ redisKey }) => redisKey);
  return {
    args: xreadArguments(options),
    key: keys[0],
    keys,
    repeatable: true,
    blocks: block,
    limits: entriesReply(keys.length),
    read: (decoder) => sectionedPage(decoder, count),
  };
}

/** Copies a reply out of the decoder and reads its sections, of at most `most` entries each. */
export function sectionedPage(decoder: RespDecoder, most: number): SectionedPage {
  const frame = decoder.detach();
  return { frame, sections: readPage(frame, most) };
}

/** The arguments of XREAD. */
function xreadArguments({ positions, count, block }: XreadOptions): RespArgument[] {
  const args: RespArgument[] = ["XREAD", "COUNT", count];
  if (block !== undefined) args.push("BLOCK", Math.ceil(block));
  args.push("STREAMS");
  for (const { redisKey } of positions) args.push(redisKey);
  for (const { position } of positions) args.push(position);
  return args;
}

/** The entries of one key in a page. */
export interface PageSection {
  readonly redisKey: string;
  /** The place of each entry on the frame's tape. */
  readonly entries: Int32Array;
  readonly lastId: MessageId;
}

/**
 * Finds the entries of a reply, in the shape of RESP3 or RESP2, and checks them; none for null. Sections without entries are
 * left out.
 *
 * @throws {StreamerError} `PROTOCOL` for another shape.
 */
export function readPage(frame: RespFrame, most: number = Infinity): PageSection[] {
  const sections = findPage(frame, most);
  checkPage(frame, sections);
  return sections;
}

/** The first half of {@linkcode readPage}, all that is needed to ask for the next page: where entries stand, and the last id of each key, of which there may be `most` entries. */
export function findPage(frame: RespFrame, most: number): PageSection[] {
  if (frame.lengthAt(0) === -1 || frame.typeAt(0) === TYPE.null) return [];
  const type = frame.typeAt(0);
  if (type !== TYPE.map && type !== TYPE.array) throw unexpected();
  const sections: PageSection[] = [];
  let at = 2;
  for (let left = frame.lengthAt(0); left > 0; left--) {
    if (type === TYPE.array) {
      if (!frame.isArray(at) || frame.lengthAt(at) !== 2) throw unexpected();
      at += 2;
    }
    if (!frame.isBulk(at) || !frame.isArray(at + 2)) throw unexpected();
    const redisKey = frame.textAt(at);
    const count = frame.lengthAt(at + 2);
    at += 4;
    if (count <= 0) continue;
    if (count > most) throw wrongShape("XREAD", `at most ${most} entries of a key`);
    const entries = new Int32Array(count);
    at = findEntries(frame, at, entries, "XREAD");
    const last = entries[count - 1] + 2;
    if (!frame.isBulk(last) || frame.lengthAt(last) > ID_MOST) throw unexpected();
    const lastId = frame.textAt(last);
    if (parseId(lastId) === undefined) throw unexpected();
    sections.push({ redisKey, entries, lastId });
  }
  return sections;
}

/** The second half: throws for anything but an entry of an id and fields. */
export function checkPage(frame: RespFrame, sections: readonly PageSection[]): void {
  for (const { entries } of sections) checkEntries(frame, entries, "XREAD");
}

function unexpected(): Error {
  return wrongShape("XREAD", "keys with entries of an id and fields");
}
