// Whether a stream is still the one that was read, or was deleted and recreated. A pure decision.

import type { StreamEnd } from "../../commands/last_id.ts";
import { compareIds, FIRST_ID, type MessageId } from "../../model/id.ts";
import type { OnStreamReset } from "../options.ts";

/** Facts about a stream. */
export interface StreamLife {
  /** The highest id the stream is known to have reached. */
  readonly reached: MessageId;
  /** Whether it was found deleted, and has not been seen since. */
  readonly gone: boolean;
}

/** What the end of a stream, read while `life` was known, says about the stream. */
export type StreamVerdict =
  | { readonly kind: "same"; readonly reached: MessageId }
  | { readonly kind: "gone" }
  /** It was recreated: read on from this position. */
  | { readonly kind: "reset"; readonly position: MessageId }
  | { readonly kind: "fail" };

/**
 * Whether a stream is still the one it was. Its last id can only rise, so a lower one belongs to another stream, or to
 * one whose ids a failover has put back. A position says nothing: it may be ahead of the stream on purpose.
 */
export function judgeStream(life: StreamLife, end: StreamEnd, policy: OnStreamReset): StreamVerdict {
  const rose = compareIds(end.id, life.reached) >= 0;
  if (end.exists === false) return life.reached === FIRST_ID ? { kind: "same", reached: FIRST_ID } : { kind: "gone" };
  if (!life.gone && (rose || !end.exact)) return { kind: "same", reached: rose ? end.id : life.reached };
  if (policy === "fail") return { kind: "fail" };
  // All entries of a stream that was found deleted are new.
  return { kind: "reset", position: policy === "earliest" || life.gone ? FIRST_ID : end.id };
}
