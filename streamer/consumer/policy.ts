// How much to read, and what an error or a stream's end means: pure decisions. It must not know who carries them out.

import { StreamerError } from "../../resp/errors.ts";
import type { OnStreamReset } from "./options.ts";
import type { StreamEnd } from "../commands/last_id.ts";
import { compareIds, FIRST_ID, type MessageId } from "../model/id.ts";

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

/** Which streams are read together: all, waiting for entries; or so many at a time in turn, where all were too large together. */
export type Turn =
  | { readonly kind: "all" }
  | { readonly kind: "some"; readonly width: number; readonly from: number; readonly empty: number };

/** The turn after a page of one entry of each stream was too large; `undefined` where it was of one stream. */
export function narrowTurn(turn: Turn, streams: number): Turn | undefined {
  const width = turn.kind === "all" ? streams : Math.min(turn.width, streams);
  if (width <= 1) return undefined;
  return { kind: "some", width: Math.ceil(width / 2), from: turn.kind === "all" ? 0 : turn.from, empty: 0 };
}

/** The turn after a page: the next ones, or all again once none of them had anything. */
export function nextTurn(turn: Turn, page: { readonly total: number }, streams: number): Turn {
  if (turn.kind === "all") return turn;
  const empty = page.total > 0 ? 0 : turn.empty + turn.width;
  return empty >= streams ? { kind: "all" } : { ...turn, from: (turn.from + turn.width) % streams, empty };
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

/**
 * Whether an error means that the server cannot be asked for the time being: it is given up, or too much waits for it already.
 * What is not urgent is asked again later.
 */
export function isAway(error: unknown): boolean {
  return error instanceof StreamerError && (error.code === "DISCONNECTED" || error.code === "BUFFER_FULL");
}

/** Whether a refused read can never succeed. */
export function isFatal(code: string): boolean {
  return !PASSING.has(code);
}

/** What is known of a stream's life. */
export interface StreamLife {
  /** The highest id the stream is known to have reached. */
  readonly reached: MessageId;
  /** Whether it was found deleted, and has not been seen since. */
  readonly gone: boolean;
}

/** What the end of a stream, asked for while `life` was known, says of it. */
export type StreamVerdict =
  | { readonly kind: "same"; readonly reached: MessageId }
  | { readonly kind: "gone" }
  /** It was made anew: go on from here. */
  | { readonly kind: "reset"; readonly position: MessageId }
  | { readonly kind: "fail" };

/**
 * Whether a stream is still the one it was. Its last id can only rise, so a lower one is that of another stream, or of
 * one whose ids a failover has put back. A position says nothing: it may be ahead of the stream on purpose.
 */
export function judgeStream(life: StreamLife, end: StreamEnd, policy: OnStreamReset): StreamVerdict {
  const rose = compareIds(end.id, life.reached) >= 0;
  if (end.exists === false) return life.reached === FIRST_ID ? { kind: "same", reached: FIRST_ID } : { kind: "gone" };
  if (!life.gone && (rose || !end.exact)) return { kind: "same", reached: rose ? end.id : life.reached };
  if (policy === "fail") return { kind: "fail" };
  // Of a stream that was found deleted all is new.
  return { kind: "reset", position: policy === "earliest" || life.gone ? FIRST_ID : end.id };
}
