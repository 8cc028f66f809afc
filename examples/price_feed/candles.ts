// The state of the collector: a candle for each symbol, and the ticks that are in it.
//
// A quote may arrive twice, and quotes may arrive out of order. Therefore each tick counts once, by its number, and the number also
// determines which quote is the first and the last.

import { type Quote, SYMBOLS } from "./feed.ts";

/** The candle of one symbol, in euros. */
export class Candle {
  high: number | undefined;
  low: number | undefined;
  /** The number of quotes of ticks that were counted already. */
  repeated = 0;
  /** The number of ticks; `undefined` before the bell. */
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

  /** The number of ticks whose quote has arrived. */
  get reflected(): number {
    return this.#numbers.size;
  }

  /** The number of ticks whose quote has not arrived; `undefined` before the bell. */
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

/** The candles of all symbols. */
export class Candles {
  readonly bySymbol: ReadonlyMap<string, Candle> = new Map(SYMBOLS.map((symbol) => [symbol, new Candle()]));
  /** The number of quotes from each processor. */
  readonly byProcessor: Map<string, number> = new Map();

  /** Whether the bell of each symbol has arrived, and no tick is missing. */
  get complete(): boolean {
    return [...this.bySymbol.values()].every(({ missing }) => missing === 0);
  }

  add(symbol: string, quote: Quote): void {
    this.bySymbol.get(symbol)?.add(quote);
    this.byProcessor.set(quote.by, (this.byProcessor.get(quote.by) ?? 0) + 1);
  }

  /** Records the bell of a symbol: the number of its ticks. */
  ring(symbol: string, ticks: number): void {
    const candle = this.bySymbol.get(symbol);
    if (candle !== undefined) candle.ticks = ticks;
  }
}
