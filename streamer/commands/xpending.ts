// XPENDING: which entries of a group are delivered and not acknowledged, to which consumer, and how often. Redis 5.0; IDLE of
// version 6.2.

import type { RespArgument } from "../../resp/encoder.ts";
import type { RespValue } from "../../resp/value.ts";
import { textOf } from "../../resp/value.ts";
import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { LISTING_REPLY, rowsReply } from "../../resp/reply_limits.ts";
import { compareIds, type MessageId, parseId } from "../model/id.ts";
import { nameOf, type WireName } from "../model/name.ts";

/** One entry that is pending. */
export interface PendingEntry {
  readonly id: MessageId;
  /** The consumer to which it was delivered last; `""` if it was returned to the group. */
  readonly consumer: WireName;
  /** Milliseconds since then; -1 if it belongs to no consumer. */
  readonly idle: number;
  /** How often it was delivered. */
  readonly deliveries: number;
}

/** Which of them are listed. */
export interface XpendingOptions {
  readonly redisKey: string;
  readonly group: WireName;
  /** First id. */
  readonly start: string;
  /** Last id. @default {"+"} */
  readonly end?: string;
  readonly count: number;
  /** Only this consumer's. */
  readonly consumer?: WireName;
  /** Only those idle for so many milliseconds at least. */
  readonly idle?: number;
}

/** Lists pending entries, in the order of their ids. */
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
    limits: rowsReply(count, 4),
    read(decoder) {
      const rows = readPendingRows(decoder.value(), "XPENDING", count);
      // What asks page after page would otherwise go round in circles.
      if (!areWithin(rows, start, end)) throw wrongShape("XPENDING", "rows of the requested range, in their order");
      return rows;
    },
  };
}

/** The rows of a list of pending entries, at most so many, in a reply to this command. */
export function readPendingRows(value: RespValue | undefined, command: string, count: number): PendingEntry[] {
  if (!Array.isArray(value) || value.length > count) throw unexpected(command);
  return value.map((row) => readRow(row, command));
}

/** Whether ids ascend within the requested range. */
function areWithin(rows: readonly PendingEntry[], start: string, end: string): boolean {
  const [first, last] = [rows.at(0), rows.at(-1)];
  if (first === undefined || last === undefined) return true;
  const starts = start === "-" || compareIds(first.id, start) >= 0;
  const ends = end === "+" || compareIds(last.id, end) <= 0;
  return starts && ends && rows.every(({ id }, i) => i === 0 || compareIds(rows[i - 1].id, id) < 0);
}

/** How much is pending in a group. */
export interface PendingSummary {
  /** Of all consumers, and of none: entries that were returned to the group. */
  readonly total: number;
  /** Of each consumer with pending entries. */
  readonly consumers: readonly { readonly name: WireName; readonly pending: number }[];
}

/** Counts the pending entries of a group. */
export function xpendingSummary(redisKey: string, group: string): Command<PendingSummary> {
  return {
    args: ["XPENDING", redisKey, group],
    key: redisKey,
    repeatable: true,
    limits: LISTING_REPLY,
    read(decoder) {
      const value = decoder.value();
      if (!Array.isArray(value) || value.length !== 4) throw unexpected();
      const [total, , , rows] = value;
      if (rows !== null && !Array.isArray(rows)) throw unexpected();
      return { total: numberOf(total), consumers: (rows ?? []).map(readCount) };
    },
  };
}

/** A consumer's name and its number of pending entries, which servers send as text. */
function readCount(row: RespValue): { readonly name: WireName; readonly pending: number } {
  const [name, pending] = Array.isArray(row) ? [nameOf(row[0]), textOf(row[1])] : [];
  if (name === undefined || pending === undefined || !/^[0-9]{1,15}$/.test(pending)) throw unexpected();
  return { name, pending: Number(pending) };
}

function readRow(row: RespValue, command: string): PendingEntry {
  if (!Array.isArray(row)) throw unexpected(command);
  const [id, consumer, idle, deliveries] = row;
  const [idText, name] = [textOf(id), nameOf(consumer)];
  if (idText === undefined || parseId(idText) === undefined || name === undefined) throw unexpected(command);
  return { id: idText, consumer: name, idle: numberOf(idle), deliveries: numberOf(deliveries) };
}

/** An integer, as near as a number comes to it: XCLAIM can set the count of deliveries to 2^63 - 1. */
function numberOf(value: RespValue): number {
  if (typeof value !== "number" && typeof value !== "bigint") throw unexpected();
  return Number(value);
}

function unexpected(command = "XPENDING"): Error {
  return wrongShape(command, "rows of id, consumer, idle time and deliveries");
}
