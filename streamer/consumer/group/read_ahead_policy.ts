// How far a consumer in a group reads ahead: pure decisions.

/** Most reads in flight. The server answers reads in sequence, so further reads would only wait. */
export const MAX_DEPTH = 4;

/** What a page that has arrived tells about the reader's pace. */
export interface PageSign {
  /** Whether the page has as many entries as were requested. */
  readonly full: boolean;
  /** Whether all messages before it had been returned, and a caller waited. */
  readonly starving: boolean;
  /** Pages in the queue, including this one. */
  readonly pages: number;
}

/** How many reads to keep in flight after a page: more while a backlog is consumed faster than pages arrive, one otherwise. */
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
  /** Pages and messages in the queue. */
  readonly pages: number;
  readonly queued: number;
  readonly prefetch: number;
  /** Whether a caller waits. */
  readonly asked: boolean;
  /** Whether other consumers of the group could read these messages. */
  readonly shared: boolean;
  /** Milliseconds a message has taken lately; `undefined` while none has. */
  readonly pace: number | undefined;
  /** Messages that the reads in flight may bring. */
  readonly requested: number;
}

/** In a shared group, a consumer reads ahead only messages that it can start within so many milliseconds at its pace. */
export const SOON = 1_000;

/** Whether one more page is read now. In a shared group, messages that are read ahead are missing to idle consumers. */
export function mayRead(state: ReadAhead): boolean {
  const { inFlight, depth, pages, queued, prefetch, asked, shared, pace, requested } = state;
  const idle = pages === 0 && inFlight === 0 && asked;
  if (prefetch === 0) return idle;
  if (shared && (pace === undefined || pace * (queued + requested) > SOON)) return idle;
  return inFlight < depth && pages + inFlight < prefetch + depth;
}

/** Messages requested together while the pace is unknown. */
const FIRST_REQUESTED = 160;

/** How many messages a consumer in a shared group may have, so that it can start each of them soon. */
export function soonStarted(pace: number | undefined): number {
  return pace === undefined ? FIRST_REQUESTED : SOON / pace;
}
