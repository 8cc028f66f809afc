// How much to read, and what an error or a stream's end means: pure decisions. It must not know who carries them out.

import type { OnStreamReset } from "./options.ts";
import { compareIds, FIRST_ID, type MessageId } from "../model/id.ts";

const FIRST_COUNT = 100;
const MOST_COUNT = 1000;

/** What decides how many entries the next page may have. */
export interface CountState {
  /** Entries asked for last. */
  readonly count: number;
  /** Bytes an entry took, as seen lately; 0 while none was seen. */
  readonly entryBytes: number;
}

/** The state before anything was read. */
export function firstCount(batchSize: number | undefined): CountState {
  return { count: batchSize ?? FIRST_COUNT, entryBytes: 0 };
}

/** What a page was. */
export interface PageSize {
  /** Entries of the stream that gave most. */
  readonly entries: number;
  /** Entries of all streams. */
  readonly total: number;
  readonly bytes: number;
}

/** The state after a page: a full one doubles the count, up to the maximum, and up to what the size of entries allows. */
export function nextCount(
  state: CountState,
  page: PageSize,
  limits: { readonly batchSize: number | undefined; readonly pageBytes: number },
): CountState {
  const average = page.total === 0 ? state.entryBytes : page.bytes / page.total;
  const entryBytes = Math.max(average, state.entryBytes / 2); // falls slowly, rises at once
  const most = limits.batchSize ?? MOST_COUNT;
  const grown = limits.batchSize !== undefined ? most : page.entries >= state.count ? state.count * 2 : state.count;
  const fitting = entryBytes === 0 ? most : Math.floor(limits.pageBytes / entryBytes);
  return { count: Math.max(1, Math.min(most, grown, fitting)), entryBytes };
}

/** The state after a page that was larger than the reply limit; `undefined` where a single entry was. */
export function halveCount(state: CountState): CountState | undefined {
  if (state.count === 1) return undefined;
  const count = Math.max(1, Math.floor(state.count / 2));
  return { count, entryBytes: state.entryBytes * 2 };
}

/** Errors that pass by themselves: the read is asked again, paced. */
const PASSING: ReadonlySet<string> = new Set([
  "LOADING",
  "BUSY",
  "MASTERDOWN",
  "CLUSTERDOWN",
  "TRYAGAIN",
  "UNBLOCKED",
  "READONLY",
  "MOVED",
  "ASK",
  "MISCONF",
  "NOREPLICAS",
]);

/** Whether a refused read can never succeed. */
export function isFatal(code: string): boolean {
  return !PASSING.has(code);
}

/** Where to go on after a stream was made anew, or nothing where it was not; `"fail"` where that is an end. */
export function resetPosition(
  position: MessageId,
  lastId: MessageId,
  policy: OnStreamReset,
): MessageId | "fail" | undefined {
  if (compareIds(lastId, position) >= 0) return undefined;
  if (policy === "fail") return "fail";
  return policy === "earliest" ? FIRST_ID : lastId;
}
