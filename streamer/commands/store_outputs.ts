// EVAL: for each input that is still pending, adds its outputs and acknowledges it, in one step. Redis 2.6; the commands inside
// are of 5.0, and ids of the form `<time>-*` of 7.0.

import type { RespArgument } from "../../resp/encoder.ts";
import { RespEncoder } from "../../resp/encoder.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { rowsReply, SMALL_REPLY } from "../../resp/reply_limits.ts";
import { RespErrorReply } from "../../resp/value.ts";
import { compareIds, type MessageId } from "../model/id.ts";

// An entry leaves the pending list once, whoever acknowledges it. So outputs are added only while their input is pending, and all
// of a call is one step. A script is not rolled back: an input whose XADD fails has its earlier outputs deleted, and stays pending.
// XDEL is tried before the first of several outputs: a user who may not delete could not undo. XACK comes last, for all inputs.
//
// The pending entries of this consumer are listed once for each input key, which is faster than one XPENDING for each input. An
// input that is not among them may be another consumer's, and is looked for alone.
//
// Arguments: the group, the consumer, 1 if inputs need not be pending, the number of listings, and for each listing: key, first id,
// last id, count. Then for each input: key, id, the number of outputs, and for each output: key, the place of an id that may be raised
// or 0, the number of arguments of XADD, these arguments.
const STORE_OUTPUTS = `
local call, group, at = redis.pcall, ARGV[1], 5
local pending, results, acks, added, may, stored, any, count = {}, {}, {}, {}, {}, {}, false, 0
for _ = 1, tonumber(ARGV[4]) do
  local rows = call('XPENDING', ARGV[at], group, ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[2])
  local ids = {}
  if not rows.err then for _, row in ipairs(rows) do ids[row[1]] = true end end
  pending[ARGV[at]] = ids
  at = at + 4
end
local passing = {OOM = 1, READONLY = 1, MISCONF = 1, NOREPLICAS = 1, MASTERDOWN = 1, LOADING = 1}
local function add(key, place, from, to)
  local id = call('XADD', key, unpack(ARGV, from, to))
  if place == '0' or type(id) ~= 'table' or not string.find(id.err, 'equal or smaller') then return id end
  local arguments = {unpack(ARGV, from, to)}
  local info = call('XINFO', 'STREAM', key)
  if info.err then return id end
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then arguments[tonumber(place)] = string.match(info[i + 1], '^%d+') .. '-*' end
  end
  return call('XADD', key, unpack(arguments))
end
while ARGV[at] do
  local key, id, outputs = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local failure, there, first, place_of = nil, false, 0, stored[key]
  if not place_of then
    place_of, acks[key], added[key] = {}, {}, {}
    stored[key] = place_of
  end
  local own = added[key]
  local before = #own
  at = at + 3
  if ARGV[3] == '1' then
    there = true
  elseif not place_of[id] then
    there = pending[key] and pending[key][id]
    if not there then
      local rows = call('XPENDING', key, group, id, id, 1)
      if rows.err then failure = rows else there = rows[1] end
    end
  end
  for _ = 1, outputs do
    local target, size = ARGV[at], tonumber(ARGV[at + 2])
    if there and not failure then
      if outputs > 1 and not may[target] then
        local deleted = call('XDEL', target, '0-0')
        if type(deleted) == 'table' then failure = deleted else may[target] = true end
      end
      if not failure then
        local new = add(target, ARGV[at + 1], at + 3, at + 2 + size)
        if type(new) == 'table' then failure = new else own[#own + 1], own[#own + 2] = target, new end
      end
    end
    at = at + 3 + size
  end
  count = count + 1
  if failure then
    if not any and #own == before and passing[string.match(failure.err, '^-?(%u+)')] then return failure end
    for i = #own, before + 1, -2 do
      call('XDEL', own[i - 1], own[i])
      own[i], own[i - 1] = nil, nil
    end
    results[count] = failure.err
  elseif there then
    any = any or #own > before
    local ids = acks[key]
    ids[#ids + 1] = id
    results[count] = 1
    place_of[id] = count
  else
    results[count] = 0
  end
end
for key, ids in pairs(acks) do
  local acked = #ids > 0 and call('XACK', key, group, unpack(ids))
  if type(acked) == 'table' then
    local own = added[key]
    for i = 1, #own, 2 do call('XDEL', own[i], own[i + 1]) end
    for _, id in ipairs(ids) do results[stored[key][id]] = acked.err end
  end
end
return results`;

