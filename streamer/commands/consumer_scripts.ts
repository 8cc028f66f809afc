// EVAL: removes consumers without pending entries from their group, checked and removed in one step. Redis 2.6; the commands
// inside are of 5.0.

import type { Command } from "../../resp/connection/command.ts";
import type { WireName } from "../model/name.ts";
import { countCommand } from "./scripts.ts";

/** A group as the server names it. */
export interface WireGroup {
  readonly redisKey: string;
  readonly group: WireName;
}

// XPENDING asks for one consumer. XINFO CONSUMERS in a script took 82 ms of the server's time for a group of 20,000 (Redis 7.0); this
// takes 5 µs for each consumer that is removed, whatever the size of the group. If the first consumer does not exist any more, which
// CREATECONSUMER (6.2) finds out, another client removes the same ones, and this script leaves them to it.
const REMOVE_HOLDING_NOTHING = `
if redis.pcall('XGROUP', 'CREATECONSUMER', KEYS[1], ARGV[1], ARGV[2]) == 1 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
  return 0
end
local removed = 0
for i = 2, #ARGV do
  if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[i]) == 0 then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[i])
    removed = removed + 1
  end
end
return removed`;

/**
 * Removes those of these consumers that have nothing pending, and returns how many; does nothing if the first one does not exist.
 * A consumer that is blocked in a read is created again with its next delivery, so that nothing is lost.
 */
export function removeHoldingNothing(
  { redisKey, group }: WireGroup,
  consumers: readonly WireName[],
): Command<number> {
  const command = countCommand(["EVAL", REMOVE_HOLDING_NOTHING, 1, redisKey, group, ...consumers], redisKey);
  return { ...command, repeatable: true };
}

/** The entries of a consumer are counted up to here. */
export const MOST_COUNTED = 100;

const REMOVE_EMPTY = `
if redis.call('EXISTS', KEYS[1]) == 0 then return redis.error_reply('ERR no such key') end
local pending = #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', ${MOST_COUNTED + 1}, ARGV[2])
if pending == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end
return pending`;

/**
 * Removes a consumer from its group if it has nothing pending; returns how many entries are pending otherwise, counted up to one
 * more than {@linkcode MOST_COUNTED}.
 */
export function removeEmpty({ redisKey, group }: WireGroup, consumer: WireName): Command<number> {
  return countCommand(["EVAL", REMOVE_EMPTY, 1, redisKey, group, consumer], redisKey);
}
