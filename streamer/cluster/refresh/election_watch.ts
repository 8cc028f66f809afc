// Notices that a lost primary has been replaced: its replicas are asked for their role, which costs them next to nothing. Asking for the
// whole map as often would be a burden for a large cluster with many clients.

import { type Clock, sleep } from "../../../resp/connection/clock.ts";
import { valueCommand } from "../../../resp/connection/command.ts";
import { classOf } from "../../../resp/connection/server_errors.ts";
import { LISTING_REPLY, SMALL_REPLY } from "../../../resp/reply_limits.ts";
import { pairsOf, textOf } from "../../../resp/value.ts";
import type { Member } from "../members/member.ts";

/** Milliseconds between two questions to a replica. Half as much or one and a half times as much, at random. */
const PROBE_DELAY = 400;
/** Milliseconds for one answer. */
const PROBE_LIMIT = 1_000;
/** Milliseconds after which a lost primary is not expected to be replaced soon. */
const PROBED_FOR = 120_000;

const ROLE = valueCommand(["ROLE"], { repeatable: true, limits: LISTING_REPLY });
/** Tells the role, too, and every user may run it: ROLE is one of the commands that count as dangerous. Redis 6.2. */
const HELLO = valueCommand(["HELLO"], { repeatable: true, limits: SMALL_REPLY });

/** What a watch works with. */
export interface ElectionWatchPorts {
  readonly clock: Clock;
  /**
   * The known replicas of a lost primary. A new replica is not in the map at first. `undefined` once the primary owns no slots any more, or
   * can be reached again.
   */
  readonly replicasOf: (primary: Member) => readonly Member[] | undefined;
  /** A replica is a primary now. */
  readonly onElected: (replica: Member) => void;
}

/** Watches the replicas of lost primaries. */
export class ElectionWatch {
  readonly #ports: ElectionWatchPorts;
  readonly #closing = new AbortController();
  readonly #watched = new Set<Member>();
  readonly #barred = new WeakSet<Member>(); // where ROLE is not allowed

  constructor(ports: ElectionWatchPorts) {
    this.#ports = ports;
  }

  /** A primary was lost. */
  lost(primary: Member): void {
    if (this.#watched.has(primary) || this.#closing.signal.aborted) return;
    this.#watched.add(primary);
    this.#watch(primary).catch(() => {}).finally(() => this.#watched.delete(primary));
  }

  /** Asks nothing more. A second call does nothing. */
  close(): void {
    this.#closing.abort(new DOMException("The cluster's router is closed", "AbortError"));
  }

  async #watch(primary: Member): Promise<void> {
    const { clock, replicasOf } = this.#ports;
    const { signal } = this.#closing;
    const until = clock.now() + PROBED_FOR;
    while (clock.now() < until) {
      await sleep(clock, PROBE_DELAY * (0.5 + clock.random()), signal);
      const replicas = replicasOf(primary);
      if (replicas === undefined) return;
      await this.#askAll(replicas);
    }
  }

  /** Asks the replicas at the same time. One that is silent holds up neither the others nor the next round. */
  async #askAll(replicas: readonly Member[]): Promise<void> {
    const { clock, onElected } = this.#ports;
    const round = new AbortController();
    const signal = AbortSignal.any([this.#closing.signal, round.signal]);
    const timer = clock.after(PROBE_LIMIT, () => round.abort(new DOMException("No answer in time", "TimeoutError")));
    await Promise.allSettled(replicas.map(async (replica) => {
      if (await this.#roleOf(replica, signal) === "master") onElected(replica);
    }));
    timer.stop();
  }

  async #roleOf(replica: Member, signal: AbortSignal): Promise<string | undefined> {
    if (!this.#barred.has(replica)) {
      try {
        const role = await replica.lanes.run(ROLE, { signal });
        return Array.isArray(role) ? textOf(role[0]) : undefined;
      } catch (error) {
        const kind = classOf(error);
        if (kind !== "forbidden" && kind !== "unavailable") throw error;
        this.#barred.add(replica);
      }
    }
    const greeting = pairsOf(await replica.lanes.run(HELLO, { signal })) ?? [];
    return textOf(new Map(greeting.map(([name, value]) => [textOf(name), value])).get("role") ?? null);
  }
}
