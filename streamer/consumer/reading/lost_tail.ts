// Whether a failover has lost the last entries of a stream, and where reading then resumes. A pure decision.

import type { StreamEnd } from "../../commands/last_id.ts";
import { compareIds, FIRST_ID, type MessageId } from "../../model/id.ts";
import type { OnStreamReset } from "../options.ts";
import type { StreamVerdict } from "./stream_life.ts";

/** Facts about a stream whose primary has changed. */
export interface TailFacts {
  /** Ids of entries that were read, the latest first; last the id after which reading began, if it is that of an entry. */
  readonly milestones: readonly MessageId[];
  /** Those of them that are still in the stream. */
  readonly left: ReadonlySet<MessageId>;
  /** The id of the first entry; `undefined` if the stream has none. */
  readonly first: MessageId | undefined;
  readonly end: StreamEnd;
}

/**
 * Where reading resumes: after the latest entry if it is still there, or was trimmed with all before it; else after the latest
 * milestone that is still there, so that nothing is skipped. The policy decides only if there is none.
 */
export function judgeTail({ milestones, left, first, end }: TailFacts, policy: OnStreamReset): StreamVerdict {
  const [latest] = milestones;
  const same: StreamVerdict = { kind: "same", reached: latest };
  if (latest === undefined || left.has(latest) || end.exists === false) return same;
  const isTrimmed = first === undefined ? !end.exact || compareIds(end.id, latest) >= 0 : compareIds(first, latest) > 0;
  if (isTrimmed) return same;
  const position = milestones.find((id) => left.has(id));
  if (position !== undefined) return { kind: "reset", position };
  if (policy === "fail") return { kind: "fail" };
  return { kind: "reset", position: policy === "earliest" ? FIRST_ID : end.id };
}
