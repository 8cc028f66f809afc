// What to do about a refusal, and how much may be in flight: pure decisions. It must not know who carries them out.

/** What a refusal of the server means for a message. */
export type Verdict = "retry" | "reject";

/** Refusals that pass by themselves, so that the message is sent again, in order, until its time is up. */
const PASSING: ReadonlySet<string> = new Set([
  "MOVED",
  "ASK",
  "TRYAGAIN",
  "CLUSTERDOWN",
  "LOADING",
  "BUSY",
  "MASTERDOWN",
  "READONLY",
]);

/** Whether a refused message is tried again. */
export function judgeRefusal(code: string): Verdict {
  return PASSING.has(code) ? "retry" : "reject";
}

/** Most bytes in flight: enough to keep the server busy while replies are handled, and the most that a cut can repeat. */
export const MAX_WINDOW = 2 * 1024 * 1024;
/** Bytes in flight at first after a reconnect, so that a server that fails again does not get all of the backlog each time. */
export const FIRST_WINDOW = 64 * 1024;

/** The window after `bytes` have been answered: it doubles with each window that is answered whole. */
export function widenWindow(window: number, bytes: number): number {
  return Math.min(MAX_WINDOW, window + bytes);
}
