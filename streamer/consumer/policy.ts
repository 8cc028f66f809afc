// Which streams to read together, and what an error or a stream's end means: pure decisions. It must not know who carries them out.

import { StreamerError } from "../../resp/errors.ts";
import type { OnStreamReset } from "./options.ts";
import type { StreamEnd } from "../commands/last_id.ts";
import { compareIds, FIRST_ID, type MessageId } from "../model/id.ts";

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
