// Whether a failover has lost the last entries of a stream, and where reading then resumes. A pure decision.

import type { StreamEnd } from "../../commands/last_id.ts";
import { compareIds, FIRST_ID, type MessageId } from "../../model/id.ts";
import type { OnStreamReset } from "../options.ts";
import type { StreamVerdict } from "./stream_life.ts";

/** Facts about a stream whose primary has changed, and that lacks the latest entry that was read. */
export interface TailFacts {
  /** The id of that entry. */
  readonly latest: MessageId;
  /** The latest milestone that is still in the stream; `undefined` if none is. */
  readonly left: MessageId | undefined;
  /** Whether the former primary was lost, and did not hand the stream over by itself. */
  readonly isCut: boolean;
  /** The id of the first entry; `undefined` if the stream has none. */
  readonly first: MessageId | undefined;
  readonly end: StreamEnd;
}

/**
 * Where reading resumes: after the latest entry if it was trimmed with all before it, or may have been deleted before its primary
 * handed the stream over; else after the latest milestone that is still there, so that nothing is skipped. The policy decides only if
 * there is none.
 */
export function judgeTail({ latest, left, isCut, first, end }: TailFacts, policy: OnStreamReset): StreamVerdict {
  const same: StreamVerdict = { kind: "same", reached: latest };
  if (end.exists === false) return same;
  const isTrimmed = first === undefined ? !end.exact || compareIds(end.id, latest) >= 0 : compareIds(first, latest) > 0;
  const isLost = compareIds(end.id, latest) < 0 || (end.deleted !== undefined && compareIds(end.deleted, latest) < 0);
  if (isTrimmed || (!isCut && !(end.exact && isLost))) return same;
  if (left !== undefined) return { kind: "reset", position: left };
  if (policy === "fail") return { kind: "fail" };
  return { kind: "reset", position: policy === "earliest" ? FIRST_ID : end.id };
}
