// What the programs of the price feed agree on: the streams, and what a message in each of them is. It must not know who
// sends or receives them.

/** What is traded. Each message names its symbol in the header `symbol`. */
export const SYMBOLS: readonly string[] = ["ARBO", "BRIO", "CIRO", "DELO", "EGEO", "FARO", "GIRO", "HALO"];

/** The streams of one feed; several feeds can live on one server. */
export function streamsOf(feed: string): { readonly ticks: string; readonly quotes: string } {
  return { ticks: `ticks-${feed}`, quotes: `quotes-${feed}` };
}

/** The payload of a tick, as JSON: what somebody has paid. */
export interface Tick {
  /** 1 for the first of its symbol, then 2, and so on: by this a repetition is known. */
  readonly number: number;
  readonly dollars: number;
}

/** The payload of a quote, as JSON: a tick in another currency. */
export interface Quote {
  /** The tick's. */
  readonly number: number;
  readonly euros: number;
  /** Who has made it of the tick. */
  readonly by: string;
}

/** The header of the last message of each symbol, in both streams: how many ticks there were. */
export const BELL = "bell";
