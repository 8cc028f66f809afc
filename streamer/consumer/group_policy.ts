// How far a group's consumer reads ahead, and where a lost group begins again: pure decisions. It must not know who carries
// them out.

import { compareIds, FIRST_ID, type MessageId } from "../model/id.ts";
import type { OnStreamReset } from "./options.ts";
import type { StreamEnd } from "../commands/last_id.ts";

/** Most reads in flight. The server hands out each page by itself, so that one more read waits behind another for nothing. */
export const MAX_DEPTH = 4;

/** What a page that came tells about the reader's pace. */
export interface PageSign {
  /** Whether as many entries came as were asked for. */
  readonly full: boolean;
  /** Whether everything before had been handed out, and somebody waited. */
  readonly starving: boolean;
  /** Pages not handed out, this one included. */
  readonly pages: number;
}

/** How many reads to keep in flight after a page: more while a backlog is read faster than it comes, one otherwise. */
export function nextDepth(depth: number, { full, starving, pages }: PageSign): number {
  if (!full) return 1;
  if (starving) return Math.min(MAX_DEPTH, depth * 2);
  return pages > depth + 1 ? Math.max(1, depth - 1) : depth;
}

/** What decides whether one more page is read. */
export interface ReadAhead {
  /** Reads in flight. */
  readonly inFlight: number;
  readonly depth: number;
  /** Pages and messages that are not handed out. */
  readonly pages: number;
  readonly queued: number;
  readonly prefetch: number;
  /** Whether somebody waits. */
  readonly asked: boolean;
  /** Whether others of the group could have what is read ahead. */
  readonly shared: boolean;
  /** Milliseconds a message has taken lately; `undefined` while none has. */
  readonly pace: number | undefined;
  /** Most messages of a page. */
  readonly count: number;
}

/** What is read ahead of a shared group can be started within so many milliseconds, as far as the pace tells. */
export const SOON = 1_000;

/** Whether one more page is read now. In a shared group, what is read ahead is missing to consumers that are idle. */
export function mayRead(state: ReadAhead): boolean {
  const { inFlight, depth, pages, queued, prefetch, asked, shared, pace, count } = state;
  const idle = pages === 0 && inFlight === 0 && asked;
  if (prefetch === 0) return idle;
  if (shared && (pace === undefined || pace * (queued + inFlight * count) > SOON)) return idle;
  return inFlight < depth && pages + inFlight < prefetch + depth;
}

/** What is done when a group has vanished. */
export type OnGroupLost = "resume" | "earliest" | "latest" | "fail";

/** What is known when a lost group can be made again. */
export interface LostGroup {
  /** How far it had come. */
  readonly position: MessageId;
  /** The highest id its stream is known to have reached. */
  readonly reached: MessageId;
  /** Whether its stream was seen missing meanwhile. */
  readonly wasMissing: boolean;
  readonly end: StreamEnd;
}

/** Where a lost group begins again, or that it must not. `anew`: its stream is another than before. */
export type LostVerdict =
  | { readonly kind: "fail" }
  | { readonly kind: "create"; readonly position: MessageId; readonly anew: boolean };

/** Decides about a group that has vanished while its stream is there. */
export function judgeLost(lost: LostGroup, onGroupLost: OnGroupLost, onStreamReset: OnStreamReset): LostVerdict {
  const anew = lost.wasMissing || (lost.end.exact && compareIds(lost.end.id, lost.reached) < 0);
  if (onGroupLost === "fail" || (anew && onGroupLost === "resume" && onStreamReset === "fail")) return { kind: "fail" };
  if (onGroupLost === "earliest") return { kind: "create", position: FIRST_ID, anew };
  if (onGroupLost === "latest") return { kind: "create", position: lost.end.id, anew };
  if (!anew) return { kind: "create", position: lost.position, anew };
  return { kind: "create", position: onStreamReset === "latest" ? lost.end.id : FIRST_ID, anew };
}
