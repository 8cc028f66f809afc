// XREAD: its words, and the pages it gives, framed in place. Redis 5.0. It must not know who reads, nor from where.

import type { RespArgument } from "../../resp/encoder.ts";
import type { RespFrame } from "../../resp/frame.ts";
import { TYPE } from "../../resp/wire.ts";
import { wrongShape } from "../../resp/connection/command.ts";
import { type MessageId, parseId } from "../model/id.ts";

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

const ZERO = 48;
const ID_LEAST = 3;
const ID_MOST = 41;

/**
 * Finds the entries of a reply, in the shape of RESP3 or RESP2; none for null. Sections without entries are left out.
 *
 * @throws {StreamerError} `PROTOCOL` for another shape.
 */
export function readPage(frame: RespFrame): PageSection[] {
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
    for (let i = 0; i < count; i++) {
      entries[i] = at;
      at = entryEnd(frame, at);
    }
    const lastId = frame.textAt(entries[count - 1] + 2);
    if (parseId(lastId) === undefined) throw unexpected();
    sections.push({ redisKey, entries, lastId });
  }
  return sections;
}

/** Checks the shape of the entry at `at`: an id and its fields. Gives where the next one stands. */
function entryEnd(frame: RespFrame, at: number): number {
  const { bytes, start, tape } = frame;
  const idLength = tape[at + 3];
  const fields = tape[at + 5];
  const shaped = bytes[start + tape[at]] === TYPE.array && tape[at + 1] === 2 &&
    bytes[start + tape[at + 2]] === TYPE.bulk && idLength >= ID_LEAST && idLength <= ID_MOST &&
    bytes[start + tape[at + 4]] === TYPE.array && fields >= 0 && fields % 2 === 0;
  if (!shaped) throw unexpected();
  const end = at + 6 + fields * 2;
  checkId(bytes, frame.bodyAt(at + 2), idLength);
  for (let field = at + 6; field < end; field += 2) if (!frame.isBulk(field)) throw unexpected();
  return end;
}

/** Numbers of fewer digits than this surely fit into 64 bits. */
const LONG_HALF = 20;

/** An id is two numbers of 64 bits with a dash between; only long ones need to be read as numbers to know. */
function checkId(bytes: Uint8Array, from: number, length: number): void {
  let dash = -1;
  const end = from + length;
  for (let i = from; i < end; i++) {
    const byte = bytes[i];
    if (byte >= 48 && byte <= 57) continue;
    if (byte !== 45 || dash >= 0 || i === from || i === end - 1) throw unexpected();
    dash = i;
  }
  const padded = (bytes[from] === ZERO && dash > from + 1) || (bytes[dash + 1] === ZERO && dash < end - 2);
  if (dash < 0 || padded) throw unexpected();
  const long = dash - from >= LONG_HALF || end - dash > LONG_HALF;
  if (long && parseId(String.fromCharCode(...bytes.subarray(from, end))) === undefined) throw unexpected();
}

function unexpected(): Error {
  return wrongShape("XREAD", "keys with entries of an id and fields");
}
