// EVAL: lists the pending entries of a consumer and claims them, each in one step, and returns a state for each entry.
// Redis 2.6; the commands inside are of 5.0, IDLE of 6.2.

import type { RespArgument } from "../../resp/encoder.ts";
import type { RespValue } from "../../resp/value.ts";
import { textOf } from "../../resp/value.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { entriesReply, rowsReply } from "../../resp/reply_limits.ts";
import { type MessageId, parseId } from "../model/id.ts";
import type { WireName } from "../model/name.ts";
import { readEntries } from "./entries.ts";
import type { EntryPage } from "./xclaim.ts";
import { type PendingEntry, readPendingRows } from "./xpending.ts";
import type { GroupMember } from "./xreadgroup.ts";

/** Which entries are listed. */
export interface ListOptions {
  readonly redisKey: string;
  readonly group: string;
  /** First id. */
  readonly start: MessageId;
  /** Most entries. */
  readonly count: number;
  /** Only this consumer's; all without it. */
  readonly consumer?: WireName | undefined;
  /** Only those idle for so many milliseconds at least. */
  readonly idle?: number | undefined;
}

/** Pending entries, and the first id of their stream. */
export interface PendingPage {
  readonly rows: readonly PendingEntry[];
  /** The stream's first entry at that moment; `undefined` where it has none, or nothing is pending. */
  readonly firstId: MessageId | undefined;
}

const LIST_PENDING = `
local arguments = {'XPENDING', KEYS[1], ARGV[1]}
for i = 2, #ARGV do arguments[#arguments + 1] = ARGV[i] end
local rows = redis.call(unpack(arguments))
if #rows == 0 then return {false, rows} end
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
return {first and first[1] or false, rows}`;

/** Lists pending entries, in the order of their ids, with the first id that is still in the stream at that moment. */
export function listPending({ redisKey, group, start, count, consumer, idle }: ListOptions): Command<PendingPage> {
  const args: RespArgument[] = ["EVAL", LIST_PENDING, 1, redisKey, group];
  if (idle !== undefined) args.push("IDLE", Math.ceil(idle));
  args.push(start, "+", count);
  if (consumer !== undefined) args.push(consumer);
  return {
    args,
    key: redisKey,
    repeatable: true,
    limits: { ...rowsReply(count, 4), items: 2 },
    read(decoder) {
      const value = decoder.value();
      const [first, rows]: readonly RespValue[] = Array.isArray(value) ? value : [];
      const firstId = textOf(first);
      if (firstId !== undefined && parseId(firstId) === undefined) throw wrongShape("EVAL", "a stream's first id");
      return { rows: readPendingRows(rows, "EVAL", count), firstId };
    },
  };
}

/**
 * The state of an entry that was to be claimed. `"claimed"`: it is among the entries. `"nowhere"`: it was not pending, since it
 * had been acknowledged. `"ours"`: this consumer had it before. `"not-ours"`: another consumer has it, or it was not idle for long
 * enough. `"gone"`: it was pending, and is no longer in its stream.
 */
export type ClaimState = "claimed" | "nowhere" | "ours" | "not-ours" | "gone";

const STATES: readonly ClaimState[] = ["nowhere", "not-ours", "ours", "gone", "claimed"];

/** The result of a claim. */
export interface ClaimedPage extends EntryPage {
  /** The state of each entry, in the order of the ids, and how often it had been delivered before. */
  readonly states: readonly { readonly state: ClaimState; readonly deliveries: number }[];
}

// XCLAIM leaves out entries that are no longer in the stream, and since Redis 7.0 removes them from the pending list. An entry that
// is pending before XCLAIM and not after it, in the same step, was not acknowledged by anybody: it is gone. Redis 6.2 claims such
// an entry, and returns null in its place.
const CLAIM_PENDING = `
local states, counts, ids = {}, {}, {}
for i = 5, #ARGV do
  local row = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)[1]
  local state = 0
  if row and row[2] == ARGV[3] then
    ids[#ids + 1] = ARGV[i]
    state = 1
  elseif row then
    state = row[2] == ARGV[2] and 2 or 1
  end
  states[ARGV[i]] = state
  counts[ARGV[i]] = row and row[4] or 0
end
local entries = {}
if #ids > 0 then
  entries = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[4], unpack(ids))
  for _, entry in ipairs(entries) do
    if entry then states[entry[1]] = 4 end
  end
  for _, id in ipairs(ids) do
    if states[id] == 1 then
      local row = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1]
      if not row or (row[2] == ARGV[2] and ARGV[2] ~= ARGV[3]) then states[id] = 3 end
    end
  end
end
local results = {}
for i = 5, #ARGV do results[i - 4] = states[ARGV[i]] .. ':' .. counts[ARGV[i]] end
return {table.concat(results, ' '), entries}`;

/** Which entries are claimed, and from which consumer. */
export interface ClaimOptions {
  readonly redisKey: string;
  /** The consumer that has them; `""` for entries that belong to no consumer. */
  readonly from: WireName;
  /** Each once. */
  readonly ids: readonly MessageId[];
  /** Only those idle for so many milliseconds at least. */
  readonly minIdle: number;
}

/**
 * Claims entries from one consumer; each counts as delivered once more. It is not repeatable: Redis 7.0 removes entries that are no
 * longer in the stream from the pending list, so that a second run could not distinguish them from acknowledged ones.
 */
export function claimPending(
  member: GroupMember,
  { redisKey, from, ids, minIdle }: ClaimOptions,
): Command<ClaimedPage> {
  const { group, consumer } = member;
  return {
    args: ["EVAL", CLAIM_PENDING, 1, redisKey, group, consumer, from, Math.ceil(minIdle), ...ids],
    key: redisKey,
    repeatable: false,
    limits: entriesReply(2),
    read(decoder) {
      const frame = decoder.detach();
      if (!frame.isArray(0) || frame.lengthAt(0) !== 2 || !frame.isBulk(2)) throw unexpected();
      const states = frame.textAt(2).split(" ").map(readState);
      if (states.length !== ids.length) throw unexpected();
      const list = readEntries(frame, 4, "EVAL", ids.length);
      const claimed = new Set(ids.filter((_, i) => states[i].state === "claimed"));
      if (list.entries.length !== claimed.size) throw unexpected();
      for (const at of list.entries) if (!claimed.delete(frame.textAt(at + 2))) throw unexpected(); // it was not requested
      return { frame, ...list, states };
    },
  };
}

/** Such as `"3:17"`; a server may say that an entry was delivered 2^63 - 1 times, which scripts write with an exponent. */
function readState(text: string): ClaimedPage["states"][number] {
  const match = /^([0-4]):(\d{1,19}|\d(?:\.\d{1,20})?e\+?\d{1,2})$/.exec(text);
  if (match === null) throw unexpected();
  return { state: STATES[Number(match[1])], deliveries: Number(match[2]) };
}

function unexpected(): Error {
  return wrongShape("EVAL", "a state for each id, and requested entries");
}
