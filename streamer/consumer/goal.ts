// Where to go on reading: a time, or a position in whichever form, as an id behind which to read. It must not know who is
// moved there.

import { lastIdOf, type MessageId, type SeqPos, type TimestampFormat } from "../model/id.ts";
import { invalidOption } from "../model/options.ts";
import { idOfPosition } from "../model/position.ts";
import { type AnchorPorts, findEnd } from "./anchor.ts";

/** Where to go on. */
export interface Goal {
  /** What is read next is behind this id. */
  readonly position: MessageId;
  /** Whether this is where the stream ends now, found out by asking. */
  readonly isEnd: boolean;
}

/** Finds out where to go on in the stream of a Redis key. */
export type FindGoal = (redisKey: string, signal: AbortSignal) => Promise<Goal>;

/** Behind a time, of a Date behind its whole millisecond. Throws `INVALID_OPTION` for what is none. */
export function goalOfTime(time: Date | bigint, format: TimestampFormat): FindGoal {
  if (typeof time !== "bigint" && !(time instanceof Date)) throw invalidOption("time", time, "a Date or a bigint");
  const goal = { position: lastIdOf(time, format), isEnd: false };
  return () => Promise.resolve(goal);
}

/** Behind a position. Throws `INVALID_OPTION` for what is none. */
export function goalOfPosition(position: SeqPos, anchor: AnchorPorts): FindGoal {
  const fixed = idOfPosition(position);
  return async (redisKey, signal) => {
    if (fixed !== undefined) return { position: fixed, isEnd: false };
    return { position: (await findEnd(redisKey, anchor, signal)).id, isEnd: true };
  };
}