/** Most inputs of one call. */
export const STORE_INPUTS = 500;
/** Bytes of arguments from which on a call takes no further input. */
export const STORE_BYTES = 1024 * 1024;
/** Most fields of one output: scripts can pass about 8,000 arguments at once. */
export const STORE_FIELDS = 3_500;
/** Most arguments of one input: servers read no command of more than 1,048,576. */
const MOST_ARGUMENTS = 1_000_000;
/** From so many inputs of one key on, its pending entries are listed. */
const LISTED_FROM = 3;

/** One output, as the arguments of XADD after the key. */
export interface StoredOutput {
  readonly redisKey: string;
  readonly args: readonly RespArgument[];
  /** The index of the id in `args`, if it may be raised above the last id of the stream. */
  readonly raises: number | undefined;
}

/** One input with its outputs. */
export interface StoredInput {
  readonly redisKey: string;
  readonly id: MessageId;
  readonly outputs: readonly StoredOutput[];
}

/** On whose behalf inputs are acknowledged. */
export interface StoreOptions {
  readonly group: string;
  readonly consumer: string;
  /** Whether outputs are stored although their inputs are not pending, since the group was lost. Then a repetition stores them again. */
  readonly ungated: boolean;
}

/** What became of an input: its outputs were stored by this call, they had been stored before, or the server's refusal. */
export type StoreResult = "stored" | "repeated" | { readonly refusal: string };

/** An input that was added to a batch. */
export interface EncodedInput {
  readonly redisKey: string;
  readonly id: MessageId;
  readonly keys: readonly string[];
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

/** Inputs of one server, or of one slot, with their outputs: encoded, so that the bytes of outputs are copied when they are added. */
export class StoreBatch {
  readonly #encoder: RespEncoder = new RespEncoder({ capacity: 4096 });
  readonly #inputs: EncodedInput[] = [];

  /** How many inputs it has. */
  get size(): number {
    return this.#inputs.length;
  }

  /** How many bytes its arguments have. */
  get bytes(): number {
    return this.#encoder.length;
  }

  /** Whether it takes no further input. */
  get isFull(): boolean {
    return this.size >= STORE_INPUTS || this.bytes >= STORE_BYTES;
  }

  /** Adds an input. Returns false if it has more outputs than one call can have. */
  add({ redisKey, id, outputs }: StoredInput): boolean {
    let count = 3;
    for (const { args } of outputs) count += 3 + args.length;
    if (count > MOST_ARGUMENTS) return false;
    const encoder = this.#encoder;
    const from = encoder.length;
    encoder.bulk(redisKey).bulk(id).bulk(outputs.length);
    const keys = [redisKey];
    for (const output of outputs) {
      encoder.bulk(output.redisKey).bulk(output.raises === undefined ? 0 : output.raises + 1).bulk(output.args.length);
      for (const arg of output.args) encoder.bulk(arg);
      if (!keys.includes(output.redisKey)) keys.push(output.redisKey);
    }
    this.#inputs.push({ redisKey, id, keys, from, to: encoder.length, count });
    return true;
  }

  /** Ends adding: the inputs can be sent. */
  close(): StoreCall {
    return new StoreCall(this.#inputs, this.#encoder.take());
  }
}

/** Inputs that are sent together, or in parts. */
export class StoreCall {
  readonly inputs: readonly EncodedInput[];
  /** The arguments of all inputs of the batch. */
  readonly bytes: Uint8Array;

  constructor(inputs: readonly EncodedInput[], bytes: Uint8Array) {
    this.inputs = inputs;
    this.bytes = bytes;
  }

