// A server that is no longer the primary: when its connections are closed, so that the node's name is resolved again. The first refusal
// concerns all connections of the node. If the next server is a replica, too, the others are paced.

import { reconnectDelay, type ReconnectOptions } from "./backoff.ts";
import type { Clock } from "../clock.ts";

/** Since when a node is a replica. */
export interface DemotionState {
  /** The time of the first refusal. */
  readonly since: number;
  /** The time of the last refusal. */
  readonly last: number;
}

/** The consequence of a refusal. */
export interface DemotionVerdict {
  readonly state: DemotionState;
  /** Whether it is the first refusal. */
  readonly first: boolean;
  /** Milliseconds until the refused connection is closed. */
  readonly delay: number;
}

/** Minimum milliseconds without a refusal after which the next one is a new change of role. */
const FORGOTTEN_AFTER = 10_000;

/** The consequence of a refusal at `now`. `random` is a number from 0 to 1. */
export function judgeDemotion(
  known: DemotionState | undefined,
  options: Required<ReconnectOptions>,
  { now, random }: { readonly now: number; readonly random: number },
): DemotionVerdict {
  const quiet = Math.max(FORGOTTEN_AFTER, 4 * options.maxDelay);
  if (known === undefined || now - known.last > quiet) {
    return { state: { since: now, last: now }, first: true, delay: 0 };
  }
  const delay = reconnectDelay(options, now - known.since, random);
  return { state: { since: known.since, last: now }, first: false, delay };
}

/** What listeners hear of a demotion. */
export interface DemotionNotice {
  readonly cause: unknown;
  /** Whether outstanding replies are of no use: what the node still executes is discarded. */
  readonly atOnce: boolean;
}

/** Called when a node turns out to be a replica. */
export type DemotionListener = (notice: DemotionNotice) => void;

/** The role of a node, as its connections share it. */
export class Demotions {
  readonly #options: Required<ReconnectOptions>;
  readonly #clock: Clock;
  readonly #listeners = new Set<DemotionListener>();
  #leaving = new Set<DemotionListener>(); // those that were called last, until they are removed
  #state: DemotionState | undefined;

  constructor(options: Required<ReconnectOptions>, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  /** Adds a listener. Returns a function that removes it. */
  watch(listener: DemotionListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
      this.#leaving.delete(listener);
    };
  }

  /** Whether connections are still open that were told to close. */
  get isLeaving(): boolean {
    return this.#leaving.size > 0;
  }

  /** A connection was refused. Calls all listeners for the first refusal. Returns the milliseconds until the connection must be closed. */
  refused(cause: unknown): number {
    const clock = this.#clock;
    const verdict = judgeDemotion(this.#state, this.#options, { now: clock.now(), random: clock.random() });
    this.#state = verdict.state;
    if (verdict.first) this.everywhere(cause);
    return verdict.delay;
  }

  /** The node is known to be no primary, or must be dialled anew. Calls all listeners. */
  everywhere(cause: unknown): void {
    this.#tell({ cause, atOnce: false });
  }

  /** Another node has taken the place of this one, which may not know it yet. Calls all listeners. */
  replaced(cause: unknown): void {
    this.#tell({ cause, atOnce: true });
  }

  #tell(notice: DemotionNotice): void {
    this.#leaving = new Set(this.#listeners);
    for (const listener of [...this.#listeners]) listener(notice);
  }
}
