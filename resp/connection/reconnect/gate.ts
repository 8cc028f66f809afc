// Decides when the connections of one node may try to connect: after a failure one at a time, and all of them once the node works
// again.

import { StreamerError } from "../../errors.ts";
import type { ReconnectOptions } from "./backoff.ts";
import type { Clock, Timer } from "../clock.ts";
import {
  admission,
  afterFailure,
  afterLoss,
  afterSuccess,
  afterTry,
  CALM,
  type Loss,
  type Outage,
  outageAt,
  SPENT,
  withTry,
} from "./outage.ts";

/** Called before each attempt. */
export type RetryListener = (
  retry: { readonly attempt: number; readonly delay: number; readonly cause: unknown },
) => void;

/** The permission for one attempt, and then the mark of its connection. Only the gate writes it. */
export class Ticket {
  /** @internal */
  state: "trying" | "open" | "over" = "trying";
  /** @internal Whether its attempt was counted at its start. */
  counted = false;
  /** Whether it had to wait, so that what its holder knew before may have changed. */
  get waited(): boolean {
    return this.counted;
  }
  /** @internal */
  openedAt = 0;
}

interface Waiting {
  readonly admit: (ticket: Ticket) => void;
  readonly refuse: (reason: unknown) => void;
}

/** The rejection of connections that waited at the gate of a node to which their destination does not lead any more. */
export const DISMISSED: StreamerError = new StreamerError("DISCONNECTED", "The connection leads to another node now");

/** Decides when each connection of a node may try to connect. */
export class ReconnectGate {
  readonly #options: Required<ReconnectOptions>;
  readonly #clock: Clock;
  readonly #onRetry: RetryListener;
  readonly #waiting = new Set<Waiting>();
  #outage: Outage = CALM;
  #tries: readonly number[] = [];
  #underway = 0;
  #losses = 0;
  #timer: Timer | undefined; // only while connections wait, so that the process can exit

  constructor(options: Required<ReconnectOptions>, clock: Clock, onRetry: RetryListener) {
    this.#options = options;
    this.#clock = clock;
    this.#onRetry = onRetry;
  }

  /**
   * Resolves when an attempt may be made, which is at once without an outage. The caller must settle the ticket with
   * {@linkcode succeeded}, {@linkcode failed} or {@linkcode abandoned}. Rejects with the signal's reason, with `DISCONNECTED` when the
   * attempts have run out, or with {@linkcode DISMISSED}.
   */
  enter(signal: AbortSignal): Promise<Ticket> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#waiting.size === 0 && this.#decide().kind === "all") return Promise.resolve(this.#ticket());
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
        admit: (ticket) => (leave(), resolve(ticket)),
        refuse: (reason) => (leave(), reject(reason)),
      };
      signal.addEventListener("abort", abort, { once: true });
      this.#waiting.add(waiting);
      this.#schedule();
    });
  }

  /** Returns the ticket of a connection that was opened without this gate. */
  opened(): Ticket {
    const ticket = this.#ticket();
    this.succeeded(ticket);
    return ticket;
  }

  /** The attempt has succeeded. The outage ends only if the connection lasts. */
  succeeded(ticket: Ticket): void {
    if (!this.#settle(ticket, "open")) return;
    const now = this.#clock.now();
    ticket.openedAt = now;
    this.#change(afterSuccess(outageAt(this.#outage, now), now));
  }

  /** The attempt has failed. The next one waits longer. */
  failed(ticket: Ticket, cause: unknown): void {
    if (!this.#settle(ticket, "over")) return;
    const now = this.#clock.now();
    if (!ticket.counted) this.#tries = withTry(this.#tries, now);
    this.#change(afterFailure(outageAt(this.#outage, now), { now, cause }));
  }

  /** The attempt was cancelled. */
  abandoned(ticket: Ticket): void {
    if (this.#settle(ticket, "over")) this.#schedule();
  }

  /** Sends all waiting connections away: their destination leads to another node now. */
  dismiss(): void {
    this.#stopTimer();
    for (const waiting of [...this.#waiting]) waiting.refuse(DISMISSED);
  }

  /** The number of connections that have been lost so far. */
  get losses(): number {
    return this.#losses;
  }

  /** The ticket's connection was lost. */
  lost(ticket: Ticket, { cause, served }: Pick<Loss, "cause" | "served">): void {
    this.#losses++;
    if (ticket.state !== "open") return;
    ticket.state = "over";
    const now = this.#clock.now();
    this.#change(afterLoss(outageAt(this.#outage, now), { openedAt: ticket.openedAt, now, cause, served }));
  }

  #ticket(): Ticket {
    this.#underway++;
    return new Ticket();
  }

  #settle(ticket: Ticket, state: "open" | "over"): boolean {
    if (ticket.state !== "trying") return false;
    ticket.state = state;
    this.#underway--;
    return true;
  }

  #change(outage: Outage): void {
    if (outage.kind !== this.#outage.kind) this.#stopTimer();
    this.#outage = outage;
    this.#schedule();
  }

  #decide() {
    const now = this.#clock.now();
    this.#outage = outageAt(this.#outage, now);
    return admission(this.#outage, {
      now,
      options: this.#options,
      tries: this.#tries,
      underway: this.#underway,
      waiting: this.#waiting.size,
      random: this.#clock.random(),
    });
  }

  #schedule(): void {
    while (this.#timer === undefined && this.#waiting.size > 0) {
      const decision = this.#decide();
      switch (decision.kind) {
        case "none":
          return;
        case "refused":
          return this.#giveUp();
        case "all":
          for (let left = this.#waiting.size; left > 0; left--) this.#admit();
          return;
        case "one": {
          const { delay, attempt } = decision;
          if (attempt === undefined && delay <= 0) {
            this.#admit();
            continue;
          }
          this.#timer = this.#clock.after(delay, () => {
            this.#timer = undefined;
            if (this.#decide().kind !== "all") this.#admit();
            this.#schedule();
          });
          if (attempt !== undefined) this.#tell(attempt, delay);
        }
      }
    }
  }

  #tell(attempt: number, delay: number): void {
    if (this.#outage.kind !== "calm") this.#onRetry({ attempt, delay: Math.max(0, delay), cause: this.#outage.cause });
  }

  /** Admits the first waiting connection. */
  #admit(): void {
    const [first] = this.#waiting;
    if (first === undefined) return;
    const ticket = this.#ticket();
    ticket.counted = true;
    this.#tries = withTry(this.#tries, this.#clock.now());
    this.#outage = afterTry(this.#outage);
    first.admit(ticket);
  }

  #giveUp(): void {
    const outage = this.#outage;
    if (outage.kind === "calm") return;
    this.#outage = SPENT;
    const { attempts, cause } = outage;
    const last = cause instanceof Error ? `. ${cause.message}` : "";
    const text = `The server could not be reached in ${attempts} ${attempts === 1 ? "attempt" : "attempts"}${last}`;
    const error = new StreamerError("DISCONNECTED", text, { cause });
    for (const waiting of [...this.#waiting]) waiting.refuse(error);
  }

  #stopTimer(): void {
    this.#timer?.stop();
    this.#timer = undefined;
  }
}
