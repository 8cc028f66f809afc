// EVAL: scripts that check a stream and change it in one step. Redis 2.6; the commands inside need 5.0.

import type { RespArgument } from "../../resp/encoder.ts";
import { TYPE } from "../../resp/wire.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { classOf } from "../../resp/connection/server_errors.ts";
import { entriesReply, rowsReply, SMALL_REPLY } from "../../resp/reply_limits.ts";
import { LAST_ID, type MessageId } from "../model/id.ts";
import type { WireName } from "../model/name.ts";
import { isNull } from "./entries.ts";
import { type EntryPage, entryPage } from "./xclaim.ts";
import type { GroupMember } from "./xreadgroup.ts";

/** Most ids given to one script: what it takes is far below the limits of the server's interpreter, and blocks no one for long. */
export const SCRIPT_IDS = 500;

/**
 * What became of an entry whose idle time was to be reset. `"gone"`: from the stream. `"not-ours"`: another consumer has it.
 * `"nowhere"`: it is not pending, since it was acknowledged, or since its group is another one of the same name.
 */
export type KeptState = "kept" | "not-ours" | "gone" | "nowhere";

const KEPT: readonly KeptState[] = ["not-ours", "kept", "gone", "nowhere"];

const SET_IDLE = `
local states, own, place = {}, {}, {}
for i = 4, #ARGV do
  local row = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)[1]
  if row and row[2] == ARGV[2] then
    own[#own + 1] = ARGV[i]
    place[ARGV[i]] = i - 3
    states[i - 3] = 2
  else
    states[i - 3] = row and 0 or 3
  end
end
if #own > 0 then
  local arguments = {'XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0}
  for _, id in ipairs(own) do arguments[#arguments + 1] = id end
  for _, argument in ipairs({'IDLE', ARGV[3], 'JUSTID'}) do arguments[#arguments + 1] = argument end
  for _, id in ipairs(redis.call(unpack(arguments))) do states[place[id]] = 1 end
end
return states`;

/**
 * Sets the idle time, in milliseconds, of those that are still this consumer's, without counting a delivery; returns for each
 * what became of it. 0 keeps them from others, a long one gives them away.
 */
export function setIdle(
  member: GroupMember,
  entries: { readonly redisKey: string; readonly ids: readonly MessageId[]; readonly idle: number },
): Command<KeptState[]> {
  const { redisKey, ids, idle } = entries;
  return {
    args: ["EVAL", SET_IDLE, 1, redisKey, member.group, member.consumer, idle, ...ids],
    key: redisKey,
    repeatable: true,
    limits: rowsReply(ids.length, 0),
    read(decoder) {
      const value = decoder.value();
      if (!Array.isArray(value) || value.length !== ids.length) throw wrongShape("EVAL", "a state for each id");
      return value.map((state) => {
        const kept = typeof state === "number" ? KEPT[state] : undefined;
        if (kept === undefined) throw wrongShape("EVAL", "states from 0 to 3");
        return kept;
      });
    },
  };
}

// Released, with the count from before its delivery. The count is an argument, so that running it twice is harmless.
const GIVE_BACK = `
local arguments = {'XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0}
for i = 5, #ARGV do
  local row = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])[1]
  if row and row[4] >= tonumber(ARGV[4]) then arguments[#arguments + 1] = ARGV[i] end
end
local count = #arguments - 5
if count == 0 then return 0 end
for _, argument in ipairs({'IDLE', ARGV[3], 'RETRYCOUNT', ARGV[4], 'JUSTID'}) do arguments[#arguments + 1] = argument end
redis.call(unpack(arguments))
return count`;

/** Entries that are released, and how often they count as delivered from then on. */
export interface GivenBack {
  readonly redisKey: string;
  readonly ids: readonly MessageId[];
  /** Milliseconds that they seem to be idle. */
  readonly idle: number;
  readonly deliveries: number;
}

/** Releases those that are still this consumer's, with another count of deliveries, never a higher one; returns how many. */
export function giveBack(member: GroupMember, { redisKey, ids, idle, deliveries }: GivenBack): Command<number> {
  const args = ["EVAL", GIVE_BACK, 1, redisKey, member.group, member.consumer, idle, deliveries, ...ids];
  return { ...countCommand(args, redisKey), repeatable: true };
}

const REGAIN = `
local row = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])[1]
if not row then return 0 end
if row[4] > tonumber(ARGV[4]) then return 1 end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'IDLE', 0, 'JUSTID')
return 2`;

/**
 * What became of an entry that was given up: `"lost"` to another, or acknowledged; `"older"`: this consumer has it, but it was
 * delivered once more since; `"ours"`: it was kept from the others by this look.
 */
export type Regained = "lost" | "older" | "ours";

const REGAINED: readonly Regained[] = ["lost", "older", "ours"];

