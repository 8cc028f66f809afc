// How many entries to request for one page. Pure decisions from the sizes seen so far.

import { calmCap, type Cap, firstCap, lowerCap } from "./cap.ts";

const FIRST_COUNT = 100;
const MOST_COUNT = 1000;
/** Streams that are read together while the size of entries is unknown. */
const FIRST_WIDTH = 16;

/** What decides how many entries the next page may have. */
export interface CountState extends Cap {
  /** Entries of each stream to ask for. */
  readonly count: number;
  /** Bytes an entry took, as seen lately; 0 while none was seen. */
  readonly entryBytes: number;
}

/** The state before anything was read. */
export function firstCount(batchSize: number | undefined): CountState {
  return { count: batchSize ?? FIRST_COUNT, entryBytes: 0, ...firstCap(batchSize ?? MOST_COUNT) };
}

/** What a page was. */
export interface PageSize {
  /** Entries of the stream that gave most. */
  readonly entries: number;
  /** Entries of all streams. */
  readonly total: number;
  readonly bytes: number;
  /** Streams that were requested. */
  readonly streams: number;
}

/** The state after a page: a full one doubles the count, up to the maximum, and up to what the size of entries allows. */
export function nextCount(
  state: CountState,
  page: PageSize,
  limits: { readonly batchSize: number | undefined; readonly pageBytes: number },
): CountState {
  const most = limits.batchSize ?? MOST_COUNT;
  const full = page.entries >= state.count;
  const average = page.total === 0 ? state.entryBytes : page.bytes / page.total;
  const entryBytes = Math.max(average, state.entryBytes / 2); // falls slowly, rises at once
  const bound = calmCap(state, { full, most });
  const wanted = limits.batchSize ?? (full ? state.count * 2 : state.count);
  const fitting = entryBytes === 0 ? most : Math.floor(limits.pageBytes / entryBytes / page.streams);
  return { count: Math.max(1, Math.min(most, bound.cap, wanted, fitting)), entryBytes, ...bound };
}

/** The state after a page that was larger than a limit, ours or the server's; `undefined` where it had one entry of each stream. */
export function halveCount(state: CountState): CountState | undefined {
  if (state.count === 1) return undefined;
  const count = Math.floor(state.count / 2);
  return { count, entryBytes: state.entryBytes, ...lowerCap(state, count) };
}

/** How many streams may be read together, each of which can bring a page of `count` entries: so many that all of them fit into these bytes. */
export function widthOf({ count, entryBytes }: CountState, pageBytes: number): number {
  return entryBytes === 0 ? FIRST_WIDTH : Math.max(1, Math.floor(pageBytes / (entryBytes * count)));
}
