// Where a stream ends now: XINFO STREAM (Redis 5.0), or XREVRANGE (5.0) where that is forbidden. It must not know what
// the answer is for.

import { RedisError } from "../../resp/errors.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { pairsOf, textOf } from "../../resp/value.ts";
import { FIRST_ID, type MessageId, parseId } from "../model/id.ts";

/** Runs one command. */
export type Run = <T>(command: Command<T>) => Promise<T>;

/** The id given last in this stream, deleted entries included. */
function xinfoLastId(key: string): Command<MessageId> {
  return {
    args: ["XINFO", "STREAM", key],
    key,
    repeatable: true,
    read(decoder) {
      const pairs = pairsOf(decoder.value());
      const id = textOf(pairs?.find(([name]) => textOf(name) === "last-generated-id")?.[1]);
      if (id === undefined || parseId(id) === undefined) {
        throw wrongShape("XINFO STREAM", "pairs with a last-generated-id");
      }
      return id;
    },
  };
}

/** The id of the last entry that is still in this stream. */
function xrevrangeLastId(key: string): Command<MessageId> {
  return {
    args: ["XREVRANGE", key, "+", "-", "COUNT", 1],
    key,
    repeatable: true,
    read(decoder) {
      const value = decoder.value();
      const entry = Array.isArray(value) ? value[0] : undefined;
      if (Array.isArray(value) && entry === undefined) return FIRST_ID;
      const id = Array.isArray(entry) ? textOf(entry[0]) : undefined;
      if (id === undefined || parseId(id) === undefined) throw wrongShape("XREVRANGE", "entries");
      return id;
    },
  };
}

/** The id behind which everything is new: of a missing stream `"0-0"`. Rejects with what the server answers. */
export async function lastIdOfStream(key: string, run: Run): Promise<MessageId> {
  try {
    return await run(xinfoLastId(key));
  } catch (error) {
    if (!(error instanceof RedisError)) throw error;
    if (error.code === "ERR" && error.message.startsWith("ERR no such key")) return FIRST_ID;
    if (error.code === "NOPERM") return await run(xrevrangeLastId(key));
    throw error;
  }
}
