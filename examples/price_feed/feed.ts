// The contract between the programs of the price feed: the streams, and the messages in each of them.

/** The traded symbols. Each message names its symbol in the header `symbol`. */
export const SYMBOLS: readonly string[] = ["ARBO", "BRIO", "CIRO", "DELO", "EGEO", "FARO", "GIRO", "HALO"];

/** The streams of one feed; a server may have several feeds. */
export function streamsOf(feed: string): { readonly ticks: string; readonly quotes: string } {
  return { ticks: `ticks-${feed}`, quotes: `quotes-${feed}` };
}

/** The payload of a tick, as JSON: a price in dollars. */
export interface Tick {
  /** 1 for the first tick of a symbol, then 2, and so on. It identifies repeated messages. */
  readonly number: number;
  readonly dollars: number;
}

/** The payload of a quote, as JSON: the price of a tick in euros. */
export interface Quote {
  /** The number of the tick. */
  readonly number: number;
  readonly euros: number;
  /** The processor that made the quote. */
  readonly by: string;
}

/** The header of the last message of each symbol, in both streams: the number of its ticks. */
export const BELL = "bell";
