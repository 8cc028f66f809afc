// Shares scans of the keys among all callers that look for shards at the same time.

import type { Clock } from "../../resp/connection/clock.ts";
import { abortable } from "../model/abortable.ts";
import { findAllShards, type FoundByStream, type ShardServers } from "./shards.ts";

/** Looks for the shards of streams. */
export type FindShards = (streamKeys: readonly string[], signal: AbortSignal | undefined) => Promise<FoundByStream>;

/** The time limit of a scan. */
export interface ShardWalksOptions {
  readonly clock: Clock;
  /** Milliseconds for which a caller waits for a server that cannot be reached. */
  readonly timeout: number;
}

/** The callers that wait for one scan. */
interface Round {
  readonly streamKeys: Set<string>;
  /** Ends the scan when no caller waits for it any more. */
  readonly leaving: AbortController;
  waiting: number;
  /** The time limit of its last caller. */
  until: number;
  readonly found: Promise<FoundByStream>;
}

/**
 * Shares scans. A caller that arrives during a scan waits for the next one, since the scan may have passed its keys already. So two
 * scans serve any number of concurrent callers.
 */
export class ShardWalks {
  readonly #options: ShardWalksOptions;
  readonly #servers: (signal: AbortSignal, left: () => number) => ShardServers;
  #gathering: Round | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /** `servers` returns the servers of one scan. `left` returns the remaining milliseconds of its time limit. */
  constructor(
    options: ShardWalksOptions,
    servers: (signal: AbortSignal, left: () => number) => ShardServers,
  ) {
    this.#options = options;
    this.#servers = servers;
  }

  /** The shards of each of these streams. Rejects with a server's refusal, or the signal's reason. */
  readonly find: FindShards = async (streamKeys, signal) => {
    signal?.throwIfAborted();
    const round = this.#gathering ??= this.#gather();
    for (const streamKey of streamKeys) round.streamKeys.add(streamKey);
    round.waiting++;
    round.until = this.#deadline();
    try {
      return await abortable(round.found, signal);
    } finally {
      if (--round.waiting === 0) round.leaving.abort(new DOMException("No caller waits for the shards", "AbortError"));
    }
  };

  #gather(): Round {
    const leaving = new AbortController();
    const streamKeys = new Set<string>();
    const round: Round = {
      streamKeys,
      leaving,
      waiting: 0,
      until: this.#deadline(),
      found: this.#last.then(() => walk()),
    };
    const left = () => Math.max(0, round.until - this.#options.clock.now());
    const walk = () => {
      this.#gathering = undefined;
      leaving.signal.throwIfAborted();
      return findAllShards([...streamKeys], this.#servers(leaving.signal, left));
    };
    this.#last = round.found.catch(() => {});
    return round;
  }

  #deadline(): number {
    const { clock, timeout } = this.#options;
    return clock.now() + timeout;
  }
}
