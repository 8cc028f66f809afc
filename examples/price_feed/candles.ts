// What is kept of the quotes: a candle of each symbol, and which of its ticks are in it. It must not know where they come
// from.
//
// Quotes may come twice, and not in the order of their ticks. So nothing here depends on either: a tick counts once, by
// its number, and what is first or last is so by its number too.

import { type Quote, SYMBOLS } from "./feed.ts";

/** One symbol's, in euros. */
export class Candle {
  high: number | undefined;
  low: number | undefined;
  /** Quotes of ticks that had come before. */
  repeated = 0;
  /** How many ticks there were; `undefined` before the bell. */
  ticks: number | undefined;
  #first: Quote | undefined;
  #last: Quote | undefined;
  readonly #numbers = new Set<number>();

  get open(): number | undefined {
    return this.#first?.euros;
  }

  get close(): number | undefined {
    return this.#last?.euros;
  }

  /** Ticks that have come. */
  get reflected(): number {
    return this.#numbers.size;
  }

  /** Ticks that have not; `undefined` before the bell. */
  get missing(): number | undefined {
    return this.ticks === undefined ? undefined : this.ticks - this.reflected;
  }

  add(quote: Quote): void {
    const { number, euros } = quote;
    if (this.#numbers.has(number)) {
      this.repeated++;
      return;
    }
    this.#numbers.add(number);
    this.high = Math.max(this.high ?? euros, euros);
    this.low = Math.min(this.low ?? euros, euros);
    if (this.#first === undefined || number < this.#first.number) this.#first = quote;
    if (this.#last === undefined || number > this.#last.number) this.#last = quote;
  }
}

/** All symbols'. */
export class Candles {
  readonly bySymbol: ReadonlyMap<string, Candle> = new Map(SYMBOLS.map((symbol) => [symbol, new Candle()]));
  /** How many quotes each processor has made. */
  readonly byProcessor: Map<string, number> = new Map();

  /** Whether each symbol's bell has rung and none of its ticks is missing. */
  get complete(): boolean {
    return [...this.bySymbol.values()].every(({ missing }) => missing === 0);
  }

  add(symbol: string, quote: Quote): void {
    this.bySymbol.get(symbol)?.add(quote);
    this.byProcessor.set(quote.by, (this.byProcessor.get(quote.by) ?? 0) + 1);
  }

  /** A symbol's bell has rung: there were so many ticks. */
  ring(symbol: string, ticks: number): void {
    const candle = this.bySymbol.get(symbol);
    if (candle !== undefined) candle.ticks = ticks;
  }
}