  /** How many inputs it has. */
  get size(): number {
    return this.inputs.length;
  }

  /** All keys, the first input's first. */
  get keys(): readonly string[] {
    return [...new Set(this.inputs.flatMap(({ keys }) => keys))];
  }

  /** Some of its inputs; `to` is exclusive. */
  part(from: number, to: number): StoreCall {
    return new StoreCall(this.inputs.slice(from, to), this.bytes);
  }
}

/** Stores the outputs of inputs. It can be repeated: an input whose outputs were stored is not pending any more. */
export function storeOutputs(
  { inputs, bytes, keys }: StoreCall,
  { group, consumer, ungated }: StoreOptions,
): Command<StoreResult[]> {
  const [first] = inputs;
  const listings = ungated ? [] : listingsOf(inputs);
  const head: RespArgument[] = ["EVAL", STORE_OUTPUTS, keys.length, ...keys, group, consumer];
  head.push(ungated ? 1 : 0, listings.length / 4, ...listings);
  const count = inputs.reduce((sum, input) => sum + input.count, head.length);
  const encoder = new RespEncoder({ capacity: STORE_OUTPUTS.length + 512 + last(inputs).to - first.from });
  const encoded = encoder.command(head, count).append(bytes.subarray(first.from, last(inputs).to)).take();
  return {
    args: ["EVAL", first.redisKey],
    encoded,
    key: first.redisKey,
    keys,
    repeatable: true,
    limits: rowsReply(inputs.length, 0),
    read(decoder) {
      const value = decoder.value();
      if (!Array.isArray(value) || value.length !== inputs.length) throw wrongShape("EVAL", "a result for each input");
      return value.map(resultOf);
    },
  };
}

function last<T>(list: readonly T[]): T {
  return list[list.length - 1];
}

/** The arguments of the listings: the range of ids of each key that has several inputs. Twice as many are listed, as some are missing. */
function listingsOf(inputs: readonly EncodedInput[]): RespArgument[] {
  const ranges = new Map<string, { first: MessageId; last: MessageId; count: number }>();
  for (const { redisKey, id } of inputs) {
    const range = ranges.get(redisKey);
    if (range === undefined) {
      ranges.set(redisKey, { first: id, last: id, count: 1 });
      continue;
    }
    range.count++;
    if (compareIds(id, range.last) > 0) range.last = id;
    else if (compareIds(id, range.first) < 0) range.first = id;
  }
  const listings: RespArgument[] = [];
  for (const [redisKey, { first, last, count }] of ranges) {
    if (count >= LISTED_FROM) listings.push(redisKey, first, last, count * 2);
  }
  return listings;
}

function resultOf(value: unknown): StoreResult {
  if (value === 1) return "stored";
  if (value === 0) return "repeated";
  const text = value instanceof RespErrorReply ? value.text : value;
  if (typeof text !== "string" && !(text instanceof Uint8Array)) {
    throw wrongShape("EVAL", "0, 1 or an error for each input");
  }
  const refusal = typeof text === "string" ? text : new TextDecoder().decode(text);
  return { refusal: refusal.replace(/^-/, "") };
}

/** A call that stores nothing and acknowledges nothing, and shows whether scripts and the commands of this one are allowed. */
export function tryStoring(redisKey: string, member: { readonly group: string }): Command<string | undefined> {
  return {
    args: ["EVAL", TRY_STORING, 1, redisKey, member.group],
    key: redisKey,
    repeatable: true,
    limits: SMALL_REPLY,
    read(decoder) {
      const result = resultOf(decoder.value());
      return typeof result === "string" ? undefined : result.refusal;
    },
  };
}

const TRY_STORING = `
local listed = redis.pcall('XPENDING', KEYS[1], ARGV[1], '0-0', '0-0', 1)
if listed.err then return listed.err end
local acked = redis.pcall('XACK', KEYS[1], ARGV[1], '0-0')
if type(acked) == 'table' then return acked.err end
return 0`;
