// How the groups of one key are made, moved and deleted, and their consumers. It must not know which keys are meant.

import { ProtocolError, RedisError, StreamerError } from "../../resp/errors.ts";
import { areScriptsForbidden, removeEmpty } from "../commands/scripts.ts";
import { xgroupCreate, xgroupDelConsumer, xgroupDestroy, xgroupSetId } from "../commands/xgroup.ts";
import { xinfoFull } from "../commands/xinfo_full.ts";
import type { GroupMember } from "../commands/xreadgroup.ts";
import { FIRST_ID, type MessageId, shown } from "../model/id.ts";
import type { SignalOptions } from "./options.ts";
import type { ManagerHost } from "./shard_keys.ts";

/** A group of one key. */
export interface KeyGroup {
  readonly redisKey: string;
  readonly group: string;
}

/** Makes a group behind an id, or at the end. Not sent twice: what is there by then may be this very group. */
export async function createGroup(
  host: ManagerHost,
  { redisKey, group }: KeyGroup,
  options: SignalOptions & { readonly id: MessageId | undefined; readonly mkstream: boolean },
): Promise<void> {
  const { id = "$", mkstream, signal } = options;
  await host.run({ ...xgroupCreate(redisKey, group, { position: id, mkstream }), repeatable: false }, { signal });
}

/**
 * Moves a group behind an id, or to the end. Where that is the stream's end it is told how many entries there had been by then,
 * without which its lag would not be known until it has read again.
 */
export async function moveGroup(
  host: ManagerHost,
  { redisKey, group }: KeyGroup,
  { id, signal }: SignalOptions & { readonly id: MessageId | undefined },
): Promise<void> {
  const end = id === FIRST_ID ? undefined : await endOf(host, redisKey, signal);
  const position = id ?? end?.id ?? "$";
  const entriesRead = position === end?.id ? end.entriesAdded : undefined;
  await host.run(xgroupSetId(redisKey, group, { position, entriesRead }), { signal });
}

/** The id given last in a stream and how many entries had been added by then; `undefined` where that cannot be asked. */
async function endOf(
  host: ManagerHost,
  redisKey: string,
  signal: AbortSignal | undefined,
): Promise<{ readonly id: MessageId; readonly entriesAdded: number | bigint | undefined } | undefined> {
  try {
    const { lastGeneratedId: id, entriesAdded } = await host.read(xinfoFull(redisKey), { signal });
    return { id, entriesAdded };
  } catch (error) {
    const barred = error instanceof RedisError || (error instanceof ProtocolError && error.tooLarge);
    if (barred) return undefined; // if it bars more than XINFO, what follows tells
    throw error;
  }
}

/** Deletes a group; tells whether there was one. */
export async function deleteGroup(
  host: ManagerHost,
  { redisKey, group }: KeyGroup,
  { signal }: SignalOptions,
): Promise<boolean> {
  return await host.run(xgroupDestroy(redisKey, group), { signal }) > 0;
}

/** Deletes a consumer; gives how many entries were pending for it, none unless forced. */
export async function deleteConsumer(
  host: ManagerHost,
  { redisKey, group, consumer }: KeyGroup & GroupMember,
  { force, signal }: SignalOptions & { readonly force: boolean },
): Promise<number> {
  if (force) return await host.run(xgroupDelConsumer(redisKey, group, consumer), { signal });
  const held = await host.run(removeEmpty({ group, consumer }, redisKey), { signal }).catch((cause) => {
    if (!areScriptsForbidden(cause)) throw cause;
    throw new StreamerError(
      "UNSUPPORTED",
      "Cannot delete a consumer without force as a script must be allowed, so that it is looked at and deleted in one step",
      { cause },
    );
  });
  if (held === 0) return 0;
  throw new StreamerError(
    "CONFLICT",
    `Cannot delete consumer ${
      shown(consumer)
    } of ${redisKey} without force as it must hold nothing: current value is ${held} pending`,
  );
}
