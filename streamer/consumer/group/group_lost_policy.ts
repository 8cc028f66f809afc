// Where a lost group is recreated: pure decisions.

import { compareIds, FIRST_ID, type MessageId } from "../../model/id.ts";
import type { OnStreamReset } from "../options.ts";
import type { OnGroupLost } from "../group_options.ts";
import type { StreamEnd } from "../../commands/last_id.ts";

/** The facts from which a lost group is recreated. */
export interface LostGroup {
  /** How far the group had come. */
  readonly position: MessageId;
  /** The highest id that its stream is known to have reached. */
  readonly reached: MessageId;
  /** The end of its stream when all entries had been delivered, if the loss was noticed only by a later entry. @default {none} */
  readonly drainedTo?: MessageId | undefined;
  /** Whether its stream was found missing meanwhile. */
  readonly wasMissing: boolean;
  readonly end: StreamEnd;
}

/** Where a lost group is recreated, or that it must not be. `isReset`: its stream was recreated, too. */
export type LostVerdict =
  | { readonly kind: "fail" }
  | { readonly kind: "create"; readonly position: MessageId; readonly isReset: boolean };

/** Decides about a lost group whose stream exists. */
export function judgeLost(lost: LostGroup, onGroupLost: OnGroupLost, onStreamReset: OnStreamReset): LostVerdict {
  const isReset = lost.wasMissing || (lost.end.exact && compareIds(lost.end.id, lost.reached) < 0);
  if (onGroupLost === "fail" || (isReset && onGroupLost === "resume" && onStreamReset === "fail")) {
    return { kind: "fail" };
  }
  if (onGroupLost === "earliest") return { kind: "create", position: FIRST_ID, isReset };
  if (onGroupLost === "latest") {
    // Entries that were added since are newer than the group, or as new as its loss: they are not skipped.
    const position = isReset ? lost.end.id : lost.drainedTo ?? lost.end.id;
    return { kind: "create", position, isReset };
  }
  if (!isReset) return { kind: "create", position: lost.position, isReset };
  return { kind: "create", position: onStreamReset === "latest" ? lost.end.id : FIRST_ID, isReset };
}
