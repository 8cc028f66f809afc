// How a streamer runs commands that belong to no consumer: they are retried while a server is away or not ready, for no longer than the
// timeout of `connect`.

import type { Command } from "../resp/connection/command.ts";
import { type Pace, passesSoon, patienceLeft, retryWhileUnavailable } from "../resp/connection/retry/retry.ts";
import { StreamerError } from "../resp/errors.ts";
import type { ServerErrorClass } from "../resp/connection/server_errors.ts";
import type { Destination } from "../resp/connection/destination.ts";
import { onOwnConnection } from "./cluster/own_connection.ts";
import type { RouteOptions, Router } from "./cluster/router.ts";
import type { FindShards } from "./cluster/shard_walks.ts";
import type { RunAlone, RunOn } from "./manager/shard_keys.ts";

/** Options of {@linkcode PatientAccess}. */
export interface PatientAccessOptions {
  readonly router: Router;
  /** Milliseconds for which a command is retried. */
  readonly timeout: number;
  /** Aborted when the streamer disconnects. */
  readonly closing: AbortSignal;
  /** Looks for shards once. */
  readonly findShards: FindShards;
}

/** Retries for a limited time. After the streamer was disconnected, everything rejects with `DISCONNECTED`. */
export class PatientAccess {
  readonly #options: PatientAccessOptions;

  constructor(options: PatientAccessOptions) {
    this.#options = options;
  }

  /** The same as `run`, with retries. */
  patiently(run: <T>(command: Command<T>, options: RouteOptions) => Promise<T>): RunOn {
    return async (command, options) => {
      const pace = this.#pace();
      const once = () => run(command, { ...options, within: patienceLeft(pace) });
      return await retryWhileUnavailable(pace, options.signal, once);
    };
  }

  /**
   * Runs commands on a connection of their own, with retries. A lost connection rejects. `find` finds the server of the key, for each
   * attempt again, since the key may have moved.
   */
  alone(find: (redisKey: string, options: RouteOptions) => Promise<Destination>): RunAlone {
    return async (redisKey, options, use) => {
      const passes = (kind: ServerErrorClass) => passesSoon(kind) || kind === "redirect";
      const pace = { ...this.#pace(), passes };
      const { closing, timeout } = this.#options;
      const signal = options.signal === undefined ? closing : AbortSignal.any([closing, options.signal]);
      return await retryWhileUnavailable(pace, options.signal, async () => {
        const within = patienceLeft(pace) ?? timeout;
        const destination = await find(redisKey, { ...options, within });
        return await onOwnConnection(destination, { signal, within }, use);
      });
    };
  }

  /** Looks for shards, with retries. */
  readonly findShards: FindShards = async (streamKeys, signal) => {
    return await retryWhileUnavailable(this.#pace(), signal, () => this.#options.findShards(streamKeys, signal));
  };

  #pace(): Pace {
    const { router: { clock, reconnect, waits }, timeout, closing } = this.#options;
    checkConnected(closing);
    const patience = { until: clock.now() + timeout, expired: (last: StreamerError) => last };
    return { clock, reconnect, waits, patience, passes: passesSoon, closing };
  }
}

/** Throws `DISCONNECTED` if the streamer was disconnected. */
export function checkConnected(closing: AbortSignal): void {
  if (closing.aborted) throw new StreamerError("DISCONNECTED", "The streamer is disconnected");
}
