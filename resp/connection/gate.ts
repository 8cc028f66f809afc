// The door to one node that all its connections share: after a failure one of them at a time tries, and its success
// lets all in. It must not know how a connection is made.

import { StreamerError } from "../errors.ts";
import { MAX_TRIES_A_SECOND, reconnectDelay, type ReconnectOptions, throttle } from "./backoff.ts";
import type { Clock, Timer } from "./clock.ts";

/** Told before each try. */
export type RetryListener = (
  retry: { readonly attempt: number; readonly delay: number; readonly cause: unknown },
) => void;

interface Waiting {
  readonly admit: () => void;
  readonly refuse: (reason: unknown) => void;
}

interface Outage {
  readonly since: number;
  attempts: number;
  cause: unknown;
}

/** Decides which connection of a node may try when. */
export class ReconnectGate {
  readonly #options: Required<ReconnectOptions>;
  readonly #clock: Clock;
  readonly #onRetry: RetryListener;
  readonly #waiting = new Set<Waiting>();
  #tries: number[] = [];
  #outage: Outage | undefined;
  #trying = false;
  #timer: Timer | undefined;

  constructor(options: Required<ReconnectOptions>, clock: Clock, onRetry: RetryListener) {
    this.#options = options;
    this.#clock = clock;
    this.#onRetry = onRetry;
  }

  /**
   * Resolves when a try may be made: at once while all is well. Who was let in says how it went, by
   * {@linkcode succeeded}, {@linkcode failed} or {@linkcode abandoned}. Rejects with the signal's reason, or with
   * `DISCONNECTED` when the attempts have run out.
   */
  enter(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#outage === undefined) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#waiting.delete(waiting);
        signal.removeEventListener("abort", abort);
      };
      const abort = () => {
        leave();
        if (this.#waiting.size === 0) this.#stopTimer();
        reject(signal.reason);
      };
      const waiting: Waiting = {
        admit: () => (leave(), resolve()),
        refuse: (reason) => (leave(), reject(reason)),
      };
      signal.addEventListener("abort", abort, { once: true });
      this.#waiting.add(waiting);
      this.#schedule();
    });
  }

  /** A connection that had been up was lost, or a first one could not be made. */
  lost(cause: unknown): void {
    this.#outage ??= { since: this.#clock.now(), attempts: 0, cause };
  }

  /** The node answers: everybody may come in. */
  succeeded(): void {
    this.#outage = undefined;
    this.#trying = false;
    this.#stopTimer();
    for (const waiting of [...this.#waiting]) waiting.admit();
  }

  /** The try failed: the next one waits longer. */
  failed(cause: unknown): void {
    this.lost(cause);
    this.#trying = false;
    if (this.#outage !== undefined) this.#outage.cause = cause;
    this.#schedule();
  }

  /** Who was let in has gone away without having tried to the end. */
  abandoned(): void {
    this.#trying = false;
    this.#schedule();
  }

  #schedule(): void {
    const outage = this.#outage;
    if (outage === undefined || this.#trying || this.#timer !== undefined || this.#waiting.size === 0) return;
    if (outage.attempts >= this.#options.maxAttempts) return this.#giveUp(outage);
    outage.attempts++;
    const now = this.#clock.now();
    const wanted = reconnectDelay(this.#options, now - outage.since, this.#clock.random());
    const delay = Math.max(wanted, throttle(this.#tries, now));
    this.#timer = this.#clock.after(delay, () => {
      this.#timer = undefined;
      const [first] = this.#waiting;
      if (first === undefined) return;
      this.#trying = true;
      this.#tries = [...this.#tries.slice(1 - MAX_TRIES_A_SECOND), this.#clock.now()];
      first.admit();
    });
    this.#onRetry({ attempt: outage.attempts, delay, cause: outage.cause });
  }

  #giveUp(outage: Outage): void {
    this.#outage = undefined; // who comes later starts a new round of attempts
    const error = new StreamerError("DISCONNECTED", `Cannot reach the server after ${outage.attempts} attempts`, {
      cause: outage.cause,
    });
    for (const waiting of [...this.#waiting]) waiting.refuse(error);
  }

  #stopTimer(): void {
    this.#timer?.stop();
    this.#timer = undefined;
  }
}
