// Deletes entries, and whole streams with their groups.

import type { Pipeline } from "../../resp/connection/pipeline/pipeline.ts";
import { classOf } from "../../resp/connection/server_errors.ts";
import { RedisError, StreamerError } from "../../resp/errors.ts";
import { deleteStreamScript, type DeleteVerb, deletion, EXEC, MULTI, watch } from "../commands/delete_stream.ts";
import { areScriptsForbidden } from "../commands/scripts.ts";
import { xdel } from "../commands/xdel.ts";
import { xlen } from "../commands/xlen.ts";
import { halves, type MessageId } from "../model/id.ts";
import { invalidOption } from "../model/options.ts";
import type { SignalOptions } from "./options.ts";
import type { ManagerContext } from "./shard_keys.ts";

/** Ids in one command: it blocks the server for less than a millisecond. */
const IDS_AT_ONCE = 1_000;

/** Attempts to delete a stream without a script: each fails if the stream is written to at the same moment. */
const MOST_ATTEMPTS = 100;

/** Returns a copy of the ids. Throws `INVALID_OPTION`. */
export function checkIds(ids: unknown): readonly MessageId[] {
  if (!Array.isArray(ids) || !ids.every((id) => typeof id === "string")) {
    throw invalidOption("ids", ids, "an array of message ids");
  }
  const checked: MessageId[] = [...ids];
  checked.forEach(halves);
  return checked;
}

/** Deletes entries of one key; returns how many existed. */
export async function deleteEntries(
  context: ManagerContext,
  { redisKey, ids }: { readonly redisKey: string; readonly ids: readonly MessageId[] },
  { signal }: SignalOptions,
): Promise<number> {
  let deleted = 0;
  for (let at = 0; at < ids.length; at += IDS_AT_ONCE) {
    deleted += await context.run(xdel(redisKey, ids.slice(at, at + IDS_AT_ONCE)), { signal });
  }
  return deleted;
}

/** Deletes a key if it is a stream, in one step; returns whether it existed. Throws `WRONGTYPE` if it is no stream. */
export async function deleteStream(
  context: ManagerContext,
  redisKey: string,
  { signal }: SignalOptions,
): Promise<boolean> {
  try {
    return await context.run(deleteStreamScript(redisKey), { signal }) > 0;
  } catch (error) {
    if (!areScriptsForbidden(error)) throw error;
    return await withoutScript(context, redisKey, { signal, cause: error });
  }
}

/** WATCH concerns a whole connection, so this uses one of its own. */
async function withoutScript(
  context: ManagerContext,
  redisKey: string,
  { signal, cause }: SignalOptions & { readonly cause: unknown },
): Promise<boolean> {
  try {
    return await context.alone(redisKey, { signal }, async (pipeline) => {
      let verb: DeleteVerb = "UNLINK";
      for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
        signal?.throwIfAborted();
        const outcome: number | "changed" | "forbidden" = await transact(pipeline, redisKey, verb);
        if (typeof outcome === "number") return outcome > 0;
        if (outcome === "forbidden") verb = "DEL"; // which may be allowed
      }
      throw new StreamerError(
        "CONFLICT",
        `Stream ${redisKey} was not deleted, because it was written to during each of ${MOST_ATTEMPTS} attempts`,
      );
    });
  } catch (error) {
    if (!isTransactionForbidden(error)) throw error;
    throw new StreamerError(
      "UNSUPPORTED",
      "Deleting a stream in one step requires permission to run EVAL, or WATCH, MULTI and EXEC",
      { cause },
    );
  }
}

/**
 * One attempt. `"changed"` if the key was changed in between, `"forbidden"` if UNLINK is. The deletion is sent only after MULTI has
 * succeeded: without MULTI, it would be executed at once.
 */
async function transact(
  pipeline: Pipeline,
  redisKey: string,
  verb: DeleteVerb,
): Promise<number | "changed" | "forbidden"> {
  const begun = [watch(redisKey), xlen(redisKey), MULTI].map((command) => pipeline.call<unknown>(command)); // XLEN checks the type
  await Promise.allSettled(begun);
  await Promise.all(begun);
  const queued = pipeline.call(deletion(redisKey, verb));
  const executed = pipeline.call(EXEC);
  const [taken] = await Promise.allSettled([queued, executed]);
  const isRefused = taken.status === "rejected" && areScriptsForbidden(taken.reason);
  if (isRefused && verb === "UNLINK") return "forbidden"; // EXEC has failed, too
  await queued;
  return await executed ?? "changed";
}

/** Whether this user may not run transactions. If EXEC is forbidden, its reply is EXECABORT. */
function isTransactionForbidden(error: unknown): boolean {
  if (!(error instanceof RedisError) || !/^(?:WATCH|MULTI|EXEC)$/.test(error.command)) return false;
  return classOf(error) === "discarded" || areScriptsForbidden(error);
}
