// Messages per second of each stream, computed from successive samples.

import type { StreamInfo } from "../../manager/options.ts";
import { isAfter } from "../../model/id.ts";

/** A stream and its figures. */
export interface StreamRow {
  readonly name: string;
  readonly info: StreamInfo;
  /** The number of entries ever added; `undefined` if unknown. */
  readonly added?: number | undefined;
  /** Where its shards are; `undefined` if that is not wanted. */
  readonly places?: readonly ShardPlace[] | undefined;
}

/** A shard, or a plain key, and where it is. */
export interface ShardPlace {
  /** Its number; `undefined` for a plain key. */
  readonly shard: number | undefined;
  readonly length: number;
  readonly node: string;
}

interface Sample {
  readonly at: number;
  readonly length: number;
  readonly lastId: string | null;
  readonly added: number | undefined;
}

/** Samples in a trend. */
const TREND = 16;
const BLOCKS = "▁▂▃▄▅▆▇█";

/** The last samples of each stream. */
export class Rates {
  #before = new Map<string, Sample>();
  #rates = new Map<string, readonly number[]>(); // the newest last

  /** Messages per second of a stream; `undefined` before its second sample. */
  of(name: string): number | undefined {
    return this.#rates.get(name)?.at(-1);
  }

  /** The last rates as small bars, relative to the highest; `undefined` before the second sample. */
  trend(name: string): string | undefined {
    const rates = this.#rates.get(name);
    if (rates === undefined) return undefined;
    const highest = Math.max(1, ...rates);
    return rates.map((rate) => BLOCKS[Math.round(rate / highest * (BLOCKS.length - 1))]).join("");
  }

  /** Adds a sample of each stream; `at` is in milliseconds. */
  add(rows: readonly StreamRow[], at: number): void {
    const samples = new Map<string, Sample>();
    const rates = new Map<string, readonly number[]>();
    for (const { name, info: { length, lastId }, added } of rows) {
      const before = this.#before.get(name);
      const now = { at, length, lastId, added };
      samples.set(name, now);
      if (before === undefined || at <= before.at) continue;
      const rate = countBetween(before, now) / (at - before.at) * 1000;
      rates.set(name, [...this.#rates.get(name) ?? [], rate].slice(-TREND));
    }
    this.#before = samples;
    this.#rates = rates;
  }
}

/** New entries between two samples: by the server's count, otherwise by the length, from which trimming subtracts. */
function countBetween(before: Sample, now: Sample): number {
  if (now.added !== undefined && before.added !== undefined && now.added >= before.added) {
    return now.added - before.added;
  }
  const grown = now.lastId !== null && (before.lastId === null || isAfter(now.lastId, before.lastId));
  return grown ? Math.max(0, now.length - before.length) : 0;
}
