// The phases of a reading connection, and the legal transitions between them: a pure table.

/** What a reading connection does. */
export type UnitPhase =
  /** It has no connection that may be written to. */
  | "disconnected"
  /** It is connected, and has something to do before it reads: its owner prepares it. */
  | "preparing"
  /** Reads may be sent. */
  | "reading"
  /** The server has refused, and a delay is waited out, whether connected or not. */
  | "refused"
  /** It reads nothing more. */
  | "retired";

/** The phases that may follow each phase. */
export const NEXT_PHASES: Readonly<Record<UnitPhase, readonly UnitPhase[]>> = {
  // A reply can still arrive over a connection that may not be written to any more, and be a refusal.
  disconnected: ["preparing", "refused", "retired"],
  preparing: ["reading", "refused", "disconnected", "retired"],
  reading: ["preparing", "refused", "disconnected", "retired"],
  // The connection may have been lost, or opened, during the delay.
  refused: ["preparing", "reading", "disconnected", "retired"],
  retired: [],
};

/** The phase after a transition. Throws if the transition is illegal. */
export function enterPhase(phase: UnitPhase, next: UnitPhase): UnitPhase {
  if (phase === next || NEXT_PHASES[phase].includes(next)) return next;
  throw new Error(`Illegal transition of a reading connection from ${phase} to ${next}`);
}
