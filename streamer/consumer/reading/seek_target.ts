// The id after which to read on, from a timestamp or a position.

import { lastIdOf, type MessageId, type SeqPos, type TimestampFormat } from "../../model/id.ts";
import { invalidOption } from "../../model/options.ts";
import { idOfPosition } from "../../model/position.ts";
import { findEnd } from "../server/stream_end.ts";
import type { ServerAccess } from "../server/server.ts";

/** Where reading continues. */
export interface SeekTarget {
  /** The id after which entries are read. */
  readonly position: MessageId;
  /** Whether this is the end of the stream, as the server answered. */
  readonly isEnd: boolean;
}

/** Finds out where to continue in the stream of a Redis key. */
export type FindTarget = (redisKey: string, signal: AbortSignal) => Promise<SeekTarget>;

/** After a timestamp; of a Date, after its whole millisecond. Throws `INVALID_OPTION` for any other value. */
export function targetOfTime(time: Date | bigint, format: TimestampFormat): FindTarget {
  if (typeof time !== "bigint" && !(time instanceof Date)) throw invalidOption("time", time, "a Date or a bigint");
  const target = { position: lastIdOf(time, format), isEnd: false };
  return () => Promise.resolve(target);
}

/** After a position. Throws `INVALID_OPTION` for any other value. */
export function targetOfPosition(position: SeqPos, server: ServerAccess): FindTarget {
  const fixed = idOfPosition(position);
  return async (redisKey, signal) => {
    if (fixed !== undefined) return { position: fixed, isEnd: false };
    return { position: (await findEnd(redisKey, server, signal)).id, isEnd: true };
  };
}
