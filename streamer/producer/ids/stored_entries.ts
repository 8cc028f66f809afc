// Looks up messages in their stream by their ids, and compares the bytes.

import { ProtocolError, RefusedReplyError } from "../../../resp/errors.ts";
import type { Command } from "../../../resp/connection/command.ts";
import { type RangePage, xrange } from "../../commands/xrange.ts";
import { compareIds, FIRST_ID, LAST_ID, type MessageId } from "../../model/id.ts";
import type { Found } from "./verdict.ts";

/** A message, and the part of its encoded command that contains its fields. */
export interface EncodedEntry {
  readonly id: MessageId;
  readonly bytes: Uint8Array;
  readonly from: number;
  readonly to: number;
}

/** Runs one command until it is answered. */
export type Ask = <T>(command: Command<T>) => Promise<T>;

/** Most entries of a page. */
const MOST = 10_000;

/** What the stream has under the ids of these messages, which ascend. */
export async function findEntries(redisKey: string, messages: readonly EncodedEntry[], ask: Ask): Promise<Found[]> {
  const found: Found[] = [];
  let most = MOST;
  while (found.length < messages.length) {
    const rest = messages.length - found.length;
    const start = messages[found.length].id;
    const end = messages[messages.length - 1].id;
    const count = Math.min(most, rest);
    try {
      const page = await ask(xrange({ redisKey, start, end, count, reverse: false }));
      const isLast = page.entries.length < count;
      compare(page, messages, { found, upTo: isLast ? end : page.lastId ?? end });
    } catch (error) {
      if (!isTooLarge(error)) throw error;
      most = count >> 1;
      if (count > 1) continue;
      found.push("unreadable");
      most = 1;
    }
  }
  return found;
}

/** The lowest id of a stream. `undefined` if it has no entry, or if that entry cannot be read. */
export async function lowestId(redisKey: string, ask: Ask): Promise<MessageId | undefined> {
  try {
    return (await ask(xrange({ redisKey, start: FIRST_ID, end: LAST_ID, count: 1, reverse: false }))).lastId;
  } catch (error) {
    if (isTooLarge(error)) return undefined;
    throw error;
  }
}

/** Adds what a page shows of the next messages, up to this id. */
function compare(
  { frame, entries }: RangePage,
  messages: readonly EncodedEntry[],
  { found, upTo }: { readonly found: Found[]; readonly upTo: MessageId },
): void {
  let at = 0;
  for (let next = found.length; next < messages.length; next++) {
    const message = messages[next];
    if (compareIds(message.id, upTo) > 0) return;
    while (at < entries.length && compareIds(frame.textAt(entries[at] + 2), message.id) < 0) at++;
    const isThere = at < entries.length && frame.textAt(entries[at] + 2) === message.id;
    found.push(!isThere ? "nothing" : hasFields(frame, entries[at], message) ? "own" : "other");
  }
}

/** Whether an entry has the fields of a message. A reply contains them as the same bytes as the command. */
function hasFields(frame: RangePage["frame"], entry: number, { bytes, from, to }: EncodedEntry): boolean {
  const last = entry + 4 + 2 * frame.lengthAt(entry + 4);
  const start = frame.start + frame.tape[entry + 6];
  const end = frame.bodyAt(last) + frame.lengthAt(last) + 2;
  if (end - start !== to - from) return false;
  for (let i = 0; i < to - from; i++) if (frame.bytes[start + i] !== bytes[from + i]) return false;
  return true;
}

function isTooLarge(error: unknown): boolean {
  return error instanceof RefusedReplyError || (error instanceof ProtocolError && error.tooLarge);
}
