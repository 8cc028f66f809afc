// EVAL, or WATCH, MULTI and EXEC: deletes a key, only if it is a stream, in one step. XLEN, which fails for other types, is the check.
// Redis 5.0; UNLINK 4.0.

import { type Command, valueCommand, wrongShape } from "../../resp/connection/command.ts";
import { SMALL_REPLY } from "../../resp/reply_limits.ts";
import { countCommand } from "./scripts.ts";

// UNLINK frees a large stream in the background. A user may be allowed to run DEL only.
const DELETE_STREAM = `
local length = redis.pcall('XLEN', KEYS[1])
if type(length) == 'table' then return length end
local deleted = redis.pcall('UNLINK', KEYS[1])
if type(deleted) == 'table' then return redis.call('DEL', KEYS[1]) end
return deleted`;

/** Deletes a stream by a script; returns 1 if it existed. Fails with `WRONGTYPE` if the key is no stream. Not sent twice. */
export function deleteStreamScript(redisKey: string): Command<number> {
  return countCommand(["EVAL", DELETE_STREAM, 1, redisKey], redisKey);
}

/** Marks a key on this connection: a later EXEC does nothing if the key was changed in between. */
export function watch(redisKey: string): Command<unknown> {
  return { ...valueCommand(["WATCH", redisKey]), key: redisKey };
}

/** The commands that delete a key. */
export type DeleteVerb = "UNLINK" | "DEL";

/** Queues the deletion of a key, after {@linkcode MULTI}. */
export function deletion(redisKey: string, verb: DeleteVerb): Command<unknown> {
  return { ...valueCommand([verb, redisKey]), key: redisKey };
}

/** Starts a transaction. */
export const MULTI: Command<unknown> = valueCommand(["MULTI"]);

/** Executes a transaction with one deletion; returns the number of deleted keys, or `undefined` if a watched key was changed. */
export const EXEC: Command<number | undefined> = {
  args: ["EXEC"],
  repeatable: false,
  limits: SMALL_REPLY,
  read(decoder) {
    const value = decoder.value();
    if (value === null) return undefined;
    const count = Array.isArray(value) && value.length === 1 ? value[0] : undefined;
    if (typeof count !== "number" || count < 0) throw wrongShape("EXEC", "a list with a count");
    return count;
  },
};
