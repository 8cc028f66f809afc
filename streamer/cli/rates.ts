// How many messages a second have come between two looks at streams. It must not know how streams are looked at.

import type { StreamInfo } from "../manager/options.ts";
import { isBehind } from "./times.ts";

/** A stream and what it holds. */
export interface StreamRow {
  readonly name: string;
  readonly info: StreamInfo;
  /** Entries ever added; `undefined` where nobody knows or asked. */
  readonly added?: number | undefined;
}

interface Look {
  readonly at: number;
  readonly length: number;
  readonly lastId: string | null;
  readonly added: number | undefined;
}

/** Looks that a trend shows. */
const TREND = 16;
const BLOCKS = "▁▂▃▄▅▆▇█";

/** Remembers the last looks at each stream. */
export class Rates {
  #before = new Map<string, Look>();
  #rates = new Map<string, readonly number[]>(); // the newest last

  /** Messages a second of a stream; `undefined` before it was looked at twice. */
  of(name: string): number | undefined {
    return this.#rates.get(name)?.at(-1);
  }

  /** The last ones as little bars, the highest being its highest; `undefined` where there are none. */
  trend(name: string): string | undefined {
    const rates = this.#rates.get(name);
    if (rates === undefined) return undefined;
    const highest = Math.max(1, ...rates);
    return rates.map((rate) => BLOCKS[Math.round(rate / highest * (BLOCKS.length - 1))]).join("");
  }

  /** Notes what there is now; `at` is in milliseconds. */
  look(rows: readonly StreamRow[], at: number): void {
    const looks = new Map<string, Look>();
    const rates = new Map<string, readonly number[]>();
    for (const { name, info: { length, lastId }, added } of rows) {
      const before = this.#before.get(name);
      const now = { at, length, lastId, added };
      looks.set(name, now);
      if (before === undefined || at <= before.at) continue;
      const rate = countBetween(before, now) / (at - before.at) * 1000;
      rates.set(name, [...this.#rates.get(name) ?? [], rate].slice(-TREND));
    }
    this.#before = looks;
    this.#rates = rates;
  }
}

/** How many came: what the server counts; where it does not, how many more there are, which trimming hides. */
function countBetween(before: Look, now: Look): number {
  if (now.added !== undefined && before.added !== undefined && now.added >= before.added) {
    return now.added - before.added;
  }
  const grown = now.lastId !== null && (before.lastId === null || isBehind(now.lastId, before.lastId));
  return grown ? Math.max(0, now.length - before.length) : 0;
}
