// XREAD: its words, and the pages it gives, framed in place. Redis 5.0. It must not know who reads, nor from where.

import type { RespArgument } from "../../resp/encoder.ts";
import type { RespFrame } from "../../resp/frame.ts";
import { TYPE } from "../../resp/wire.ts";
import { wrongShape } from "../../resp/connection/command.ts";
import { type MessageId, parseId } from "../model/id.ts";
import { checkEntries, findEntries, ID_MOST } from "./plain_entries.ts";

/** What to read. */
export interface XreadOptions {
  /** The Redis keys, and behind which id of each. */
  readonly positions: readonly { readonly redisKey: string; readonly position: MessageId }[];
  /** Most entries of each key. */
  readonly count: number;
  /** Milliseconds to wait for entries where there are none; left out: not at all. */
  readonly block?: number;
}

/** The words of XREAD. */
export function xreadArguments({ positions, count, block }: XreadOptions): RespArgument[] {
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
  /** Where each entry stands on the frame's tape. */
  readonly entries: Int32Array;
  readonly lastId: MessageId;
}

/**
 * Finds the entries of a reply, in the shape of RESP3 or RESP2, and checks them; none for null. Sections without entries are
 * left out.
 *
 * @throws {StreamerError} `PROTOCOL` for another shape.
 */
export function readPage(frame: RespFrame): PageSection[] {
  const sections = findPage(frame);
  checkPage(frame, sections);
  return sections;
}

/** The first half of {@linkcode readPage}, all that is needed to ask for the next page: where entries stand, and the last id of each key. */
export function findPage(frame: RespFrame): PageSection[] {
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

/** The second half: throws for anything that is no entry of an id and fields. */
export function checkPage(frame: RespFrame, sections: readonly PageSection[]): void {
  for (const { entries } of sections) checkEntries(frame, entries, "XREAD");
}

function unexpected(): Error {
  return wrongShape("XREAD", "keys with entries of an id and fields");
}
