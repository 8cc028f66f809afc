// Keeps the map of a cluster up to date: asks its nodes when something has shown that the map may be wrong, one refresh at a time.

import type { Clock, Timer } from "../../../resp/connection/clock.ts";
import { REFRESH_REGULAR, refreshDue, type RefreshHistory, type RefreshReason } from "./refresh_pace.ts";

/** What a refresher works with. */
export interface RefresherPorts {
  readonly clock: Clock;
  /** Asks the nodes, and gives whether the map has changed. Never rejects, unless the signal is aborted. */
  readonly refresh: (reason: RefreshReason, signal: AbortSignal) => Promise<boolean>;
  /** Whether any connection is open: without one, nothing is asked without a reason. */
  readonly isUsed: () => boolean;
}

/** Decides when to refresh. */
export class Refresher {
  readonly #ports: RefresherPorts;
  readonly #closing = new AbortController();
  #history: RefreshHistory;
  #wanted: { readonly reason: RefreshReason; readonly timer: Timer; readonly due: number } | undefined;
  #regular: Timer | undefined;
  #isRunning = false;
  #after: RefreshReason | undefined; // asked for while one was running

  /** The map has just been asked for. */
  constructor(ports: RefresherPorts) {
    this.#ports = ports;
    this.#history = { last: ports.clock.now(), unchanged: 0 };
    this.#wait();
  }

  /** The map may be wrong: it is refreshed as soon as the pace allows. */
  want(reason: RefreshReason = {}): void {
    if (this.#closing.signal.aborted) return;
    if (this.#isRunning) {
      this.#after = this.#after === undefined || reason.isElection ? reason : this.#after;
      return;
    }
    const { clock } = this.#ports;
    const due = refreshDue(this.#history, reason, { now: clock.now(), random: clock.random() });
    if (this.#wanted !== undefined && this.#wanted.due <= due) return;
    this.#wanted?.timer.stop();
    this.#wanted = { reason, due, timer: clock.after(due - clock.now(), () => void this.#run(reason)) };
  }

  /** The map has changed by other means: the next refreshes are not delayed. */
  changed(): void {
    this.#history = { ...this.#history, unchanged: 0 };
  }

  /** Asks nothing more. A second call does nothing. */
  close(): void {
    this.#closing.abort(new DOMException("The cluster's router is closed", "AbortError"));
    this.#wanted?.timer.stop();
    this.#regular?.stop();
  }

  async #run(reason: RefreshReason): Promise<void> {
    const { clock, refresh } = this.#ports;
    const { last = -Infinity, unchanged } = this.#history;
    const now = clock.now();
    this.#wanted?.timer.stop();
    this.#wanted = undefined;
    this.#regular?.stop();
    this.#isRunning = true;
    let isChanged = false;
    try {
      isChanged = await refresh(reason, this.#closing.signal);
    } catch {
      return; // closed
    } finally {
      this.#isRunning = false;
    }
    const isCalm = now - last >= REFRESH_REGULAR / 2;
    this.#history = { last: now, unchanged: isChanged || isCalm ? 0 : unchanged + 1 };
    const after = this.#after;
    this.#after = undefined;
    this.#wait();
    if (after !== undefined) this.want(after);
  }

  /** Refreshes without a reason from time to time. */
  #wait(): void {
    const { clock, isUsed } = this.#ports;
    this.#regular = clock.after(REFRESH_REGULAR * (0.75 + clock.random() / 2), () => {
      if (isUsed()) void this.#run({});
      else this.#wait();
    });
  }
}
