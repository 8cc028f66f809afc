// How the outputs of handlers are stored, and how the run gets to know it.

import type { Output } from "./options.ts";
import type { Task } from "./keyed_scheduler.ts";

/** Stores the outputs of handlers. */
export interface Outlet {
  /** Number of messages whose outputs are taken and not stored. */
  readonly count: number;
  /** Whether no handler should start, as too many bytes wait. {@linkcode ready} then resolves when that is over. */
  readonly isFull: boolean;
  readonly ready: Promise<void>;
  /**
   * Takes the output of a message. Its bytes are copied. The listeners learn what becomes of the message, perhaps before this
   * returns.
   *
   * @throws {StreamerError} if the output is invalid; then nothing is stored.
   */
  take(task: Task, output: Output): void;
  /** Several outputs were taken, and no more are at this moment. */
  watch(): void;
}

/** The listeners of an outlet. */
export interface OutletOwner {
  /** The outputs of a message are stored, and the message is to be acked. */
  readonly stored: (task: Task) => void;
  /** The outputs of a message are stored, and the message is acknowledged. `repeated`: this was so before. */
  readonly acknowledged: (task: Task, repeated: boolean) => void;
  /** The outputs of a message are not stored, or not all of them. */
  readonly failed: (task: Task, error: unknown) => void;
  /** The outputs of no message can be stored. This message has not failed: it is put back. */
  readonly fatal: (task: Task, error: unknown) => void;
  /** Some messages have settled, and no more do in this turn. */
  readonly pause: () => void;
}
