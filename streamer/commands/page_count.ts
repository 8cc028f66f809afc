// How many entries to ask for in one page: pure decisions out of the sizes seen. It must not know who asks, nor with which
// command.

const FIRST_COUNT = 100;
const MOST_COUNT = 1000;

/** Full pages after which a count that was once too large is tried again. */
const CALM_PAGES = 64;

/** What decides how many entries the next page may have. */
export interface CountState {
  /** Entries of each stream to ask for. */
  readonly count: number;
  /** Bytes an entry took, as seen lately; 0 while none was seen. */
  readonly entryBytes: number;
  /** The most that is tried, since more was too large once. */
  readonly cap: number;
  /** Full pages since that was learnt. */
  readonly calm: number;
}

/** The state before anything was read. */
export function firstCount(batchSize: number | undefined): CountState {
  return { count: batchSize ?? FIRST_COUNT, entryBytes: 0, cap: batchSize ?? MOST_COUNT, calm: 0 };
}

/** What a page was. */
export interface PageSize {
  /** Entries of the stream that gave most. */
  readonly entries: number;
  /** Entries of all streams. */
  readonly total: number;
  readonly bytes: number;
  /** Streams that were asked. */
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
  const retry = full && state.calm + 1 >= CALM_PAGES;
  const cap = retry ? Math.min(most, state.cap * 2) : state.cap;
  const calm = retry ? 0 : state.calm + (full ? 1 : 0);
  const wanted = limits.batchSize ?? (full ? state.count * 2 : state.count);
  const fitting = entryBytes === 0 ? most : Math.floor(limits.pageBytes / entryBytes / page.streams);
  return { count: Math.max(1, Math.min(most, cap, wanted, fitting)), entryBytes, cap, calm };
}

/** The state after a page that was larger than a limit; `undefined` where it had one entry of each stream. */
export function halveCount(state: CountState): CountState | undefined {
  if (state.count === 1) return undefined;
  const count = Math.floor(state.count / 2);
  return { count, entryBytes: state.entryBytes, cap: count, calm: 0 };
}
