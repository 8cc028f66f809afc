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
  #running: Promise<void> | undefined;
  #following: Promise<void> | undefined; // asked for while one was running, which may have asked too early
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
    if (this.#running !== undefined) {
      if (!this.#after?.isElection) this.#after = reason;
      return;
    }
    const { clock } = this.#ports;
    const due = refreshDue(this.#history, reason, clock.now());
    if (this.#wanted !== undefined && this.#wanted.due <= due) return;
    this.#wanted?.timer.stop();
    this.#wanted = { reason, due, timer: clock.after(due - clock.now(), () => void this.#run(reason)) };
  }

  /** Asks now, whatever the pace, or right after a refresh in progress. Callers share it. Resolves when it is over. */
  async now(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    if (this.#running === undefined) return await this.#run({}, false);
    this.#following ??= this.#running.then(() => {
      this.#following = undefined;
      return this.now();
    });
    await this.#following;
  }

  /** The map has changed by other means: the next refreshes are not delayed. */
  changed(): void {
    this.#hasChanged = this.#running !== undefined;
    this.#history = { ...this.#history, unchanged: 0, hurried: 0 };
  }

  /** Asks nothing more. A second call does nothing. */
  close(): void {
    this.#closing.abort(new DOMException("The cluster's router is closed", "AbortError"));
    this.#wanted?.timer.stop();
    this.#regular?.stop();
  }

  /** `isPaced`: whether it delays the next ones if it changes nothing. */
  #run(reason: RefreshReason, isPaced = true): Promise<void> {
    this.#wanted?.timer.stop();
    this.#wanted = undefined;
    this.#regular?.stop();
    this.#hasChanged = false;
    const running = this.#refresh(reason, isPaced).then(() => {
      this.#running = undefined;
      if (this.#closing.signal.aborted) return;
      const after = this.#after;
      this.#after = undefined;
      this.#wait();
      if (after !== undefined) this.want(after);
    });
    return this.#running = running;
  }

  async #refresh(reason: RefreshReason, isPaced: boolean): Promise<void> {
    const { clock, refresh } = this.#ports;
    const began = clock.now();
    const hasFound = await refresh(reason, this.#closing.signal).catch(() => false);
    const isChanged = hasFound || this.#hasChanged;
    if (!isPaced && !isChanged) return;
    this.#history = afterRefresh(this.#history, { began, reason, isChanged, random: clock.random() });
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