/** Keeps an entry from others if it still is this consumer's, and was not delivered more often than so. */
export function regain(
  member: GroupMember,
  { redisKey, id, deliveries }: Redelivery,
): Command<Regained> {
  return {
    // As a text, the largest number is one that scripts can read.
    args: [
      "EVAL",
      REGAIN,
      1,
      redisKey,
      member.group,
      member.consumer,
      id,
      Math.min(deliveries, Number.MAX_SAFE_INTEGER),
    ],
    key: redisKey,
    repeatable: true,
    limits: SMALL_REPLY,
    read(decoder) {
      const value = decoder.value();
      const state = typeof value === "number" ? REGAINED[value] : undefined;
      if (state === undefined) throw wrongShape("EVAL", "a state from 0 to 2");
      return state;
    },
  };
}

const REDELIVER = `
local found = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])
if not found[1] then return false end
return redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'RETRYCOUNT', ARGV[4])`;

/** An entry that is to be delivered again. */
export interface Redelivery {
  readonly redisKey: string;
  readonly id: MessageId;
  /** The count of deliveries, this one included. Where it is a limit, `Infinity` is none. */
  readonly deliveries: number;
}

/** Delivers an entry again, if it is still this consumer's; `undefined` where it is not, an empty page where it is gone. */
export function redeliver(member: GroupMember, redelivery: Redelivery): Command<EntryPage | undefined> {
  const { redisKey, id, deliveries } = redelivery;
  return {
    args: ["EVAL", REDELIVER, 1, redisKey, member.group, member.consumer, id, deliveries],
    key: redisKey,
    repeatable: true, // it says the count, and does not add to it
    limits: entriesReply(1),
    read(decoder) {
      const frame = decoder.detach();
      return isNull(frame, 0) ? undefined : entryPage(frame, "EVAL", [id]);
    },
  };
}

// Ids are compared as texts, since their halves may be larger than the numbers of scripts are exact. What a group needs begins
// with its first pending entry or with the first that it was not given yet, whichever is lower.
const TRIM_ACKNOWLEDGED = `
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local function below(a, b)
  local a1, a2 = string.match(a, '^(%d+)-(%d+)$')
  local b1, b2 = string.match(b, '^(%d+)-(%d+)$')
  if a1 == b1 then a1, b1 = a2, b2 end
  if #a1 ~= #b1 then return #a1 < #b1 end
  return a1 < b1
end
local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
if #groups == 0 then return 0 end
local needed
local there = {}
for _, row in ipairs(groups) do
  local one = {}
  for i = 1, #row, 2 do one[row[i]] = row[i + 1] end
  there[one.name] = true
  local last, first = one['last-delivered-id'], nil
  if last ~= '${LAST_ID}' then first = redis.call('XRANGE', KEYS[1], '(' .. last, '+', 'COUNT', 1)[1] end
  if first and (not needed or below(first[1], needed)) then needed = first[1] end
  if one.pending > 0 then
    local oldest = redis.call('XPENDING', KEYS[1], one.name)[2]
    if oldest and (not needed or below(oldest, needed)) then needed = oldest end
  end
end
for i = 2, #ARGV do if not there[ARGV[i]] then return 0 end end
if needed then return redis.call('XTRIM', KEYS[1], 'MINID', ARGV[1], needed) end
return redis.call('XTRIM', KEYS[1], 'MAXLEN', ARGV[1], 0)`;

/**
 * Cuts a stream up to the first entry that any of its groups has not acknowledged or not yet been given; not at all where it has
 * no groups, or not all of those that must be there. Gives how many entries were removed. Redis 6.2.
 */
export function trimAcknowledged(
  redisKey: string,
  { exact, groups }: { readonly exact: boolean; readonly groups: readonly WireName[] },
): Command<number> {
  const command = countCommand(["EVAL", TRIM_ACKNOWLEDGED, 1, redisKey, exact ? "=" : "~", ...groups], redisKey);
  return { ...command, repeatable: true };
}

/** A script that answers a count. Not sent twice. */
export function countCommand(args: readonly RespArgument[], key: string): Command<number> {
  return {
    args,
    key,
    repeatable: false,
    limits: SMALL_REPLY,
    read(decoder) {
      const value = decoder.typeByte() === TYPE.integer ? decoder.value() : undefined;
      if (typeof value !== "number" || value < 0) throw wrongShape("EVAL", "a count");
      return value;
    },
  };
}

/** Whether scripts, or the commands of this one, are unavailable on this server, or to this user. */
export function areScriptsForbidden(error: unknown): boolean {
  const kind = classOf(error);
  return kind === "forbidden" || kind === "unavailable";
}

/** Whether a script, or a command, failed because the group or its stream is not there. */
export function isGroupMissing(error: unknown): boolean {
  return classOf(error) === "group-missing";
}
