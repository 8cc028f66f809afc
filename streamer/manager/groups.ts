// Creates, moves and deletes the groups of one key, and deletes their consumers.

import { ProtocolError, RedisError, RefusedReplyError, StreamerError } from "../../resp/errors.ts";
import { MOST_COUNTED, removeEmpty, type WireGroup } from "../commands/consumer_scripts.ts";
import { areScriptsForbidden } from "../commands/scripts.ts";
import { xgroupCreate, xgroupDelConsumer, xgroupDestroy, xgroupSetId } from "../commands/xgroup.ts";
import { xinfoFull } from "../commands/xinfo_full.ts";
import { FIRST_ID, type MessageId, shown } from "../model/id.ts";
import { shownName, type WireName } from "../model/name.ts";
import type { SignalOptions } from "./options.ts";
import type { ManagerContext } from "./shard_keys.ts";

/** Creates a group at an id, or at the end. Not sent twice: a group that exists by then may be the same one. */
export async function createGroup(
  context: ManagerContext,
  { redisKey, group }: WireGroup,
  options: SignalOptions & { readonly id: MessageId | undefined; readonly mkstream: boolean },
): Promise<void> {
  const { id = "$", mkstream, signal } = options;
  await context.run({ ...xgroupCreate(redisKey, group, { position: id, mkstream }), repeatable: false }, { signal });
}

/**
 * Moves a group to an id, or to the end. At the stream's end, the server also gets the number of entries that were added so far.
 * Without that number the group's lag would be unknown until it reads again.
 */
export async function moveGroup(
  context: ManagerContext,
  { redisKey, group }: WireGroup,
  { id, signal }: SignalOptions & { readonly id: MessageId | undefined },
): Promise<void> {
  const end = id === FIRST_ID ? undefined : await endOf(context, redisKey, signal);
  const position = id ?? end?.id ?? "$";
  const entriesRead = position === end?.id ? end.entriesAdded : undefined;
  await context.run(xgroupSetId(redisKey, group, { position, entriesRead }), { signal });
}

/** The last id of a stream and how many entries were added up to it; `undefined` if the server refuses XINFO. */
async function endOf(
  context: ManagerContext,
  redisKey: string,
  signal: AbortSignal | undefined,
): Promise<{ readonly id: MessageId; readonly entriesAdded: number | bigint | undefined } | undefined> {
  try {
    const { lastGeneratedId: id, entriesAdded } = await context.read(xinfoFull(redisKey), { signal });
    return { id, entriesAdded };
  } catch (error) {
    const barred = error instanceof RedisError || error instanceof RefusedReplyError ||
      (error instanceof ProtocolError && error.tooLarge);
    if (barred) return undefined; // if more than XINFO is refused, the next command fails
    throw error;
  }
}

/** Deletes a group; returns whether there was one. */
export async function deleteGroup(
  context: ManagerContext,
  { redisKey, group }: WireGroup,
  { signal }: SignalOptions,
): Promise<boolean> {
  return await context.run(xgroupDestroy(redisKey, group), { signal }) > 0;
}

/** Deletes a consumer; returns how many entries were pending for it, 0 unless forced. */
export async function deleteConsumer(
  context: ManagerContext,
  { redisKey, group, consumer }: WireGroup & { readonly consumer: WireName },
  { force, signal }: SignalOptions & { readonly force: boolean },
): Promise<number> {
  if (force) return await context.run(xgroupDelConsumer(redisKey, group, consumer), { signal });
  const pending = await context.run(removeEmpty({ redisKey, group }, consumer), { signal }).catch((cause) => {
    if (!areScriptsForbidden(cause)) throw cause;
    throw new StreamerError(
      "UNSUPPORTED",
      "Deleting a consumer without force requires permission to run EVAL, which checks and deletes it in one step",
      { cause },
    );
  });
  if (pending === 0) return 0;
  throw new StreamerError(
    "CONFLICT",
    `Consumer ${shown(shownName(consumer))} of ${redisKey} has ${
      pending > MOST_COUNTED ? `more than ${MOST_COUNTED}` : pending
    } pending entries. Use force: true to drop them`,
  );
}
