// A list of entries as XREADGROUP, XRANGE and XCLAIM return it, found on the tape of a frame.

import type { RespFrame } from "../../resp/decoding/frame.ts";
import { TYPE } from "../../resp/wire.ts";
import { wrongShape } from "../../resp/connection/command.ts";
import { type MessageId, parseId } from "../model/id.ts";

/** The content of a list of entries. */
export interface EntryList {
  /** The place of each entry on the frame's tape. */
  readonly entries: Int32Array;
  /** The ids of those that were listed without their fields, or with nothing: they are no longer in the stream. */
  readonly gone: readonly MessageId[];
  /** Where on the tape the list ends. */
  readonly end: number;
}

/**
 * Finds the entries of the array at `at`, of which there may be so many.
 *
 * @throws {StreamerError} `PROTOCOL` for another shape.
 */
export function readEntries(frame: RespFrame, at: number, command: string, most: number): EntryList {
  const length = frame.lengthAt(at);
  if (!frame.isArray(at) || length < 0) throw unexpected(command);
  if (length > most) throw wrongShape(command, `at most ${most} entries`);
  const found: number[] = [];
  const gone: MessageId[] = [];
  let next = at + 2;
  for (let left = length; left > 0; left--) {
    const entry = next;
    if (isNull(frame, entry)) { // Redis 6: a claimed entry that is no longer there; the reply does not contain its id
      next += 2;
      continue;
    }
    const shaped = frame.isArray(entry) && frame.lengthAt(entry) === 2 && frame.isBulk(entry + 2);
    if (!shaped || parseId(frame.textAt(entry + 2)) === undefined) throw unexpected(command);
    if (isNull(frame, entry + 4)) {
      gone.push(frame.textAt(entry + 2));
      next = entry + 6;
      continue;
    }
    const fields = frame.lengthAt(entry + 4);
    if (!frame.isArray(entry + 4) || fields < 0 || fields % 2 !== 0) throw unexpected(command);
    next = entry + 6 + fields * 2;
    for (let field = entry + 6; field < next; field += 2) if (!frame.isBulk(field)) throw unexpected(command);
    found.push(entry);
  }
  return { entries: Int32Array.from(found), gone, end: next };
}

/** Whether the value is a null, in any of its forms. */
export function isNull(frame: RespFrame, at: number): boolean {
  return frame.typeAt(at) === TYPE.null || (frame.lengthAt(at) === -1 && frame.typeAt(at) !== TYPE.error);
}

function unexpected(command: string): Error {
  return wrongShape(command, "a list of entries of an id and fields");
}
