// What became of a load: its messages are compared with the entries of all shards.

import { assert } from "@std/assert";
import type { Cluster } from "../servers/cluster.ts";
import { type Entry, parseEntries } from "../producer/stream_checks.ts";
import type { Load, Sent, Span } from "./load.ts";

/** What became of a load. */
export interface Outcome {
  readonly sent: number;
  readonly acked: number;
  /** Acknowledged messages that are not stored under their ids. */
  readonly lost: readonly string[];
  /** Payloads of entries beyond the first one with the same payload. */
  readonly repeated: readonly string[];
  /** Entries that stand behind a message that was sent later. Repeats in the order of a resend are in order. */
  readonly disordered: readonly string[];
  /** Rejected messages, by the code and the outcome of their errors. */
  readonly rejected: ReadonlyMap<string, readonly string[]>;
  /** Messages that are stored although their outcome is `not-written`, and entries that were never sent. */
  readonly wrong: readonly string[];
  /** The longest time between two receipts of a shard, in milliseconds. */
  readonly gap: number;
  /** The same for each shard. */
  readonly gaps: readonly number[];
  /** The longest time in which this process could note no receipt, in milliseconds. */
  readonly longestPause: number;
}

/** Compares a load, which has stopped, with what is stored. */
export async function outcomeOf(load: Load, cluster: Cluster): Promise<Outcome> {
  const lost: string[] = [];
  const repeated: string[] = [];
  const disordered: string[] = [];
  const wrong: string[] = [];
  for (const [shard, sent] of load.sent.entries()) {
    const entries = parseEntries(await cluster.command("XRANGE", load.keys[shard], "-", "+"));
    const numbers = entries.map(({ payload }) => numberOf(payload, shard));
    lost.push(...lostOf(sent, entries));
    repeated.push(...entries.flatMap(({ payload }, at) => numbers.indexOf(numbers[at]) < at ? [payload] : []));
    disordered.push(...disorderedAt(numbers).map((at) => entries[at].payload));
    for (const { payload } of entries) {
      const message = sent[numberOf(payload, shard)];
      if (message?.payload !== payload || message.receipt.outcome === "not-written") wrong.push(payload);
    }
  }
  const gaps = load.sent.map(longestGap);
  return {
    sent: load.count,
    acked: load.all.filter(({ stored }) => stored).length,
    lost,
    repeated,
    disordered,
    rejected: rejectedOf(load.all),
    wrong,
    gap: Math.max(...gaps),
    gaps,
    longestPause: load.longestPause,
  };
}

/** Of these payloads, those of messages that cannot have been in flight during the span. */
export function notInFlight(payloads: readonly string[], load: Load, spans: readonly Span[]): string[] {
  return payloads.filter((payload) => {
    const [shard, number] = payload.split(":").map(Number);
    const { sentAt, settledAt = Infinity } = load.sent[shard][number];
    return !spans.some(({ from, to }) => sentAt <= to && settledAt >= from);
  });
}

/** Milliseconds from a time to the first receipt after it, for each of these shards. */
export function resumedAfter(load: Load, time: number, shards: readonly number[]): number[] {
  return shards.map((shard) => {
    const times = load.sent[shard].flatMap(({ stored, settledAt = 0 }) => stored && settledAt >= time ? settledAt : []);
    return Math.min(...times) - time;
  });
}

function numberOf(payload: string, shard: number): number {
  const [ofShard, number] = payload.split(":").map(Number);
  assert(ofShard === shard, `${payload} is in shard ${shard}`);
  return number;
}

function lostOf(sent: readonly Sent[], entries: readonly Entry[]): string[] {
  const payloads = new Map(entries.map(({ id, payload }) => [id, payload]));
  return sent.flatMap(({ stored, payload }) => stored && payloads.get(stored.id) !== payload ? [payload] : []);
}

/** Indexes of numbers that follow a higher one which does not follow them again. */
function disorderedAt(numbers: readonly number[]): number[] {
  const found: number[] = [];
  const last = new Map(numbers.map((number, at) => [number, at]));
  let highest = -1; // of the numbers that do not come again
  for (const [at, number] of numbers.entries()) {
    if (number < highest) found.push(at);
    if (last.get(number) === at) highest = Math.max(highest, number);
  }
  return found;
}

function rejectedOf(messages: readonly Sent[]): Map<string, string[]> {
  const rejected = new Map<string, string[]>();
  for (const { payload, error, receipt: { outcome } } of messages) {
    if (error === undefined) continue;
    const code = `${Reflect.get(Object(error), "code")} ${outcome}`;
    rejected.set(code, [...rejected.get(code) ?? [], payload]);
  }
  return rejected;
}

function longestGap(sent: readonly Sent[]): number {
  const times = sent.flatMap(({ stored, settledAt }) => stored && settledAt !== undefined ? settledAt : []);
  times.sort((a, b) => a - b);
  return times.reduce((longest, time, at) => at === 0 ? 0 : Math.max(longest, time - times[at - 1]), 0);
}
