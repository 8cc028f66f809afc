// Keeps the map of a cluster up to date: asks its nodes when something has shown that the map may be wrong, one refresh at a time.

import type { Clock, Timer } from "../../../resp/connection/clock.ts";
import { afterRefresh, REFRESH_REGULAR, refreshDue, type RefreshHistory, type RefreshReason } from "./refresh_pace.ts";

/** What a refresher works with. */
export interface RefresherPorts {
  readonly clock: Clock;
  /** Asks the nodes, and gives whether the map has changed. A rejection counts as no change. */
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
  #hasChanged = false; // by other means, while one was running
  #after: RefreshReason | undefined; // asked for while one was running

  /** The map has just been asked for. */
  constructor(ports: RefresherPorts) {
    this.#ports = ports;
    const { clock } = ports;
    this.#history = { last: clock.now(), unchanged: 0, hurried: 0, random: clock.random() };
    this.#wait();
  }

  /** The map may be wrong: it is refreshed as soon as the pace allows. */
  want(reason: RefreshReason = {}): void {
    if (this.#closing.signal.aborted) return;
    if (this.#isRunning) {
      if (!this.#after?.isElection) this.#after = reason;
      return;
    }
    const { clock } = this.#ports;
    const due = refreshDue(this.#history, reason, clock.now());
    if (this.#wanted !== undefined && this.#wanted.due <= due) return;
    this.#wanted?.timer.stop();
    this.#wanted = { reason, due, timer: clock.after(due - clock.now(), () => void this.#run(reason)) };
  }

  /** The map has changed by other means: the next refreshes are not delayed. */
  changed(): void {
    this.#hasChanged = this.#isRunning;
    this.#history = { ...this.#history, unchanged: 0, hurried: 0 };
  }

  /** Asks nothing more. A second call does nothing. */
  close(): void {
    this.#closing.abort(new DOMException("The cluster's router is closed", "AbortError"));
    this.#wanted?.timer.stop();
    this.#regular?.stop();
  }

  async #run(reason: RefreshReason): Promise<void> {
    const { clock, refresh } = this.#ports;
    const { signal } = this.#closing;
    const began = clock.now();
    this.#wanted?.timer.stop();
    this.#wanted = undefined;
    this.#regular?.stop();
    this.#isRunning = true;
    this.#hasChanged = false;
    const isChanged = await refresh(reason, signal).catch(() => false);
    this.#isRunning = false;
    if (signal.aborted) return;
    const outcome = { began, reason, isChanged: isChanged || this.#hasChanged, random: clock.random() };
    this.#history = afterRefresh(this.#history, outcome);
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
