// How a streamer runs commands that belong to no consumer: they are retried while a server is away or not ready, for no longer than the
// timeout of `connect`.

import type { Command } from "../resp/connection/command.ts";
import { type Pace, passesSoon, patienceLeft, retryWhileUnavailable } from "../resp/connection/retry/retry.ts";
import { StreamerError } from "../resp/errors.ts";
import type { ServerErrorClass } from "../resp/connection/server_errors.ts";
import { onOwnConnection } from "./cluster/own_connection.ts";
import { NodeLeftError, type RouteOptions, type Router } from "./cluster/router.ts";
import type { FindShards } from "./cluster/shard_walks.ts";
import { xlen } from "./commands/xlen.ts";
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
   * Runs commands on a connection of their own to the node that has the key, with retries: the node is found for each attempt again. A
   * lost connection rejects.
   */
  readonly alone: RunAlone = async (redisKey, options, use) => {
    const passes = (kind: ServerErrorClass) => passesSoon(kind) || kind === "redirect";
    const pace = { ...this.#pace(), passes };
    const { router, closing, timeout } = this.#options;
    const signal = options.signal === undefined ? closing : AbortSignal.any([closing, options.signal]);
    return await retryWhileUnavailable(pace, options.signal, async () => {
      for (;;) {
        const within = patienceLeft(pace) ?? timeout;
        const question = xlen(redisKey);
        await router.run(question, { ...options, within }); // after this the router knows the node, also if the key has moved
        const slot = router.slotOf(redisKey);
        const node = router.nodeOf(slot);
        const moved = new AbortController();
        const unwatch = router.onChange(() => {
          if (router.nodeOf(slot) !== node) moved.abort(new NodeLeftError(node, question));
        });
        try {
          const opening = { signal, within, giveUp: moved.signal };
          return await onOwnConnection(router.destination(node), opening, use);
        } catch (error) {
          if (error !== moved.signal.reason) throw error; // otherwise nothing was run, and another node has the key
        } finally {
          unwatch();
        }
      }
    });
  };

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
