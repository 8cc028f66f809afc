// Kills the lost connections of one owner on one node before the owner sends again. Otherwise commands of a lost connection could be
// executed late, after newer messages.

import { StreamerError } from "../errors.ts";
import { type Clock, sleep } from "./clock.ts";
import { clientKill, type ConnectionIdentity } from "./handshake/identity.ts";
import type { Pipeline } from "./pipeline/pipeline.ts";

/** Milliseconds to wait if a connection cannot be killed. */
export const FENCE_WAIT = 2_000;

/** Maximum number of remembered connections. Older ones are assumed to be closed. */
const MAX_REMEMBERED = 64;

/**
 * The lost connections of one owner (a link, a read unit) to one node. A connection is killed by its id and its address, so that no
 * other connection is killed, also on another server.
 */
export class Fence {
  #lost: { readonly identity: ConnectionIdentity | undefined }[] = [];

  /** Whether a lost connection may still be open on the server. */
  get needed(): boolean {
    return this.#lost.length > 0;
  }

  /** Adds a connection that was lost with commands in flight. `undefined` if its id is unknown. */
  add(identity: ConnectionIdentity | undefined): void {
    this.#lost.push({ identity });
    if (this.#lost.length > MAX_REMEMBERED) this.#lost.shift();
  }

  /**
   * Kills the lost connections over a new one. Connections that do not exist any more count as killed. If killing is not possible, it
   * calls `onUnavailable` and waits for {@linkcode FENCE_WAIT} instead. If the new connection ends meanwhile, or the signal aborts, it
   * rejects, and no connection counts as killed.
   */
  async raise(
    pipeline: Pipeline,
    options: { readonly clock: Clock; readonly signal: AbortSignal; readonly onUnavailable: (cause: unknown) => void },
  ): Promise<void> {
    const handled = new Set(this.#lost);
    const answers = await Promise.allSettled(Array.from(handled, ({ identity }) => kill(pipeline, identity)));
    if (pipeline.ending !== undefined) throw pipeline.ending;
    const refusal = answers.find((answer) => answer.status === "rejected");
    if (refusal !== undefined) {
      options.onUnavailable(refusal.reason);
      const gone = new AbortController();
      pipeline.whenEnded().then((cause) => gone.abort(cause));
      await sleep(options.clock, FENCE_WAIT, AbortSignal.any([options.signal, gone.signal]));
    }
    this.#lost = this.#lost.filter((lost) => !handled.has(lost));
  }
}

async function kill(pipeline: Pipeline, identity: ConnectionIdentity | undefined): Promise<void> {
  if (identity === undefined) {
    throw new StreamerError(
      "UNSUPPORTED",
      "The lost connection cannot be killed, because its id on the server is unknown",
    );
  }
  await pipeline.call(clientKill(identity));
}
