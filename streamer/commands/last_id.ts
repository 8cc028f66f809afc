// The last id of a stream: XINFO STREAM (Redis 5.0), or XREVRANGE (5.0) if XINFO is forbidden.

import { ProtocolError, RefusedReplyError } from "../../resp/errors.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { classOf } from "../../resp/connection/server_errors.ts";
import { entriesReply, STATE_REPLY } from "../../resp/reply_limits.ts";
import { pairsOf, textOf } from "../../resp/value.ts";
import { FIRST_ID, type MessageId, parseId } from "../model/id.ts";

/** Runs one command. */
export type Run = <T>(command: Command<T>) => Promise<T>;

/** What XINFO STREAM tells of a stream's ids. */
interface LastIds {
  /** The id given last, deleted entries included. */
  readonly id: MessageId;
  /** The highest one of an entry that was deleted by XDEL; `undefined` before Redis 7.0. */
  readonly deleted: MessageId | undefined;
}

function xinfoLastId(key: string): Command<LastIds> {
  return {
    args: ["XINFO", "STREAM", key],
    key,
    repeatable: true,
    limits: STATE_REPLY,
    read(decoder) {
      const pairs = pairsOf(decoder.value());
      const idOf = (field: string) => {
        const id = textOf(pairs?.find(([name]) => textOf(name) === field)?.[1]);
        return id === undefined || parseId(id) === undefined ? undefined : id;
      };
      const id = idOf("last-generated-id");
      if (id === undefined) throw wrongShape("XINFO STREAM", "pairs with a last-generated-id");
      return { id, deleted: idOf("max-deleted-entry-id") };
    },
  };
}

/** The id of the last entry that is still in this stream. */
function xrevrangeLastId(key: string): Command<MessageId> {
  return {
    args: ["XREVRANGE", key, "+", "-", "COUNT", 1],
    key,
    repeatable: true,
    limits: entriesReply(1),
    read(decoder) {
      const value = decoder.value();
      const [entry] = Array.isArray(value) && value.length === 1 ? value : [];
      if (Array.isArray(value) && value.length === 0) return FIRST_ID;
      const id = Array.isArray(entry) ? textOf(entry[0]) : undefined;
      if (id === undefined || parseId(id) === undefined) throw wrongShape("XREVRANGE", "entries");
      return id;
    },
  };
}

/** Where a stream ends. */
export interface StreamEnd {
  /** The id after which everything is new; `"0-0"` if the stream is missing. */
  readonly id: MessageId;
  /** Whether the stream exists; `undefined` if that could not be queried. */
  readonly exists: boolean | undefined;
  /** Whether `id` is the one given last, and not only that of the last entry that is left. */
  readonly exact: boolean;
  /** The highest id of an entry that was deleted by XDEL. @default {not known} */
  readonly deleted?: MessageId;
}

/** Where a stream ends, asked by XINFO STREAM. Rejects with what the server answers; a missing stream is no error. */
export async function endOfStream(key: string, run: Run): Promise<StreamEnd> {
  try {
    const { id, deleted } = await run(xinfoLastId(key));
    return { id, exists: true, exact: true, ...(deleted === undefined ? {} : { deleted }) };
  } catch (error) {
    if (classOf(error) === "stream-missing") return { id: FIRST_ID, exists: false, exact: true };
    throw error;
  }
}

/** Whether XINFO STREAM is forbidden, or the two entries it brings along are larger than our limits or the server's allow. */
export function isBarred(error: unknown): boolean {
  if (error instanceof RefusedReplyError) return true;
  return classOf(error) === "forbidden" || (error instanceof ProtocolError && error.tooLarge);
}

/** The same asked by XREVRANGE: it tells less, but of one entry only, and is rarely forbidden. */
export async function lastEntryOfStream(key: string, run: Run): Promise<StreamEnd> {
  return { id: await run(xrevrangeLastId(key)), exists: undefined, exact: false };
}
