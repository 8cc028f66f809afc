// XPENDING: which entries of a group were delivered and not acknowledged, to whom, and how often. Redis 5.0; IDLE 6.2. It
// must not know what is done about them.

import type { RespArgument } from "../../resp/encoder.ts";
import type { RespValue } from "../../resp/value.ts";
import { textOf } from "../../resp/value.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { type MessageId, parseId } from "../model/id.ts";

/** One entry that is pending. */
export interface PendingEntry {
  readonly id: MessageId;
  /** To whom it was delivered last; `""` where somebody gave it back to the group. */
  readonly consumer: string;
  /** Milliseconds since then; -1 where it belongs to nobody. */
  readonly idle: number;
  /** How often it was delivered. */
  readonly deliveries: number;
}

/** Which of them are listed. */
export interface XpendingOptions {
  readonly redisKey: string;
  readonly group: string;
  /** First id. */
  readonly start: string;
  /** Last id. @default {"+"} */
  readonly end?: string;
  readonly count: number;
  /** Only this consumer's. */
  readonly consumer?: string;
  /** Only those idle for so many milliseconds at least. */
  readonly idle?: number;
}

/** Lists what is pending, in the order of the ids. */
export function xpending(options: XpendingOptions): Command<PendingEntry[]> {
  const { redisKey, group, start, end = "+", count, consumer, idle } = options;
  const args: RespArgument[] = ["XPENDING", redisKey, group];
  if (idle !== undefined) args.push("IDLE", Math.ceil(idle));
  args.push(start, end, count);
  if (consumer !== undefined) args.push(consumer);
  return {
    args,
    key: redisKey,
    repeatable: true,
    read(decoder) {
      const value = decoder.value();
      if (!Array.isArray(value)) throw unexpected();
      return value.map(readRow);
    },
  };
}

/** How much is pending in a group. */
export interface PendingSummary {
  /** Of everybody's, and of nobody's: what was given back to the group. */
  readonly total: number;
  /** Of each consumer that holds anything. */
  readonly consumers: readonly { readonly name: string; readonly pending: number }[];
}

/** Counts what is pending in a group. */
export function xpendingSummary(redisKey: string, group: string): Command<PendingSummary> {
  return {
    args: ["XPENDING", redisKey, group],
    key: redisKey,
    repeatable: true,
    read(decoder) {
      const value = decoder.value();
      if (!Array.isArray(value) || value.length !== 4) throw unexpected();
      const [total, , , rows] = value;
      if (rows !== null && !Array.isArray(rows)) throw unexpected();
      return { total: numberOf(total), consumers: (rows ?? []).map(readCount) };
    },
  };
}

/** A consumer's name and how much it holds, which servers tell as text. */
function readCount(row: RespValue): { readonly name: string; readonly pending: number } {
  const [name, pending] = Array.isArray(row) ? row.map(textOf) : [];
  if (name === undefined || pending === undefined || !/^[0-9]{1,15}$/.test(pending)) throw unexpected();
  return { name, pending: Number(pending) };
}

function readRow(row: RespValue): PendingEntry {
  if (!Array.isArray(row)) throw unexpected();
  const [id, consumer, idle, deliveries] = row;
  const [idText, name] = [textOf(id), textOf(consumer)];
  if (idText === undefined || parseId(idText) === undefined || name === undefined) throw unexpected();
  return { id: idText, consumer: name, idle: numberOf(idle), deliveries: numberOf(deliveries) };
}

/** An integer, as near as a number comes to it: a group may be told that an entry was delivered 2^63 - 1 times. */
function numberOf(value: RespValue): number {
  if (typeof value !== "number" && typeof value !== "bigint") throw unexpected();
  return Number(value);
}

function unexpected(): Error {
  return wrongShape("XPENDING", "rows of id, consumer, idle time and deliveries");
}
